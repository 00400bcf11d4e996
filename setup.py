"""Build of the C extensions; metadata is in pyproject.toml.

All C sources below csrc/ become ``gradiverse._core``; csrc/io becomes
``gradiverse._h5``. ``GV_NO_EXT=1`` leaves both out (used when only the Python
metadata of a development tree is to be installed).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "tools"))

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

import buildc


def extensions():
    """The extensions whose sources exist in this tree."""
    if buildc.enabled("GV_NO_EXT"):
        return []
    folders = {"_core": (*buildc.ENGINE, "pymod"), "_h5": ("io",)}
    # the last folder holds the module's own file; without it there is nothing to load
    present = {n: dirs for n, dirs in folders.items() if buildc.sources(dirs[-1:])}
    found = {name: buildc.sources(dirs) for name, dirs in present.items()}
    return [
        Extension(
            f"gradiverse.{name}", [str(f.relative_to(buildc.ROOT)) for f in files]
        )
        for name, files in found.items()
    ]


class BuildExt(build_ext):
    """Hands each extension to the incremental builder.

    In-place and editable builds are linked straight into the source package, with
    a run path that reaches the OpenBLAS of the active environment.
    """

    def run(self):
        """Compile and link every extension; one readable line on failure."""
        try:
            for ext in self.extensions or ():
                self.build_extension(ext)
        except buildc.BuildError as error:
            raise SystemExit(f"gradiverse: {error}") from None

    def build_extension(self, ext):
        """Compile and link one extension."""
        inplace = bool(self.inplace or getattr(self, "editable_mode", False))
        file = self.get_ext_filename(ext.name)
        folder = buildc.ROOT / "python" if inplace else Path(self.build_lib).resolve()
        target = folder / file
        if ext.name == "gradiverse._h5":
            libraries = [buildc.find_hdf5()]
        else:
            stays = inplace or buildc.enabled("GV_SANITIZE")
            blas = buildc.find_blas(target.parent if stays else None)
            libraries = [blas, buildc.find_fftw()]
        builder = buildc.Builder(libraries, "release" if inplace else "wheel")
        with builder.lock():
            objects = builder.compile([buildc.ROOT / s for s in ext.sources])
            builder.link(objects, target)


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExt})
