"""Where the user is: the first frame outside the package."""

import os
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
