"""Files that are there wholly or not at all, and one writer at a time.

A file is written under a temporary name in its own folder, flushed to the disk and renamed. A reader, and a
process that is killed at any moment, finds the old file or the new one.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from skin_pipeline.errors import StorageError

FULL = {errno.ENOSPC, errno.EDQUOT}
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


def temporary_path(path: Path) -> Path:
    """Return the name that a file has while it is being written: hidden, in the same folder."""
    return path.with_name(f".{hashlib.sha256(path.name.encode()).hexdigest()[:16]}.tmp")


def write_atomically(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file beside its place, flush it to the disk and rename it.

    Args:
        path: The file; its folder is made if need be.
        content: All of it, or its parts in order.

    Raises:
        OSError: The folder cannot be written or is full; the old file, if any, is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        with temporary.open("wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def has_size(path: str, size_bytes: int) -> bool:
    """Tell whether a regular file is there with a size.

    Args:
        path: The file; one of a hundred thousand, so no ``Path`` is made of it.
        size_bytes: What it should have.
    """
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return False
    return status.st_size == size_bytes and stat.S_ISREG(status.st_mode)


def flush_folder(folder: Path) -> None:
    """Flush a folder's list of names to the disk, so that its renames survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def nearest_folder(path: Path) -> Path:
    """Return the path itself, or the nearest of its parents that exists."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the errors of a file system into a :class:`StorageError` that says what to do.

    Args:
        path: What is being written.

    Yields:
        Nothing.

    Raises:
        StorageError: The disk is full, or does not let itself be written, or fails otherwise.
    """
    try:
        yield
    except OSError as exc:
        if exc.errno in FULL:
            free_mib = shutil.disk_usage(nearest_folder(path)).free / 2**20
            raise StorageError(
                f"The disk that holds {path} is full ({free_mib:.0f} MiB free). Free some space and run the "
                "same command again; what was done before is kept."
            ) from exc
        if exc.errno in REFUSED:
            raise StorageError(
                f"{path} cannot be written: {exc.strerror} ({exc.filename or path}). Give this user write "
                "access, or put the data elsewhere (data_root in conf/base/globals.yml), and run the same "
                "command again."
            ) from exc
        raise StorageError(
            f"{path} cannot be written: {exc}. Mend the disk and run the same command again."
        ) from exc


class LockHeldError(Exception):
    """Another process holds a lock.

    Attributes:
        holder: What that process said of itself; empty if it had not come to that.
    """

    def __init__(self, holder: str) -> None:
        """Keep what the holder said of itself."""
        super().__init__(holder)
        self.holder = holder


def take_lock(path: Path, holder: str) -> TextIO:
    """Take a lock that ends with this process, however that ends.

    Programs that this process starts do not inherit it.

    Args:
        path: The lock file; it is made if need be and stays.
        holder: What others are told while the lock is held.

    Returns:
        The open file; closing it gives the lock up.

    Raises:
        LockHeldError: Another process has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(holder)
        file.flush()
    except BlockingIOError:
        file.seek(0)
        other = file.read().strip()
        file.close()
        raise LockHeldError(other) from None
    except BaseException:
        file.close()
        raise
    return file


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Keep other processes from writing what a lock file stands for.

    Args:
        path: The lock file; see :func:`take_lock`.

    Yields:
        Nothing, while the lock is held.

    Raises:
        StorageError: Another process holds the lock.
    """
    try:
        file = take_lock(path, str(os.getpid()))
    except LockHeldError as exc:
        raise StorageError(
            f"{path.parent} is being written by another run (process {exc.holder or 'unknown'})."
            " Wait for it to end, or stop it, and run the same command again."
        ) from exc
    with file:
        yield
