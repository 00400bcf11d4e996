"""The ``gradiverse`` command: one sub-command per study.

Errors of use end in one line on stderr and exit status 2.
"""

import argparse
import os
import sys
import warnings
from pathlib import Path


def _mortality(arguments, config, say):
    from .mortality.study import run

    run(arguments.data, arguments.output, config, arguments.quick, say)


def _lensing(arguments, config, say):
    from .lensing.study import run

    run(
        arguments.output,
        config,
        read_config(arguments.config, "cosmology", needed=False),
        arguments.quick,
        arguments.n_maps,
        say,
        progress=sys.stderr.isatty(),
        data=arguments.data,
    )


def _supernova(arguments, config, say):
    from .inference import UnfamiliarData
    from .supernova.study import run

    def show(message, *_, **__):
        print(f"gradiverse supernova: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UnfamiliarData)
        warnings.showwarning = show
        run(arguments.output, config, arguments.quick, say, arguments.data)


STUDIES = {
    "mortality": (
        _mortality,
        "excess deaths with calibrated intervals: fit, held-out years, figures, report",
    ),
    "lensing": (
        _lensing,
        "weak-lensing maps of many skies, spectra against theory, figures, report",
    ),
    "supernova": (
        _supernova,
        "supernova cosmology: exact posterior, networks beside it, figures, report",
    ),
}


def _fit_pgd(arguments, config, say):
    from .nbody.fit import run

    run(arguments, config, say)


class _Parser(argparse.ArgumentParser):
    """Reports errors of use in one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parser():
    """The argument parser."""
    top = _Parser(
        prog="gradiverse", description="End-to-end studies; each writes a report."
    )
    top.add_argument(
        "--version", action="store_true", help="print the version and exit"
    )
    commands = top.add_subparsers(dest="study", metavar="STUDY")
    for name, (_, text) in STUDIES.items():
        sub = commands.add_parser(name, help=text, description=text)
        if name == "mortality":
            sub.add_argument(
                "--data",
                metavar="PATH",
                help="the table or folder to study "
                "(default: GRADIVERSE_DATA, a download, synthetic data)",
            )
        if name == "lensing":
            sub.add_argument(
                "--data",
                metavar="PATH",
                help="a table, or a folder of tables: columns z, n are distributions of"
                " sources, columns k, P a linear power spectrum (default: none)",
            )
            sub.add_argument(
                "--n-maps", type=int, metavar="N", help="how many skies (default: 4)"
            )
        if name == "supernova":
            sub.add_argument(
                "--data",
                metavar="PATH",
                help="a table of light curves with SALT columns, such as"
                " Pantheon+SH0ES.dat, or its folder (default: simulated data)",
            )
        sub.add_argument(
            "--config", metavar="FILE.toml", help=f"settings in the table [{name}]"
        )
        sub.add_argument(
            "--output",
            metavar="DIR",
            default=f"{name}-output",
            help=f"folder for figures, tables and report.html (default: {name}-output)",
        )
        sub.add_argument("--quick", action="store_true", help="seconds, not minutes")
    text = "fit the sharpening of particle-mesh particles for any spacing, mesh, steps"
    _fit_arguments(commands.add_parser("fit-pgd", help=text, description=text))
    return top


def _fit_arguments(sub):
    for name, kind, default, text in (
        ("spacing", float, 1.0, "of the particles [Mpc/h]"),
        ("mesh-factor", float, 2.0, "mesh cells per particle on a side"),
        ("stages", int, 11, "scale factors linspace(0.1, 1, n)"),
        ("particles", int, 64, "on a side of the box of the fit"),
        ("seed", int, 0, "of the white noise"),
    ):
        sub.add_argument(
            f"--{name}", type=kind, default=default, help=f"{text} (default: {default})"
        )
    sub.add_argument(
        "--target",
        choices=("reference", "halofit"),
        default="reference",
        help="spectrum to match: of a finer run, or halofit (default: reference)",
    )
    sub.add_argument("--integrator", choices=("bullfrog", "fastpm"), default="bullfrog")
    sub.add_argument(
        "--config", metavar="FILE.toml", help="cosmology, in the table [cosmology]"
    )
    sub.add_argument(
        "--output",
        metavar="FILE.toml",
        default="pgd.toml",
        help="where the table [lensing.pgd] is written (default: pgd.toml)",
    )


def read_config(path, table, needed=True):
    """The settings of one table of a TOML file; {} without a file.

    A table that is not needed may be missing.
    """
    if path is None:
        return {}
    try:
        import tomllib
    except ImportError:
        try:
            import tomli as tomllib
        except ImportError:
            raise ValueError(
                "--config needs Python 3.11 or the package tomli (pip install tomli)"
            ) from None
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from None
    if table not in content and not needed:
        return {}
    if table not in content:
        names = ", ".join(content) or "none"
        raise ValueError(f"{path} has no table [{table}]; it has: {names}")
    if not isinstance(content[table], dict):
        raise ValueError(f"{path}: {table} must be a table, [{table}] on its own line")
    return content[table]


def main(argv=None):
    """Entry point; returns the exit status."""
    top = parser()
    arguments = top.parse_args(argv)
    if arguments.version:
        from ._html import version

        print(f"gradiverse {version()}")
        return 0
    if arguments.study is None:
        top.print_help()
        return 2
    fit = arguments.study == "fit-pgd"
    study = _fit_pgd if fit else STUDIES[arguments.study][0]
    table = "cosmology" if fit else arguments.study
    try:
        config = read_config(arguments.config, table, needed=table == "mortality")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            study(arguments, config, lambda line: print(line, flush=True))
    except (ValueError, TypeError, OSError, ImportError) as error:
        if os.environ.get("GRADIVERSE_DEBUG"):
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        print(f"gradiverse {arguments.study}: {text}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"gradiverse {arguments.study}: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
