"""The readers of legends by name, and which of them this machine lacks."""

from collections.abc import Iterable
from functools import cache
from typing import Literal

from skin_pipeline.errors import MissingWeightsError
from skin_pipeline.recognition.recognizers import PaddleRecognizer, Recognizer
from skin_pipeline.recognition.tesseract import TesseractRecognizer
from skin_pipeline.recognition.weights import embedded_weights

ReaderName = Literal["ppocr", "tesseract"]
READER_TITLES = {"ppocr": "PP-OCR", "tesseract": "Tesseract"}
"""As tables and messages name them."""


@cache
def load_reader(name: ReaderName) -> Recognizer:
    """Return a reader; each process loads it once.

    Raises:
        MissingWeightsError: Its program or its models are not installed.
    """
    return PaddleRecognizer(embedded_weights()) if name == "ppocr" else TesseractRecognizer()


@cache
def reason_for_absence(name: ReaderName) -> str | None:
    """Say why a reader cannot be used; None where it can. PP-OCR's weights come with the project."""
    if name == "tesseract":
        try:
            load_reader(name)
        except MissingWeightsError as exc:
            return str(exc)
    return None


def present_readers(names: Iterable[ReaderName]) -> list[ReaderName]:
    """Return those of the readers that can be used."""
    return [name for name in names if reason_for_absence(name) is None]
