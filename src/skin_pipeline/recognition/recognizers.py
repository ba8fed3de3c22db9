"""Recognisers: what turns crops of one line each into text.

:class:`Recognizer` is what every metric and every reader asks for. :class:`PaddleRecognizer` is the engine
that reads skins for training; :class:`skin_pipeline.recognition.tesseract.TesseractRecognizer` is one that
no training ever saw, for measuring.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from skin_pipeline.recognition.paddle_models import load_recogniser
from skin_pipeline.recognition.weights import TextWeights

Image = NDArray[np.uint8]

BATCH_SIZE = 16
"""Crops that are recognised at once."""
INPUT_HEIGHT_PX = 48
"""Height to which PP-OCR scales every crop."""
LEAST_INPUT_WIDTH_PX = 160
"""Narrower crops are padded to this width by the embedded weights' description."""

_HALF_WIDTH = {
    ord(first) + offset: ord(first) + offset - 0xFEE0
    for first, count in (("０", 10), ("Ａ", 26), ("ａ", 26))
    for offset in range(count)
}
"""Full-width letters and digits, which letters with wide gaps are read as, to plain ones. Punctuation stays
as it is: ， is a legend of its own."""


class Recognizer(Protocol):
    """Reads crops of one line of text each."""

    @property
    def name(self) -> str:
        """Engine and weights, for a record."""
        ...

    def recognize(self, crops: Sequence[Image]) -> list[tuple[str, float]]:
        """Read crops.

        Args:
            crops: RGB pictures, (H, W, 3) uint8, of any size; one line of text each, upright, that fills its
                crop but for a narrow margin.

        Returns:
            Text (it may be empty) and confidence from 0 to 1, one for each crop, in their order. What a crop
            says depends on that crop alone, not on the others or on their order.
        """
        ...


class PaddleRecognizer:
    """The recogniser of PP-OCR, through paddleocr on onnxruntime."""

    def __init__(self, weights: TextWeights, *, num_threads: int = 1) -> None:
        """Load the network.

        Args:
            weights: See :mod:`skin_pipeline.recognition.weights`.
            num_threads: Threads of the network.
        """
        self._name = weights.recognition.name
        self._network = load_recogniser(weights.recognition, num_threads=num_threads)

    @property
    def name(self) -> str:
        """Name of the weights."""
        return self._name

    def recognize(self, crops: Sequence[Image]) -> list[tuple[str, float]]:
        """Read crops; see :class:`Recognizer`.

        Letters and digits of full width come as plain ones, and white space around the text is cut off.
        """
        readings: dict[int, tuple[str, float]] = {}
        for indices in _by_input_width(crops):
            found = self._network.predict([_as_bgr(crops[index]) for index in indices], batch_size=BATCH_SIZE)
            for index, reading in zip(indices, found, strict=True):
                text = str(reading["rec_text"]).strip().translate(_HALF_WIDTH)
                readings[index] = (text, float(reading["rec_score"]))
        return [readings[index] for index in range(len(crops))]


def _by_input_width(crops: Sequence[Image]) -> list[list[int]]:
    """Group crops that the network gets at one width.

    paddleocr pads a batch to its widest crop, and padding changes what is read: in a mixed batch, a crop's
    text would depend on its neighbours.
    """
    groups: dict[int, list[int]] = {}
    for index, crop in enumerate(crops):
        width_px = int(INPUT_HEIGHT_PX * crop.shape[1] / crop.shape[0])
        groups.setdefault(max(width_px, LEAST_INPUT_WIDTH_PX), []).append(index)
    return list(groups.values())


def _as_bgr(image: Image) -> Image:
    """The networks were trained on OpenCV's channel order, and paddleocr takes arrays as they are."""
    return np.ascontiguousarray(image[..., ::-1])
