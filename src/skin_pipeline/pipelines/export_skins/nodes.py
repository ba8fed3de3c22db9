"""Nodes of the export_skins pipeline."""

from typing import Any

from skin_pipeline.generation.plan import read_rows
from skin_pipeline.generation.recorded_legends import recorded_legends
from skin_pipeline.items import Folder, Items, Plan
from skin_pipeline.skins.export.showcase import render_showcase
from skin_pipeline.skins.export.stages import ExportParameters, Product, RecordedLegends, plan_export


def export_baidu(parameters: ExportParameters, **sources: Any) -> Plan:
    """Plan a ``.bds`` package for Baidu IME of every generated skin; arguments as for :func:`_plan`."""
    return _plan("baidu", parameters, **sources)


def export_hamster(parameters: ExportParameters, **sources: Any) -> Plan:
    """Plan a ``.cskin`` package for Hamster of every generated skin; arguments as for :func:`_plan`."""
    return _plan("hamster", parameters, **sources)


def export_trime(parameters: ExportParameters, **sources: Any) -> Plan:
    """Plan a theme for Trime of every generated skin; arguments as for :func:`_plan`."""
    return _plan("trime", parameters, **sources)


def export_fcitx(parameters: ExportParameters, **sources: Any) -> Plan:
    """Plan a theme for fcitx5-android of every generated skin; arguments as for :func:`_plan`."""
    return _plan("fcitx5", parameters, **sources)


def render_trial_pages(parameters: ExportParameters, **sources: Any) -> Plan:
    """Plan a page to try every generated skin on; arguments as for :func:`_plan`."""
    return _plan("trial_page", parameters, **sources)


def _plan(
    product: Product,
    parameters: ExportParameters,
    *,
    train_dataset: Folder,
    control_images: Items,
    **skins: Any,
) -> Plan:
    """Plan one product of every generated skin.

    Args:
        product: What to make.
        parameters: How.
        train_dataset: The training set, whose conditioning images have legends on record.
        control_images: Those of drawn layouts.
        **skins: The other inputs of :func:`skin_pipeline.skins.export.stages.plan_export`.
    """
    legends: RecordedLegends = {}
    if parameters.is_compositing:
        rows = [row for split in ("train", "validation") for row in read_rows(train_dataset, split)]
        legends = recorded_legends(train_dataset, rows, control_images)
    return plan_export(product, parameters=parameters, legends=legends, **skins)


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
