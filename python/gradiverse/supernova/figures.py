"""Figures of a supernova study; nothing is shown or saved.

Every function draws on `ax`, or on axes of its own, and returns what it drew on.
"""

import numpy as np

DARK, BLUE, ORANGE, GREY = "#222222", "#2b6cb0", "#c05621", "#8a949e"
LABELS = {
    "Om": r"$\Omega_m$", "OL": r"$\Omega_\Lambda$", "w": r"$w$", "M0": r"$M_0$",
    "ln_sres": r"$\ln\sigma_{\rm res}$", "alpha": r"$\alpha$", "beta": r"$\beta$",
    "xb": r"$\bar x$", "ln_Rx": r"$\ln R_x$", "cb": r"$\bar c$", "ln_Rc": r"$\ln R_c$",
}  # fmt: skip


def _figure(width, height):
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _axes(ax, width, height):
    return ax if ax is not None else _figure(width, height).add_subplot()


def save(ax, path, dpi=150):
    """Write the figure of `ax` (an axes or an array of them) as PNG."""
    np.ravel(ax)[0].figure.savefig(path, dpi=dpi)
    return path


def hubble(z, standardised, mu, errors, bins=25, title=None):
    """Standardised magnitudes over redshift, the best distance curve, and residuals.

    Parameters
    ----------
    z : (N,) array
    standardised : (N,) array
        m + alpha x1 - beta c - M0 [mag].
    mu : (N,) array
        Distance moduli of the best universe.
    errors : (N,) array
        Of the standardised magnitudes, population scatter included.
    bins : int
        Of the residuals' means, with as many objects each.

    Returns
    -------
    array of two matplotlib Axes
    """
    figure = _figure(6.6, 5.6)
    top, low = axes = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
    rng = np.random.default_rng(0)
    some = rng.permutation(len(z))[:4000]
    order = np.argsort(z)
    top.plot(z[some], standardised[some], ".", color=GREY, ms=2.5, alpha=0.5)
    top.plot(z[order], mu[order], color=BLUE, lw=1.6, label="mean of the posterior")
    top.set_ylabel("distance modulus [mag]")
    top.legend(frameon=False, loc="lower right")
    residual = standardised - mu
    low.plot(z[some], residual[some], ".", color=GREY, ms=2, alpha=0.4)
    low.axhline(0, color=BLUE, lw=1.2)
    weight = errors**-2.0
    for part in np.array_split(order, min(bins, max(len(z) // 10, 1))):
        w = weight[part] / weight[part].sum()
        low.errorbar(
            z[part] @ w, residual[part] @ w, 1 / np.sqrt(weight[part].sum()),
            fmt="o", color=ORANGE, ms=3.5, lw=1.2,
        )  # fmt: skip
    limit = 3.5 * np.median(errors)
    low.set_ylim(-limit, limit)
    low.set_xlabel("redshift")
    low.set_ylabel("residual [mag]")
    if z.max() / z.min() > 30:
        low.set_xscale("log")
    if title:
        top.set_title(title, loc="left", fontsize=11, fontweight="bold")
    return axes


def _levels(density):
    flat = np.sort(density.ravel())[::-1]
    total = np.cumsum(flat) / flat.sum()
    return [flat[np.searchsorted(total, level)] for level in (0.954, 0.683)]


def contours(ax, samples, color, edges, label=None, bins=60, fill=False):
    """68 and 95 % contours of draws (n, 2) on an axes."""
    from scipy.ndimage import gaussian_filter

    density, x, y = np.histogram2d(*samples.T, bins=bins, range=edges)
    density = gaussian_filter(density, 1.8).T
    x, y = (0.5 * (e[1:] + e[:-1]) for e in (x, y))
    levels = _levels(density)
    if fill:
        shades = dict(colors=[color], alpha=0.25)
        ax.contourf(x, y, density, levels=[levels[0], density.max()], **shades)
        ax.contourf(x, y, density, levels=[levels[1], density.max()], **shades)
    ax.contour(x, y, density, levels=levels, colors=color, linewidths=1.2)
    if label:
        ax.plot([], [], color=color, label=label)


def corner(exact, names, learned, pair, truth=None):
    """Exact posterior, with the networks' marginals on the diagonal and their pair.

    Parameters
    ----------
    exact : (n, p) array
        Draws of the exact posterior.
    names : sequence of str
    learned : (m, p) array
        Draws of one-dimensional marginals.
    pair : (m, 2) array
        Draws of the first two.
    truth : (p,) array, optional

    Returns
    -------
    (p, p) array of matplotlib Axes
    """
    p = len(names)
    figure = _figure(1.25 * p + 0.6, 1.2 * p + 0.6)
    axes = figure.subplots(p, p, sharex="col", squeeze=False)
    middle, sd = exact.mean(axis=0), exact.std(axis=0)
    edges = np.stack([middle - 4 * sd, middle + 4 * sd], axis=1)
    for i in range(p):
        for k in range(p):
            ax = axes[i, k]
            ax.tick_params(labelsize=6)
            ax.locator_params(nbins=3)
            if k > i:
                ax.set_visible(False)
                continue
            if i == k:
                _diagonal(ax, exact[:, i], learned[:, i], edges[i])
            else:
                box = (edges[k], edges[i])
                contours(ax, exact[:, [k, i]], BLUE, box, bins=40, fill=True)
                if (k, i) == (0, 1):
                    contours(ax, pair, ORANGE, box, bins=40)
                ax.set_ylim(*edges[i])
            ax.set_xlim(*edges[k])
            if truth is not None:
                ax.axvline(truth[k], color=DARK, lw=0.7, ls=":")
            if k > 0 or i == 0:
                ax.set_yticklabels([])
            if k == 0 and i > 0:
                ax.set_ylabel(LABELS.get(names[i], names[i]), fontsize=9)
            if i == p - 1:
                ax.set_xlabel(LABELS.get(names[k], names[k]), fontsize=9)
                ax.tick_params(axis="x", labelrotation=45)
    figure.legend(
        *_handles([("exact (MCMC)", BLUE), ("networks", ORANGE)]),
        loc="upper right", frameon=False, fontsize=11,
    )  # fmt: skip
    return axes


def _diagonal(ax, exact, learned, edges):
    bins = np.linspace(*edges, 41)
    for values, color in ((exact, BLUE), (learned, ORANGE)):
        ax.hist(values, bins, density=True, histtype="step", color=color, lw=1.2)
    ax.set_yticks([])


def _handles(pairs):
    from matplotlib.lines import Line2D

    return [Line2D([], [], color=c) for _, c in pairs], [name for name, _ in pairs]


def coverage(ranks, names, ax=None):
    """Empirical against nominal coverage of central intervals, with binomial bands.

    Parameters
    ----------
    ranks : (n, p) array
        Posterior probability below the truth, of n simulated surveys.
    names : sequence of str
    """
    ax = _axes(ax, 5.2, 4.8)
    n = len(ranks)
    level = np.linspace(0.01, 0.99, 99)
    for k, name in enumerate(names):
        inside = np.abs(2 * ranks[:, k] - 1)
        found = (inside[:, None] < level).mean(axis=0)
        ax.plot(level, found - level, lw=1.1, label=LABELS.get(name, name))
    band = np.sqrt(level * (1 - level) / n)
    for width, alpha in ((2, 0.25), (3.5, 0.12)):
        ax.fill_between(level, -width * band, width * band, color=GREY, alpha=alpha)
    ax.axhline(0, color=DARK, lw=0.8)
    ax.set_xlabel("nominal coverage")
    ax.set_ylabel("empirical minus nominal coverage")
    ax.set_title(f"Coverage over {n} simulated surveys", loc="left", fontsize=11)
    ax.legend(ncols=3, fontsize=8, frameon=False)
    return ax


def pulls(shift, ratio, kl, truth=None):
    """Networks against exact posteriors of each object's magnitude.

    Parameters
    ----------
    shift : (N,) array
        (mean - exact mean)/exact sd.
    ratio : (N,) array
        sd/exact sd.
    kl : (N,) array
        KL(exact || network) [nat].
    truth : (N,) array, optional
        (true M - mean)/sd.

    Returns
    -------
    array of matplotlib Axes
    """
    figure = _figure(9.6, 3.0)
    axes = figure.subplots(1, 3)
    if truth is not None:
        x = np.linspace(-4.5, 4.5, 200)
        axes[0].hist(
            truth, np.linspace(-4.5, 4.5, 61), density=True, color=GREY, alpha=0.6
        )
        normal = np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
        axes[0].plot(x, normal, color=BLUE, label="N(0, 1)")
        axes[0].set_xlabel("(true M - mean)/sd")
        axes[0].legend(frameon=False)
    else:
        axes[0].hist(kl, 60, color=GREY)
        axes[0].set_xlabel("KL [nat]")
    axes[1].hist2d(shift, ratio, 70, cmap="Blues", norm="log")
    for v in (-0.1, 0.1):
        axes[1].axvline(v, color=ORANGE, lw=0.8, ls="--")
    for v in (0.95, 1.05):
        axes[1].axhline(v, color=ORANGE, lw=0.8, ls="--")
    axes[1].set_xlabel("(mean - exact)/exact sd")
    axes[1].set_ylabel("sd/exact sd")
    axes[2].hist(np.log10(np.maximum(kl, 1e-8)), 60, color=GREY)
    axes[2].axvline(-2, color=ORANGE, lw=1, ls="--", label="0.01 nat")
    axes[2].axvline(np.log10(np.median(kl)), color=BLUE, lw=1.2, label="median")
    axes[2].set_xlabel("log10 KL(exact || network) [nat]")
    axes[2].legend(frameon=False)
    return axes
