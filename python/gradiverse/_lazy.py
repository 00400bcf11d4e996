"""Packages whose public names are imported when they are asked for (PEP 562)."""

import sys
from importlib import import_module

__all__ = ["on_demand"]


def on_demand(package, names, modules=()):
    """``__getattr__`` and ``__dir__`` of a package.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    names : dict
        Public name -> the module of the package that holds it. A module must not bear
        the name of something it holds: importing it would put it in that one's place.
    modules : sequence of str
        Public modules.

    Returns
    -------
    callable, callable
    """

    def get(name):
        if name in names:
            value = getattr(import_module(f"{package}.{names[name]}"), name)
        elif name in modules:
            value = import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)
        return value

    def listed():
        return sorted({*vars(sys.modules[package]), *names, *modules})

    return get, listed
