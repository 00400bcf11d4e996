"""Checks of tidy death counts: every problem is named with its row and its remedy.

A tidy table has one row per unit, year, week [, age, sex] and the columns
``deaths`` [, ``days``, ``population``].  Nothing is repaired in silence: what can be
treated in one obvious way is treated so and described in a list of notes, everything
else raises ``ValueError`` or ``TypeError``.
"""

import numpy as np
import pandas as pd

REQUIRED = ("unit", "year", "week", "deaths")
TOTAL_WORDS = {
    "age": {"tot", "total", "all", "all ages"},
    "sex": {"tot", "total", "all", "b", "both", "both sexes", "t"},
}


def is_total(values, column):
    """True where a label of the column age or sex means "everything together"."""
    words = pd.Series(values).astype(str).str.strip().str.lower()
    return words.isin(TOTAL_WORDS[column]).to_numpy()


def _row(frame, mask):
    """The first offending row as readable text."""
    first = frame.loc[np.asarray(mask)].iloc[0]
    keys = [k for k in ("unit", "age", "sex", "year", "week", "deaths") if k in first]
    return ", ".join(f"{k}={first[k]}" for k in keys)


def check_columns(frame, name, required=REQUIRED):
    """Raise unless `frame` is a table with the required columns and some rows."""
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(
            f"{name} must be a pandas DataFrame with columns {', '.join(required)}; "
            f"got {type(frame).__name__}. Read files with gv.mortality.load_tidy(path)."
        )
    missing = [c for c in required if c not in frame.columns]
    if missing:
        raise ValueError(
            f"{name} lacks the column(s) {', '.join(missing)}; it has "
            f"{', '.join(map(str, frame.columns))}. Rename them, or read the file with "
            "gv.mortality.load_tidy, which knows common names."
        )
    if len(frame) == 0:
        raise ValueError(f"{name} has no rows; check the filter that made it.")


def integer_column(frame, column, name):
    """`column` as int64, or an error naming the first value that is not whole."""
    values = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float)
    bad = ~np.isfinite(values) | (values != np.round(values))
    if bad.any():
        raise ValueError(
            f"{name}: {column} must hold whole numbers; {int(bad.sum())} row(s) "
            "do not, "
            f"first: {_row(frame, bad)}. Drop or repair these rows."
        )
    return values.astype(np.int64)


def deaths_column(frame, name, notes):
    """Deaths as float with NaN for absent; negative or fractional counts raise."""
    raw = frame["deaths"]
    values = pd.to_numeric(raw, errors="coerce").to_numpy(dtype=float)
    words = np.isnan(values) & raw.notna().to_numpy()
    if words.any():
        raise ValueError(
            f"{name}: deaths must be numbers; {int(words.sum())} row(s) are not, "
            "first: "
            f"{_row(frame, words)}. Replace such marks by empty cells or numbers."
        )
    for bad, what, mend in (
        (np.isinf(values), "infinite", "replace them by empty cells"),
        (values < 0, "negative", "take counts, not revisions or differences"),
        (
            np.abs(np.nan_to_num(values) - np.round(np.nan_to_num(values))) > 1e-9,
            "fractional",
            "take raw counts (not smoothed, scaled or daily rates), or round them",
        ),
    ):
        if bad.any():
            raise ValueError(
                f"{name}: {int(bad.sum())} row(s) have {what} deaths, first: "
                f"{_row(frame, bad)}. Mend: {mend}."
            )
    empty = int(np.isnan(values).sum())
    if empty:
        notes.append(
            f"{name}: {empty} empty count(s) are treated as absent, not as zero."
        )
    return values


def days_column(frame, name):
    """Days per period, positive and finite."""
    days = pd.to_numeric(frame["days"], errors="coerce").to_numpy(dtype=float)
    bad = ~np.isfinite(days) | (days <= 0)
    if bad.any():
        raise ValueError(
            f"{name}: days must be positive; {int(bad.sum())} row(s) are not, first: "
            f"{_row(frame, bad)}. Give the length of each period in days."
        )
    return days


def check_duplicates(keys, name):
    """Raise when two rows describe the same cell."""
    twice = keys.duplicated().to_numpy()
    if twice.any():
        first = keys.loc[twice].iloc[0]
        text = ", ".join(f"{k}={first[k]}" for k in keys.columns)
        raise ValueError(
            f"{name}: {int(twice.sum())} duplicate row(s), first: {text}. Drop the "
            "copies, or sum them if they are parts (then give them an age or sex "
            "column)."
        )
