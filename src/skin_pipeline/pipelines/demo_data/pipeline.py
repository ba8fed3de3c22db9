"""The demo_data pipeline."""

from kedro.pipeline import Node, Pipeline

from skin_pipeline.pipelines.demo_data.nodes import draw_demo_skins, record_drawn_keys


def create_pipeline() -> Pipeline:
    """Return the pipeline that draws raw skins and records where their keys lie."""
    return Pipeline(
        [
            Node(draw_demo_skins, inputs="params:demo_data", outputs="raw_skins", name="draw_demo_skins"),
            Node(
                record_drawn_keys,
                inputs="params:demo_data",
                outputs="sheet_records",
                name="record_drawn_keys",
            ),
        ]
    )
