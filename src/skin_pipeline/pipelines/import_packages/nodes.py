"""Nodes of the import_packages pipeline."""

from functools import partial

from skin_pipeline.items import Items, Plan
from skin_pipeline.skins.sheets.stages import SheetParameters, make_composer, make_sheet_recorder

MODULES = (
    "skin_pipeline.skins.sheets",
    "skin_pipeline.skins.rendering",
    "skin_pipeline.skins.packages",
    "skin_pipeline.skins.archives",
    "skin_pipeline.skins.baidu",
    "skin_pipeline.skins.hamster",
    "skin_pipeline.skins.pictured",
)


def compose_sheets(raw_packages: Items, parameters: SheetParameters) -> Plan:
    """Plan to compose every package's elements onto a sheet.

    Args:
        raw_packages: Skin packages, whatever their format.
        parameters: Layout, size, and when a package counts as misaligned.

    Returns:
        The plan of the sheets among the raw skins.
    """
    return Plan(
        "sheets",
        partial(make_composer, parameters),
        sources={"raw_packages": raw_packages},
        parameters=parameters.item_parameters(),
        modules=MODULES,
        num_workers=parameters.num_workers,
    )


def record_sheets(raw_packages: Items, parameters: SheetParameters) -> Plan:
    """Plan to record where the keys of every sheet lie, so that generated ones can be cut up again.

    Args:
        raw_packages: Skin packages.
        parameters: As for the sheets.

    Returns:
        The plan of ``sheet_records``, whose ids are those of the sheets among the raw skins.
    """
    return Plan(
        "record_sheets",
        partial(make_sheet_recorder, parameters),
        sources={"raw_packages": raw_packages.under("sheets")},
        parameters=parameters.item_parameters(),
        modules=MODULES,
        num_workers=parameters.num_workers,
    )
