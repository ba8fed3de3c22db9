"""Reading the legends of a skin: where text is, and what it says.

The networks are made for lines of print. A keyboard has big lonely characters instead, and some things
are done about that:

* The detector looks at the picture at several sizes, because it misses a character that is too large for
  it at one size and one that is too small at another. What it finds is merged (:mod:`.overlaps`).
* A tall narrow box (``I``, ``l``, ``1``) is read upright, and where that is unsure, turned by a quarter;
  turned counts if it gives several characters more surely. OCR of print takes every such box for vertical
  text and turns it, so it reads ``I`` as ``一``.
* Keys without borders look like a line of print to the detector. A line with wide gaps is cut at them.
* A box about as wide as high has no direction of its own; if it leans a little, it is set upright.
* The detector's boxes are more or less wide; those given are the ink and an even margin around it.
* The recogniser cannot tell ``w`` from ``W``; the other letters of the keyboard can (:mod:`.agreement`).
* A crop is cut from the picture at its original size, whatever size it was detected at.

Quads follow the convention of :mod:`skin_pipeline.geometry`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import NDArray

from skin_pipeline.geometry import FloatArray, as_quads, clip_quads
from skin_pipeline.recognition.agreement import settle_case
from skin_pipeline.recognition.crops import level_short_quads, split_row, straighten, tighten_quad
from skin_pipeline.recognition.overlaps import count_characters, drop_duplicates, drop_nested, is_spread
from skin_pipeline.recognition.paddle_models import load_detector, load_recogniser
from skin_pipeline.recognition.weights import TextWeights

TALL = 1.5
"""A quad this many times higher than wide may hold vertical text (PaddleOCR's own limit)."""
SURE = 0.9
"""A reading of such a quad above this confidence is not questioned."""

LETTER_GAP, WORD_GAP = 0.2, 0.6
"""Gaps, in heights of a row, that separate single letters on keys, and words on keys or candidates."""
ROW_PARTS = 0.8
"""Letters are cut apart if that gives at least this many parts for each."""
AGREEMENT = 0.6
"""Least similarity of a row's text and its parts' (Ratcliff and Obershelp), 0 to 1, to believe the parts."""

_HALF_WIDTH = {
    ord(first) + offset: ord(first) + offset - 0xFEE0
    for first, count in (("０", 10), ("Ａ", 26), ("ａ", 26))
    for offset in range(count)
}
"""Full-width letters and digits, which letters with wide gaps are read as, to plain ones. Punctuation stays
as it is: ， is a legend of its own."""

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class ReadText:
    """One piece of text in a picture."""

    text: str
    """What it says; never empty."""
    confidence: float
    """The recogniser's mean probability over the characters, 0 to 1."""
    quad: FloatArray
    """Where it is: (4, 2), pixels of the picture read."""
    read_as: str | None = None
    """What the recogniser alone read, where the other legends of the keyboard corrected its case."""


@dataclass(frozen=True)
class ReaderSettings:
    """How the detector looks. The defaults were measured on drawn 26-key and 9-key skins of 1080 x 810."""

    detection_sides_px: tuple[int, ...] = (512, 896)
    """The picture is searched at each of these lengths of its longer side, but never enlarged."""
    pixel_threshold: float = 0.2
    """A pixel counts as text above this probability, 0 to 1."""
    box_threshold: float = 0.3
    """A box is kept if its pixels' mean probability is above this, 0 to 1."""
    unclip_ratio: float = 1.6
    """How far a box is widened beyond the text's core, as DB defines it."""
    batch_size: int = 16
    """Crops that are recognised at once."""


class TextReader:
    """PP-OCR through paddleocr, on the CPU."""

    def __init__(
        self, weights: TextWeights, settings: ReaderSettings | None = None, *, num_threads: int = 1
    ) -> None:
        """Load both networks.

        Args:
            weights: See :mod:`skin_pipeline.recognition.weights`.
            settings: How the detector looks.
            num_threads: Threads of each network. Several workers with one thread each read more pictures a
                second than one worker with several.
        """
        self._settings = settings or ReaderSettings()
        self._detector = load_detector(weights.detection, num_threads=num_threads)
        self._recogniser = load_recogniser(weights.recognition, num_threads=num_threads)

    def read(self, image: Image) -> list[ReadText]:
        """Find and read all text in a picture.

        Args:
            image: RGB, (H, W, 3).

        Returns:
            What was read at any confidence, top to bottom and left to right. No two quads cover each other.
        """
        quads = self.detect(image)
        readings = self.read_quads(image, quads)
        quads, readings = self._cut_rows(image, quads, readings)
        found = _settle(quads, readings)
        return [replace(text, quad=tighten_quad(image, text.quad)) for text in found]

    def detect(self, image: Image) -> FloatArray:
        """Find text at every detection size and merge what was found.

        Args:
            image: RGB, (H, W, 3).

        Returns:
            Quads, (N, 4, 2), in pixels of the picture.
        """
        longer = max(image.shape[:2])
        sides = sorted({min(side, longer) for side in self._settings.detection_sides_px})
        found = [self._detect_at(image, side) for side in sides]
        quads = np.concatenate([quads for quads, _ in found])
        scores = np.concatenate([scores for _, scores in found])
        quads = clip_quads(level_short_quads(quads), (image.shape[1], image.shape[0]))
        return quads[drop_duplicates(quads, scores)]

    def read_quads(self, image: Image, quads: FloatArray) -> list[tuple[str, float]]:
        """Read the text inside given quads.

        Args:
            image: RGB, (H, W, 3).
            quads: (N, 4, 2), pixels of the picture.

        Returns:
            Text (it may be empty) and confidence, one for each quad.
        """
        crops = [straighten(image, quad) for quad in as_quads(quads)]
        readings = self.recognise(crops)
        doubtful = [
            index
            for index, (crop, (_, confidence)) in enumerate(zip(crops, readings, strict=True))
            if crop.shape[0] >= TALL * crop.shape[1] and confidence < SURE
        ]
        turned = self.recognise([np.rot90(crops[index]) for index in doubtful])
        for index, (text, confidence) in zip(doubtful, turned, strict=True):
            # One character alone is no vertical text: it is an upright I that looks like a turned 一.
            if len(text) > 1 and confidence > readings[index][1]:
                readings[index] = (text, confidence)
        return readings

    def recognise(self, crops: Sequence[Image]) -> list[tuple[str, float]]:
        """Read crops of one line each.

        Args:
            crops: RGB pictures of any size.

        Returns:
            Text (it may be empty; letters and digits of half width) and confidence, one for each crop, in
            their order.
        """
        if not crops:
            return []
        # A batch is padded to its widest crop, so crops of like proportions go together.
        order = sorted(range(len(crops)), key=lambda index: crops[index].shape[1] / crops[index].shape[0])
        readings = self._recogniser.predict(
            [_as_bgr(crops[index]) for index in order], batch_size=self._settings.batch_size
        )
        by_index = dict(zip(order, readings, strict=True))
        found = [by_index[index] for index in range(len(crops))]
        return [
            (str(reading["rec_text"]).strip().translate(_HALF_WIDTH), float(reading["rec_score"]))
            for reading in found
        ]

    def _cut_rows(
        self, image: Image, quads: FloatArray, readings: Sequence[tuple[str, float]]
    ) -> tuple[FloatArray, list[tuple[str, float]]]:
        """Replace each quad that holds a row of legends by theirs, if they say what the row said."""
        parts = [cut_legends(image, quad, text) for quad, (text, _) in zip(quads, readings, strict=True)]
        said = iter(self.read_quads(image, as_quads([quad for cut in parts for quad in cut])))
        new_quads: list[FloatArray] = []
        new_readings: list[tuple[str, float]] = []
        for quad, reading, cut in zip(quads, readings, parts, strict=True):
            part_readings = [next(said) for _ in cut]
            if len(cut) and _agree(reading[0], [text for text, _ in part_readings]):
                new_quads += list(cut)
                new_readings += part_readings
            else:
                new_quads.append(quad)
                new_readings.append(reading)
        return as_quads(new_quads), new_readings

    def _detect_at(self, image: Image, side_px: int) -> tuple[FloatArray, FloatArray]:
        """Return quads (N, 4, 2) and scores (N,) found with the picture's longer side at this length."""
        result = self._detector.predict(
            _as_bgr(image),
            limit_side_len=side_px,
            limit_type="max",
            thresh=self._settings.pixel_threshold,
            box_thresh=self._settings.box_threshold,
            unclip_ratio=self._settings.unclip_ratio,
        )[0]
        quads = as_quads(result["dt_polys"])
        # The detector gives indices of pixels of the smaller picture; their centres lie half a pixel further.
        half_pixel = 0.5 * max(image.shape[:2]) / side_px
        return quads + half_pixel, np.asarray(result["dt_scores"], dtype=np.float64)


def cut_legends(image: Image, quad: FloatArray, text: str) -> FloatArray:
    """Cut a quad into the legends it seems to hold.

    Args:
        image: RGB, (H, W, 3).
        quad: (4, 2).
        text: What was read in it.

    Returns:
        Two quads or more, (N, 4, 2), or none if it seems to hold a single legend.
    """
    count = count_characters(text)
    if count < 2:
        return as_quads([])
    if text.isascii() and is_spread(quad, text):
        letters = split_row(image, quad, LETTER_GAP)
        if len(letters) >= max(2, ROW_PARTS * count):
            return letters
    words = split_row(image, quad, WORD_GAP)
    return words if len(words) > 1 else as_quads([])


def _agree(whole: str, parts: Sequence[str]) -> bool:
    """Say whether the parts of a row say about what the row said."""
    one, other = "".join(whole.split()).lower(), "".join("".join(parts).split()).lower()
    return all(parts) and SequenceMatcher(None, one, other, autojunk=False).ratio() >= AGREEMENT


def _settle(quads: FloatArray, readings: Sequence[tuple[str, float]]) -> list[ReadText]:
    """Keep one reading of each place, give letters the keyboard's case, and sort from the top left."""
    kept = [index for index, (text, _) in enumerate(readings) if text]
    texts = [readings[index][0] for index in kept]
    confidences = [readings[index][1] for index in kept]
    places = drop_nested(quads[kept], texts, confidences)
    settled = settle_case([texts[place] for place in places], [confidences[place] for place in places])
    found = [
        ReadText(text, confidences[place], quads[kept[place]], None if text == texts[place] else texts[place])
        for place, text in zip(places, settled, strict=True)
    ]
    return sorted(found, key=lambda read: (float(read.quad[0, 1]), float(read.quad[0, 0])))


def _as_bgr(image: Image) -> Image:
    """The networks were trained on OpenCV's channel order, and paddleocr takes arrays as they are."""
    return np.ascontiguousarray(image[..., ::-1])
