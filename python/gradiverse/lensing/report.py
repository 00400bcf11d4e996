"""The HTML report of a lensing study."""

import html

import numpy as np

from .._html import embed, notes_html, page, table_html

DIGITS = {"C/halofit": 3, "error/halofit": 3, "C/linear": 3, "shot/halofit": 3}


def _ratios(table):
    """Readable table of one source's spectrum."""
    out = table[["ell"]].round(0).astype(int).rename(columns={"ell": "l"})
    out["C"] = [f"{v:.3e}" for v in table["C"]]
    out["halofit"] = [f"{v:.3e}" for v in table["halofit"]]
    out["C/halofit"] = table["C"] / table["halofit"]
    out["error/halofit"] = table["error"] / table["halofit"]
    out["C/linear"] = table["C"] / table["linear"]
    out["shot/halofit"] = table["shot_noise"] / table["halofit"]
    out["modes"] = table["modes"]
    return out


def headline(out):
    """One sentence: what the maps say against theory."""
    table = out["spectra"]
    parts = []
    for s, source in enumerate(out["cone"].sources):
        t = table[(table["source"] == s) & (table["ell"] > 300) & (table["ell"] < 1500)]
        if len(t) == 0:
            t = table[table["source"] == s]
        w = t["modes"] / t["modes"].sum()
        ratio = float((t["C"] / t["halofit"]) @ w)
        low, high = t["ell"].iloc[0], t["ell"].iloc[-1]
        parts.append(
            f"sources at {source!r}: {ratio:.3f} of halofit over l = {low:.0f} to"
            f" {high:.0f}"
        )
    n = int(table["n_maps"].iloc[0])
    return f"Spectra of {n} map{'s' * (n > 1)} against Limber theory: " + "; ".join(
        parts
    )


def notes(out):
    """Choices and limits, in words."""
    cone, found = out["cone"], out["results"]
    side = min(cone.setup.box[:2])
    shot = ", ".join(f"{x:.3e}" for x in found[0]["shot_noise"])
    window = out["spectra"]["window"]
    lines = [
        f"Shot noise of the particles, subtracted: C_l = {shot} sr. It is that of"
        " Poisson points; particles on a lattice have less until structure forms.",
        "Theory is Limber's, k = l/chi, times the window of linear assignment to pixels"
        f" (down to {window.min():.2f} at the largest l shown).",
        f"Modes larger than the box, k < {2 * np.pi / side:.3g} h/Mpc, are missing.",
        "The map is taken as periodic by the estimator, which it is not.",
        "Subtracted from each map is the convergence of a universe without structure,"
        " not its mean.",
    ]
    n = int(out["spectra"]["n_maps"].iloc[0])
    lines.append(
        f"Bands: scatter over {n} maps."
        if n > 1
        else "Bands: scatter of a normal field, since there is one map."
    )
    return lines


def page_of(out):
    """The whole document."""
    cone = out["cone"]
    sections = [("", f'<p class="headline">{html.escape(headline(out))}.</p>')]
    for s, source in enumerate(cone.sources):
        rows = out["spectra"][out["spectra"]["source"] == s]
        sections.append(
            (
                f"Sources at {source!r}",
                embed(out["figures"][f"kappa_{s}"], "convergence map")
                + embed(out["figures"][f"spectrum_{s}"], "spectrum against theory")
                + table_html(_ratios(rows), DIGITS),
            )
        )
    shown = out["maps"].drop(columns="file")
    digits = {"mean": 6, "sd": 5, "skewness": 3, "min": 4, "max": 4, "seconds": 1}
    sections.append(("Maps", table_html(shown, digits)))
    code = "".join(
        f"<li>{html.escape(k)}: <code>{html.escape(str(v))}</code></li>"
        for k, v in cone.settings().items()
    )
    universe = html.escape(repr(out["cosmology"]))
    sections.append(
        ("Settings", f"<p><code>{universe}</code></p><ul>{code}</ul>"),
    )
    sections.append(("Choices and limits", notes_html(notes(out))))
    sections.append(
        (
            "",
            f"<p>gradiverse {html.escape(out['version'])}; maps, tables and figures in"
            f" {out['seconds']:.0f} s.</p>",
        )
    )
    return page("Weak lensing maps", sections)
