"""Finding near-duplicates among a million skins: CPU time and memory of the index, and whether it is exact.

Hashes are of two kinds. ``uniform`` ones are random bits: the case that bands are made for. ``families`` are
what a real set looks like: designs in fifty variants each, whose hashes are 0 to 12 bits apart. ``faiss``, if
it is installed, is the yardstick: its binary multi-hash index with four bands, exact for up to 3 bits too.
Every measurement runs in a process of its own; memory is the process's peak above what it had before.

    python benchmarks/near_duplicates.py [--quick]
"""

import argparse
import json
import multiprocessing
import platform
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skin_pipeline.prep.duplicates import (
    Look,
    close_pairs,
    colour_grid,
    find_repeats,
    near_duplicate_groups,
)

MAX_BITS = 3
FAMILY = 50
"""Variants of a design."""
NUM_HUES = 20
"""Skins come in so many colours."""

Hashes = NDArray[np.uint64]


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure everything and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="20,000 hashes")
    parser.add_argument("--num", type=int, default=1_000_000, help="hashes")
    parser.add_argument("--num-checked", type=int, default=20_000, help="hashes compared one by one")
    options = parser.parse_args(arguments)
    if options.quick:
        options.num, options.num_checked = 20_000, 2_000
    methods = [name for name in METHODS if name != "faiss" or find_spec("faiss")]
    figures = {
        "benchmark": "near_duplicates",
        "num_hashes": options.num,
        "max_bits": MAX_BITS,
        "machine": platform.machine(),
        "exact": {kind: is_exact(make(kind, options.num_checked)) for kind in KINDS},
        "kinds": {
            kind: {name: in_own_process(name, make(kind, options.num)) for name in methods} for kind in KINDS
        },
    }
    report(figures)
    return figures


def uniform(count: int) -> Hashes:
    """Draw random hashes."""
    return np.random.default_rng(0).integers(0, 2**64, count, dtype=np.uint64)


def families(count: int) -> Hashes:
    """Draw designs and, for each, variants that differ from it in 0 to 12 bits."""
    generator = np.random.default_rng(0)
    designs = generator.integers(0, 2**64, -(-count // FAMILY), dtype=np.uint64)
    hashes = np.repeat(designs, FAMILY)[:count]
    flips = generator.integers(0, 13, count)
    for number in range(12):
        bits = np.uint64(1) << generator.integers(0, 64, count, dtype=np.uint64)
        hashes = np.where(flips > number, hashes ^ bits, hashes)
    return hashes


KINDS: dict[str, Callable[[int], Hashes]] = {"uniform": uniform, "families": families}


def make(kind: str, count: int) -> Hashes:
    """Make hashes of a kind."""
    return KINDS[kind](count)


def is_exact(hashes: Hashes) -> bool:
    """Compare the index with comparing all hashes with all."""
    found = {
        pair
        for firsts, seconds in close_pairs(hashes, MAX_BITS)
        for pair in zip(firsts.tolist(), seconds.tolist(), strict=True)
    }
    expected = set()
    for first, value in enumerate(hashes):
        close = np.flatnonzero(np.bitwise_count(hashes[first + 1 :] ^ value) <= MAX_BITS)
        expected.update((first, first + 1 + int(second)) for second in close)
    return found == expected


# --- what is measured ---------------------------------------------------------------------------------


def pairs(hashes: Hashes) -> int:
    """Count pairs by the index of this project."""
    return sum(len(firsts) for firsts, _ in close_pairs(hashes, MAX_BITS))


def groups(hashes: Hashes) -> int:
    """Count groups, as the split into training and validation makes them."""
    return len(near_duplicate_groups(named(hashes), MAX_BITS))


def repeats(hashes: Hashes) -> int:
    """Count skins that are left out as repeats, with colours and legends compared, too."""
    hues = np.random.default_rng(1).integers(0, 256, (NUM_HUES, 1, 1, 3), dtype=np.uint8)
    grids = [colour_grid(np.broadcast_to(hue, (12, 12, 3))) for hue in hues]
    legends = [(text, 0.1 * place, 0.5, 0.05, 0.1) for place, text in enumerate("qwertyuiop")]
    looks = {
        item_id: Look(hash_, grids[number % NUM_HUES], {"legends": legends})
        for number, (item_id, hash_) in enumerate(named(hashes).items())
    }
    return len(find_repeats(looks, MAX_BITS, 2.3))


def faiss(hashes: Hashes) -> int:
    """Count pairs by faiss."""
    import faiss as library  # type: ignore[import-not-found]

    library.omp_set_num_threads(1)
    index = library.IndexBinaryMultiHash(64, 4, 16)
    index.nflip = 0
    rows = hashes.view(np.uint8).reshape(-1, 8)
    index.add(rows)
    total = 0
    for start in range(0, len(rows), 50_000):
        limits, _, _ = index.range_search(rows[start : start + 50_000], MAX_BITS + 1)
        total += int(limits[-1])
    return (total - len(rows)) // 2


METHODS: dict[str, Callable[[Hashes], int]] = {
    "pairs": pairs,
    "groups": groups,
    "repeats": repeats,
    "faiss": faiss,
}


def named(hashes: Hashes) -> dict[str, str]:
    """Give hashes the ids that skins would have."""
    return {f"set/skin_{number:07}": f"{value:016x}" for number, value in enumerate(hashes.tolist())}


def in_own_process(method: str, hashes: Hashes) -> dict[str, float]:
    """Measure a method in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (method, hashes))


def measure(method: str, hashes: Hashes) -> dict[str, float]:
    """Return what a method finds, its CPU seconds and the memory it needed beyond its hashes."""
    METHODS[method](hashes[:1000])  # imports and first-call costs are not the index's
    before_mib, started = peak_mib(), time.process_time()
    found = METHODS[method](hashes)
    return {
        "found": found,
        "cpu_seconds": round(time.process_time() - started, 2),
        "memory_mib": round(peak_mib() - before_mib),
    }


def peak_mib() -> float:
    """Return the most memory that this process has had (Linux; ru_maxrss would count its parent's, too)."""
    (line,) = [
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")
    ]
    return int(line.split()[1]) / 1024


def report(figures: dict[str, Any]) -> None:
    """Print the table, and the figures as one line of JSON."""
    print(f"{'':10}{'':10}{'found':>12}{'CPU s':>10}{'MiB':>8}")
    for kind, methods in figures["kinds"].items():
        for method, row in methods.items():
            print(
                f"{kind:10}{method:10}{row['found']:>12,}{row['cpu_seconds']:>10.2f}{row['memory_mib']:>8.0f}"
            )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
