"""The HTML report of a supernova study."""

import html

import numpy as np

from .._html import embed, notes_html, page, table_html

VARIANCE = ("ln_sres", "alpha", "beta", "ln_Rx", "ln_Rc")
DIGITS = {
    "exact": 4, "exact_sd": 4, "network": 4, "network_sd": 4, "shift": 2,
    "sd_ratio": 3, "rhat": 3, "ess": 0, "linear_shift": 2, "linear_sd_ratio": 2,
}  # fmt: skip


def headline(out):
    """What the comparison says, in one sentence."""
    t, o = out["globals"], out["objects"]
    first = t.iloc[0]
    return (
        f"{len(o)} objects: {first['parameter']} = {first['exact']:.4f} +-"
        f" {first['exact_sd']:.4f} exactly, {first['network']:.4f} +-"
        f" {first['network_sd']:.4f} by networks; largest shift of a global"
        f" {t['shift'].abs().max():.2f} sd, sd ratios {t['sd_ratio'].min():.2f} to"
        f" {t['sd_ratio'].max():.2f}; median KL of objects {o['kl'].median():.1e} nat"
    )


def notes(out):
    """Choices and limits, in words."""
    exact, settings = out["exact"], out["settings"]
    lines = list(out["notes"])
    lines.append(
        f"Model {settings['model']}; priors: Om, OL uniform on (0, 2), w on (-2, 0),"
        " alpha on (0, 1), beta on (0, 4), wide normals for M0, xb, cb, inverse gamma"
        " for the scatter's square, uniform logarithms of Rx and Rc. They are part of"
        " the answer."
    )
    lines.append(
        f"Exact posterior: {exact.samples.shape[0]} draws, {exact.gradients} gradients,"
        f" largest R-hat {exact.rhat.max():.3f}, least effective draws"
        f" {exact.ess.min():.0f}."
    )
    if out["real"]:
        lines.append(
            "The data are real: selection, common systematic errors and peculiar"
            " velocities are not in this model, so its errors are too small; use the"
            " release's covariance matrix for cosmology."
        )
    if out["linear"] is None:
        lines.append(
            "The linear head was left out: it was switched off (linear = 0), or the"
            " disk space that it may use holds too few whitened surveys."
        )
    return lines


def _objects(o):
    shift = ((o["M_network"] - o["M_exact"]) / o["sd_exact"]).abs()
    ratio = o["sd_network"] / o["sd_exact"]
    good = ((shift <= 0.1) & ((ratio - 1).abs() <= 0.05)).mean()
    return (
        f"<p>Median KL(exact || network) {o['kl'].median():.2e} nat, 99 % below"
        f" {o['kl'].quantile(0.99):.2e}; {100 * good:.2f} % of the objects have a shift"
        " below 0.1 sd and an sd within 5 %.</p>"
    )


def _coverage(ranks, names):
    rows = []
    for level in (0.6827, 0.9545):
        inside = (np.abs(2 * ranks - 1) < level).mean(axis=0)
        band = 200 * np.sqrt(level * (1 - level) / len(ranks))
        found = ", ".join(
            f"{n} {100 * v:.1f}" for n, v in zip(names, inside, strict=True)
        )
        rows.append(f"<li>{100 * level:.2f} % (two sds: {band:.1f}): {found}</li>")
    return f"<ul>{''.join(rows)}</ul>"


def page_of(out):
    """The whole document."""
    t, drawn = out["globals"], out["figures"]
    kind = ["variance" if n in VARIANCE else "mean" for n in t["parameter"]]
    shown = t.assign(kind=kind)
    sections = [("", f'<p class="headline">{html.escape(headline(out))}.</p>')]
    sections.append(
        ("Hubble diagram", embed(np.ravel(drawn["hubble"])[0], "Hubble diagram"))
    )
    text = (
        "<p>shift: (network - exact)/exact sd. The linear columns are those of one"
        " linear embedding of the whitened data, which cannot learn parameters of the"
        " kind variance.</p>"
        if out["linear"] is not None
        else "<p>shift: (network - exact)/exact sd.</p>"
    )
    sections.append(
        (
            "Globals",
            text
            + table_html(shown, DIGITS)
            + embed(np.ravel(drawn["corner"])[0], "posterior of the globals"),
        )
    )
    if out["ranks"] is not None:
        sections.append(
            (
                "Coverage",
                _coverage(out["ranks"], t["parameter"])
                + embed(drawn["coverage"], "coverage"),
            )
        )
    sections.append(
        (
            "Objects",
            _objects(out["objects"])
            + embed(np.ravel(drawn["pulls"])[0], "objects against exact posteriors"),
        )
    )
    digits = dict.fromkeys(("valid", "kept", "widest", "simulate", "train"), 3)
    sections.append(
        ("Rounds", table_html(out["learned"].rounds, {**digits, "mass_cut": 8}))
    )
    code = "".join(
        f"<li>{html.escape(k)}: <code>{html.escape(str(v))}</code></li>"
        for k, v in out["settings"].items()
    )
    sections.append(("Settings", f"<ul>{code}</ul>"))
    sections.append(("Choices and limits", notes_html(notes(out))))
    sections.append(
        (
            "",
            f"<p>gradiverse {html.escape(out['version'])}; {out['seconds']:.0f} s.</p>",
        )
    )
    return page("Supernovae: exact posterior and networks", sections)
