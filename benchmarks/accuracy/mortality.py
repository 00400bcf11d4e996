"""Held-out-year scores of every mortality method, as tables for docs/mortality.md.

    GRADIVERSE_DATA=folder python -m benchmarks.accuracy.mortality [--write]

Rolling origin on the STMF populations, leave-one-year-out on the Italian regions
(alone and with the populations as pool), the national sums, the US nowcast and the
regions beside an independent estimate.  With --write the tables replace those in the
page.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from gradiverse import mortality
from gradiverse.mortality import _italy, _sources

PAGE = Path(__file__).resolve().parents[2] / "docs" / "mortality.md"
BEGIN, END = "<!-- held-out tables -->", "<!-- end of held-out tables -->"
METHODS = [
    ("pooled", {}),
    ("mean", {}),
    ("mean", {"variance": "years"}),
    ("trend", {}),
    ("trend", {"variance": "years"}),
    ("synthetic", {}),
    ("cgp", {}),
    ("cgp", {"errors": "diagonal"}),
    ("cgp", {"covariance": "ppca"}),
    ("cgp", {"covariance": "sklearn"}),
]
DATES = (20201015, 20201022, 20201029, 20201103, 20201110, 20201119, 20201126, 20201203)
DATES = (*DATES, 20201210)


def name(method, options):
    """A method with its options in words."""
    return method + "".join(f", {v}" for v in options.values())


def markdown(rows, columns, digits):
    """A list of rows as a Markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = [v if isinstance(v, str) else f"{v:.{d}f}"
                 for v, d in zip(row, digits, strict=True)]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def rolling(stmf):
    """Table of the rolling origin: units, then the joint sum's cover."""
    rows = []
    for method, options in METHODS:
        begin = time.perf_counter()
        c = mortality.rolling_origin(stmf, method=method, **options)
        s, j = c.summary.iloc[0], c.joint_summary.iloc[0]
        rows.append((name(method, options), s.bias, s.rms, s.crps, s.c68, s.c95,
                     f"{s.c95_low:.2f}-{s.c95_high:.2f}", s.z_rms, j.rms, j.c95,
                     time.perf_counter() - begin))  # fmt: skip
    columns = ["method", "bias", "rms", "CRPS", "c68", "c95", "c95, years drawn again",
               "z rms", "all units: rms", "c95", "seconds"]  # fmt: skip
    return markdown(rows, columns, (0, 3, 4, 4, 2, 2, 0, 2, 4, 2, 1))


def regions(italy, pool):
    """Table of leave-one-year-out at three horizons."""
    rows = []
    for method, options in METHODS:
        pools = (None, pool) if method == "pooled" else (None,)
        for p in pools:
            c = mortality.leave_one_year_out(italy, method=method, pool=p, **options)
            cells = [f"{s.rms:.3f}, {s.c95:.2f}" for _, s in c.summary.iterrows()]
            label = name(method, options) + (", with the pool" if p is not None else "")
            rows.append((label, *cells))
    columns = ["method", "to 11 April", "to 9 May", "to 27 June"]
    return markdown(rows, columns, (0, 0, 0, 0))


def nowcasts(folder):
    """Error of the nowcast relative to the raw counts, and cover, pooled over dates."""
    table = mortality.load_cdc(folder / _sources.FILES["cdc_vintages"])
    truth = table[table.snapshot == 20210204].set_index(["unit", "week"]).deaths
    parts = []
    for date in DATES:
        out = mortality.nowcast(table, date)
        key = pd.MultiIndex.from_frame(out[["unit", "week"]])
        parts.append(out.assign(final=truth.reindex(key).to_numpy()))
    out = pd.concat(parts).dropna(subset=["reported", "final"])
    error = (out.estimate - out.final).abs().mean()
    raw = (out.reported - out.final).abs().mean()
    cover = ((out.final >= out.lower) & (out.final <= out.upper)).mean()
    return (
        f"US nowcast, newest 8 weeks, {len(DATES)} publications from 15 October to "
        f"10 December 2020, {len(out)} counts: mean absolute error {error:.0f} deaths, "
        f"{error / raw:.2f} of the raw count's; 95 % interval covers {cover:.3f}."
    )


def beside(folder, italy):
    """Regions inside the independent intervals, and Italy to 9 May."""
    table = pd.read_csv(folder / _sources.FILES["published"])
    table = table[(table.source == "Scortichini2020_ije") & (table.age == "all")]
    table = table[~table.territory.isin(["Italy", "Bergamo"])]
    table = table.set_index(table.territory.map(_sources.region_name))
    share = _italy.coverage(folder)
    share = share[share.release.str.startswith("to_")].set_index("unit").covered
    lines = []
    for method, options in (("pooled", {}), ("cgp", {}), ("mean", {})):
        model = mortality.Counterfactual(method, **options)
        e = model.fit(italy[italy.year < 2020]).predict(italy[italy.year == 2020], 6)
        t = e.total(6, 18).set_index("unit").excess.reindex(table.index)
        inside = t.between(table.low, table.high).sum()
        j = e.total(7, 17, by=(), scale=1 / share).iloc[0]
        lines.append(
            f"- {name(method, options)}: {inside} of {len(t)} regions inside the 95 % "
            f"intervals of Scortichini et al. 2020; Italy, 23 February-9 May, scaled: "
            f"{j.excess:,.0f} ± {j.sd:,.0f}."
        )
    return "\n".join(lines)


def tables(folder):
    """All tables as Markdown."""
    stmf = mortality.load_stmf(folder)
    stmf = stmf[stmf.age == "TOT"].drop(columns="age")
    italy = mortality.load_italy(folder)
    pool = _italy.stmf_pool(folder, np.arange(2010, 2020))
    return "\n\n".join(
        [
            "Rolling origin, 158 country-years 2015-2019 of the STMF: five training "
            "years, weeks 1-8 given, sum of weeks 9-26 predicted.",
            rolling(stmf),
            "Italian regions 2015-2019, one year left out, periods 0-5 given: rms and "
            "share inside 95 % of the sum from 16 February.",
            regions(italy, pool),
            nowcasts(folder),
            beside(folder, italy),
        ]
    )


def main():
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into docs/mortality.md")
    arguments = parser.parse_args()
    file = _sources.find("italy")
    if file is None:
        raise SystemExit("set GRADIVERSE_DATA to the folder with the mortality data")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        text = tables(file.parent)
    if not arguments.write:
        print(text)
        return
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(BEGIN)
    _, tail = rest.split(END)
    PAGE.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
