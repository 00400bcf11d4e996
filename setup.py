"""Build of the C extension; metadata is in pyproject.toml.

All C sources below csrc/ become ``gradiverse._core``. ``GV_NO_EXT=1`` leaves it out
(used when only the Python metadata of a development tree is to be installed).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "tools"))

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

import buildc


def extensions():
    """The engine, unless it is left out."""
    if buildc.enabled("GV_NO_EXT"):
        return []
    files = buildc.sources((*buildc.ENGINE, "pymod"))
    return [
        Extension("gradiverse._core", [str(f.relative_to(buildc.ROOT)) for f in files])
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
        stays = inplace or buildc.enabled("GV_SANITIZE")
        blas = buildc.find_blas(target.parent if stays else None)
        libraries = [blas, buildc.find_fftw()]
        builder = buildc.Builder(libraries, "release" if inplace else "wheel")
        with builder.lock():
            objects = builder.compile([buildc.ROOT / s for s in ext.sources])
            builder.link(objects, target)


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExt})
