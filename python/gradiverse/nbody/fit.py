"""Parameters of the sharpening (PGD) for any spacing, mesh and steps, by gradient.

A run with the given settings is stopped at a few scale factors. There the power
spectrum of its sharpened particles is to match a target: a finer run of the same modes
(eight times the particles, finer mesh, more steps; no sample variance), or halofit.
The loss is the mean square of ln(P/P_target), even in ln k, over bins from `k_min` to
`k_max`: least squares in (ln alpha0, mu, ln kl, ln ks), with derivatives in forward
mode through sharpening, painting and spectra.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..compile import compile
from ..grad import jvp
from ..graph import is_traced
from . import engine
from .evolve import advance, check_cosmology, evolve
from .mesh import paint
from .noise import white_noise
from .particles import frame
from .pgd import PGD, check_pgd, shift
from .settings import check_mesh, check_steps, choice, number
from .spectra import power_spectrum

__all__ = ["Fit", "fit_pgd"]

EPOCHS = (0.5, 0.75, 1.0)
FINER = 4  # steps of the reference in one step
BOUNDS = ((np.log(1e-6), np.log(10.0)), (-6.0, 4.0))  # ln alpha0, mu


@dataclass(frozen=True)
class Fit:
    """Result of `fit_pgd`.

    Attributes
    ----------
    pgd : PGD
    a : array (A,)
        Scale factors compared.
    k : array (K,)
        Wavenumbers of the bins [h/Mpc].
    plain, sharpened : arrays (A, K)
        P/P_target without and with sharpening.
    rms_plain, rms_sharpened : float
        Root of the loss: rms of ln(P/P_target), even in ln k.
    evaluations : int
        Values that the fit took; it needs no more Jacobians.
    settings : dict
        What was fitted for.
    """

    pgd: PGD
    a: np.ndarray
    k: np.ndarray
    plain: np.ndarray
    sharpened: np.ndarray
    rms_plain: float
    rms_sharpened: float
    evaluations: int
    settings: dict

    def to_toml(self):
        """Text for a configuration file: the table [lensing.pgd], with the settings."""
        lines = [
            "# Sharpening fitted by gradiverse fit-pgd for",
            *(f"#   {name} = {value}" for name, value in self.settings.items()),
            f"# rms of ln(P/P_target): {self.rms_plain:.4f} without,"
            f" {self.rms_sharpened:.4f} with",
            "[lensing.pgd]",
        ]
        for name in ("alpha0", "mu", "kl", "ks"):
            lines.append(f"{name} = {float(getattr(self.pgd, name))!r}")
        return "\n".join(lines) + "\n"


def _run(modes, cosmology, box, steps, at, mesh_factor, integrator):
    """Particles at the stages with the numbers `at`."""
    found, first = [], None
    for begin, end in pairwise([0, *at]):
        piece = steps[begin : end + 1]
        if first is None:
            first = evolve(
                modes, cosmology, box, piece, mesh_factor, integrator, adjoint="store"
            )
        else:
            first = advance(
                first, cosmology, piece, integrator=integrator, adjoint="store"
            )
        found.append(first)
    return found


def _finer(steps, times):
    """Each step cut into `times` equal ones."""
    pieces = [np.linspace(a, b, times + 1)[:-1] for a, b in pairwise(steps)]
    return np.concatenate([*pieces, steps[-1:]])


def _mean_over_bins(factor, shape, box):
    """Mean over the modes of each bin of a product of functions of k cell/(2 pi)."""
    root = [np.sqrt(factor(np.fft.fftfreq(n))) for n in shape]
    field = np.fft.ifftn(root[0][:, None, None] * root[1][:, None] * root[2]).real
    point = np.zeros(shape)
    point[0, 0, 0] = 1.0
    return power_spectrum(field, box)[1] / power_spectrum(point, box)[1]


def _halofit(cosmology, particles, k, shape, box):
    """What painting a halofit universe would show: window, and aliased shot noise."""
    window = _mean_over_bins(lambda x: np.sinc(x) ** 4, shape, box)
    noise = _mean_over_bins(lambda x: 1 - 2 / 3 * np.sin(np.pi * x) ** 2, shape, box)
    shot = box**3 / particles.positions.shape[0]
    return cosmology.halofit_power(k, 1 / particles.a - 1) * window + shot * noise


class _Problem:
    """Residuals and their derivatives in (ln alpha0, mu, ln kl, ln ks)."""

    def __init__(self, runs, wanted, inside, k, shape, box):
        self.runs, self.k, self.box = runs, k, box
        self.wanted = wanted
        self.inside, self.shape = inside, shape
        weight = 1 / k  # linear bins, even in ln k
        self.weight = weight / weight.sum()
        self.where = [p.positions for p in runs]
        self.a = np.array([p.a for p in runs])
        self.ratios = compile(self._ratios)
        self.residuals = compile(self._residuals)
        self.jacobian = compile(self._jacobian)

    def _ratios(self, theta, where):
        """P/P_target at each scale factor, (A, K)."""
        pgd = PGD(np.exp(theta[0]), theta[1], np.exp(theta[2]), np.exp(theta[3]))
        rows = []
        for x, run, wanted in zip(where, self.runs, self.wanted, strict=True):
            setup, unit = frame(run), np.ones(2)
            rho = engine.density(x, unit, setup)
            moved = x + shift(pgd, run.a, rho, x, unit, setup)
            P = power_spectrum(paint(moved, self.box, self.shape), self.box)[1]
            rows.append(P[self.inside] / wanted)
        return np.stack(rows)

    def _residuals(self, theta, where):
        """ln(P/P_target) with weights of unit sum, (A K,)."""
        weight = np.sqrt(self.weight / len(self.runs))
        return (np.log(self._ratios(theta, where)) * weight).reshape(-1)

    def _jacobian(self, theta, where):
        """Derivatives of the residuals, (A K, 4), in forward mode."""
        columns = [
            jvp(lambda t: self._residuals(t, where), (theta,), (unit,))[1]
            for unit in np.eye(4)
        ]
        return np.stack(columns, axis=1)

    def rms(self, ratios):
        """Root of the loss."""
        return float(np.sqrt(np.mean(np.log(ratios) ** 2 @ self.weight)))


def _stages(steps, a):
    """Numbers of the stages nearest to the scale factors a, each once."""
    near = sorted({int(np.argmin(np.abs(np.asarray(steps) - x))) for x in a})
    near = [i for i in near if i > 0]
    if not near:
        raise ValueError(f"none of the stages is near the scale factors {tuple(a)}")
    return near


def fit_pgd(
    spacing=1.0, mesh_factor=2, steps=11, cosmology=None, n=64, target="reference",
    integrator="bullfrog", a=EPOCHS, k_min=None, k_max=None, rng=0, start=None,
    max_evaluations=40, say=None,
):  # fmt: skip
    """Fit the parameters of the sharpening.

    Parameters
    ----------
    spacing : float
        Of the particles [Mpc/h].
    mesh_factor : float
        Mesh cells per particle on an axis.
    steps : int or array
        Stages, as for `evolve`.
    cosmology : Cosmology, optional
        Default: ``Cosmology()``.
    n : int
        Particles on an axis of the box of the fit.
    target : "reference" or "halofit"
        A run of the same modes with half the spacing, half the mesh cells and a quarter
        of the steps; or the halo fit, with shot noise and the window of painting added
        (the sample variance of the box enters, ten percent and more at 64 Mpc/h).
    integrator : "bullfrog" or "fastpm"
    a : sequence of float
        Scale factors at which to compare (the nearest stages). Two at least determine
        mu.
    k_min, k_max : float, optional
        Range [h/Mpc]; default: twice the fundamental mode, to the Nyquist frequency
        pi/spacing of the particles.
    rng : int
        Seed of the white noise.
    start : PGD, optional
        Where to begin.
    max_evaluations : int
        At most so many values.
    say : callable, optional
        Called with a line of progress.

    Returns
    -------
    Fit

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or range.

    Examples
    --------
    >>> import gradiverse as gv
    >>> fit = gv.nbody.fit_pgd(spacing=2.0, n=16, steps=6, max_evaluations=10)
    >>> fit.rms_sharpened < fit.rms_plain
    True
    """
    from ..cosmology import Cosmology

    say = say or (lambda line: None)
    cosmology = check_cosmology(Cosmology() if cosmology is None else cosmology)
    if is_traced(cosmology):
        raise TypeError("fit_pgd needs a cosmology of plain numbers")
    spacing = number(spacing, "spacing")
    if spacing <= 0:
        raise ValueError(f"spacing {spacing:g} must be positive, in Mpc/h")
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 8 or n % 2:
        raise ValueError(f"n={n!r} must be an even number of particles, at least 8")
    choice(target, ("reference", "halofit"), "target")
    steps = np.array(check_steps(steps))
    mesh = check_mesh((n,) * 3, mesh_factor)
    box, shape = n * spacing, tuple(2 * m for m in (n,) * 3)
    at = _stages(steps, a)
    k, _, _ = power_spectrum(np.ones(shape), box)
    low = 4 * np.pi / box if k_min is None else number(k_min, "k_min")
    high = np.pi / spacing if k_max is None else number(k_max, "k_max")
    inside = np.flatnonzero((k >= low) & (k <= high))
    if len(inside) < 4:
        raise ValueError(
            f"k_min={low:.3g} to k_max={high:.3g} h/Mpc holds {len(inside)} bins of a"
            f" box of {box:g} Mpc/h; at least 4 are needed"
        )
    modes = white_noise((n,) * 3, rng)
    say(f"running {n}^3 particles, {len(steps)} stages, mesh {mesh[0]}^3")
    runs = _run(modes, cosmology, box, steps, at, mesh_factor, integrator)
    if target == "halofit":
        wanted = [_halofit(cosmology, p, k, shape, box) for p in runs]
    else:
        times = _finer(steps, FINER)
        say(f"running the reference: {2 * n}^3, {len(times)} stages")
        at = [FINER * i for i in at]
        modes = white_noise((2 * n,) * 3, rng)
        fine = _run(modes, cosmology, box, times, at, mesh_factor, integrator)
        wanted = [power_spectrum(paint(p.positions, box, shape), box)[1] for p in fine]
    problem = _Problem(runs, np.array(wanted)[:, inside], inside, k[inside], shape, box)
    theta, count = _minimise(problem, _first(start, spacing), max_evaluations, say)
    none = np.array([-np.inf, 0.0, theta[2], theta[3]])
    plain = problem.ratios(none, problem.where)
    sharpened = problem.ratios(theta, problem.where)
    return Fit(
        pgd=PGD(*map(float, (np.exp(theta[0]), theta[1], *np.exp(theta[2:])))),
        a=problem.a,
        k=problem.k,
        plain=plain,
        sharpened=sharpened,
        rms_plain=problem.rms(plain),
        rms_sharpened=problem.rms(sharpened),
        evaluations=count,
        settings={
            "spacing": spacing,
            "mesh_factor": mesh_factor,
            "steps": [round(float(x), 6) for x in steps],
            "integrator": integrator,
            "target": target,
            "particles": int(n),
            "seed": rng,
        },
    )


def _first(start, spacing):
    """Where the fit begins: near published values, alpha0 as a length squared."""
    if check_pgd(start) is None:
        values = (0.003 * spacing**2, -2.3, 0.4 / spacing, 6.0 / spacing)
    else:
        values = (start.alpha0, start.mu, start.kl, start.ks)
        if values[0] <= 0 or values[2] <= 0:
            raise ValueError(
                f"start has alpha0={values[0]:g} and kl={values[2]:g}; the fit is in"
                " their logarithms, give positive ones"
            )
    alpha0, mu, kl, ks = values
    return np.array([np.log(alpha0), mu, np.log(kl), np.log(ks)])


def _minimise(problem, theta, most, say):
    """Least squares within sensible bounds -> (theta, evaluations)."""
    from scipy.optimize import least_squares

    fundamental, smallest = 2 * np.pi / problem.box, problem.k[-1]
    bounds = [
        *BOUNDS,
        (np.log(0.03 * fundamental), np.log(2 * smallest)),
        (np.log(0.3 * smallest), np.log(10 * smallest)),
    ]
    low, high = np.array(bounds).T
    count = 0

    def value(theta):
        nonlocal count
        count += 1
        r = problem.residuals(theta, problem.where)
        say(f"evaluation {count}: rms {np.sqrt(np.sum(r * r)):.4f}")
        return r

    found = least_squares(
        value,
        np.clip(theta, low + 1e-6, high - 1e-6),
        lambda theta: problem.jacobian(theta, problem.where),
        bounds=(low, high),
        max_nfev=int(most),
        xtol=1e-4,
        ftol=1e-4,
    )
    return found.x, count


def run(arguments, cosmology, say):
    """``gradiverse fit-pgd``: fit and write the table."""
    from pathlib import Path

    from ..cosmology import Cosmology

    output = Path(arguments.output)
    if not output.parent.is_dir():
        raise FileNotFoundError(f"the folder {output.parent} does not exist")
    factor = arguments.mesh_factor
    fit = fit_pgd(
        arguments.spacing, int(factor) if factor.is_integer() else factor,
        arguments.stages,
        Cosmology(**cosmology), arguments.particles, arguments.target,
        arguments.integrator, rng=arguments.seed, say=say,
    )  # fmt: skip
    output.write_text(fit.to_toml(), encoding="utf-8")
    say(
        f"rms of ln(P/P_target) {fit.rms_plain:.4f} -> {fit.rms_sharpened:.4f};"
        f" {output}:"
    )
    say(fit.to_toml().rstrip())
