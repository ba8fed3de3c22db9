"""The demo_data pipeline."""

from kedro.pipeline import Node, Pipeline

from skin_pipeline.pipelines.demo_data.nodes import draw_demo_skins


def create_pipeline() -> Pipeline:
    """Return the pipeline that draws raw skins."""
    return Pipeline(
        [Node(draw_demo_skins, inputs="params:demo_data", outputs="raw_skins", name="draw_demo_skins")]
    )
