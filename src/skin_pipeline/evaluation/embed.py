"""The stage that takes features from pictures, once for all metrics that need them.

An item's file is a safetensors file with one vector for each kind of features, and with CLIP the prompt's
beside it (``clip_text``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skin_pipeline.base_models import resolve_weights
from skin_pipeline.evaluation.features import FeatureKind, load_extractor
from skin_pipeline.evaluation.parameters import EvaluationParameters
from skin_pipeline.items import Item, Items, Output, Plan, Task, Worker, json_digest

CLIP_TEXT = "clip_text"
MODULES = ("skin_pipeline.evaluation.features", "skin_pipeline.evaluation.embed")


def plan_features(
    pictures: Items, base_model: str, base_model_digest: str, parameters: EvaluationParameters
) -> Plan:
    """Plan the features of pictures.

    Args:
        pictures: With the records of :mod:`skin_pipeline.evaluation.sets`.
        base_model: Whose autoencoder is used.
        base_model_digest: Which it is exactly.
        parameters: Which features.
    """
    weights = parameters.feature_weights(base_model)
    tasks = [Task(item.id, {"picture": item}) for item in pictures.values()] if weights else []
    shared = {kind: _digest(kind, name, base_model_digest) for kind, name in weights.items()}
    return Plan.from_tasks(
        "features",
        tasks=tasks,
        make_worker=partial(make_embedder, weights, parameters.num_threads),
        shared=shared,
        modules=MODULES,
        batch_size=parameters.batch_size,
        num_workers=parameters.num_workers,
    )


def make_embedder(weights: Mapping[FeatureKind, str], num_threads: int | None) -> Worker:
    """Build the worker that takes features from pictures."""
    if num_threads is not None:
        import torch

        torch.set_num_threads(num_threads)
    return partial(_embed_batch, weights)


def load_features(item: Item) -> dict[str, npt.NDArray[np.float32]]:
    """Read one picture's features by kind; vectors (D,)."""
    from safetensors.numpy import load_file

    assert item.path is not None, f"Features '{item.id}' have no file."
    features: dict[str, npt.NDArray[np.float32]] = load_file(item.path)
    return features


def _embed_batch(weights: Mapping[FeatureKind, str], tasks: Sequence[Task]) -> list[Output]:
    from safetensors.numpy import save

    pictures = [task.inputs["picture"].load_image() for task in tasks]
    found: dict[str, npt.NDArray[np.float32]] = {
        kind: load_extractor(kind, name).pictures(pictures) for kind, name in weights.items()
    }
    if "clip" in weights:
        prompts = [str(task.inputs["picture"].record["prompt"]) for task in tasks]
        found[CLIP_TEXT] = load_extractor("clip", weights["clip"]).texts(prompts)
    return [
        Output(dict(task.inputs["picture"].record), content=save({kind: v[i] for kind, v in found.items()}))
        for i, task in enumerate(tasks)
    ]


def _digest(kind: FeatureKind, name: str, base_model_digest: str) -> str:
    """Digest what features are loaded from: contents of files, or the name of what a hub keeps."""
    if kind == "autoencoder":
        return base_model_digest
    location = Path(name if kind == "inception" else resolve_weights(name, "evaluation.clip", "config.json"))
    files = [location] if location.is_file() else sorted(location.glob("*.safetensors"))
    return json_digest([name if not files else None, [_sha256(file) for file in files]])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
