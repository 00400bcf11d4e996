"""Is there room for a run? Asked before a large program starts."""

from pathlib import Path

__all__ = ["available", "check"]

_MEMINFO = Path("/proc/meminfo")
#: limit, use and what the use could give back of a container, for both layouts
_GROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
     "total_inactive_file"),
)  # fmt: skip
_GIB = 2.0**30


def available():
    """Bytes of memory that programs can still take, or None where unknown."""
    found = [
        n for n in (_machine(), *(_container(*g) for g in _GROUPS)) if n is not None
    ]
    return min(found, default=None)


def check(peak, what="this run"):
    """Raise MemoryError if `peak` bytes are more than the machine has left.

    Parameters
    ----------
    peak : int
        Bytes needed, such as ``plan(...).peak_bytes``.
    what : str
        What needs them, for the message.

    Raises
    ------
    MemoryError
        Says how much is needed and how much there is.
    """
    have = available()
    if have is not None and peak > have:
        raise MemoryError(
            f"{what} needs {peak / _GIB:.1f} GiB, {have / _GIB:.1f} GiB are available;"
            " use fewer particles, a smaller mesh_factor or precision='single'"
        )


def _machine():
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return None


def _container(folder, limit, use, spare):
    """What is left of a control group's memory; None without a limit."""
    folder = Path(folder)
    try:
        most = (folder / limit).read_text().strip()
        if most == "max":
            return None
        left = int(most) - int((folder / use).read_text())
        rows = (folder / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):
        return None
    given = [int(row.split()[1]) for row in rows if row.split()[0] == spare]
    return max(0, left + sum(given))
