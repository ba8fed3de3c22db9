"""A limit on the cache of encodings that never takes away what a run needs. Loads no torch.

A run puts a *lease* into the cache's folder: a file that lists the encodings it uses, locked for as long as
the run lives (the system unlocks it when the process dies, however it dies). Eviction removes the encodings
used longest ago, but none that a locked lease lists. Leases are taken and encodings removed under one lock,
so nothing is removed between a run's lease and its look at what is there. Needs a file system with `flock`,
which on several machines means NFS 4 or the like.
"""

import fcntl
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

logger = logging.getLogger(__name__)

_LEASES = ".leases"
_GIB = 2**30


@contextmanager
def in_use(folder: Path, files: Iterable[Path]) -> Iterator[None]:
    """Keep encodings from eviction while the context is open, and count them as used now.

    Args:
        folder: The cache.
        files: Encodings below it; those that are not there yet are kept, too, once they are.
    """
    (folder / _LEASES).mkdir(parents=True, exist_ok=True)
    path = folder / _LEASES / uuid4().hex
    with path.open("w", encoding="utf-8") as lease:
        with _one_at_a_time(folder):
            fcntl.flock(lease, fcntl.LOCK_EX)
            for file in files:
                lease.write(f"{file.relative_to(folder).as_posix()}\n")
                if file.is_file():
                    os.utime(file)
            lease.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def evict(folder: Path, limit_gib: float) -> int:
    """Remove the encodings used longest ago until the rest keeps the limit.

    Args:
        folder: The cache.
        limit_gib: What all encodings may take, of all models and runs. What runs under way use stays, even if
            it is more; that is warned of.

    Returns:
        How many were removed.
    """
    removed = 0
    with _one_at_a_time(folder):
        kept = _leased(folder)
        found = [(file.stat(), file) for file in folder.rglob("*.safetensors")]
        total = sum(status.st_size for status, _ in found)
        for status, file in sorted(found, key=lambda entry: (entry[0].st_mtime_ns, entry[1])):
            if total <= limit_gib * _GIB:
                break
            if file.relative_to(folder).as_posix() not in kept:
                file.unlink()
                total -= status.st_size
                removed += 1
    if total > limit_gib * _GIB:
        logger.warning(
            "The encodings in use take %.2f GiB, more than train.cache_limit_gib (%g) allows; they stay.",
            total / _GIB,
            limit_gib,
        )
    return removed


def _leased(folder: Path) -> set[str]:
    """Return what runs under way use; leases of dead runs are removed."""
    kept: set[str] = set()
    for path in (folder / _LEASES).glob("*"):
        with path.open(encoding="utf-8") as lease:
            try:
                fcntl.flock(lease, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                kept.update(lease.read().splitlines())
            else:
                path.unlink(missing_ok=True)
    return kept


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
