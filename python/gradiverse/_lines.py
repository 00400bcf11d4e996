"""Where the user is: the first frame outside the package."""

import itertools
import linecache
import os
import re
import sys

_ROOT = os.path.dirname(os.path.abspath(__file__)) + os.sep
_inside = {}  # code object -> does it belong to the package
_names = {}  # (code object, line number) -> "file.py:12 in f"


def user_line(skip=1):
    """Name the line of the caller's code that led here, "file.py:12 in f".

    Parameters
    ----------
    skip : int
        Frames that are known to belong to the package.

    Returns
    -------
    str
        The innermost frame whose file lies outside the package; "" when there is
        none. Strings are cached, the same line gives the same object.
    """
    frame = sys._getframe(skip)
    while frame is not None:
        code = frame.f_code
        inside = _inside.get(code)
        if inside is None:
            name = code.co_filename
            inside = name.startswith((_ROOT, "<frozen "))
            _inside[code] = inside
        if not inside:
            key = code, frame.f_lineno
            found = _names.get(key)
            if found is None:
                base = os.path.basename(code.co_filename)
                found = f"{base}:{frame.f_lineno} in {code.co_name}"
                if len(_names) > 20_000:
                    _names.clear()
                _names[key] = found
            return found
        frame = frame.f_back
    return ""


_DOTTED = re.compile(r"\s*([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*\(")
_number_calls = {}  # (code object, instruction) -> what is called, or ""
_NUMERIC = {"math", "cmath", "numpy"}


def number_call(frame):
    """What a frame is calling, if it is of math, cmath or NumPy, else "".

    These convert to a number without a word, as math.exp(x) and np.float64(x) do.
    Looks at the source of the call in progress (Python 3.11 and later know where it
    is); "" where the source is not at hand.
    """
    key = frame.f_code, frame.f_lasti
    found = _number_calls.get(key)
    if found is None:
        if len(_number_calls) > 20_000:
            _number_calls.clear()
        found = _number_calls[key] = _find_number_call(frame)
    return found


def _find_number_call(frame):
    code = frame.f_code
    if not hasattr(code, "co_positions"):
        return ""
    at = next(itertools.islice(code.co_positions(), frame.f_lasti // 2, None), None)
    if at is None or None in at:
        return ""
    line = linecache.getline(code.co_filename, at[0], frame.f_globals)
    call = _DOTTED.match(line.encode()[at[2] :].decode(errors="replace"))
    if call is None:
        return ""
    first, *rest = call.group(1).split(".")
    spaces = frame.f_locals, frame.f_globals
    obj = next((s[first] for s in spaces if first in s), None)
    for name in rest:
        obj = obj.__dict__.get(name) if type(obj) is type(sys) else None
    return call.group(1) if getattr(obj, "__module__", "") in _NUMERIC else ""
