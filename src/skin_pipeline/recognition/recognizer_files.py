"""Which file holds the recogniser that training reads legends with, and which characters it knows.

Loads no deep-learning library.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from skin_pipeline.errors import MissingWeightsError
from skin_pipeline.recognition.weights import DESCRIPTION_FILE, MODEL_FILE, embedded_recognizer_file


@dataclass(frozen=True)
class RecognizerFile:
    """A recogniser's ONNX file and the characters it reads, without blank."""

    path: Path
    characters: tuple[str, ...]

    @property
    def digest(self) -> str:
        """sha256 of the network and its characters."""
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        digest.update("\n".join(self.characters).encode())
        return digest.hexdigest()


def find_recognizer(source: str, option: str) -> RecognizerFile:
    """Return the file that a parameter names.

    Args:
        source: ``embedded`` (PP-OCRv6 small out of the rapidocr wheel), an ONNX file that lists its
            characters in its metadata, as rapidocr's do, or a paddleocr model folder.
        option: The full path of the parameter, for messages.

    Raises:
        MissingWeightsError: There is no such file, or it does not say what it reads.
    """
    if source == "embedded":
        path = embedded_recognizer_file()
        return RecognizerFile(path, _metadata_characters(path, option))
    path = Path(source).expanduser()
    if path.is_file():
        return RecognizerFile(path, _metadata_characters(path, option))
    for name in (MODEL_FILE, DESCRIPTION_FILE):
        if not (path / name).is_file():
            raise MissingWeightsError(
                f"{option} is '{source}', where there is no {name}. Expected 'embedded', an ONNX file, or a"
                f" paddleocr model folder with {MODEL_FILE} and {DESCRIPTION_FILE}."
            )
    return RecognizerFile(path / MODEL_FILE, _described_characters(path / DESCRIPTION_FILE, option))


def _metadata_characters(path: Path, option: str) -> tuple[str, ...]:
    metadata = open_session(path).get_modelmeta().custom_metadata_map
    if "character" not in metadata:
        raise MissingWeightsError(
            f"{option}: '{path}' does not list its characters in its metadata. Give a paddleocr model folder,"
            f" whose {DESCRIPTION_FILE} lists them."
        )
    return tuple(metadata["character"].splitlines())


def _described_characters(path: Path, option: str) -> tuple[str, ...]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    description = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506
    try:
        return tuple(map(str, description["PostProcess"]["character_dict"]))
    except (KeyError, TypeError) as exc:
        raise MissingWeightsError(f"{option}: '{path}' has no PostProcess.character_dict.") from exc


def open_session(path: Path) -> Any:
    """Open an ONNX file in onnxruntime as it is, on one thread of the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
