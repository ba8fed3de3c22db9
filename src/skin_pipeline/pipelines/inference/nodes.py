"""Nodes of the inference pipeline."""

from skin_pipeline.generation.gallery import render_page
from skin_pipeline.generation.parameters import GalleryParameters, InferenceParameters
from skin_pipeline.generation.plan import plan_generation, read_rows
from skin_pipeline.items import Folder, Items, Plan
from skin_pipeline.prep.control_images import ControlImageParameters, plan_control_images


def draw_control_images(parameters: ControlImageParameters) -> Plan:
    """Plan control images that are drawn from sheet layouts, with legends of the user's own.

    Args:
        parameters: Which layouts, and what is written on their keys; by default none.

    Returns:
        The plan of ``control_images``.
    """
    return plan_control_images(parameters)


def generate_skins(
    controlnet_weights: Folder, train_dataset: Folder, control_images: Items, parameters: InferenceParameters
) -> Plan:
    """Plan a picture for every chosen conditioning image, prompt and seed.

    Args:
        controlnet_weights: The trained ControlNet.
        train_dataset: The published training set, whose conditioning images are used.
        control_images: Those that are used in their place, if there are any.
        parameters: What to generate, and how.

    Returns:
        The plan; saving it generates the pictures that are missing or out of date.
    """
    return plan_generation(controlnet_weights, train_dataset, parameters, control_images)


def render_gallery(
    generated_skins: Items, train_dataset: Folder, control_images: Items, parameters: GalleryParameters
) -> str:
    """Show the generated skins beside their conditioning images and the real skins.

    Args:
        generated_skins: Pictures with their records.
        train_dataset: The published training set they were conditioned on.
        control_images: Or what they were conditioned on in its place.
        parameters: How to show them.

    Returns:
        One self-contained HTML page.
    """
    rows = {row.skin: row for split in ("validation", "train") for row in read_rows(train_dataset, split)}
    return render_page(generated_skins.values(), rows, train_dataset, parameters, control_images)
