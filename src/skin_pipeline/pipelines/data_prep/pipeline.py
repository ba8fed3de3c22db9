"""The data_prep pipeline."""

from collections.abc import Callable, Sequence
from typing import Any

from kedro.pipeline import Node, Pipeline

from skin_pipeline.pipelines.data_prep import nodes

STAGES = (
    "screened_skins", "resized_skins", "edge_maps", "captions", "text_boxes", "glyph_maps", "selected_skins",
)  # fmt: skip
"""Datasets of the stages, in the order in which a skin passes them."""

REPORTED = ("screened_skins", "resized_skins", "edge_maps", "captions", "selected_skins")
"""Datasets that the report on quality shows."""


def create_pipeline() -> Pipeline:
    """Return the pipeline from raw skins to a published training set."""
    return Pipeline(
        [
            _stage(nodes.screen_skins, ["raw_skins"], "params:screen", "screened_skins"),
            _stage(nodes.resize_skins, ["screened_skins"], "params:resize", "resized_skins"),
            _stage(nodes.trace_edges, ["resized_skins"], "params:edges", "edge_maps"),
            _stage(nodes.caption_skins, ["resized_skins"], "params:captions", "captions"),
            _stage(nodes.read_text, ["screened_skins", "resized_skins"], "params:text_boxes", "text_boxes"),
            Node(
                nodes.render_glyphs,
                inputs={
                    "edge_maps": "edge_maps",
                    "text_boxes": "text_boxes",
                    "resized_skins": "resized_skins",
                    "parameters": "params:glyphs",
                    "dataset": "params:dataset",
                },
                outputs="glyph_maps",
                name="render_glyphs",
            ),
            Node(
                nodes.select_skins,
                inputs={
                    **{name: name for name in ("screened_skins", "edge_maps", "captions", "text_boxes")},
                    "parameters": "params:selection",
                    "dataset": "params:dataset",
                },
                outputs="selected_skins",
                name="select_skins",
            ),
            _stage(nodes.publish_dataset, STAGES[1:], "params:dataset", "train_dataset"),
            # Kedro runs what is ready in the order of names: this before publish_dataset, which fails when no
            # skin is left, and then the page says why.
            Node(
                nodes.compose_quality_report,
                inputs={
                    **{name: name for name in REPORTED},
                    "screen": "params:screen",
                    "selection": "params:selection",
                },
                outputs="data_quality",
                name="compose_quality_report",
            ),
            Node(
                nodes.list_rejections,
                inputs={name: name for name in ("raw_skins", *STAGES)},
                outputs="rejected_skins",
                name="list_rejections",
            ),
        ]
    )


def _stage(function: Callable[..., Any], sources: Sequence[str], parameters: str, output: str) -> Node:
    """Return a node named after its function, whose arguments are named after its datasets."""
    inputs = {name: name for name in sources} | {"parameters": parameters}
    return Node(function, inputs=inputs, outputs=output, name=function.__name__)
