"""Read the text of skins: every string the recogniser finds, where it is, and how sure it is.

A confidence is what the recogniser and the other legends of the keyboard give together
(:mod:`skin_pipeline.recognition.agreement`); what the recogniser alone said is recorded beside it.

Pictures are read at their original size, where legends are sharpest; quads are recorded in the original
frame and in the frame of the resized skin. Nothing is filtered here: the stages that use the boxes apply
their own gate on the confidence.
"""

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from skin_pipeline.geometry import FloatArray, apply_affine, clip_quads
from skin_pipeline.items import Output, Rejection, Task, Worker
from skin_pipeline.prep.pictures import read_picture
from skin_pipeline.recognition.read_text import ReadText
from skin_pipeline.recognition.reader import ReaderSettings, TextReader
from skin_pipeline.recognition.weights import TextWeights, embedded_weights, weights_in_folders
from skin_pipeline.schemas import Parameters

_DEFAULTS = ReaderSettings()


class TextParameters(Parameters):
    """How the text of skins is read (PP-OCR by paddleocr on onnxruntime)."""

    weights: Literal["embedded", "folders"] = "embedded"
    """``embedded``: PP-OCRv6 small from the rapidocr package, no download. ``folders``: the two below."""

    detection_folder: Path | None = None
    """Model folder of a text detector: ``inference.onnx`` and ``inference.yml``. For ``weights: folders``."""

    recognition_folder: Path | None = None
    """Model folder of a text recogniser; its description lists the characters. For ``weights: folders``."""

    cache_folder: Path | None = None
    """Where the embedded weights are laid out, once; by default ``skin_pipeline/ocr`` in the user's cache."""

    detection_sides_px: tuple[int, ...] = _DEFAULTS.detection_sides_px
    """The picture is searched with its longer side at each of these lengths (never enlarged). Several lengths
    find letters that one misses; each costs time in proportion to its square."""

    pixel_threshold: float = Field(default=_DEFAULTS.pixel_threshold, gt=0, lt=1)
    """A pixel counts as text above this probability."""

    box_threshold: float = Field(default=_DEFAULTS.box_threshold, gt=0, lt=1)
    """A box is kept if the mean probability of its pixels is above this."""

    unclip_ratio: float = Field(default=_DEFAULTS.unclip_ratio, ge=1, le=4)
    """How far a box is widened beyond the core of its text."""

    num_workers: int = Field(default=1, ge=1)
    """Processes that read at the same time, one thread each."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        folders = (self.detection_folder, self.recognition_folder)
        if self.weights == "folders" and None in folders:
            raise ValueError(
                "text_boxes.weights is 'folders': give both text_boxes.detection_folder and "
                "text_boxes.recognition_folder."
            )
        if self.weights == "embedded" and folders != (None, None):
            raise ValueError(
                "text_boxes.detection_folder and text_boxes.recognition_folder count only with "
                "text_boxes.weights 'folders', got 'embedded'."
            )
        if not self.detection_sides_px or min(self.detection_sides_px) < 64:
            raise ValueError(
                "text_boxes.detection_sides_px must hold one or more lengths of at least 64 px, "
                f"got {list(self.detection_sides_px)}."
            )
        return self

    def preflight(self) -> None:
        """Find the weights, and lay the embedded ones out, before any item is read.

        Raises:
            MissingWeightsError: A model is missing or unusable.
            StorageError: The cache cannot be written.
        """
        self.find_weights()

    def find_weights(self) -> TextWeights:
        """Return the checked weights; see :meth:`preflight` for what it raises."""
        if self.detection_folder is not None and self.recognition_folder is not None:
            return weights_in_folders(self.detection_folder, self.recognition_folder)
        return embedded_weights(self.cache_folder)

    def shared_digests(self) -> dict[str, str]:
        """Return the sha256 of each file that all items are made with, by name, for ``Plan.shared``."""
        return {"text_weights": self.find_weights().digest}

    def item_parameters(self) -> dict[str, Any]:
        """Return the parameters that change what is read, as JSON, for ``Plan.parameters``."""
        places = {"weights", "detection_folder", "recognition_folder", "cache_folder", "num_workers"}
        return self.model_dump(mode="json", exclude=places)


def make_text_reader(parameters: TextParameters) -> Worker:
    """Build the worker that reads skins; it loads both networks now.

    Args:
        parameters: How to read.

    Returns:
        A worker for tasks with the sources ``screened_skins`` (the original picture) and ``resized_skins``
        (``matrix`` and ``size_px`` of its record).
    """
    weights = parameters.find_weights()
    settings = ReaderSettings(
        detection_sides_px=parameters.detection_sides_px,
        pixel_threshold=parameters.pixel_threshold,
        box_threshold=parameters.box_threshold,
        unclip_ratio=parameters.unclip_ratio,
    )
    return partial(_read_batch, TextReader(weights, settings), weights.name)


def _read_batch(reader: TextReader, model: str, tasks: Sequence[Task]) -> list[Output | Rejection]:
    return [_read_task(task, reader, model) for task in tasks]


def _read_task(task: Task, reader: TextReader, model: str) -> Output:
    path = task.inputs["screened_skins"].path
    assert path is not None, "a screened skin points at its raw file"
    picture = read_picture(path)
    matrix = task.inputs["resized_skins"].record["matrix"]
    size = (picture.shape[1], picture.shape[0])
    record = {
        "engine": f"paddleocr {version('paddleocr')} on onnxruntime",
        "model": model,
        "boxes": [box_record(text, clip_quads(text.quad, size)[0], matrix) for text in reader.read(picture)],
    }
    return Output(record)


def box_record(text: ReadText, source_quad: FloatArray, matrix: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Describe one piece of text for the record of a skin.

    Args:
        text: What was read.
        source_quad: Its quad in the original picture, (4, 2).
        matrix: Maps the original frame to that of the resized skin, (2, 3).

    Returns:
        ``text``, ``confidence``, ``recognised`` (both of the recogniser alone, before the keyboard's other
        legends were heard), ``quad`` (resized frame; outside it where the fit cropped) and ``source_quad``
        (original frame), in JSON types.
    """
    alone_text, alone_confidence = text.alone
    return {
        "text": text.text,
        "confidence": round(text.confidence, 6),
        "recognised": {"text": alone_text, "confidence": round(alone_confidence, 6)},
        "quad": apply_affine(matrix, source_quad).round(2).tolist(),
        "source_quad": source_quad.round(2).tolist(),
    }
