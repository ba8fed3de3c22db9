"""The import_packages pipeline."""

from kedro.pipeline import Node, Pipeline

from skin_pipeline.pipelines.import_packages import nodes


def create_pipeline() -> Pipeline:
    """Return the pipeline from skin packages to sheets among the raw skins."""
    inputs = {"raw_packages": "raw_packages", "parameters": "params:sheets"}
    return Pipeline(
        [
            Node(nodes.compose_sheets, inputs=inputs, outputs="raw_skins", name="compose_sheets"),
            Node(nodes.record_sheets, inputs=inputs, outputs="sheet_records", name="record_sheets"),
        ]
    )
