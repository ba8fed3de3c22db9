"""Where the PP-OCR weights of the text reader come from.

paddleocr reads a model from a *model folder*: ``inference.onnx`` and ``inference.yml``, which states the
model's name, how its input is prepared and, for a recogniser, its characters.

The rapidocr wheel carries PP-OCRv6 small as bare ONNX files. :func:`embedded_weights` lays them out as two
model folders in a cache, once, so that a machine without a network can read text. Other weights are two
folders of the user's (:func:`weights_in_folders`).
"""

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from skin_pipeline.errors import MissingWeightsError, StorageError

MODEL_FILE = "inference.onnx"
DESCRIPTION_FILE = "inference.yml"

_DETECTION_ONNX = "PP-OCRv6_det_small.onnx"
_RECOGNITION_ONNX = "PP-OCRv6_rec_small.onnx"

# Both descriptions hold the values of PaddleOCR's configs/{det,rec}/PP-OCRv6/*_small_*.yml. The recogniser's
# input is 48 x 160 or wider here, not 48 x 320: a crop is padded up to that width and costs in proportion
# to it, and on the short legends of keys the narrower input reads at least as well (measured).
_DETECTION_DESCRIPTION: Mapping[str, Any] = {
    "Global": {"model_name": "PP-OCRv6_small_det"},
    "PreProcess": {
        "transform_ops": [
            {"DecodeImage": {"img_mode": "BGR", "channel_first": False}},
            {"DetResizeForTest": {"resize_long": 960}},
            {
                "NormalizeImage": {
                    "scale": "1./255.",
                    "mean": [0.485, 0.456, 0.406],
                    "std": [0.229, 0.224, 0.225],
                    "order": "hwc",
                }
            },
            {"ToCHWImage": None},
            {"KeepKeys": {"keep_keys": ["image", "shape", "polys", "ignore_tags"]}},
        ]
    },
    "PostProcess": {
        "name": "DBPostProcess",
        "thresh": 0.3,
        "box_thresh": 0.6,
        "max_candidates": 1000,
        "unclip_ratio": 1.5,
    },
}
_RECOGNITION_DESCRIPTION: Mapping[str, Any] = {
    "Global": {"model_name": "PP-OCRv6_small_rec"},
    "PreProcess": {
        "transform_ops": [
            {"DecodeImage": {"img_mode": "BGR", "channel_first": False}},
            {"MultiLabelEncode": {"gtc_encode": "NRTRLabelEncode"}},
            {"RecResizeImg": {"image_shape": [3, 48, 160]}},
            {"KeepKeys": {"keep_keys": ["image", "label_ctc", "label_gtc", "length", "valid_ratio"]}},
        ]
    },
    "PostProcess": {"name": "CTCLabelDecode"},
}


@dataclass(frozen=True)
class ModelFolder:
    """A checked model folder and the name that its description gives it."""

    path: Path
    name: str

    @cached_property
    def digest(self) -> str:
        """sha256 over the description and the network, in hex."""
        digest = hashlib.sha256()
        for name in (DESCRIPTION_FILE, MODEL_FILE):
            digest.update(_file_sha256(self.path / name).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class TextWeights:
    """The two networks that read text."""

    detection: ModelFolder
    recognition: ModelFolder

    @property
    def name(self) -> str:
        """Both names, for a record: ``PP-OCRv6_small_det + PP-OCRv6_small_rec``."""
        return f"{self.detection.name} + {self.recognition.name}"

    @property
    def digest(self) -> str:
        """sha256 over both models, in hex."""
        return hashlib.sha256(f"{self.detection.digest} {self.recognition.digest}".encode()).hexdigest()


def weights_in_folders(detection_folder: Path, recognition_folder: Path) -> TextWeights:
    """Take two model folders as they are.

    Args:
        detection_folder: Holds ``inference.onnx`` and ``inference.yml`` of a text detector.
        recognition_folder: The same of a text recogniser; its description lists the characters.

    Returns:
        The weights, named as their descriptions name them.

    Raises:
        MissingWeightsError: If a file is missing, or a description cannot be used.
    """
    return TextWeights(
        detection=_check_model_folder(detection_folder, "DBPostProcess"),
        recognition=_check_model_folder(recognition_folder, "CTCLabelDecode"),
    )


def embedded_weights(cache_folder: Path | None = None) -> TextWeights:
    """Lay out the PP-OCRv6 weights that the rapidocr wheel carries, unless a call before this did.

    Args:
        cache_folder: Where the model folders go; by default ``skin_pipeline/ocr`` in the user's cache.

    Returns:
        The weights, in a folder of the cache named after the content of the wheel's files.

    Raises:
        MissingWeightsError: If rapidocr is not installed, or without its models.
        StorageError: If the cache cannot be written.
    """
    detection_onnx, recognition_onnx = _packaged_models()
    cache_folder = cache_folder or default_cache_folder()
    content = json.dumps(
        [
            [_DETECTION_DESCRIPTION, _file_sha256(detection_onnx)],
            [_RECOGNITION_DESCRIPTION, _file_sha256(recognition_onnx)],
        ]
    )
    folder = cache_folder / f"pp-ocrv6-small-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    if not folder.is_dir():
        _write_at_once(folder, detection_onnx, recognition_onnx)
    return weights_in_folders(folder / "detection", folder / "recognition")


def embedded_recognizer_file() -> Path:
    """Return the ONNX file of the recogniser that the rapidocr wheel carries.

    Raises:
        MissingWeightsError: If rapidocr is not installed, or without its models.
    """
    return _packaged_models()[1]


def default_cache_folder() -> Path:
    """Return ``skin_pipeline/ocr`` in the user's cache folder (``XDG_CACHE_HOME``, else ``~/.cache``)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "skin_pipeline" / "ocr"


def _packaged_models() -> tuple[Path, Path]:
    package = importlib.util.find_spec("rapidocr")  # finds the package without importing it
    if package is None or package.origin is None:
        raise MissingWeightsError(
            "The embedded text weights are files of the rapidocr package, which is not installed. "
            "Install skin-pipeline with its 'ocr' extra, or name two model folders "
            "(text_boxes.detection_folder, text_boxes.recognition_folder)."
        )
    models = Path(package.origin).parent / "models"
    for name in (_DETECTION_ONNX, _RECOGNITION_ONNX):
        if not (models / name).is_file():
            raise MissingWeightsError(
                f"The embedded text weights should be in {models}, but {name} is not there. "
                "Reinstall the rapidocr version that constraints.txt names, or name two model folders "
                "(text_boxes.detection_folder, text_boxes.recognition_folder)."
            )
    return models / _DETECTION_ONNX, models / _RECOGNITION_ONNX


def _write_at_once(folder: Path, detection_onnx: Path, recognition_onnx: Path) -> None:
    """Write both model folders beside ``folder`` and rename: it is whole or absent."""
    recognition = {
        **_RECOGNITION_DESCRIPTION,
        "PostProcess": {
            **_RECOGNITION_DESCRIPTION["PostProcess"],
            "character_dict": _characters(recognition_onnx),
        },
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            whole = Path(scratch) / folder.name
            _write_model_folder(whole / "detection", detection_onnx, _DETECTION_DESCRIPTION)
            _write_model_folder(whole / "recognition", recognition_onnx, recognition)
            _rename_unless_there(whole, folder)
    except OSError as error:
        raise StorageError(
            f"The text weights cannot be laid out in {folder.parent}: {error.strerror or error}. "
            "Free some space or name another folder (text_boxes.cache_folder)."
        ) from error


def _rename_unless_there(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was first, and what it wrote is the same
            raise


def _write_model_folder(folder: Path, onnx: Path, description: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True)
    try:
        (folder / MODEL_FILE).hardlink_to(onnx)
    except OSError:  # another file system, or one without links
        shutil.copyfile(onnx, folder / MODEL_FILE)
    text = yaml.safe_dump(dict(description), allow_unicode=True, sort_keys=False)
    (folder / DESCRIPTION_FILE).write_text(text, encoding="utf-8")


def _characters(recognition_onnx: Path) -> list[str]:
    """Return the recogniser's characters, without blank and space, from the metadata of its ONNX file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(recognition_onnx, options, providers=["CPUExecutionProvider"])
    return str(session.get_modelmeta().custom_metadata_map["character"]).splitlines()


def _check_model_folder(folder: Path, post_process: str) -> ModelFolder:
    for name in (DESCRIPTION_FILE, MODEL_FILE):
        if not (folder / name).is_file():
            raise MissingWeightsError(
                f"Text weights: {folder} has no {name}. Expected a paddleocr model folder with "
                f"{DESCRIPTION_FILE} and {MODEL_FILE}; convert other formats with paddlex's paddle2onnx, "
                "or use 'weights: embedded'."
            )
    description = _read_description(folder / DESCRIPTION_FILE)
    found = description.get("PostProcess", {}).get("name")
    if found != post_process:
        raise MissingWeightsError(
            f"Text weights: {folder / DESCRIPTION_FILE} describes a model with post-processing {found!r}, "
            f"expected {post_process!r}. Are the detection and the recognition folder swapped?"
        )
    return ModelFolder(path=folder, name=str(description["Global"]["model_name"]))


def _read_description(path: Path) -> Mapping[str, Any]:
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # 18,000 characters: 0.1 s against 2 s
        description: Mapping[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506
        _ = description["Global"]["model_name"]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise MissingWeightsError(
            f"Text weights: {path} is not the description of a paddleocr model: {error}."
        ) from error
    return description


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
