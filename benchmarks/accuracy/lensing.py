"""Particle mesh and light cone against theory, as tables for docs/lensing.md.

    python -m benchmarks.accuracy.lensing [--write] [--maps 10] [part ...]

growth    linear growth with the mesh force, by wavelength
steps     11 stages against 40 on one seed: P(k) at z = 0 and convergence spectra
halofit   256^3 particles, mesh factor 2, 11 stages, sharpened, against halofit

With --write the tables replace those in the page, and the figure beside it is drawn.
"""

import argparse
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

import gradiverse as gv
from gradiverse.lensing._window import windows

PAGE = Path(__file__).resolve().parents[2] / "docs" / "lensing.md"
FIGURE = PAGE.parent / "img" / "lensing_halofit.png"
BEGIN, END = "<!-- accuracy tables -->", "<!-- end of accuracy tables -->"
PLANCK = {"Omega_m": 0.3089, "Omega_b": 0.0486, "h": 0.6774, "n_s": 0.9667}
C = gv.cosmology.Cosmology(**PLANCK, sigma8=0.8159)
# tuned on one map of this kind, since a fit to stages is too weak for a light cone
SHARP = gv.nbody.PGD(alpha0=0.0033, mu=-2.1, kl=0.308, ks=2.9)


def rows(header, lines):
    """A Markdown table."""
    return "\n".join(
        [header, "|" + "---|" * (header.count("|") - 1), *lines]
    )  # fmt: skip


def growth():
    """Displacement of each mode against D1 s1, sigma8 = .001, a = .1 to 1."""
    n, box = 32, 32.0
    c = gv.cosmology.Cosmology(**PLANCK, sigma8=1e-3)
    modes = gv.nbody.white_noise((n,) * 3, rng=1)
    k = np.meshgrid(*[np.fft.fftfreq(n) * n] * 2, np.arange(n // 2 + 1), indexing="ij")
    size = np.sqrt(sum(x * x for x in k))

    def divergence(particles):
        field = particles.displacements.reshape(n, n, n, 3)
        return sum(
            x * f for x, f in zip(k, np.moveaxis(modes_of(field), -1, 0), strict=True)
        )

    def modes_of(field):
        return np.fft.rfftn(field, axes=(0, 1, 2))

    want = divergence(gv.nbody.lpt(modes, c, a=1.0, box=box, order=1))
    shells = (1, 2, 3, 4, 6, 8)
    lines = []
    for factor in (1, 2):
        got = divergence(
            gv.nbody.evolve(
                modes, c, box=box, steps=np.linspace(0.1, 1, 11), mesh_factor=factor,
                precision="double", order=1,
            )
        )  # fmt: skip
        ratio = []
        for s in shells:
            use = (np.abs(size - s) < 0.5) & (np.abs(want) > 1e-14)
            norm = (np.abs(want[use]) ** 2).sum()
            ratio.append((got[use] * want[use].conj()).real.sum() / norm)
        lines.append(f"| {factor} | " + " | ".join(f"{r:.4f}" for r in ratio) + " |")
    head = "| mesh factor | " + " | ".join(f"{2 * s / n:.2f}" for s in shells) + " |"
    return "Displacement over D1 s1 at k / (Nyquist of the particles):\n\n" + rows(
        head, lines
    )


def log_bins(ell, low, high, count):
    """Indices of linear bins in each of `count` logarithmic ones."""
    edges = np.geomspace(low, high, count + 1)
    for a, b in pairwise(edges):
        at = np.flatnonzero((ell >= a) & (ell < b))
        if len(at):
            yield at


def corrected(kappa, field, shot, shape):
    """(l, C_l, modes) without the pixels' window and the shot noise."""
    ell, spectrum, count = gv.lensing.map_spectrum(kappa, field)
    signal, noise = windows(shape, len(ell))
    return ell, (spectrum - shot * noise) / signal, count


def steps():
    """11 stages against 40."""
    n, box = 128, 256.0
    modes = gv.nbody.white_noise((n,) * 3, rng=3)
    lines = []
    for integrator in ("bullfrog", "fastpm"):
        power, maps = {}, {}
        for stages in (11, 40):
            p = gv.nbody.evolve(
                modes, C, box=box, steps=np.linspace(0.1, 1, stages), mesh_factor=2,
                integrator=integrator,
            )  # fmt: skip
            density = gv.nbody.paint(p.positions, box, (2 * n,) * 3)
            k, power[stages], _ = gv.nbody.power_spectrum(density, box)
            cone = gv.lensing.Lightcone(
                box=box, shape=(n,) * 3, steps=stages, sources=[1.0],
                field_of_view=6.2, map_shape=(1024, 1024), mesh_factor=2,
                integrator=integrator,
            )  # fmt: skip
            kappa, shot = cone(modes, C)[0], cone.shot_noise(C)[0]
            ell, maps[stages], count = corrected(kappa, 6.2, shot, (1024, 1024))
        cells = []
        for want in (0.5, 1.0, 1.5):
            use = np.abs(k / want - 1) < 0.05
            cells.append(power[11][use].sum() / power[40][use].sum() - 1)
        for low, high in ((150, 500), (500, 1000), (1000, 1500), (1500, 2000)):
            use = (ell >= low) & (ell < high)
            weight = count[use]
            cells.append(
                (weight * maps[11][use]).sum() / (weight * maps[40][use]).sum() - 1
            )
        lines.append(
            f"| {integrator} | " + " | ".join(f"{x:+.3f}" for x in cells) + " |"
        )
    head = (
        "| | P, k = .5 | 1 | 1.5 | C_l, l 150-500 | 500-1000 | 1000-1500 | 1500-2000 |"
    )
    text = "11 stages against 40, one seed, 128³ particles, 256 Mpc/h, mesh factor 2 "
    return text + "(relative difference):\n\n" + rows(head, lines)


def halofit(maps=10, n=256, box=256.0, fov=6.2, pixels=2048):
    """Sharpened maps against halofit."""
    found, begun = {}, time.perf_counter()
    for name, pgd in (("plain", None), ("sharpened", SHARP)):
        each = []
        for seed in range(maps):
            cone = gv.lensing.Lightcone(
                box=box, shape=(n,) * 3, steps=11, sources=[1.0], field_of_view=fov,
                map_shape=(pixels,) * 2, mesh_factor=2, pgd=pgd, rng=seed,
            )  # fmt: skip
            modes = gv.nbody.white_noise((n,) * 3, rng=2000 + seed)
            kappa, shot = cone(modes, C)[0], cone.shot_noise(C)[0]
            ell, spectrum, count = corrected(kappa, fov, shot, (pixels,) * 2)
            each.append(spectrum)
        found[name] = np.array(each)
    theory = gv.lensing.limber_cl(C, ell, z_source=1.0)
    lines, points = [], {}
    for at in log_bins(ell, 100, 5000, 12):
        weight = count[at] / count[at].sum()
        cells = [f"{ell[at[0]]:.0f}-{ell[at[-1]]:.0f}"]
        for name, spectra in found.items():
            ratio = (weight * spectra[:, at] / theory[at]).sum(1)
            mean, error = ratio.mean(), ratio.std(ddof=1) / len(ratio) ** 0.5
            cells += [f"{mean:.3f}", f"{error:.3f}"]
            points.setdefault(name, []).append((np.mean(ell[at]), mean, error))
        lines.append("| " + " | ".join(cells) + " |")
    draw(points, maps)
    seconds = time.perf_counter() - begun
    print(f"halofit: {2 * maps} maps in {seconds:.0f} s")
    text = (
        f"Mean of {maps} maps, {n}³ particles, {box:g} Mpc/h, mesh factor 2, 11 stages,"
    )
    head = "| l | plain / halofit | error | sharpened / halofit | error |"
    return text + " sources at z = 1, shot noise subtracted:\n\n" + rows(head, lines)


def draw(points, maps):
    """C_l over halofit with errors."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
    ax.axhspan(0.9, 1.1, color="0.9", label="10 %")
    ax.axhline(1, color="0.4", lw=0.8)
    for (name, p), colour in zip(points.items(), ("C0", "C1"), strict=True):
        ell, mean, error = np.array(p).T
        ax.errorbar(ell, mean, error, fmt="o-", ms=3, color=colour, label=name)
    ax.set(xscale="log", xlabel=r"multipole $\ell$", ylim=(0.4, 1.3),
           ylabel=r"$C_\ell$ / halofit")  # fmt: skip
    ax.set_xticks([100, 200, 500, 1000, 2000, 5000], minor=False)
    ax.xaxis.set_major_formatter("{x:.0f}")
    ax.minorticks_off()
    ax.set_title(f"mean of {maps} maps, 256$^3$ particles, z$_s$ = 1", fontsize=10)
    ax.legend()
    FIGURE.parent.mkdir(exist_ok=True)
    fig.savefig(FIGURE, dpi=130)
    plt.close(fig)


def main():
    """Run the parts named (default: all)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.lensing")
    parser.add_argument("--write", action="store_true", help="update docs/lensing.md")
    parser.add_argument("--maps", type=int, default=10, help="maps for halofit")
    parser.add_argument("parts", nargs="*", help="growth, steps, halofit")
    options = parser.parse_args()
    parts = {
        "growth": growth, "steps": steps,
        "halofit": lambda: halofit(options.maps),
    }  # fmt: skip
    texts = []
    for name in options.parts or parts:
        texts.append(parts[name]())
        print(texts[-1], flush=True)
    if options.write:
        before, rest = PAGE.read_text().split(BEGIN)
        after = rest.split(END)[1]
        text = "\n\n".join(texts)
        PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


if __name__ == "__main__":
    main()
