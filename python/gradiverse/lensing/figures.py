"""Figures of convergence maps and their spectra; nothing is shown or saved.

Every function draws on `ax`, or on an axis of its own, and returns it.
"""

import numpy as np

DARK, BLUE, ORANGE, GREY = "#222222", "#2b6cb0", "#c05621", "#8a949e"


def _axes(ax, width, height):
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def save(ax, path, dpi=150):
    """Write the figure of `ax` as PNG; returns the path."""
    ax.figure.savefig(path, dpi=dpi)
    return path


def kappa_map(kappa, field_of_view, ax=None, title=None, smooth=None):
    """A convergence map in degrees, with its colour scale.

    Parameters
    ----------
    kappa : (ny, nx) array
    field_of_view : float
        Degrees along x.
    smooth : float, optional
        Standard deviation of a Gaussian [arc minutes] to show the map smoothed with.

    Returns
    -------
    matplotlib Axes
    """
    kappa = np.asarray(kappa, dtype=np.float64)
    ny, nx = kappa.shape
    high = field_of_view * ny / nx
    if smooth:
        from scipy.ndimage import gaussian_filter

        kappa = gaussian_filter(kappa, smooth / 60 / (field_of_view / nx))
    ax = _axes(ax, 6.2, 5.2 * min(max(ny / nx, 0.4), 1.6) + 0.3)
    low, top = np.quantile(kappa, [0.003, 0.997])
    half = [field_of_view / 2, high / 2]
    image = ax.imshow(
        kappa,
        origin="lower",
        extent=(-half[0], half[0], -half[1], half[1]),
        vmin=low,
        vmax=top,
        cmap="magma",
        interpolation="nearest",
    )
    bar = ax.figure.colorbar(image, ax=ax, extend="both", shrink=0.9)
    label = r"convergence $\kappa$"
    if smooth:
        label += f", smoothed with a Gaussian of {smooth:g}' rms"
    bar.set_label(label)
    ax.set_xlabel(r"$\theta_x$ [degrees]")
    ax.set_ylabel(r"$\theta_y$ [degrees]")
    if title:
        ax.set_title(title, loc="left", fontsize=11, fontweight="bold")
    return ax


def spectrum(table, ax=None, title=None, resolution=None):
    """C_l of maps against Limber theory, with the ratio to halofit below.

    Shown are multipoles where the shot noise is below four times the signal of theory.

    Parameters
    ----------
    table : DataFrame
        Columns of `study.spectra_table` for one source.
    resolution : float, optional
        Multipole of the particles' Nyquist frequency, to be marked.
    ax : pair of Axes, optional
        Upper and lower panel.

    Returns
    -------
    matplotlib Axes
        The upper panel.
    """
    if ax is None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.8, 6.2), layout="constrained")
        upper, lower = figure.subplots(
            2, 1, sharex=True, gridspec_kw={"height_ratios": [2.2, 1]}
        )
    else:
        upper, lower = ax
    seen = table["shot_noise"] < 4 * table["halofit"]
    t = table[seen] if seen.any() else table
    ell, C = t["ell"].to_numpy(), t["C"].to_numpy()
    scale = ell * (ell + 1) / (2 * np.pi)
    n = int(t["n_maps"].iloc[0])
    sd, error = t["sd"].to_numpy(), t["error"].to_numpy()
    if n > 1:
        label = f"scatter of a map ({n} maps)"
    else:
        label = "Gaussian scatter of a map"
    upper.fill_between(
        ell,
        scale * (C - sd),
        scale * (C + sd),
        color=BLUE,
        alpha=0.2,
        lw=0,
        label=label,
    )
    upper.plot(ell, scale * C, color=BLUE, lw=1.6, label="maps, shot noise subtracted")
    upper.plot(ell, scale * t["halofit"], color=ORANGE, lw=1.4, label="Limber, halofit")
    upper.plot(
        ell, scale * t["linear"], color=DARK, lw=1.1, ls="--", label="Limber, linear"
    )
    upper.plot(
        ell, scale * t["shot_noise"], color=GREY, lw=1.1, ls=":", label="shot noise"
    )
    upper.set_xscale("log")
    upper.set_yscale("log")
    top = np.nanmax(scale * np.maximum(C + sd, t["halofit"]))
    bottom = np.nanmin(np.where(C > 0, scale * C, np.nan))
    upper.set_ylim(max(bottom / 2, top * 3e-4), top * 3)
    upper.set_ylabel(r"$\ell(\ell+1)\,C_\ell/2\pi$")
    upper.legend(frameon=False, fontsize=8.5, loc="upper left", ncols=2)
    lower.axhspan(0.9, 1.1, color=GREY, alpha=0.15, lw=0, label="±10 %")
    lower.axhline(1.0, color=ORANGE, lw=1.2)
    ratio = C / t["halofit"].to_numpy()
    wide, mean = sd / t["halofit"].to_numpy(), error / t["halofit"].to_numpy()
    lower.fill_between(ell, ratio - wide, ratio + wide, color=BLUE, alpha=0.2, lw=0)
    lower.errorbar(
        ell, ratio, mean, color=BLUE, fmt="o", ms=2.6, lw=1.1, label="error of the mean"
    )
    lower.plot(
        ell, (t["linear"] / t["halofit"]).to_numpy(), color=DARK, lw=1.1, ls="--"
    )
    lower.set_ylim(0.0, 1.6)
    lower.set_xlabel(r"multipole $\ell$")
    lower.set_ylabel("ratio to halofit")
    lower.legend(frameon=False, fontsize=8.5, loc="upper right", ncols=2)
    for panel in (upper, lower):
        if resolution and resolution < ell[-1]:
            panel.axvline(resolution, color=GREY, lw=1, ls="-.")
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(color="#e6e9ed", lw=0.7)
        panel.set_axisbelow(True)
    if resolution and resolution < ell[-1]:
        upper.annotate(
            "particles'\nNyquist frequency",
            (resolution, upper.get_ylim()[0]),
            (4, 4),
            textcoords="offset points",
            fontsize=8,
            color=GREY,
        )
    if title:
        upper.set_title(title, loc="left", fontsize=11, fontweight="bold")
    return upper


def histogram(kappas, ax=None, title=None):
    """One-point distribution of the pixels of maps, (n_maps, ny, nx)."""
    ax = _axes(ax, 6.2, 3.6)
    kappas = np.asarray(kappas, dtype=np.float64)
    low, high = np.quantile(kappas, [1e-3, 0.999])
    edges = np.linspace(low, high, 80)
    counts = np.stack([np.histogram(k, edges, density=True)[0] for k in kappas])
    middle = 0.5 * (edges[1:] + edges[:-1])
    if len(kappas) > 1:
        sd = counts.std(axis=0, ddof=1)
        ax.fill_between(
            middle,
            np.maximum(counts.mean(axis=0) - sd, 0),
            counts.mean(axis=0) + sd,
            color=BLUE,
            alpha=0.25,
            lw=0,
            label=f"scatter of {len(kappas)} maps",
        )
    ax.plot(middle, counts.mean(axis=0), color=BLUE, lw=1.6, label="pixels of the maps")
    mean, scale = kappas.mean(), kappas.std()
    normal = np.exp(-0.5 * ((middle - mean) / scale) ** 2) / np.sqrt(2 * np.pi) / scale
    ax.plot(middle, normal, color=GREY, ls="--", lw=1.1, label="normal, same variance")
    ax.set_xlabel(r"convergence $\kappa$ of a pixel")
    ax.set_ylabel("probability density")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8.5)
    if title:
        ax.set_title(title, loc="left", fontsize=11, fontweight="bold")
    return ax
