"""Axes of figures: made on demand, with one look and one set of colours."""

DARK, BLUE, ORANGE, GREY, RED = "#222222", "#2b6cb0", "#c05621", "#9aa5b1", "#b83232"
#: distinct lines of one panel, in order
LINES = (BLUE, ORANGE, "#2f855a", "#805ad5", "#b7791f", "#0f766e", RED, "#4a5568")


def axes(ax=None, width=4.6, height=4.2):
    """`ax` itself, or new axes on a figure of their own that no window knows of."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def panels(count, columns=3, width=3.3, height=2.5):
    """A figure with `count` axes in rows of `columns`."""
    from matplotlib.figure import Figure

    columns = max(1, min(count, columns))
    lines = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * lines), layout="constrained")
    return figure, [figure.add_subplot(lines, columns, k + 1) for k in range(count)]


def tidy(ax, grid="both"):
    """Axes without a frame on top and right, over a light grid."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis=grid, color="#e6e9ed", linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def title(ax, text, size=10):
    """A bold title on the left."""
    ax.set_title(text, loc="left", fontsize=size, fontweight="bold")
