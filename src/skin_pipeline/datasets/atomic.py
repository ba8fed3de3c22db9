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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skin_pipeline.errors import StorageError

FULL = {errno.ENOSPC, errno.EDQUOT}
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


def temporary_path(path: Path) -> Path:
    """Return the name that a file has while it is being written: hidden, in the same folder."""
    return path.with_name(f".{hashlib.sha256(path.name.encode()).hexdigest()[:16]}.tmp")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside its place, flush it to the disk and rename it.

    Args:
        path: The file; its folder is made if need be.
        content: All of it.

    Raises:
        OSError: The folder cannot be written or is full; the old file, if any, is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Keep other processes from writing what a lock file stands for; the lock ends with the process.

    Args:
        path: The lock file; it is made if need be and stays.

    Yields:
        Nothing, while the lock is held.

    Raises:
        StorageError: Another process holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            file.seek(0)
            raise StorageError(
                f"{path.parent} is being written by another run (process {file.read().strip() or 'unknown'})."
                " Wait for it to end, or stop it, and run the same command again."
            ) from exc
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
