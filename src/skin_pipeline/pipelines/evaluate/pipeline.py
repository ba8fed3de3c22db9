"""The evaluate pipeline."""

from kedro.pipeline import Node, Pipeline

from skin_pipeline.pipelines.evaluate import nodes


def create_pipeline() -> Pipeline:
    """Return the pipeline from generated skins to scores: of each picture, and of whole sets."""
    return Pipeline(
        [
            Node(
                nodes.generate_baselines,
                inputs={
                    "generated_skins": "generated_skins",
                    "train_dataset": "train_dataset",
                    "control_images": "control_images",
                    "inference": "params:inference",
                    "parameters": "params:baselines",
                },
                outputs="baseline_skins",
                name="generate_baselines",
            ),
            Node(
                nodes.extract_features,
                inputs={
                    "generated_skins": "generated_skins",
                    "baseline_skins": "baseline_skins",
                    "train_dataset": "train_dataset",
                    "control_images": "control_images",
                    "parameters": "params:evaluation",
                },
                outputs="picture_features",
                name="extract_features",
            ),
            Node(
                nodes.score_pictures,
                inputs={
                    "generated_skins": "generated_skins",
                    "baseline_skins": "baseline_skins",
                    "picture_features": "picture_features",
                    "control_images": "control_images",
                    "sheet_records": "sheet_records",
                    "resized_skins": "resized_skins",
                    "train_dataset": "train_dataset",
                    "edges": "params:edges",
                    "parameters": "params:evaluation",
                },
                outputs="evaluation_items",
                name="score_pictures",
            ),
            Node(
                nodes.read_legend_floor,
                inputs={
                    "generated_skins": "generated_skins",
                    "train_dataset": "train_dataset",
                    "parameters": "params:evaluation",
                },
                outputs="legend_floor_items",
                name="read_legend_floor",
            ),
            Node(
                nodes.summarise_legend_floor,
                inputs={
                    "legend_floor_items": "legend_floor_items",
                    "generated_skins": "generated_skins",
                    "train_dataset": "train_dataset",
                    "parameters": "params:evaluation",
                },
                outputs="legend_floor",
                name="summarise_legend_floor",
            ),
            Node(
                nodes.summarise_scores,
                inputs={
                    "evaluation_items": "evaluation_items",
                    "picture_features": "picture_features",
                    "train_dataset": "train_dataset",
                    "legend_floor": "legend_floor",
                    "parameters": "params:evaluation",
                },
                outputs=["evaluation_scores", "evaluation_table"],
                name="summarise_scores",
            ),
        ]
    )
