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
    for want, back in (((i, j), False), ((j, i), True)):
        if want in posterior.marginals:
            pair = posterior.marginal(want).sample(n, rng)
            return pair[:, ::-1] if back else pair
    return None


def _limits(values, low, high):
    a, b = np.quantile(values, [0.001, 0.999])
    pad = 0.1 * (b - a) or 1.0
    return max(a - pad, low), min(b + pad, high)


def corner(posterior, n, rng, truth, fig):
    """The figure of `Posterior.corner`."""
    from matplotlib.figure import Figure

    d = posterior.d
    if d > 15:
        raise ValueError(
            f"corner: {d} parameters make {d * (d + 1) // 2} panels; choose some with"
            " .marginal(...)"
        )
    if fig is None:
        fig = Figure(figsize=(1.6 * d + 1, 1.6 * d + 1))
    draws = posterior.sample(n, rng)
    bounds = posterior.prior.bounds
    limits = [_limits(draws[:, i], *bounds[i]) for i in range(d)]
    axes = fig.subplots(d, d, squeeze=False)
    for i in range(d):
        for j in range(d):
            ax = axes[i, j]
            if j > i:
                ax.set_visible(False)
                continue
            ax.tick_params(labelsize=7, labelleft=j == 0 < i, labelbottom=i == d - 1)
            ax.set_xlim(limits[j])
            if i == j:
                ax.hist(draws[:, i], 50, range=limits[i], histtype="step", color="C0")
                ax.set_yticks([])
            else:
                _panel(ax, _pair(posterior, draws, j, i, n, rng), limits[j], limits[i])
            if truth is not None:
                ax.axvline(truth[j], color="C3", lw=0.8)
                if i != j:
                    ax.axhline(truth[i], color="C3", lw=0.8)
            if i == d - 1:
                ax.set_xlabel(posterior.names[j], fontsize=8)
            if j == 0 < i:
                ax.set_ylabel(posterior.names[i], fontsize=8)
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
