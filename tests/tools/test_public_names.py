"""A submodule's name is bound in its package when it is imported by whichever way."""

import importlib
import pkgutil

import gradiverse


def test_no_function_imported_on_demand_shares_its_name_with_a_module():
    """Else importing the module puts it in the place of the function."""
    packages = [gradiverse.__name__] + [
        m.name
        for m in pkgutil.walk_packages(gradiverse.__path__, "gradiverse.")
        if m.ispkg
    ]
    lazy = 0
    for name in packages:
        package = importlib.import_module(name)
        modules = {m.name for m in pkgutil.iter_modules(package.__path__)}
        for public, home in getattr(package, "_LAZY", {}).items():
            lazy += 1
            assert public not in modules or home == f"{name}.{public}", (name, public)
    assert lazy > 20
