"""The whole mortality study: data, fit, calibration, figures, tables, report.

``run`` is what the command line calls.  Data are taken in this order: the path given,
GRADIVERSE_DATA, the publisher (when online), a generator of synthetic regions; the
study says which, and synthetic data are labelled as such on every product.
"""

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from . import _italy, _sources, figures, loaders, report
from .calibration import leave_one_year_out
from .counterfactual import METHODS, Counterfactual
from .simulate import synthetic

SETTINGS = {
    "method": "pooled",
    "year": None,
    "onset": None,
    "start": None,
    "end": None,
    "units": None,
    "pool": True,
    "compare": ["mean", "trend", "cgp"],
    "history_years": None,
    "training_years": None,
    "given": None,
    "years": None,
    "ends": None,
    "by_age": True,
    "download": True,
    "seed": 0,
}
WHOLE = ("year", "onset", "start", "end", "history_years", "training_years", "given")
DELAY_WEEKS = 8
METHOD_OPTIONS = ("covariance", "errors", "components", "restarts", "variance")


@dataclass
class Source:
    """A table to study and where it came from.

    kind: "path", "found" (GRADIVERSE_DATA), "downloaded" or "synthetic".
    """

    frame: pd.DataFrame
    kind: str
    name: str
    label: str
    onset: int
    folder: Path | None = None
    notes: list = field(default_factory=list)

    @property
    def banner(self):
        """What must stand on top of the report."""
        if self.kind == "synthetic":
            return (
                "SYNTHETIC DATA: regions made by a generator with known truth; no real "
                "deaths are shown."
            )
        return None


def sniff(path):
    """Which loader understands a file: italy, stmf, economist, cdc or tidy."""
    columns = {c.lower() for c in _sources.read_table(path).columns}
    if {"age_class", "period", "region"} <= columns or {
        "nome_regione",
        "ge",
    } <= columns:
        return "italy"
    if "popcode" in columns or {"countrycode", "dtotal"} <= columns:
        return "stmf"
    if "total_deaths" in columns and "region" in columns:
        return "economist"
    if "jurisdiction" in columns or "jurisdiction of occurrence" in columns:
        return "cdc"
    return "tidy"


LOADERS = {
    "italy": loaders.load_italy,
    "stmf": loaders.load_stmf,
    "economist": loaders.load_economist,
    "cdc": loaders.load_cdc,
    "tidy": loaders.load_tidy,
}


def _source(kind, name, file, folder=None):
    frame = LOADERS[name](file)
    notes = list(frame.attrs.get("notes", ()))
    if name == "cdc":
        frame = loaders.load_cdc(file, states_only=True)
        notes = list(frame.attrs.get("notes", ()))
    words = {"path": "read from", "found": "found at", "downloaded": "downloaded to"}
    label = f"{name} data {words[kind]} {Path(file).name}"
    return Source(frame, kind, name, label, 6 if name == "italy" else 9, folder, notes)


def choose_data(path=None, download=True, quick=False, seed=0):
    """The best data there are, in the order of the module's notes."""
    if path is not None:
        path = Path(path)
        if path.is_file():
            return _source("path", sniff(path), path)
        if not path.is_dir():
            raise FileNotFoundError(f"{path} does not exist; give a table or a folder")
        return _from_folder("path", path)
    for folder in _sources.folders():
        try:
            return _from_folder("found", folder)
        except FileNotFoundError:
            continue
    if download:
        for name in ("stmf", "cdc"):
            file = _sources.fetch(name)
            if file is not None:
                return _source("downloaded", name, file)
    frame, truth = synthetic(units=6 if quick else 20, by_age=True, rng=seed)
    out = Source(
        frame, "synthetic", "synthetic", "synthetic regions with known truth", 9
    )
    out.notes.append(
        f"Synthetic regions; the true excess of the last year is "
        f"{truth.excess.sum():,.0f} deaths in all."
    )
    return out


def _from_folder(kind, folder):
    for name in ("italy", "stmf", "economist", "cdc"):
        file = _sources.find(name, folder)
        if file is not None:
            return _source(kind, name, file, folder)
    if kind == "found":
        raise FileNotFoundError(f"{folder} holds no known data file")
    tables = sorted(p for p in folder.iterdir() if p.suffix in (".csv", ".gz", ".tsv"))
    if len(tables) == 1:
        return _source(kind, sniff(tables[0]), tables[0], folder)
    raise FileNotFoundError(
        f"{folder} holds no known data file and not exactly one table (it has "
        f"{len(tables)}); name the file"
    )


def check_settings(config):
    """Settings with defaults filled in; unknown names and bad values raise."""
    config = dict(config or {})
    unknown = set(config) - set(SETTINGS) - set(METHOD_OPTIONS)
    if unknown:
        raise ValueError(
            f"unknown setting(s) {', '.join(sorted(unknown))} in [mortality]; known: "
            f"{', '.join((*SETTINGS, *METHOD_OPTIONS))}"
        )
    settings = {**SETTINGS, **config}
    if settings["method"] not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got {settings['method']!r}")
    compare = settings["compare"]
    if isinstance(compare, str) or not set(compare) <= set(METHODS):
        raise ValueError(f"compare must be a list of {METHODS}, got {compare!r}")
    for name in WHOLE:
        value = settings[name]
        if value is not None and not _whole(value):
            raise ValueError(f"{name} must be a whole number, got {value!r}")
    for name in ("years", "ends"):
        value = settings[name]
        value = [value] if _whole(value) else value
        if value is not None and (
            not isinstance(value, (list, tuple)) or not all(map(_whole, value))
        ):
            raise ValueError(f"{name} must be a list of whole numbers, got {value!r}")
        settings[name] = value
    if isinstance(settings["units"], str):
        settings["units"] = [settings["units"]]
    if settings["given"] is not None:
        onset = settings["given"] + 1
        if settings["onset"] not in (None, onset):
            raise ValueError(
                f"given={onset - 1} means onset={onset}, but onset is "
                f"{settings['onset']}; give one of them"
            )
        settings["onset"] = onset
    return settings


def _whole(value):
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def check_output(output):
    """Raise before anything is computed when the folder cannot be written."""
    place = Path(output)
    if place.exists() and not place.is_dir():
        raise NotADirectoryError(f"output {place} is a file; name a folder")
    while not place.exists():
        place = place.parent
    try:
        tempfile.TemporaryDirectory(prefix=".gradiverse-", dir=place).cleanup()
    except OSError as error:
        raise OSError(
            f"cannot write to output {output}: {error.strerror or error}; name a "
            "folder that can be written"
        ) from None


def run(data=None, output="mortality-output", config=None, quick=False, say=None):
    """Run the study and write figures, tables, arrays and the report.

    Parameters
    ----------
    data : path, optional
        A table or a folder; see ``choose_data``.
    output : path
        Folder for figures (PNG), tables (CSV), ``study.h5`` and ``report.html``.
    config : dict, optional
        Names of ``SETTINGS`` and options of the method.
    quick : bool
        Seconds instead of minutes: fewer comparisons.
    say : callable, optional
        Called with one line at every step; silent by default.

    Returns
    -------
    dict
        source, excess (Excess), calibrations, tables, files (paths written).
    """
    say = say or (lambda line: None)
    settings = check_settings(config)
    check_output(output)
    begin = time.perf_counter()
    source = choose_data(data, settings["download"], quick, settings["seed"])
    say(f"data: {source.label}")
    if source.banner:
        say(source.banner)
    plan = _plan(source, settings)
    options = {k: settings[k] for k in METHOD_OPTIONS if k in settings}
    if settings["training_years"] and settings["method"] == "pooled":
        options["training_years"] = settings["training_years"]
    say(
        f"fit: {settings['method']}, {plan['years'][0]}-{plan['years'][-1]}, predict "
        f"{plan['year']} from week {plan['onset']}"
    )
    model = Counterfactual(settings["method"], **options)
    model.fit(plan["history"], pool=plan["pool"])
    excess = model.predict(plan["current"], plan["onset"])
    excess.notes[:0] = [f"Data: {source.label}.", *source.notes, *plan["notes"]]
    say(report.headline(excess, plan["start"], plan["end"]))
    calibrations = _calibrate(plan, settings, options, quick, say)
    result = {
        "source": source,
        "plan": plan,
        "excess": excess,
        "settings": settings,
        "calibrations": calibrations,
        "tables": {},
        "figures": {},
        "sections": [],
    }
    _tables(result)
    _ages(result, options, say)
    if source.name == "italy":
        _italy.enrich(result, say)
    result["files"] = _write(result, Path(output), begin, quick)
    say(f"report: {Path(output) / 'report.html'}")
    return result


def _plan(source, settings):
    """History, current year, pool and window."""
    frame, notes = source.frame, []
    if settings["units"]:
        missing = set(settings["units"]) - set(frame["unit"])
        if missing:
            raise ValueError(f"units not in the data: {', '.join(sorted(missing))}")
        frame = frame[frame["unit"].isin(settings["units"])]
    years = np.sort(frame["year"].unique())
    year = settings["year"]
    if year is None:
        year = 2020 if source.name != "tidy" and 2020 in years else int(years[-1])
    history = frame[frame["year"] < year]
    depth = settings["history_years"]
    if depth is None and settings["method"] != "pooled":
        depth = settings["training_years"]
    if depth:
        history = history[history["year"] >= year - depth]
    if len(history) == 0:
        raise ValueError(f"no data before {year}; the table has {years[0]}-{years[-1]}")
    current = frame[frame["year"] == year]
    if len(current) == 0:
        raise ValueError(f"no data in {year}; the table has {years[0]}-{years[-1]}")
    onset = settings["onset"] if settings["onset"] is not None else source.onset
    if settings["onset"] is None:
        notes.append(f"Onset: week {onset}, the default for {source.name} data.")
    pool = None
    if settings["pool"] and source.name == "italy" and settings["method"] == "pooled":
        pool = _italy.stmf_pool(source.folder, history["year"].unique())
        if pool is not None:
            notes.append(
                f"Pool: {pool['unit'].nunique()} populations of the STMF (period "
                "k takes "
                "week k + 2; Italy, Iceland and Luxembourg left out) inform the kernel."
            )
    end = settings["end"]
    if source.name == "cdc" and end is None:
        end = int(current["week"].max()) - DELAY_WEEKS
        notes.append(
            f"Sums end with week {end}: the last {DELAY_WEEKS} weeks of a publication "
            "are incomplete (see nowcast)."
        )
    known = sorted(history["year"].unique())
    return {
        "history": history,
        "current": current,
        "pool": pool,
        "year": int(year),
        "years": [int(y) for y in known],
        "onset": int(onset),
        "notes": notes,
        "start": settings["start"],
        "end": end,
    }


def _calibrate(plan, settings, options, quick, say):
    """Held-out years of the chosen method and of those it is compared with."""
    names = [settings["method"]]
    if not quick:
        names += [m for m in settings["compare"] if m != settings["method"]]
    years = settings["years"] or plan["years"][-5:]
    last = int(plan["current"]["week"].max())
    end = plan["end"] or int(min(last, plan["history"]["week"].max(), 52))
    out = {}
    for name in names:
        start = time.perf_counter()
        own = options if name == settings["method"] else {}
        try:
            out[name] = leave_one_year_out(
                plan["history"],
                years,
                plan["onset"],
                settings["ends"] or (end,),
                method=name,
                pool=plan["pool"] if name == "pooled" else None,
                **own,
            )
        except ValueError as error:
            plan["notes"].append(
                f"held-out years, method {name}: not possible ({error})"
            )
            say(f"held-out years, {name}: not possible ({error})")
            continue
        s = out[name].summary.iloc[0]
        say(
            f"held-out years, {name}: rms {s.rms:.4f}, crps {s.crps:.4f}, 68 % cover "
            f"{s.c68:.2f}, 95 % cover {s.c95:.2f} [{s.c95_low:.2f}, {s.c95_high:.2f}] "
            f"({time.perf_counter() - start:.1f} s)"
        )
    return out


def _tables(result):
    plan, excess = result["plan"], result["excess"]
    window = (plan["start"], plan["end"])
    result["tables"]["weekly"] = excess.weekly
    result["tables"]["units"] = excess.total(*window)
    result["tables"]["joint"] = excess.total(*window, by=())
    for name, calibration in result["calibrations"].items():
        result["tables"][f"held_out_{name}"] = calibration.table
    rows = []
    for name, calibration in result["calibrations"].items():
        for kind, summary in (
            ("units", calibration.summary),
            ("joint sum", calibration.joint_summary),
        ):
            rows.append(summary.assign(method=name, sums=kind))
    if rows:
        result["tables"]["calibration"] = pd.concat(rows, ignore_index=True)
    result["figures"]["fan_chart"] = figures.fan_chart(excess)
    result["figures"]["ranking"] = figures.ranking(result["tables"]["units"])
    if result["calibrations"]:
        result["figures"]["calibration"] = figures.calibration_plot(
            result["calibrations"]
        )


def _ages(result, options, say):
    """The same model with broad ages apart, where the table has ages."""
    plan, settings = result["plan"], result["settings"]
    if "age" not in plan["history"] or not settings["by_age"]:
        return
    history, current = (
        _italy.broad_ages(plan[k], result["source"].name)
        for k in ("history", "current")
    )
    if history is None or current is None:
        return
    model = Counterfactual(settings["method"], by_age=True, **options)
    model.fit(history, pool=plan["pool"])
    by_age = model.predict(current, plan["onset"])
    table = by_age.total(plan["start"], plan["end"], by=("age",))
    result["by_age"] = by_age
    result["tables"]["ages"] = table
    result["tables"]["units_ages"] = by_age.total(
        plan["start"], plan["end"], by=("unit", "age")
    )
    result["figures"]["cumulative"] = figures.cumulative(by_age)
    result["sections"].append(
        (
            "Cumulative excess by age",
            report.embed(result["figures"]["cumulative"], "cumulative excess by age")
            + report.table_html(table),
        )
    )
    say(f"ages: {len(table)} groups, sum {table.excess.sum():,.0f}")


def _write(result, output, begin, quick):
    """All products, each by way of a temporary file."""
    output.mkdir(parents=True, exist_ok=True)
    excess, plan, source = result["excess"], result["plan"], result["source"]
    files = []
    for name, ax in result["figures"].items():
        if source.banner:
            ax.figure.text(
                0.995,
                0.005,
                "synthetic data",
                ha="right",
                va="bottom",
                color=figures.RED,
                fontsize=9,
            )
        files.append(figures.save(ax, output / f"{name}.png"))
    for name, table in result["tables"].items():
        files.append(
            report.write_text(output / f"{name}.csv", table.to_csv(index=False))
        )
    settings = {k: v for k, v in result["settings"].items()}
    settings |= {
        "data": source.label,
        "data_kind": source.kind,
        "year": plan["year"],
        "onset": plan["onset"],
        "quick": bool(quick),
    }
    keep = {k: t for k, t in result["tables"].items() if k != "weekly"}
    files.append(report.write_hdf5(excess, output / "study.h5", settings, keep))
    title = f"Excess mortality {plan['year']}"
    if source.kind == "synthetic":
        title += " (synthetic data)"
    excess.notes.append(f"Computed in {time.perf_counter() - begin:.0f} s.")
    files.append(
        excess.report(
            output / "report.html",
            title=title,
            extra=result["sections"],
            calibrations=result["calibrations"],
            start=plan["start"],
            end=plan["end"],
            banner=source.banner,
        )
    )
    return files
