"""Nodes of the export_skins pipeline."""

from skin_pipeline.items import Folder, Items, Plan
from skin_pipeline.skins.export.showcase import render_showcase
from skin_pipeline.skins.export.stages import ExportParameters, plan_export


def export_baidu(
    generated_skins: Items,
    sheet_records: Items,
    resized_skins: Items,
    controlnet_weights: Folder,
    parameters: ExportParameters,
) -> Plan:
    """Plan a ``.bds`` package for Baidu IME of every generated skin; arguments as for :func:`plan_export`."""
    return plan_export("baidu", generated_skins, sheet_records, resized_skins, controlnet_weights, parameters)


def export_hamster(
    generated_skins: Items,
    sheet_records: Items,
    resized_skins: Items,
    controlnet_weights: Folder,
    parameters: ExportParameters,
) -> Plan:
    """Plan a ``.cskin`` package for Hamster of every generated skin; arguments as for :func:`plan_export`."""
    return plan_export(
        "hamster", generated_skins, sheet_records, resized_skins, controlnet_weights, parameters
    )


def export_trime(
    generated_skins: Items,
    sheet_records: Items,
    resized_skins: Items,
    controlnet_weights: Folder,
    parameters: ExportParameters,
) -> Plan:
    """Plan a theme for Trime of every generated skin; arguments as for :func:`plan_export`."""
    return plan_export("trime", generated_skins, sheet_records, resized_skins, controlnet_weights, parameters)


def export_fcitx(
    generated_skins: Items,
    sheet_records: Items,
    resized_skins: Items,
    controlnet_weights: Folder,
    parameters: ExportParameters,
) -> Plan:
    """Plan a theme for fcitx5-android of every generated skin; arguments as for :func:`plan_export`."""
    return plan_export(
        "fcitx5", generated_skins, sheet_records, resized_skins, controlnet_weights, parameters
    )


def render_trial_pages(
    generated_skins: Items,
    sheet_records: Items,
    resized_skins: Items,
    controlnet_weights: Folder,
    parameters: ExportParameters,
) -> Plan:
    """Plan a page to try every generated skin on; arguments as for :func:`plan_export`."""
    return plan_export(
        "trial_page", generated_skins, sheet_records, resized_skins, controlnet_weights, parameters
    )


def show_skins(
    generated_skins: Items, trial_pages: Items, parameters: ExportParameters, **packages: Items
) -> str:
    """Show all exported skins on one page.

    Args:
        generated_skins: Pictures with their records.
        trial_pages: Pages to try skins on.
        parameters: Where the page finds the packages.
        **packages: Packages by the name of their dataset.

    Returns:
        HTML; packages and trial pages are linked, pictures embedded.
    """
    return render_showcase(generated_skins, trial_pages, packages, parameters.outputs_folder)
