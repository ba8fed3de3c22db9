"""Find skins that are the same, or nearly, among a million.

Three kinds, from narrow to wide:

- *Exact duplicates* have equal pixels, whatever their files (:func:`pixel_digest`).
- *Repeats* are one picture in several encodings or sizes: their perceptual hashes differ in few bits, their
  colours are equal as far as eyes can tell, and their legends as far as they can be read
  (:func:`find_repeats`). One is enough.
- *Near-duplicates* have perceptual hashes that differ in few bits, and no more is asked
  (:func:`near_duplicate_groups`). The hash sees the coarse grey picture, so skins of one design in other
  hues are 0 to 2 bits apart, and from 4 bits on skins of one layout with other text are linked too. All of
  these are wanted in training, but never divided between training and validation.

All searches are exact and use one index, :func:`close_pairs`.
"""

import base64
import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

HASH_BITS = 64
_HASH_SIDE = 8
_THUMBNAIL_SIDE = 32
COLOUR_SIDE = 12
"""Colours are compared on a grid of this many cells each way: coarse enough that re-encoding moves no cell
by a difference that eyes see, fine enough that one recoloured key does."""
_COLOURS_AT_ONCE = 4096
_ALIKE = str.maketrans("0il", "o11")

Positions = NDArray[np.intp]


# --- what is compared ---------------------------------------------------------------------------------


def pixel_digest(pixels: NDArray[np.uint8]) -> str:
    """Return the sha256 of a picture's size and pixels, 64 hex digits."""
    digest = hashlib.sha256(str(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def perceptual_hash(gray: NDArray[np.uint8]) -> str:
    """Hash the coarse look of a picture.

    The 8 x 8 lowest frequencies of its 32 x 32 thumbnail's cosine transform, each 1 where it lies above their
    median (the pHash of Zauner, 2010, as in the ``imagehash`` library, but for the thumbnail's filter). As
    half of the bits are 1, two hashes differ in an even number of bits, but for ties.

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


def colour_grid(pixels: NDArray[np.uint8]) -> str:
    """Return the mean colours of a picture's 12 x 12 cells.

    Args:
        pixels: uint8 RGB, (H, W, 3).

    Returns:
        576 base64 characters: RGB, row by row.
    """
    grid = cv2.resize(pixels, (COLOUR_SIDE, COLOUR_SIDE), interpolation=cv2.INTER_AREA)
    return base64.b64encode(grid.tobytes()).decode()


def decode_colours(grids: Sequence[str]) -> NDArray[np.uint8]:
    """Decode colour grids to uint8 RGB, (N, 144, 3)."""
    colours = np.empty((len(grids), COLOUR_SIDE**2, 3), dtype=np.uint8)
    for row, grid in zip(colours, grids, strict=True):
        row[:] = np.frombuffer(base64.b64decode(grid), np.uint8).reshape(row.shape)
    return colours


def colour_distances(firsts: NDArray[np.uint8], seconds: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Measure how far pictures differ in colour, where they differ most.

    Args:
        firsts: Colour grids, uint8 RGB, (N, 144, 3).
        seconds: Colour grids to compare them with, one each.

    Returns:
        float32, (N,): largest distance of two cells in CIELAB (CIE76); 2.3 is just noticeable (Mahy et al.,
        1994).
    """
    difference = _lab(firsts) - _lab(seconds)
    distances = np.sqrt(np.square(difference).sum(axis=2)).max(axis=1, initial=0)
    return np.asarray(distances, dtype=np.float32)


def _lab(grids: NDArray[np.uint8]) -> NDArray[np.float32]:
    if not len(grids):
        return grids.astype(np.float32)
    unit = grids.astype(np.float32) * np.float32(1 / 255)
    return np.asarray(cv2.cvtColor(unit, cv2.COLOR_RGB2LAB), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class PlacedText:
    """A legend and where it is, in units of the picture's width and height.

    Attributes:
        text: As it was read.
        x: Of its centre.
        y: Of its centre.
        width: Of the upright box around it.
        height: Of the upright box around it.
    """

    text: str
    x: float
    y: float
    width: float
    height: float


def legends_agree(firsts: Sequence[PlacedText], seconds: Sequence[PlacedText]) -> bool:
    """Say whether two pictures have the same legends, as far as they can be read.

    No two readings of a picture are the same: of 30 legends, a few are too unsure in one of them, and ``W``
    may be read as ``w``. So legends are compared where both pictures have one: none may say something else,
    and at least half of those of the picture with fewer must be found in the other. Case, punctuation and
    look-alikes (0 and o; 1, i and l) do not count.

    Args:
        firsts: Legends of a picture, only such that were read with confidence.
        seconds: Legends of another.
    """
    left = list(seconds)
    num_agreeing = 0
    for legend in firsts:
        partner = min(left, key=lambda other: _apartness(legend, other), default=None)
        if partner is None or _apartness(legend, partner) >= 1:
            continue
        if _plain(legend.text) != _plain(partner.text):
            return False
        left.remove(partner)
        num_agreeing += 1
    return 2 * num_agreeing >= min(len(firsts), len(seconds))


def _apartness(first: PlacedText, second: PlacedText) -> float:
    """Return how far two centres are apart: 1 is half of the smaller box, on either axis."""
    across = abs(first.x - second.x) / max(1e-9, min(first.width, second.width) / 2)
    down = abs(first.y - second.y) / max(1e-9, min(first.height, second.height) / 2)
    return max(across, down)


@cache
def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in folded if character.isalnum()).translate(_ALIKE)


# --- the index ----------------------------------------------------------------------------------------


def close_pairs(hashes: NDArray[np.uint64], max_bits: int) -> Iterator[tuple[Positions, Positions]]:
    """Yield each pair of hashes that differ in at most ``max_bits`` bits.

    Two hashes that differ in k bits agree in at least one of k + 1 bands of bits, so only hashes that share a
    band's value are compared (Manku et al., 2007): sorted by the band, each with the next, the next but one
    and so on, while any two share it. The result is exact; memory is a few arrays of the hashes' size;
    only the time depends on the data, and grows with the square of the largest cluster.

    Args:
        hashes: uint64, (N,).
        max_bits: 0 to 16. Larger numbers make bands too narrow to help.

    Yields:
        Positions of pairs, two arrays of one length, the smaller position in the first. Each pair comes once,
        in no certain order.
    """
    bands = _bands(max_bits + 1)
    for number, band in enumerate(bands):
        keys = hashes & band
        order = np.argsort(keys, kind="stable")
        keys, values = keys[order], hashes[order]
        for near, far in _sharing(keys[1:] == keys[:-1]):
            differences = values[near] ^ values[far]
            close = np.bitwise_count(differences) <= max_bits
            for earlier in bands[:number]:
                close &= (differences & earlier) != 0  # else that band has yielded the pair already
            if close.any():
                pairs = np.sort(np.stack([order[near[close]], order[far[close]]]), axis=0)
                yield pairs[0], pairs[1]


def _bands(count: int) -> list[np.uint64]:
    """Split 64 bits into masks of about equal width."""
    edges = [round(band * HASH_BITS / count) for band in range(count + 1)]
    return [np.uint64(((1 << (high - low)) - 1) << low) for low, high in pairwise(edges)]


def _sharing(same: NDArray[np.bool_]) -> Iterator[tuple[Positions, Positions]]:
    """Yield positions in a sorted list that share their key: neighbours first, then ever farther ones.

    Args:
        same: Whether the key at a position + 1 equals the one at the position.

    Yields:
        Positions and their partners.
    """
    near = np.flatnonzero(same)
    distance = 1
    while near.size:
        yield near, near + distance
        # Keys are sorted: a partner's successor shares the key if it equals the partner's.
        near = near[near + distance < len(same)]
        near = near[same[near + distance]]
        distance += 1


def _as_integers(hashes: Sequence[str]) -> NDArray[np.uint64]:
    return np.frombuffer(bytes.fromhex("".join(hashes)), dtype=">u8").astype(np.uint64)


def near_duplicate_pairs(hashes: Mapping[str, str], max_bits: int) -> Iterator[tuple[str, str]]:
    """Yield each pair of ids whose hashes differ in at most ``max_bits`` bits, once, in no certain order.

    Args:
        hashes: Perceptual hash by id, 16 hex digits each.
        max_bits: See :func:`close_pairs`.

    Yields:
        Pairs of ids, the smaller first.
    """
    ids = sorted(hashes)
    for firsts, seconds in close_pairs(_as_integers([hashes[item_id] for item_id in ids]), max_bits):
        for first, second in zip(firsts.tolist(), seconds.tolist(), strict=True):
            yield ids[first], ids[second]


# --- what follows from it -----------------------------------------------------------------------------


def near_duplicate_groups(hashes: Mapping[str, str], max_bits: int) -> list[list[str]]:
    """Join ids whose hashes are within ``max_bits`` of each other, directly or through others.

    Args:
        hashes: Perceptual hash by id, 16 hex digits each.
        max_bits: See :func:`close_pairs`.

    Returns:
        Groups of sorted ids, sorted by their first; a skin without near-duplicates is a group of one.
    """
    ids_by_hash: dict[str, list[str]] = defaultdict(list)
    for item_id in sorted(hashes):  # a thousand equal skins shall not make half a million pairs
        ids_by_hash[hashes[item_id]].append(item_id)
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


@dataclass(frozen=True, slots=True)
class Look:
    """What tells a skin from others.

    Attributes:
        phash: See :func:`perceptual_hash`.
        colours: See :func:`colour_grid`.
        record: Its ``legends`` are what is written on it, read with confidence: the fields of a
            :class:`PlacedText` each. They are asked for only when two skins look alike so far; a record may
            lie on the disk until then.
    """

    phash: str
    colours: str
    record: Mapping[str, Any]

    def legends(self) -> list[PlacedText]:
        """Read the legends."""
        return [PlacedText(*legend) for legend in self.record["legends"]]


@dataclass(frozen=True, slots=True)
class LookAlikes:
    """Two skins with close hashes and close colours.

    Attributes:
        first: Id, the smaller of the two.
        second: Id.
        bits: By how many bits their hashes differ.
        colour_distance: See :func:`colour_distances`.
    """

    first: str
    second: str
    bits: int
    colour_distance: float


def find_look_alikes(
    looks: Mapping[str, Look], max_bits: int, max_colour_distance: float
) -> Iterator[LookAlikes]:
    """Yield each pair of skins with close hashes and close colours, once, in no certain order.

    Args:
        looks: Look by id.
        max_bits: By how many bits their hashes may differ; see :func:`close_pairs`.
        max_colour_distance: How far their colours may differ; see :func:`colour_distances`.

    Yields:
        The pairs, whatever their legends are.
    """
    ids = sorted(looks)
    colours = decode_colours([looks[item_id].colours for item_id in ids])
    for firsts, seconds in close_pairs(_as_integers([looks[item_id].phash for item_id in ids]), max_bits):
        for start in range(0, len(firsts), _COLOURS_AT_ONCE):
            first, second = (side[start : start + _COLOURS_AT_ONCE] for side in (firsts, seconds))
            distances = colour_distances(colours[first], colours[second])
            for index in np.flatnonzero(distances <= max_colour_distance):
                pair = ids[first[index]], ids[second[index]]
                bits = hash_distance(looks[pair[0]].phash, looks[pair[1]].phash)
                yield LookAlikes(*pair, bits, round(float(distances[index]), 3))


def find_repeats(
    looks: Mapping[str, Look], max_bits: int, max_colour_distance: float
) -> dict[str, LookAlikes]:
    """Choose which skins to keep so that none of them repeats another; the first by id stays.

    Args:
        looks: Look by id.
        max_bits: See :func:`find_look_alikes`.
        max_colour_distance: See :func:`find_look_alikes`.

    Returns:
        For each id that is not kept, how it resembles the first kept id that it repeats; sorted by id.
    """
    by_second: dict[str, list[LookAlikes]] = defaultdict(list)
    for pair in find_look_alikes(looks, max_bits, max_colour_distance):
        by_second[pair.second].append(pair)
    repeats: dict[str, LookAlikes] = {}
    for item_id in sorted(by_second):
        for pair in sorted(by_second[item_id], key=lambda pair: pair.first):
            if pair.first not in repeats and have_same_legends(looks[pair.first], looks[item_id]):
                repeats[item_id] = pair
                break
    return repeats


def have_same_legends(first: Look, second: Look) -> bool:
    """Say whether the legends of two skins agree; see :func:`legends_agree`."""
    return legends_agree(first.legends(), second.legends())
