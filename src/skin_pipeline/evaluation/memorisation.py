"""Whether generated pictures are training pictures over again.

Each picture is compared with all training pictures as eyes see them from afar: thumbnails of 32 x 32 pixels
in CIELAB, by the root mean square of their difference (CIE76; 2.3 is just noticeable, Mahy et al. 1994). The
perceptual hash that keeps near-duplicates out of the held-out skins (:mod:`skin_pipeline.prep.duplicates`) is
given for the nearest one; it sees shapes and no colours.

A small distance alone says little where all skins of a kind are alike, so it is set in proportion to how far
that training picture is from the nearest other training picture (Alaa et al. 2022, "authenticity"): below 1
the generated picture lies nearer to it than any sibling does. Of independent draws from the same skins,
about half lie below 1, so the figure to compare with is that of real held-out pictures.

A *copy* is a generated picture for which two things hold. It lies nearer to a training picture than
:data:`COPY_SHARE` (half) of the distance that held-out real pictures have to theirs, the median of them:
more than half of the real pictures lie beyond that by the limit's making, and so does the dullest picture,
the mean of all training pictures, which lies nearer to each of them than they lie to each other by a factor
of 1/√2 = 0.71 only. And their perceptual hashes differ in at most :data:`COPY_BITS` of 64 bits: where
pictures are mostly one colour, an empty picture of that colour lies near, too, but has other shapes. Skins
that were saved as JPEG of quality 8, or made small by 16 and large again, were at a distance of 1 to 7 from
their originals and 0 to 4 bits (one of four circles: 18), real held-out skins at 16 to 33 and 8 to 36 bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np
import numpy.typing as npt

from skin_pipeline.colours import to_lab
from skin_pipeline.errors import InputError
from skin_pipeline.prep.duplicates import hash_distance, perceptual_hash

THUMBNAIL_SIDE = 32
COPY_SHARE = 0.5
COPY_BITS = 10
_EXACTLY = 16
"""So many of the roughly nearest are compared exactly."""

Thumbnail = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Nearest:
    """The training picture most like a generated one."""

    skin: str
    """Its id."""
    distance: float
    """Root mean square difference of the thumbnails in CIELAB, 0 or more."""
    proportion: float
    """``distance`` over that of the training picture to its own nearest other one; infinite if that is 0
    and this is not, 0 if this is."""
    hash_bits: int
    """Bits of 64 in which the perceptual hashes differ."""


class TrainingPictures:
    """All training pictures, small, to look for the nearest in."""

    def __init__(self, pictures: Iterable[tuple[str, npt.NDArray[np.uint8]]]) -> None:
        """Make thumbnails of them.

        Args:
            pictures: Id and picture (H, W, 3) uint8 RGB of each; read one after another.

        Raises:
            InputError: There are fewer than two.
        """
        kept = [(skin, thumbnail(picture), _hash(picture)) for skin, picture in pictures]
        if len(kept) < 2:
            raise InputError(
                f"To see whether training pictures were memorised takes at least 2 of them, got {len(kept)}."
            )
        kept.sort(key=lambda one: one[0])
        self._between: dict[int, float] = {}
        self._skins = [skin for skin, _, _ in kept]
        self._hashes = [digest for _, _, digest in kept]
        stack = np.stack([small.ravel() for _, small, _ in kept])
        self._mean = stack.mean(axis=0)
        self._centred = stack - self._mean
        self._squares = np.square(self._centred).sum(axis=1)

    def nearest(self, picture: npt.NDArray[np.uint8], leave_out: str | None = None) -> Nearest:
        """Find the training picture most like a picture.

        Args:
            picture: (H, W, 3) uint8 RGB.
            leave_out: The id of a training picture not to compare with: the picture itself.
        """
        itself = self._skins.index(leave_out) if leave_out in self._skins else None
        index, distance = self._search(thumbnail(picture).ravel() - self._mean, itself)
        between = self._to_its_nearest(index)
        return Nearest(
            skin=self._skins[index],
            distance=distance,
            proportion=0.0 if distance == 0 else (distance / between if between else float("inf")),
            hash_bits=hash_distance(_hash(picture), self._hashes[index]),
        )

    def _to_its_nearest(self, index: int) -> float:
        """Return how far a training picture is from the nearest other one."""
        if index not in self._between:
            self._between[index] = self._search(self._centred[index], index)[1]
        return self._between[index]

    def _search(self, small: Thumbnail, leave_out: int | None) -> tuple[int, float]:
        """Return place and distance of the nearest: all by a product of matrices, the first few exactly."""
        rough = self._squares - 2 * (self._centred @ small)
        if leave_out is not None:
            rough[leave_out] = np.inf
        few = np.sort(np.argsort(rough, kind="stable")[:_EXACTLY])
        exact = np.square(self._centred[few] - small, dtype=np.float64).sum(axis=1)
        exact[few == leave_out] = np.inf
        best = int(exact.argmin())
        return int(few[best]), float(np.sqrt(exact[best]) / THUMBNAIL_SIDE)


def is_copy(nearest: Nearest, limit: float) -> bool:
    """Tell whether a generated picture is the training picture nearest to it.

    Args:
        nearest: That training picture.
        limit: Of :func:`copy_limit`.
    """
    return nearest.distance < limit and nearest.hash_bits <= COPY_BITS


def copy_limit(training: TrainingPictures, held_out: Iterable[npt.NDArray[np.uint8]]) -> float:
    """Return the distance to the nearest training picture below which a picture of its shapes is a copy.

    Args:
        training: All training pictures.
        held_out: Real pictures that were not trained on, (H, W, 3) uint8 RGB; at least one.

    Returns:
        :data:`COPY_SHARE` of the median of their distances, in CIELAB.
    """
    return COPY_SHARE * median(training.nearest(picture).distance for picture in held_out)


def thumbnail(picture: npt.NDArray[np.uint8]) -> Thumbnail:
    """Return a picture (H, W, 3) uint8 RGB as 32 x 32 pixels in CIELAB, (32, 32, 3)."""
    small = cv2.resize(picture, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(to_lab(small), dtype=np.float32)


def _hash(picture: npt.NDArray[np.uint8]) -> str:
    return perceptual_hash(np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8))
