"""The export_skins pipeline."""

from kedro.pipeline import Node, Pipeline

from skin_pipeline.pipelines.export_skins import nodes

PRODUCTS = {
    nodes.export_baidu: "baidu_packages",
    nodes.export_hamster: "hamster_packages",
    nodes.export_trime: "trime_packages",
    nodes.export_fcitx: "fcitx_packages",
    nodes.render_trial_pages: "trial_pages",
}
"""Datasets by the node that makes them."""


def create_pipeline() -> Pipeline:
    """Return the pipeline from generated pictures to installable skins and the page that shows them."""
    sources = (
        "generated_skins", "sheet_records", "resized_skins", "controlnet_weights", "train_dataset",
        "control_images",
    )  # fmt: skip
    inputs = {name: name for name in sources}
    exports = [
        Node(
            function,
            inputs={**inputs, "parameters": "params:packages"},
            outputs=dataset,
            name=function.__name__,
        )
        for function, dataset in PRODUCTS.items()
    ]
    shown = {name: name for name in ("generated_skins", *PRODUCTS.values())}
    page = Node(
        nodes.show_skins,
        inputs={**shown, "parameters": "params:packages"},
        outputs="skins_page",
        name="show_skins",
    )
    return Pipeline([*exports, page])
