"""Self-contained HTML report, CSV tables and HDF5 arrays of a study."""

import html
import json
import os
from pathlib import Path

from .._html import embed, notes_html, page, table_html, version, write_text
from . import figures
from .scores import verdict

__all__ = [
    "calibration_html",
    "embed",
    "headline",
    "method_html",
    "page",
    "table_html",
    "version",
    "write_hdf5",
    "write_report",
    "write_text",
]


def headline(excess, start=None, end=None, scale=None):
    """One sentence with the joint excess and its interval."""
    t = excess.total(start, end, by=(), scale=scale).iloc[0]
    first = excess.onset if start is None else start
    last = int(excess.weeks[-1]) if end is None else end
    word = "excess" if t.excess >= 0 else "deficit"
    return (
        f"{abs(t.excess):,.0f} deaths of {word} in {excess.year}, weeks {first}-{last} "
        f"(95 % interval {t.lower95:,.0f} to {t.upper95:,.0f}): "
        f"{t.observed:,.0f} observed, {t.expected:,.0f} expected."
    )


def calibration_html(calibrations):
    """Table of held-out scores, one row per method, with the verdict in words.

    Parameters
    ----------
    calibrations : mapping name -> Calibration
    """
    parts = []
    columns = ["n", "bias", "rms", "crps", "c68", "c95", "z_rms", "c95_low", "c95_high"]
    import pandas as pd

    rows = []
    for name, calibration in calibrations.items():
        for kind, summary in (
            ("units", calibration.summary),
            ("joint sum", calibration.joint_summary),
        ):
            for _, row in summary.iterrows():
                keep = {"method": name, "sums": kind}
                if "end" in row:
                    keep["to week"] = int(row["end"])
                keep |= {c: row[c] for c in columns if c in row}
                keep["n"] = int(keep["n"])
                rows.append(keep)
    parts.append(table_html(pd.DataFrame(rows), digits=3))
    for name, calibration in calibrations.items():
        for _, row in calibration.summary.iterrows():
            text = verdict(row)
            kind = "bad" if "FAIL" in text else "good"
            to = f", to week {int(row['end'])}" if "end" in row else ""
            parts.append(f'<p class="{kind}">{html.escape(name + to)}: {text}.</p>')
    parts.append(
        "<p>bias, rms and CRPS are of (observed − expected)/expected of the "
        "held-out sums; "
        "c68 and c95 are the shares inside the printed intervals, with a 95 % "
        "range from "
        "drawing whole years again (a year counts once: units of one year move "
        "together)."
        "</p>"
    )
    return "".join(parts)


def method_html(model):
    """What was fitted, in words."""
    text = {
        "pooled": "Gaussian process whose kernel, trend and level are learned from all "
        "units together; conditioned on the year's own weeks before the onset; joint "
        "covariance over weeks and units.",
        "cgp": "Published conditional-mean Gaussian process (principal "
        "components plus a "
        "squared exponential); units and ages independent, as published.",
        "mean": "Mean of the control years by week; units independent.",
        "trend": "Week effects with a slope over years; units independent.",
        "synthetic": "Past years weighted to match the weeks before the onset; units "
        "independent.",
    }[model.method]
    options = json.dumps(model.get_params(), default=str)
    return f"<p>{html.escape(text)} Settings: <code>{html.escape(options)}</code></p>"


def write_report(
    excess,
    path,
    title="Excess mortality",
    calibrate=True,
    extra=(),
    calibrations=None,
    start=None,
    end=None,
    scale=None,
    banner=None,
):
    """HTML report of one result: figures embedded, tables, calibration, choices.

    Parameters
    ----------
    excess : Excess
    path : path
    calibrate : bool
        Refit every held-out year of the history (the table beside the answer).
    calibrations : mapping name -> Calibration, optional
        Ready-made ones instead.
    extra : sequence of (heading, html)
        Further sections after the figures.
    banner : str, optional
        A line set apart on top, such as "synthetic data".
    """
    if calibrations is None and calibrate:
        try:
            calibrations = {excess.method: excess.calibration}
        except ValueError as error:
            untested = f"<p>No year could be held out: {html.escape(str(error))}.</p>"
            extra = [*extra, ("How far to trust it: not known", untested)]
    table = excess.total(start, end, by=("unit",), scale=scale)
    sentence = headline(excess, start, end, scale)
    sections = [
        ("", f'<p class="headline">{html.escape(sentence)}</p>'),
        ("Observed and expected deaths", embed(figures.fan_chart(excess), "fan chart")),
        (
            "Units",
            embed(figures.ranking(table), "ranking of units") + table_html(table),
        ),
        *extra,
    ]
    if calibrations:
        sections.append(
            (
                "How far to trust it: held-out years",
                embed(figures.calibration_plot(calibrations), "calibration")
                + calibration_html(calibrations),
            )
        )
    sections.append(("Method", method_html(excess._source)))
    sections.append(("Choices and limits", notes_html(excess.notes)))
    sections.append(("", f"<p>gradiverse {html.escape(version())}</p>"))
    return write_text(path, page(title, sections, banner))


def write_hdf5(excess, path, settings, tables=None):
    """Arrays and tables of a result in one HDF5 file.

    Every setting and the version are attributes of the root; the covariance belongs to
    the predicted cells (units × weeks, in the order of the datasets unit and week).
    """
    import h5py

    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    text = h5py.string_dtype()
    with h5py.File(temporary, "w") as file:
        file.attrs["version"] = version()
        file.attrs["notes"] = json.dumps(excess.notes)
        for key, value in settings.items():
            file.attrs[key] = (
                value if isinstance(value, (int, float, str)) else str(value)
            )
        file.create_dataset("unit", data=[str(u) for u, _ in excess.cells], dtype=text)
        file.create_dataset("age", data=[str(a) for _, a in excess.cells], dtype=text)
        for name, value, unit in (
            ("week", excess.weeks, "week or period of the year"),
            ("observed", excess.observed, "deaths"),
            ("expected", excess.expected, "deaths"),
            ("covariance", excess.covariance, "deaths^2"),
        ):
            file.create_dataset(name, data=value).attrs["unit"] = unit
        for name, table in (tables or {}).items():
            group = file.create_group(f"tables/{name}")
            for column in table.columns:
                data = table[column].to_numpy()
                if data.dtype.kind in "biuf":
                    group.create_dataset(str(column), data=data)
                else:
                    group.create_dataset(
                        str(column), data=[str(v) for v in data], dtype=text
                    )
    os.replace(temporary, path)
    return path
