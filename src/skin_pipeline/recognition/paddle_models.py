"""paddleocr's detector and recogniser, loaded from model folders: no network, no chatter, few threads."""

import logging
import os
from types import ModuleType
from typing import Any

from skin_pipeline.recognition.weights import ModelFolder, default_cache_folder


def load_detector(weights: ModelFolder, *, num_threads: int) -> Any:
    """Return a ``paddleocr.TextDetection`` on onnxruntime."""
    return _import_paddleocr().TextDetection(**_arguments(weights, num_threads))


def load_recogniser(weights: ModelFolder, *, num_threads: int) -> Any:
    """Return a ``paddleocr.TextRecognition`` on onnxruntime."""
    return _import_paddleocr().TextRecognition(**_arguments(weights, num_threads))


def _arguments(weights: ModelFolder, num_threads: int) -> dict[str, Any]:
    return {
        "model_name": weights.name,
        "model_dir": str(weights.path),
        "engine": "onnxruntime",
        "device": "cpu",
        "engine_config": {"intra_op_num_threads": num_threads, "inter_op_num_threads": 1},
    }


def _import_paddleocr() -> ModuleType:
    """Import paddleocr so that it asks no model hosts and leaves ``~`` and the terminal alone.

    paddlex, below it, reads these variables when it is imported, and sets its logger up then. What a user
    has set stays.
    """
    os.environ.setdefault("PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK", "True")
    os.environ.setdefault("PADDLE_PDX_CACHE_HOME", str(default_cache_folder().parent / "paddlex"))
    import paddleocr

    logging.getLogger("paddlex").setLevel(logging.WARNING)
    module: ModuleType = paddleocr
    return module
