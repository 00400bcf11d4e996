"""Parts of reports: version, HTML pages with figures inside, files written whole."""

import base64
import html
import io
import os
from pathlib import Path

import numpy as np

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:60rem;margin:2rem auto;
padding:0 1rem}h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2rem;
border-bottom:1px solid #ddd}table{border-collapse:collapse;font-size:.85rem;margin:1rem
0} td,th{padding:.15rem .6rem;text-align:right;border-bottom:1px solid #eee} td:first-
child,th:first-child{text-align:left}img{max-width:100%}
.banner{background:#fdf0e6;border-left:5px solid #c05621;padding:.6rem 1rem}
.bad{color:#b83232;font-weight:bold}.good{color:#2f6f3e} .headline{font-
size:1.15rem}li{margin:.2rem 0}
"""


def version():
    """Version of the installed package."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as of

    try:
        return of("gradiverse")
    except PackageNotFoundError:
        return "unknown (not installed)"


def table_html(table, digits=0):
    """A DataFrame as an HTML table; counts with thousands separators.

    `digits` is a number of decimals, or a mapping column -> decimals (default 0).
    """
    decimals = digits if isinstance(digits, dict) else dict.fromkeys(table, digits)

    def cell(column, value):
        if isinstance(value, (float, np.floating)):
            text = "" if np.isnan(value) else f"{value:,.{decimals.get(column, 0)}f}"
        elif isinstance(value, (int, np.integer)) and not isinstance(value, bool):
            plain = "year" in str(column) or "week" in str(column)
            text = str(value) if plain else f"{value:,}"
        else:
            text = html.escape(str(value))
        return f"<td>{text}</td>"

    head = "".join(f"<th>{html.escape(str(c))}</th>" for c in table.columns)
    rows = [
        "<tr>" + "".join(cell(c, v) for c, v in row.items()) + "</tr>"
        for row in table.to_dict("records")
    ]
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def embed(ax, alt, dpi=130):
    """An ``img`` element with the figure inside."""
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png", dpi=dpi)
    return embed_png(buffer.getvalue(), alt)


def embed_png(data, alt):
    """An ``img`` element with PNG bytes inside."""
    code = base64.b64encode(data).decode("ascii")
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{code}">'


def page(title, sections, banner=None):
    """Complete HTML document of (heading, body) sections."""
    body = [f"<h1>{html.escape(title)}</h1>"]
    if banner:
        body.append(f'<p class="banner">{html.escape(banner)}</p>')
    for heading, content in sections:
        if heading:
            body.append(f"<h2>{html.escape(heading)}</h2>")
        body.append(content)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>"
        + "\n".join(body)
        + "</body></html>\n"
    )


def notes_html(notes):
    """Choices and limits as a list."""
    unique = list(dict.fromkeys(notes))
    if not unique:
        return "<p>None beyond the defaults.</p>"
    return "<ul>" + "".join(f"<li>{html.escape(n)}</li>" for n in unique) + "</ul>"


def write_text(path, text):
    """Write a file by way of a temporary neighbour."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
    return path
