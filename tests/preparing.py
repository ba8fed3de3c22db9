"""The real data_prep on small drawn pictures: real nodes, datasets and configuration, without MLflow.

Two workers give way to stand-ins that need no second a skin: the reader of legends, the writer of captions.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import cv2
import numpy as np
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from pydantic import BaseModel

from skin_pipeline.items import Output, Task, Worker
from skin_pipeline.pipelines.data_prep import create_pipeline, nodes

PROJECT = Path(__file__).parents[1]
SMALL: Mapping[str, Mapping[str, Any]] = {
    "screen": {"min_side_px": 32},
    "resize": {"size_px": 64},
    "glyphs": {"min_height_px": 4.0},
}
"""Parameters for small pictures, laid over those of ``conf/base``."""


def draw_picture(path: Path, seed: int, side_px: int = 64) -> None:
    """Write a picture that is like no other."""
    squares = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.resize(squares, (side_px, side_px), interpolation=cv2.INTER_NEAREST))


def make_reader(_: object) -> Worker:
    """Stand in for the reader of legends."""
    return read_go


def read_go(tasks: Sequence[Task]) -> list[Output]:
    """Find 前往 in every skin."""
    quad = [[8, 12], [24, 12], [24, 20], [8, 20]]
    box = {"text": "前往", "confidence": 0.99, "quad": quad, "source_quad": quad}
    return [Output({"engine": "none", "model": "none", "boxes": [box]}) for _ in tasks]


def make_writer(parameters: Any) -> Worker:
    """Stand in for the writer of captions."""
    return partial(say_little, parameters.prefix, parameters.suffix)


def say_little(prefix: str, suffix: str, tasks: Sequence[Task]) -> list[Output]:
    """Say the name of every skin."""
    return [
        Output({"caption": f"{prefix} {task.id}{suffix}", "prefix": prefix, "suffix": suffix})
        for task in tasks
    ]


def use_stand_ins(patch: Any) -> None:
    """Put the stand-ins into the nodes; ``patch`` is pytest's monkeypatch."""
    patch.setattr(nodes, "make_text_reader", make_reader)
    patch.setattr(nodes, "make_captioner", make_writer)


def make_catalog(data: Path, changed: Mapping[str, Mapping[str, Any]] | None = None) -> DataCatalog:
    """Return the catalog of ``conf/base`` with its data elsewhere.

    Args:
        data: Folder in place of ``data``.
        changed: Parameters by stage, laid over :data:`SMALL`.
    """
    with warnings.catch_warnings(action="ignore"):  # Kedro's own, about OmegaConf
        written = _read_configuration(data)
    outputs = create_pipeline().datasets()
    entries = {name: entry for name, entry in written["catalog"].items() if name in outputs}
    catalog = DataCatalog.from_config(entries)
    for name, value in _parameters(written["parameters"], changed or {}).items():
        catalog[f"params:{name}"] = MemoryDataset(value)
    return catalog


def _read_configuration(data: Path) -> dict[str, Any]:
    """Read catalog and parameters of ``conf/base``."""
    loader = OmegaConfigLoader(
        str(PROJECT / "conf"),
        base_env="base",
        default_run_env="base",
        runtime_params={"data_root": str(data)},
        custom_resolvers={"env": os.environ.get, "absolute": str},
    )
    return {kind: loader[kind] for kind in ("catalog", "parameters")}


def _parameters(
    written: Mapping[str, Mapping[str, Any]], changed: Mapping[str, Mapping[str, Any]]
) -> dict[str, BaseModel]:
    """Make the models that the nodes' type hints ask for, as Kedro does."""
    parameters = {}
    for node in create_pipeline().nodes:
        hints = get_type_hints(node.func)
        for argument, dataset in node._inputs.items():
            name = dataset.removeprefix("params:")
            if name != dataset:
                values = {**written[name], "num_workers": 1, **SMALL.get(name, {}), **changed.get(name, {})}
                fields = hints[argument].model_fields
                parameters[name] = hints[argument](**{key: values[key] for key in values if key in fields})
    return parameters


def run_data_prep(data: Path, changed: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Run all nodes of data_prep, one after the other."""
    SequentialRunner().run(create_pipeline(), make_catalog(data, changed))
