"""Find skins that are the same, or nearly.

Exact duplicates have equal pixels, whatever their files. Near-duplicates have perceptual hashes that differ
in few bits. The hash sees the coarse grey picture: other encodings and sizes of a picture are 0 to 2 bits
apart, and so are skins of one design in other hues; from 4 bits on, skins of one layout with other text are
linked too. All of these are wanted in training, so near-duplicates are dropped on demand only, but never
divided between training and validation.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

HASH_BITS = 64
_HASH_SIDE = 8
_THUMBNAIL_SIDE = 32


def pixel_digest(pixels: NDArray[np.uint8]) -> str:
    """Return the sha256 of a picture's size and pixels, 64 hex digits."""
    digest = hashlib.sha256(str(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def perceptual_hash(gray: NDArray[np.uint8]) -> str:
    """Hash the coarse look of a picture.

    The 8 x 8 lowest frequencies of its 32 x 32 thumbnail's cosine transform, each 1 where it lies above their
    median (the pHash of Zauner, 2010, as in the ``imagehash`` library, but for the thumbnail's filter).

    Args:
        gray: uint8, (H, W).

    Returns:
        16 hex digits, 64 bits, row by row.
    """
    thumbnail = cv2.resize(gray, (_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
    frequencies = cv2.dct(thumbnail.astype(np.float32))[:_HASH_SIDE, :_HASH_SIDE]
    return np.packbits(frequencies > np.median(frequencies)).tobytes().hex()


def hash_distance(first: str, second: str) -> int:
    """Count the bits in which two perceptual hashes differ, 0 to 64."""
    return (int(first, 16) ^ int(second, 16)).bit_count()


def near_duplicate_pairs(hashes: Mapping[str, str], max_bits: int) -> Iterator[tuple[str, str]]:
    """Yield each pair of ids whose hashes differ in at most ``max_bits`` bits, once, in no certain order.

    Two hashes that differ in k bits agree in at least one of k + 1 bands of bits, so only ids that share a
    band's value are compared (Manku et al., 2007). The result is exact; only the time depends on the data.

    Args:
        hashes: Perceptual hash by id, 16 hex digits each.
        max_bits: 0 to 16. Larger numbers make bands too narrow to help.

    Yields:
        Pairs of ids, the smaller first.
    """
    ids = sorted(hashes)
    values = np.array([int(hashes[item_id], 16) for item_id in ids], dtype=np.uint64)
    bands = _bands(max_bits + 1)
    for number, band in enumerate(bands):
        for members in _sharing(values & band):
            for position, member in enumerate(members[:-1]):
                others = members[position + 1 :]
                differences = values[others] ^ values[member]
                close = np.bitwise_count(differences) <= max_bits
                for earlier in bands[:number]:
                    close &= (differences & earlier) != 0  # else that band has yielded the pair already
                for other in others[close]:
                    yield ids[member], ids[other]


def _bands(count: int) -> list[np.uint64]:
    """Split 64 bits into masks of about equal width."""
    edges = [round(band * HASH_BITS / count) for band in range(count + 1)]
    return [np.uint64(((1 << (high - low)) - 1) << low) for low, high in pairwise(edges)]


def _sharing(keys: NDArray[np.uint64]) -> list[NDArray[np.intp]]:
    """Return the ascending positions of each value that occurs more than once."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order])) + 1
    return [positions for positions in np.split(order, starts) if len(positions) > 1]


def near_duplicate_groups(hashes: Mapping[str, str], max_bits: int) -> list[list[str]]:
    """Join ids whose hashes are within ``max_bits`` of each other, directly or through others.

    Args:
        hashes: Perceptual hash by id, 16 hex digits each.
        max_bits: See :func:`near_duplicate_pairs`.

    Returns:
        Groups of sorted ids, sorted by their first; a skin without near-duplicates is a group of one.
    """
    ids_by_hash = _ids_by_hash(hashes)
    parents = {ids[0]: ids[0] for ids in ids_by_hash.values()}

    def root(item_id: str) -> str:
        while parents[item_id] != item_id:
            parents[item_id] = item_id = parents[parents[item_id]]
        return item_id

    for pair in near_duplicate_pairs({item_id: hashes[item_id] for item_id in parents}, max_bits):
        first, second = sorted(map(root, pair))
        parents[second] = first
    groups: dict[str, list[str]] = defaultdict(list)
    for ids in ids_by_hash.values():
        groups[root(ids[0])].extend(ids)
    return sorted(sorted(group) for group in groups.values())


def near_duplicates_of_kept(hashes: Mapping[str, str], max_bits: int) -> dict[str, str]:
    """Choose which skins to keep so that no two of them are near-duplicates; the first by id stays.

    Args:
        hashes: Perceptual hash by id, 16 hex digits each.
        max_bits: See :func:`near_duplicate_pairs`.

    Returns:
        For each id that is not kept, the kept id that it is near to.
    """
    ids_by_hash = _ids_by_hash(hashes)
    firsts = {ids[0]: hash_ for hash_, ids in ids_by_hash.items()}
    smaller: dict[str, list[str]] = defaultdict(list)
    for first, second in near_duplicate_pairs(firsts, max_bits):
        smaller[second].append(first)
    near: dict[str, str] = {}
    for item_id in sorted(firsts):
        kept = min((other for other in smaller[item_id] if other not in near), default=None)
        if kept is not None:
            near[item_id] = kept
    for first, *others in ids_by_hash.values():
        near.update(dict.fromkeys(others, near.get(first, first)))
    return near


def _ids_by_hash(hashes: Mapping[str, str]) -> dict[str, list[str]]:
    """Group equal hashes, so that a thousand equal skins do not make half a million pairs."""
    ids_by_hash: dict[str, list[str]] = defaultdict(list)
    for item_id in sorted(hashes):
        ids_by_hash[hashes[item_id]].append(item_id)
    return ids_by_hash
