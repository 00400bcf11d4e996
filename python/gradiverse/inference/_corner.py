"""Corner plots of posteriors."""

import numpy as np

__all__ = ["corner", "levels"]

_MASS = (0.393, 0.865)  # of one and two standard deviations in two dimensions


def levels(counts, masses=_MASS):
    """Heights of a histogram above which these shares of it lie, ascending."""
    flat = np.sort(counts.ravel())[::-1]
    total = np.cumsum(flat)
    at = [np.searchsorted(total, m * total[-1]) for m in masses]
    return np.unique([flat[min(k, len(flat) - 1)] for k in at])


def _pair(posterior, draws, i, j, n, rng):
    """Draws of the pair (i, j); None where the estimator says nothing about it."""
    if posterior.joint or hasattr(posterior, "whole"):
        return draws[:, [i, j]]
    if any(set(m) == {i, j} for m in posterior.marginals):
        return posterior.marginal((i, j)).sample(n, rng)
    return None


def _limits(values, low, high):
    a, b = np.quantile(values, [0.001, 0.999])
    pad = 0.1 * (b - a) or 1.0
    return max(a - pad, low), min(b + pad, high)


def corner(posterior, n, rng, truth, fig, which=None):
    """The figure of `Posterior.corner`."""
    from matplotlib.figure import Figure

    which = range(posterior.d) if which is None else which
    d = len(which)
    if d > 15:
        raise ValueError(
            f"corner: {d} parameters make {d * (d + 1) // 2} panels; choose at most 15"
            " of them: .corner(which=[...])"
        )
    if truth is not None:
        truth = np.asarray(truth, dtype=np.float64)
        if truth.shape != (posterior.d,):
            raise ValueError(
                f"corner: truth has shape {truth.shape}; expected ({posterior.d},), one"
                f" number for each of {', '.join(posterior.names)}"
            )
    if fig is None:
        fig = Figure(figsize=(1.6 * d + 1, 1.6 * d + 1))
    draws = posterior.sample(n, rng)
    limits = [_limits(draws[:, i], *posterior.bounds[i]) for i in which]
    axes = fig.subplots(d, d, squeeze=False)
    for i, one in enumerate(which):
        for j, other in enumerate(which):
            ax = axes[i, j]
            if j > i:
                ax.set_visible(False)
                continue
            ax.tick_params(labelsize=7, labelleft=j == 0 < i, labelbottom=i == d - 1)
            ax.set_xlim(limits[j])
            if i == j:
                ax.hist(draws[:, one], 50, range=limits[i], histtype="step", color="C0")
                ax.set_yticks([])
            else:
                pair = _pair(posterior, draws, other, one, n, rng)
                _panel(ax, pair, limits[j], limits[i])
            if truth is not None:
                ax.axvline(truth[other], color="C3", lw=0.8)
                if i != j:
                    ax.axhline(truth[one], color="C3", lw=0.8)
            if i == d - 1:
                ax.set_xlabel(posterior.names[other], fontsize=8)
            if j == 0 < i:
                ax.set_ylabel(posterior.names[one], fontsize=8)
    return fig


def _panel(ax, pair, x_limits, y_limits):
    ax.set_ylim(y_limits)
    if pair is None:
        ax.text(0.5, 0.5, "no head", transform=ax.transAxes, ha="center", fontsize=7)
        return
    counts, x, y = np.histogram2d(*pair.T, bins=40, range=[x_limits, y_limits])
    at = levels(counts)
    if len(at) and at[-1] < counts.max():
        middle = 0.5 * (x[1:] + x[:-1]), 0.5 * (y[1:] + y[:-1])
        ax.contourf(
            *middle, counts.T, levels=[*at, counts.max()], cmap="Blues", extend="max"
        )
        ax.contour(*middle, counts.T, levels=at, colors="C0", linewidths=0.8)
    else:
        ax.plot(*pair[:2000].T, ",", color="C0")
