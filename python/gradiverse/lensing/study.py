"""The lensing study: maps of many realisations, spectra against theory, a report.

``run`` is what ``gradiverse lensing`` calls. Each realisation has its own seed, of the
white noise and of the turns and shifts of the box, and its own file in ``maps/``,
written whole or not at all: a run that was stopped goes on where it was.
"""

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from .._html import version, write_text
from ..cosmology import Cosmology
from ..nbody import white_noise
from ..nbody.pgd import PGD
from . import _window, figures, report
from .cone import Lightcone
from .limber import limber_cl
from .maps import described, read_maps, write_maps

SETTINGS = {
    "box": 256.0,
    "shape": 128,
    "steps": 11,
    "sources": None,
    "nz": None,
    "field_of_view": 6.0,
    "map_shape": 1024,
    "mesh_factor": 2,
    "integrator": "bullfrog",
    "adjoint": "reversible",
    "precision": "single",
    "pgd": None,
    "order": 2,
    "force": "mesh",
    "dealias": False,
    "curved": True,
    "n_maps": 4,
    "rng": 0,
}
QUICK = {"shape": 32, "map_shape": 128, "n_maps": 2}  # at most these
SAMPLE_BINS = 12  # logarithmic bins of the table in a decade


def check_settings(config=None, quick=False, n_maps=None):
    """Settings with defaults filled in; unknown names and bad values raise."""
    config = dict(config or {})
    if "seed" in config:
        if "rng" in config:
            raise ValueError("give rng or seed in [lensing], not both: they are one")
        config["rng"] = config.pop("seed")
    unknown = sorted(set(config) - set(SETTINGS))
    if unknown:
        raise ValueError(
            f"unknown setting(s) {', '.join(unknown)} in [lensing]; known:"
            f" {', '.join(SETTINGS)}"
        )
    settings = {**SETTINGS, **config}
    if settings["sources"] is None and settings["nz"] is None:
        settings["sources"] = [1.0]
    if n_maps is not None:
        settings["n_maps"] = n_maps
    for name, least in (("n_maps", 1), ("rng", 0)):
        value = settings[name]
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise ValueError(f"{name} must be a whole number, got {value!r}")
        if value < least:
            raise ValueError(f"{name} is {value}; it must be {least} or more")
    for name, n in (("shape", 3), ("map_shape", 2)):
        value = settings[name]
        settings[name] = tuple(value) if np.ndim(value) else (value,) * n
    if quick:
        for name, most in QUICK.items():
            value = settings[name]
            settings[name] = (
                tuple(min(v, most) for v in value)
                if isinstance(value, tuple)
                else min(value, most)
            )
    return settings


def _pgd(value, settings, stages):
    if value in (None, False, "none"):
        return None
    if value == "published":
        spacing = settings["box"] if not np.ndim(settings["box"]) else None
        if spacing is None:
            raise ValueError('pgd = "published" needs a cubic box')
        return PGD.published(
            settings["mesh_factor"], spacing / settings["shape"][0], stages
        )
    if isinstance(value, dict):
        try:
            return PGD(**value)
        except TypeError as error:
            raise ValueError(f"pgd must have alpha0, mu, kl and ks: {error}") from None
    raise ValueError(
        f'pgd {value!r}: give "published", or a table with alpha0, mu, kl, ks'
    )


def read_data(path):
    """What ``--data`` names: source distributions and a linear power spectrum.

    Parameters
    ----------
    path : path
        A table (CSV, or columns apart by blanks, with a heading), or a folder of such.
        Columns ``z, n`` (and more ``n...``, one map each) are distributions of the
        sources; columns ``k, P`` [h/Mpc, (Mpc/h)^3] a linear power spectrum today.

    Returns
    -------
    nz : list of {"z": ..., "n": ...} or None
    power : (k, P) or None

    Raises
    ------
    ValueError, OSError
        If there is no such table, or a column is missing or not a number.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"--data {path} does not exist")
    files = [path]
    if path.is_dir():
        files = sorted(
            p for p in path.iterdir() if p.suffix in (".csv", ".txt", ".dat")
        )
        if not files:
            raise FileNotFoundError(f"--data {path} holds no .csv, .txt or .dat table")
    nz, power = [], None
    for file in files:
        kind, columns = _table(file)
        if kind == "power":
            power = columns
        else:
            nz += [{"z": columns[0], "n": n} for n in columns[1:]]
    return nz or None, power


def _table(file):
    """("power", (k, P)) or ("nz", (z, n, ...)) of one file."""
    try:
        table = pd.read_csv(file, sep=r"[,;\s]+", engine="python", comment="#")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as e:
        raise ValueError(f"{file} is not a table: {' '.join(str(e).split())}") from None
    names = [str(c).strip() for c in table.columns]
    table.columns = names
    if "k" in names and "P" in names:
        kind, wanted = "power", ["k", "P"]
    else:
        kind = "nz"
        wanted = ["z", *(c for c in names if c.lower().startswith("n"))]
    if (kind == "nz" and "z" not in names) or len(wanted) < 2:
        raise ValueError(
            f"{file} has the columns {', '.join(names)}; wanted are z, n (sources) or"
            " k, P (linear power)"
        )
    columns = []
    for name in wanted:
        values = pd.to_numeric(table[name], errors="coerce").to_numpy(float)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad) or not len(values):
            where = f"row {bad[0] + 1}" if len(bad) else "the table"
            raise ValueError(f"{file}: column {name} has no number in {where}")
        columns.append(values.tolist())
    return kind, tuple(columns)


def _nz(value):
    if value is None:
        return None
    several = value if isinstance(value, list) else [value]
    out = []
    for v in several:
        if not isinstance(v, dict) or set(v) != {"z", "n"}:
            raise ValueError("nz must be a table {z = [...], n = [...]}, or a list")
        out.append((np.asarray(v["z"], float), np.asarray(v["n"], float)))
    return out


def make_cone(settings, seed):
    """The light cone of one realisation."""
    options = {
        k: settings[k]
        for k in (
            "box", "shape", "steps", "sources", "field_of_view", "map_shape",
            "mesh_factor", "integrator", "adjoint", "precision", "order", "force",
            "dealias", "curved",
        )
    }  # fmt: skip
    stages = settings["steps"]
    stages = len(stages) if np.ndim(stages) else stages
    return Lightcone(
        **options,
        nz=_nz(settings["nz"]),
        pgd=_pgd(settings["pgd"], settings, stages),
        rng=seed,
    )


def _writable(output):
    """Raise before anything is computed when the folder cannot be written."""
    place = Path(output)
    if place.exists() and not place.is_dir():
        raise NotADirectoryError(f"output {place} is a file; name a folder")
    try:
        (place / "maps").mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(prefix=".gradiverse-", dir=place).cleanup()
    except OSError as error:
        raise OSError(
            f"cannot write to output {output}: {error.strerror or error}; name a"
            " folder that can be written"
        ) from None
    return place


def _same(one, other, leave=("replica_seed",)):
    """Whether two settings, one of them read from a file, agree."""
    a, b = (
        json.loads(json.dumps({k: v for k, v in x.items() if k not in leave}))
        for x in (one, other)
    )
    return a == b


def _finished(path, cone, cosmology, say):
    """The contents of a finished file, or None where it has to be made."""
    if not path.exists():
        return None
    try:
        found = read_maps(path)
    except (OSError, ValueError, KeyError) as error:
        say(f"{path.name} cannot be read ({error}); it is made again")
        return None
    old = {k: np.asarray(v).tolist() for k, v in found["cosmology"].items()}
    new = {k: np.asarray(v).tolist() for k, v in described(cosmology).items()}
    if not _same(found["settings"], cone.settings()) or old != new:
        raise ValueError(
            f"{path} was made with other settings or another cosmology; choose another"
            " output folder, or remove it"
        )
    return found


class _Progress:
    """A bar of tqdm where it is installed, else one line a map."""

    def __init__(self, total, say, wanted):
        self.total, self.say, self.done, self.bar = total, say, 0, None
        self.begin = time.perf_counter()
        if wanted:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                return
            self.bar = tqdm(total=total, unit="map", desc="maps")

    def step(self, text):
        self.done += 1
        if self.bar is not None:
            self.bar.set_postfix_str(text, refresh=False)
            self.bar.update()
            return
        left = self.total - self.done
        spent = time.perf_counter() - self.begin
        rest = f", about {spent / self.done * left:.0f} s left" if left else ""
        self.say(f"map {self.done}/{self.total}: {text}{rest}")

    def close(self):
        if self.bar is not None:
            self.bar.close()


def run(
    output="lensing-output",
    config=None,
    cosmology=None,
    quick=False,
    n_maps=None,
    say=None,
    progress=False,
    data=None,
):
    """Run the study and write maps, tables, figures and the report.

    Parameters
    ----------
    output : path
        Folder for ``maps/*.h5``, ``spectra.csv``, ``maps.csv``, figures (PNG) and
        ``report.html``. Maps that are there already are kept.
    config : dict, optional
        Names of ``SETTINGS``.
    cosmology : dict, optional
        Parameters of `gradiverse.cosmology.Cosmology`.
    quick : bool
        At most 32^3 particles, 128^2 pixels and two maps.
    n_maps : int, optional
        In place of the setting.
    say : callable, optional
        Called with a line at every step.
    progress : bool
        A bar by tqdm where it is installed.
    data : path, optional
        Tables of the sources' distribution or of the linear power; see `read_data`.

    Returns
    -------
    dict
        settings, cosmology, spectra (DataFrame), maps (DataFrame), files (paths).

    Raises
    ------
    ValueError, OSError
        For bad settings, a folder that holds other maps or cannot be written.
    """
    say = say or (lambda line: None)
    config, cosmology = _with_data(config, cosmology, data)
    settings = check_settings(config, quick, n_maps)
    c = _cosmology(cosmology)
    cone = make_cone(settings, settings["rng"])
    needed = cone.passes(c)  # checks the geometry, too
    output = _writable(output)
    say(f"light cone: {cone!r}")
    say(f"box passes needed for each source: {', '.join(map(str, needed))}")
    begin = time.perf_counter()
    results = _maps(settings, c, output, say, progress)
    tables = spectra_table(results, c, cone)
    stats = pd.DataFrame([row for r in results for row in r["rows"]])
    out = {"settings": settings, "cosmology": c, "cone": cone, "spectra": tables}
    out |= {"maps": stats, "results": results, "version": version()}
    out["seconds"] = time.perf_counter() - begin
    out["files"] = _write(out, output, say)
    return out


def _with_data(config, cosmology, data):
    """The two tables of settings with what the data say."""
    config, cosmology = dict(config or {}), dict(cosmology or {})
    if data is None:
        return config, cosmology
    nz, power = read_data(data)
    if nz is not None:
        if "nz" in config:
            raise ValueError("nz is given both in [lensing] and by --data")
        config["nz"] = nz
    if power is not None:
        if "transfer" in cosmology:
            raise ValueError("transfer is given in [cosmology], and power by --data")
        cosmology["transfer"] = tuple(np.asarray(x) for x in power)
    return config, cosmology


def _cosmology(values):
    values = dict(values or {})
    try:
        return Cosmology(**values)
    except TypeError as error:
        raise ValueError(f"[cosmology]: {error}") from None


def _maps(settings, c, output, say, progress):
    """Contents of the files of all realisations, made where they are missing."""
    seeds = [settings["rng"] + i for i in range(settings["n_maps"])]
    bar = _Progress(len(seeds), say, progress)
    results = []
    try:
        for seed in seeds:
            path = output / "maps" / f"map_{seed:05d}.h5"
            cone = make_cone(settings, seed)
            found = _finished(path, cone, c, say)
            text = f"seed {seed}, from {path.name}"
            if found is None:
                begin = time.perf_counter()
                kappa = cone(white_noise(settings["shape"], rng=seed), c)
                spent = time.perf_counter() - begin
                write_maps(
                    path,
                    kappa,
                    settings["field_of_view"],
                    cone.settings(),
                    c,
                    seed,
                    shot_noise=cone.shot_noise(c),
                    uniform=cone.uniform(c),
                    passes=cone.passes(c),
                    seconds=spent,
                )
                found = read_maps(path)
                text = f"seed {seed}, {spent:.1f} s"
            results.append(_summary(found, path, seed, keep=not results))
            bar.step(text)
    finally:
        bar.close()
    return results


def _summary(found, path, seed, keep):
    """What the tables and figures need of one file."""
    rows = []
    for i, kappa in enumerate(found["kappa"].astype(np.float64)):
        sd = kappa.std()
        rows.append(
            {
                "seed": seed,
                "source": i,
                "mean": kappa.mean(),
                "sd": sd,
                "skewness": float(((kappa - kappa.mean()) ** 3).mean() / sd**3),
                "min": kappa.min(),
                "max": kappa.max(),
                "seconds": float(found["seconds"]),
                "file": f"maps/{path.name}",
            }
        )
    out = {"rows": rows, "path": path, "shot_noise": found["shot_noise"]}
    out |= {k: found[k] for k in ("ell", "C", "modes")}
    out["kappa"] = found["kappa"] if keep else None
    return out


def spectra_table(results, c, cone):
    """Mean spectra of maps beside theory, in logarithmic bins.

    Parameters
    ----------
    results : list of dict
        ell (B,), C (S, B), modes (B,) and shot_noise (S,) of each map.
    c : Cosmology
    cone : Lightcone

    Returns
    -------
    DataFrame
        source, ell, C (shot noise subtracted), sd (scatter of one map; of a normal
        field where there is one map), error (of the mean), shot_noise, linear,
        halofit (Limber; all three times the pixel window), window, modes, n_maps.
    """
    ell, modes = results[0]["ell"], results[0]["modes"]
    nyquist = np.pi / cone.pixel
    signal, noise = _window.windows(cone.map_shape, len(ell))
    frames = []
    for s, source in enumerate(cone.sources):
        shot = results[0]["shot_noise"][s] * noise
        C = np.stack([r["C"][s] for r in results]) - shot
        given = {"nz": source} if hasattr(source, "table") else {"z_source": source.z}
        theory = {
            "linear": limber_cl(c, ell, nonlinear=False, **given) * signal,
            "halofit": limber_cl(c, ell, nonlinear=True, **given) * signal,
        }
        rows = []
        for part in _window.log_bins(ell, SAMPLE_BINS):
            w = modes[part] / modes[part].sum()
            mean_ell = ell[part] @ w
            if mean_ell > nyquist:
                break
            each = C[:, part] @ w
            total = each.mean() + shot[part] @ w
            n = len(each)
            gauss = total * np.sqrt(2 / modes[part].sum())
            sd = each.std(ddof=1) if n > 1 else gauss
            rows.append(
                {
                    "source": s,
                    "ell": mean_ell,
                    "C": each.mean(),
                    "sd": sd,
                    "error": sd / np.sqrt(n),
                    "shot_noise": shot[part] @ w,
                    **{k: v[part] @ w for k, v in theory.items()},
                    "window": signal[part] @ w,
                    "modes": int(modes[part].sum()),
                    "n_maps": n,
                }
            )
        frames.append(pd.DataFrame(rows))
    return pd.concat(frames, ignore_index=True)


def _smoothing(field):
    """Arc minutes, rounded, that suit a field of so many degrees."""
    return max(round(field / 3, 1), 0.2)


def resolution(out, source):
    """Multipole of the particles' Nyquist frequency half way to the sources."""
    setup = out["cone"].setup
    spacing = max(b / n for b, n in zip(setup.box, setup.lattice, strict=True))
    half = 0.5 * float(out["cosmology"].comoving_distance(source.z_max))
    return np.pi / spacing * half


def _write(out, output, say):
    """Tables, figures and the report; returns the paths."""
    files = [
        write_text(output / "spectra.csv", out["spectra"].to_csv(index=False)),
        write_text(output / "maps.csv", out["maps"].to_csv(index=False)),
    ]
    drawn = {}
    first = out["results"][0]["kappa"]
    for s, source in enumerate(out["cone"].sources):
        title = f"source {source!r}".replace("source z", "sources at z")
        field = out["cone"].settings()["field_of_view"]
        drawn[f"kappa_{s}"] = figures.kappa_map(
            first[s], field, title=f"Convergence, {title}", smooth=_smoothing(field)
        )
        rows = out["spectra"][out["spectra"]["source"] == s]
        drawn[f"spectrum_{s}"] = figures.spectrum(
            rows, title=f"Spectrum, {title}", resolution=resolution(out, source)
        )
    for name, ax in drawn.items():
        files.append(figures.save(ax, output / f"{name}.png"))
    out["figures"] = drawn
    files.append(write_text(output / "report.html", report.page_of(out)))
    say(f"report: {output / 'report.html'}")
    return files
