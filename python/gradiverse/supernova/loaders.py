"""Tables of measured supernovae: Pantheon+ light curves, covariance files, JLA errors.

Nothing is downloaded; files are read where they lie. Choices that change answers (cuts,
rows left out, which matrix) are arguments, and what was done is in the warnings and in
``table.attrs``.
"""

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from . import _check

PANTHEON = "Pantheon+SH0ES.dat"
COLUMNS = (
    "CID", "IDSURVEY", "zHD", "zCMB", "zHEL", "m_b_corr", "m_b_corr_err_DIAG",
    "IS_CALIBRATOR", "mB", "mBERR", "x1", "x1ERR", "c", "cERR", "x0", "COV_x1_c",
    "COV_x1_x0", "COV_c_x0", "HOST_LOGMASS",
)  # fmt: skip
BAD = ("drop", "raise", "keep", "nearest")
#: scatter that the errors `dmb` of JLA already hold [mag]
POSITIVE = ("mBERR", "x1ERR", "cERR", "x0")
JLA_COHERENT = {"SNLS": 0.080, "SDSS": 0.108, "low-z": 0.134, "HST": 0.100}


def find_pantheon(path=None):
    """The table's path: a file, a folder that holds it, or below GRADIVERSE_DATA."""
    if path is None:
        root = os.environ.get("GRADIVERSE_DATA")
        if not root:
            raise FileNotFoundError(
                "give the path of Pantheon+SH0ES.dat, or set GRADIVERSE_DATA to the"
                " folder that holds pantheon_plus/"
            )
        path = Path(root) / "pantheon_plus"
    path = Path(path)
    if path.is_dir():
        path = path / PANTHEON
    if not path.is_file():
        raise FileNotFoundError(f"there is no table {path}")
    return path


def _read(path):
    try:
        table = pd.read_csv(path, sep=r"\s+", comment="#")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as e:
        raise ValueError(f"{path} is not a table: {' '.join(str(e).split())}") from None
    missing = [c for c in COLUMNS if c not in table.columns]
    if missing:
        raise ValueError(
            f"{path} lacks the column(s) {', '.join(missing)}; it has"
            f" {', '.join(map(str, table.columns[:12]))}, ..."
        )
    for name in COLUMNS[1:]:
        values = pd.to_numeric(table[name], errors="coerce")
        bad = ~np.isfinite(values.to_numpy(float))
        if bad.any():
            raise ValueError(
                f"{path}: column {name} has no number in {_check.rows_text(bad)}"
            )
        table[name] = values
    return table


def salt_covariances(table):
    """(N, 3, 3) covariances of (mB, x1, c) from SALT columns.

    mB = -2.5 log10 x0 + const, so cov(mB, y) = -2.5/(ln 10 x0) cov(x0, y) with the
    row's own x0.

    Examples
    --------
    >>> import pandas as pd
    >>> from gradiverse.supernova.loaders import salt_covariances
    >>> row = dict(mBERR=0.1, x1ERR=0.5, cERR=0.05, x0=1.0, COV_x1_c=0.0,
    ...            COV_x1_x0=0.0, COV_c_x0=-0.001)
    >>> salt_covariances(pd.DataFrame([row]))[0, 0, 2].round(6)
    np.float64(0.001086)
    """
    out = np.zeros((len(table), 3, 3))
    factor = -2.5 / (np.log(10.0) * table["x0"].to_numpy(float))
    for i, name in enumerate(("mBERR", "x1ERR", "cERR")):
        out[:, i, i] = table[name].to_numpy(float) ** 2
    out[:, 0, 1] = out[:, 1, 0] = factor * table["COV_x1_x0"].to_numpy(float)
    out[:, 0, 2] = out[:, 2, 0] = factor * table["COV_c_x0"].to_numpy(float)
    out[:, 1, 2] = out[:, 2, 1] = table["COV_x1_c"].to_numpy(float)
    return out


def nearest_positive(covariance, floor=1e-3):
    """Covariances with the same sds whose correlation matrices have no eigenvalue below
    `floor`; those that are fine already come back as they are.

    Parameters
    ----------
    covariance : (N, 3, 3) array
    floor : float

    Returns
    -------
    (N, 3, 3) array
    """
    s = np.array(covariance, dtype=float)
    variance = np.einsum("nii->ni", s)
    bad = ~(variance > 0).all(axis=1)
    if bad.any():
        raise ValueError(
            f"variances must be positive, not so in {_check.rows_text(bad)}: there is"
            " no covariance with the same sds"
        )
    sd = np.sqrt(variance)
    scale = sd[:, :, None] * sd[:, None]
    values, vectors = np.linalg.eigh(s / scale)
    bad = values[:, 0] < floor
    lifted = np.maximum(values, floor)
    r = np.einsum("nij,nj,nkj->nik", vectors, lifted, vectors)
    d = np.sqrt(np.einsum("nii->ni", r))
    r = r / (d[:, :, None] * d[:, None]) * scale
    s[bad] = r[bad]
    return s


def load_pantheon_plus(path=None, bad="drop", z_min=None, calibrators=True):
    """Pantheon+ light curves and their SALT covariances.

    Parameters
    ----------
    path : path, optional
        ``Pantheon+SH0ES.dat`` or its folder (default: below GRADIVERSE_DATA).
    bad : {"drop", "raise", "keep", "nearest"}
        What to do with rows whose covariance of (mB, x1, c) is not positive definite.
        They are named in a warning in any case; "nearest" lifts the eigenvalues of
        their correlation matrices to 0.001.
    z_min : float, optional
        Keep zHD > z_min (0.01 and 0.023 are both in use; default: no cut).
    calibrators : bool
        Keep Cepheid calibrators, whatever their redshift.

    Returns
    -------
    table : DataFrame
        All columns of the file, kept rows; ``attrs`` says which cuts were made.
    covariance : (N, 3, 3) array

    Raises
    ------
    ValueError
        Columns that are missing or not numbers, errors or x0 that are not positive in
        rows that are kept; with bad="raise", bad rows.
    FileNotFoundError

    Warns
    -----
    UserWarning
        Always: m_b_corr_err_DIAG is not the diagonal of the released matrix, and
        diagonal errors alone move Om by one sd. Besides: bad rows, and heliocentric
        redshifts that are copies of zCMB.
    """
    if bad not in BAD:
        raise ValueError(f"bad must be one of {', '.join(BAD)}, got {bad!r}")
    path = find_pantheon(path)
    table = _read(path)
    total = len(table)
    keep = np.ones(total, bool)
    if z_min is not None:
        keep = table["zHD"].to_numpy(float) > float(z_min)
        if calibrators:
            keep |= table["IS_CALIBRATOR"].to_numpy() == 1
    elif not calibrators:
        keep = table["IS_CALIBRATOR"].to_numpy() != 1
    table = table[keep].copy()
    table.attrs = {"source": path.name, "rows": total, "z_min": z_min}
    table.attrs |= {"calibrators": bool(calibrators), "bad": bad}
    if len(table) > 1 and np.array_equal(table["zHEL"], table["zCMB"]):
        warnings.warn(
            "all zHEL equal zCMB: heliocentric redshifts are copies, as in some old"
            " files; the factor 1 + zHEL of distances is then wrong",
            stacklevel=2,
        )
    _positive(table, path)
    covariance = salt_covariances(table)
    not_ok = np.linalg.eigvalsh(_correlation(covariance))[:, 0] <= 0
    table.attrs["bad_rows"] = int(not_ok.sum())
    table, covariance = _deal(table, covariance, not_ok, bad)
    table = table.reset_index(drop=True)
    cut = "no redshift cut" if z_min is None else f"zHD > {z_min:g}"
    also = " or calibrator" if z_min is not None and calibrators else ""
    warnings.warn(
        f"{len(table)} of {total} light curves kept ({cut}{also}). m_b_corr_err_DIAG is"
        " for plots: it is not the diagonal of the released matrix, and fits without"
        " the full covariance are off (Om 0.351 in place of 0.334)",
        stacklevel=2,
    )
    return table, covariance


def _positive(table, path):
    for name in POSITIVE:
        bad = table.index[table[name] <= 0]
        if len(bad):
            row = bad[0]
            more = f" and {len(bad) - 1} more rows" if len(bad) > 1 else ""
            raise ValueError(
                f"{path}: column {name} must be positive, but is"
                f" {table.loc[row, name]:g} in row {row} ({table.loc[row, 'CID']})"
                f"{more}: correct it, or delete the row from the table"
            )


def _correlation(s):
    sd = np.sqrt(np.einsum("nii->ni", s))
    return s / (sd[:, :, None] * sd[:, None])


def _deal(table, covariance, not_ok, bad):
    if not not_ok.any():
        return table, covariance
    rows = table.loc[not_ok, "CID"].astype(str).items()
    names = [f"{name} (row {row})" for row, name in rows]
    text = (
        f"{len(names)} rows have a covariance of (mB, x1, c) that is not positive"
        f" definite: {', '.join(names)}"
    )
    if bad == "raise":
        raise ValueError(f'{text}; choose bad="drop", "nearest" or "keep"')
    done = {"drop": "left out", "keep": "kept as they are", "nearest": "made positive"}
    warnings.warn(f"{text}; {done[bad]}", stacklevel=3)
    if bad == "drop":
        return table[~not_ok], covariance[~not_ok]
    if bad == "nearest":
        covariance = nearest_positive(covariance)
    return table, covariance


def read_covariance(path, errors=None, kind="covariance"):
    """A square matrix from text: N, then N^2 numbers.

    Parameters
    ----------
    path : path
    errors : (N,) array, optional
        Listed errors of the same rows: the diagonal is compared with their squares, for
        some releases ship the inverse.
    kind : {"covariance", "inverse"}
        What the file holds; an inverse is inverted.

    Returns
    -------
    (N, N) array
        The covariance.

    Raises
    ------
    ValueError
        Wrong number of entries, no symmetry, or a diagonal that says that the file is
        of the other kind.
    """
    if kind not in ("covariance", "inverse"):
        raise ValueError(f"kind must be covariance or inverse, got {kind!r}")
    try:
        numbers = np.array(Path(path).read_text().split(), dtype=float)
    except ValueError as error:
        raise ValueError(f"{path} is not numbers: {error}") from None
    if len(numbers) == 0 or numbers[0] != int(numbers[0]) or numbers[0] < 1:
        raise ValueError(f"{path} must begin with the number of rows")
    n = int(numbers[0])
    if len(numbers) != 1 + n * n:
        raise ValueError(
            f"{path}: {n} rows need {n * n} numbers, got {len(numbers) - 1}"
        )
    matrix = numbers[1:].reshape(n, n)
    scale = np.abs(matrix).max()
    if not np.isfinite(scale) or np.abs(matrix - matrix.T).max() > 1e-6 * scale:
        raise ValueError(f"{path} is not a symmetric matrix of finite numbers")
    matrix = 0.5 * (matrix + matrix.T)
    if errors is not None:
        errors = _check.redshifts(errors, "errors", n)
        diagonal = np.diag(matrix)
        with np.errstate(invalid="ignore", divide="ignore"):
            as_variance = np.abs(np.nanmedian(np.log(diagonal / errors**2)))
            as_weight = np.abs(np.nanmedian(np.log(diagonal * errors**2)))
        found = "covariance" if as_variance < as_weight else "inverse"
        if found != kind:
            raise ValueError(
                f"{path}: the diagonal, typically {np.median(diagonal):.3g}, is that of"
                f" the {found} of errors of {np.median(errors):.3g}, not of the {kind};"
                f' give kind="{found}"'
            )
    return np.linalg.inv(matrix) if kind == "inverse" else matrix


def jla_errors(dmb, survey):
    """Errors of JLA magnitudes without the scatter that `dmb` already holds.

    Parameters
    ----------
    dmb : (N,) array
    survey : (N,) array of str
        SNLS, SDSS, low-z or HST.

    Returns
    -------
    (N,) array
        sqrt(dmb^2 - sigma_coh^2). Left in, sigma_coh is counted twice and sres falls to
        about 0.01.

    Examples
    --------
    >>> from gradiverse.supernova.loaders import jla_errors
    >>> jla_errors([0.10], ["SNLS"]).round(3).tolist()
    [0.06]
    """
    dmb = _check.redshifts(dmb, "dmb")
    survey = np.asarray(survey).astype(str)
    unknown = sorted(set(survey) - set(JLA_COHERENT))
    if unknown or survey.shape != dmb.shape:
        raise ValueError(
            f"survey must name one of {', '.join(JLA_COHERENT)} for each of {len(dmb)}"
            f" errors; got {', '.join(unknown) or survey.shape}"
        )
    left = dmb**2 - np.array([JLA_COHERENT[s] for s in survey]) ** 2
    if (left <= 0).any():
        raise ValueError(
            f"dmb is below sigma_coh in {_check.rows_text(left <= 0)}: these errors do"
            " not hold it; use them as they are"
        )
    return np.sqrt(left)
