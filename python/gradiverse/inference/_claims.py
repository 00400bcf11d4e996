"""Locks between writers of a bank: a mutex, and claims on rows that die with them.

Byte ranges of an empty file beside the bank are locked (POSIX record locks): byte 0 is
the mutex, byte 16 + i is row i. The kernel frees the locks of a killed process, so a
reserved row whose byte is free belongs to nobody. Such locks do not hold between the
threads of a process; a table in this module does that.
"""

import contextlib
import errno
import os
import threading

_FIRST = 16
_open = {}
_guard = threading.Lock()


def _after_fork():
    """A child inherits no record locks, so it starts with an empty table."""
    global _guard
    _guard = threading.Lock()
    for claims in _open.values():
        os.close(claims.fd)
    _open.clear()


os.register_at_fork(after_in_child=_after_fork)


class Claims:
    """Locks of this process on one bank; shared by all its writers in the process."""

    def __init__(self, path):
        import fcntl

        self.path, self._fcntl = path, fcntl
        self.fd, self.users = -1, 0
        self._thread, self._ranges = threading.RLock(), []
        self._depth = 0

    def _lock(self, start, length, block=False):
        """Lock bytes; False if another process holds some of them."""
        flags = self._fcntl.LOCK_EX | (0 if block else self._fcntl.LOCK_NB)
        try:
            self._fcntl.lockf(self.fd, flags, length, start)
        except OSError as error:
            if not block and error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise OSError(
                error.errno,
                f"{self.path}: the file system refuses locks ({error.strerror}); keep "
                "the bank on one that has them",
            ) from error
        return True

    def _unlock(self, start, length):
        self._fcntl.lockf(self.fd, self._fcntl.LOCK_UN, length, start)

    @contextlib.contextmanager
    def mutex(self):
        """One writer at a time, over threads and processes."""
        with self._thread:
            if self._depth == 0:
                self._lock(0, 1, block=True)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._unlock(0, 1)

    def claim(self, start, stop):
        """Take rows start..stop, under the mutex; False if somebody has them."""
        if any(a < stop and start < b for a, b in self._ranges):
            return False
        if not self._lock(_FIRST + start, stop - start):
            return False
        self._ranges.append((start, stop))
        return True

    def release(self, start, stop):
        """Give claimed rows back."""
        with self._thread:
            self._ranges.remove((start, stop))
            self._unlock(_FIRST + start, stop - start)

    def orphans(self, start, stop):
        """Parts of the rows start..stop that nobody claims, under the mutex."""
        for a, b in self._ranges:
            if a < stop and start < b:
                return [
                    *(self.orphans(start, a) if start < a else []),
                    *(self.orphans(b, stop) if b < stop else []),
                ]
        if self._lock(_FIRST + start, stop - start):
            self._unlock(_FIRST + start, stop - start)
            return [(start, stop)]
        if stop - start == 1:
            return []
        middle = (start + stop) // 2
        return self.orphans(start, middle) + self.orphans(middle, stop)


@contextlib.contextmanager
def writing(path):
    """The claims of this process on the bank at `path`, opened while in use."""
    path = os.path.realpath(path)
    with _guard:
        claims = _open.get(path)
        if claims is None:
            claims = Claims(path)
            claims.fd = _open_lock_file(claims, path + ".lock")
            _open[path] = claims
        claims.users += 1
    try:
        yield claims
    finally:
        with _guard:
            claims.users -= 1
            if claims.users == 0 and _open.get(path) is claims:
                del _open[path]
                _close_lock_file(claims, path + ".lock")


def _open_lock_file(claims, name):
    """Open (or make) the lock file and announce this process as one of its users."""
    fcntl = claims._fcntl
    while True:
        try:
            fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise OSError(
                error.errno,
                f"{name}: cannot make the lock file of the bank ({error.strerror}); "
                "writing needs write permission in its folder",
            ) from error
        # byte 1 is shared by all users, so that the last one can remove the file
        try:
            fcntl.lockf(fd, fcntl.LOCK_SH, 1, 1)
        except OSError as error:
            os.close(fd)
            raise OSError(
                error.errno,
                f"{name}: the file system refuses locks ({error.strerror}); keep the "
                "bank on one that has them",
            ) from error
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(fd), os.stat(name)):
                return fd
        os.close(fd)  # somebody removed it meanwhile


def _close_lock_file(claims, name):
    """Remove the lock file unless others use it."""
    fcntl = claims._fcntl
    try:
        fcntl.lockf(claims.fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 1)
        os.unlink(name)
    except OSError:
        pass  # in use elsewhere: the last user removes it
    os.close(claims.fd)
