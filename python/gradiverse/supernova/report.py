"""The HTML report of a supernova study."""

import html

import numpy as np

from .._html import embed, notes_html, page, table_html

UNFAMILIAR = 0.005  # p values below are warned of

VARIANCE = ("ln_sres", "alpha", "beta", "ln_Rx", "ln_Rc")
DIGITS = {
    "exact": 4, "exact_sd": 4, "network": 4, "network_sd": 4, "shift": 2,
    "sd_ratio": 3, "rhat": 3, "ess": 0, "ess_sd": 0, "linear_shift": 2,
    "linear_sd_ratio": 2, "linear_least": 2,
}  # fmt: skip
LEVELS = (0.6827, 0.9545)
SURE = 3.5  # binomial sds below which coverage is called too low
TIGHT = 0.9  # networks' sds scatter by a few percent; bounds hold on average


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


def check_text(check):
    """The familiarity of the data, in a sentence."""
    found = ", ".join(f"{p:.2g} in {name}" for name, p in check.items())
    bad = min(check.values()) < UNFAMILIAR
    end = (
        "they are unlike them: the model does not describe the data, or the box has"
        " lost them, and the networks extrapolate"
        if bad
        else "nothing is unfamiliar"
    )
    return f"The data among simulated surveys: p = {found}; {end}."


def doubts(table, ranks=None):
    """What comparison and coverage say against the networks, in lines of text.

    Parameters
    ----------
    table : DataFrame
        Of `study.compare`.
    ranks : (n, p) array, optional
        Of `study.coverage_ranks`.

    Returns
    -------
    list of str
        Empty if all is well. Posteriors are called too narrow if regions hold the truth
        less often than they say, by 3.5 binomial sds, or if their sds are below what is
        possible (the exact posterior's; for a linear head the bound of its features) by
        10 % and three Monte Carlo errors.
    """
    lines = []
    error = 3.0 / np.sqrt(2.0 * table["ess_sd"])
    for kind, column, least in (
        ("networks", "sd_ratio", 1.0),
        ("linear head", "linear_sd_ratio", table.get("linear_least", 1.0)),
    ):
        if column not in table:
            continue
        low = table[column] < np.maximum(least, 1.0) * (TIGHT - error)
        for _, row in table[low].iterrows():
            lines.append(
                f"{row['parameter']} by {kind}: sd {row[column]:.2f} of the exact"
                " posterior's is less than the data can say; what was learned has a"
                " leak, or claims too much"
            )
    for level in LEVELS if ranks is not None else ():
        inside = (np.abs(2 * ranks - 1) < level).mean(axis=0)
        sd = np.sqrt(level * (1 - level) / len(ranks))
        for name, share in zip(table["parameter"], inside, strict=True):
            if share < level - SURE * sd:
                lines.append(
                    f"{name} by networks: regions of {100 * level:.2f} % hold the truth"
                    f" in {100 * share:.1f} % of {len(ranks)} surveys; its posteriors"
                    " are too narrow"
                )
    return lines


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
        f" {exact.ess.min():.0f} for means, {exact.ess_sd.min():.0f} for sds: these are"
        f" known to {100 / np.sqrt(2 * exact.ess_sd.min()):.1f} %."
    )
    lines.append(check_text(out["learned"].check))
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
    for level in LEVELS:
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
    check = out["learned"].check
    alarms = [check_text(check)] if min(check.values()) < UNFAMILIAR else []
    for line in (*alarms, *out["doubts"]):
        sections.append(("", f'<p class="banner">{html.escape(line)}</p>'))
    sections.append(
        ("Hubble diagram", embed(np.ravel(drawn["hubble"])[0], "Hubble diagram"))
    )
    text = (
        "<p>shift: (network - exact)/exact sd. ess and ess_sd: what the exact means and"
        " sds are worth; errors of shift are 1/sqrt(ess), relative errors of sd_ratio"
        " 1/sqrt(2 ess_sd), from the exact draws alone."
    )
    if out["linear"] is not None:
        text += (
            " The linear columns are those of one linear embedding of the whitened"
            " data, which cannot learn parameters of the kind variance: linear_least is"
            " the bound of its features."
        )
    text += "</p>"
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
