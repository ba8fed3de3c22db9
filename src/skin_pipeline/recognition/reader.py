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
* The recogniser cannot tell ``w`` from ``W``, nor the top of an ``i`` from a dot, nor a magnifying glass from
  ``Q``; the other letters of the keyboard can (:mod:`.agreement`).
* A crop is cut from the picture at its original size, whatever size it was detected at.

Quads follow the convention of :mod:`skin_pipeline.geometry`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skin_pipeline.geometry import TALL, FloatArray, as_quads, clip_quads
from skin_pipeline.recognition.agreement import agree_with_layout, settle_case
from skin_pipeline.recognition.crops import level_short_quads, split_row, straighten, tighten_quad
from skin_pipeline.recognition.overlaps import count_characters, drop_duplicates, drop_nested, is_spread
from skin_pipeline.recognition.paddle_models import load_detector
from skin_pipeline.recognition.read_text import ReadText
from skin_pipeline.recognition.recognizers import PaddleRecognizer
from skin_pipeline.recognition.weights import TextWeights

SURE = 0.9
"""A reading of such a quad above this confidence is not questioned."""
CERTAIN = 0.99
"""Words below this confidence are read again, cut out more closely; the surer reading counts."""

LETTER_GAP, WORD_GAP = 0.2, 0.6
"""Gaps, in heights of a row, that separate single letters on keys, and words on keys or candidates."""
ROW_PARTS = 0.8
"""Letters are cut apart if that gives at least this many parts for each."""
AGREEMENT = 0.6
"""Least similarity of a row's text and its parts' (Ratcliff and Obershelp), 0 to 1, to believe the parts."""

Image = NDArray[np.uint8]


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
        self._recogniser = PaddleRecognizer(weights, num_threads=num_threads)

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
        found = [replace(text, quad=tighten_quad(image, text.quad)) for text in _settle(quads, readings)]
        found = self._look_again(image, found)
        agreed = agree_with_layout(found, partial(self._read_cells, image))
        return sorted(agreed, key=lambda read: (float(read.quad[0, 1]), float(read.quad[0, 0])))

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

    def read_quads(self, image: Image, quads: ArrayLike) -> list[tuple[str, float]]:
        """Read the text inside given quads.

        Args:
            image: RGB, (H, W, 3).
            quads: (N, 4, 2), pixels of the picture.

        Returns:
            Text (it may be empty) and confidence, one for each quad.
        """
        crops = [straighten(image, quad) for quad in as_quads(quads)]
        readings = self._recogniser.recognize(crops)
        doubtful = [
            index
            for index, (crop, (_, confidence)) in enumerate(zip(crops, readings, strict=True))
            if crop.shape[0] >= TALL * crop.shape[1] and confidence < SURE
        ]
        turned = self._recogniser.recognize([np.rot90(crops[index]) for index in doubtful])
        for index, (text, confidence) in zip(doubtful, turned, strict=True):
            # One character alone is no vertical text: it is an upright I that looks like a turned 一.
            if len(text) > 1 and confidence > readings[index][1]:
                readings[index] = (text, confidence)
        return readings

    def _look_again(self, image: Image, found: Sequence[ReadText]) -> list[ReadText]:
        """Read words that are not sure a second time, without what the detector left around them."""
        doubtful = [
            index
            for index, text in enumerate(found)
            if count_characters(text.text) > 1 and text.confidence < CERTAIN
        ]
        said = dict(zip(doubtful, self.read_quads(image, [found[at].quad for at in doubtful]), strict=True))
        return [
            replace(text, text=said[index][0], confidence=said[index][1])
            if index in said and said[index][1] > text.confidence
            else text
            for index, text in enumerate(found)
        ]

    def _read_cells(self, image: Image, cells: FloatArray) -> list[tuple[FloatArray, str, float]]:
        """Read places where characters should be: of each the quad around its ink, text and confidence."""
        quads = as_quads([tighten_quad(image, cell) for cell in cells])
        readings = self._recogniser.recognize([straighten(image, quad) for quad in quads])
        return [(quad, *reading) for quad, reading in zip(quads, readings, strict=True)]

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
    """Keep one reading of each place, give letters the keyboard's case."""
    kept = [index for index, (text, _) in enumerate(readings) if text]
    texts = [readings[index][0] for index in kept]
    confidences = [readings[index][1] for index in kept]
    places = drop_nested(quads[kept], texts, confidences)
    settled = settle_case([texts[place] for place in places], [confidences[place] for place in places])
    found = [ReadText(texts[place], confidences[place], quads[kept[place]]) for place in places]
    return [
        text if text.text == case else text.corrected(case, text.confidence)
        for text, case in zip(found, settled, strict=True)
    ]


def _as_bgr(image: Image) -> Image:
    """The networks were trained on OpenCV's channel order, and paddleocr takes arrays as they are."""
    return np.ascontiguousarray(image[..., ::-1])
