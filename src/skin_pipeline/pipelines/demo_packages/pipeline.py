"""The demo_packages pipeline."""

from kedro.pipeline import Node, Pipeline

from skin_pipeline.pipelines.demo_packages.nodes import draw_demo_packages


def create_pipeline() -> Pipeline:
    """Return the pipeline that draws skin packages."""
    return Pipeline(
        [
            Node(
                draw_demo_packages,
                inputs="params:demo_packages",
                outputs="raw_packages",
                name="draw_demo_packages",
            )
        ]
    )
