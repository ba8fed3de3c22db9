"""What is written in pictures: the legends on record for the conditioning images that they were made on."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from skin_pipeline.errors import IncompleteDatasetError
from skin_pipeline.items import Folder, Item, Items, json_digest
from skin_pipeline.prep.glyphs import READ_MARGIN
from skin_pipeline.prep.publish import Row, legends_of

DRAWN_MARGIN = 0.0
"""What the quads of control images leave around the ink; those of the training set leave READ_MARGIN."""


def recorded_legends(
    dataset: Folder, rows: Iterable[Row], control_images: Items
) -> dict[tuple[str, str], Item]:
    """Return the legends of all conditioning images.

    Args:
        dataset: The training set.
        rows: Its own.
        control_images: Drawn layouts.

    Returns:
        Items by the id and the sha256 that pictures state of their conditioning image; an item's record has
        ``legends``, each with ``text`` and ``quad`` (4, 2), in pixels, and ``margin``, what the quads leave
        around the ink in units of their shorter side.

    Raises:
        IncompleteDatasetError: A row has more or fewer legends than quads.
    """
    found = {(row.skin, dataset.files[row.conditioning_image]): legends_of_row(row) for row in rows}
    return found | {(one.id, one.sha256): legends_of_drawing(one) for one in control_images.values()}


def legends_of_row(row: Row) -> Item:
    """Return the legends of a skin of the training set.

    Raises:
        IncompleteDatasetError: It has more or fewer of them than quads.
    """
    texts = legends_of(row.text, row.legends)
    if len(texts) != len(row.box):
        raise IncompleteDatasetError(
            f"Skin '{row.skin}' has {len(texts)} legends and {len(row.box)} quads; each legend needs its own."
            " Run `kedro run --pipeline=data_prep` again."
        )
    placed = [{"text": text, "quad": quad} for text, quad in zip(texts, row.box, strict=True)]
    return _item(row.skin, placed, READ_MARGIN)


def legends_of_drawing(control_image: Item) -> Item:
    """Return the legends of a control image that was drawn from a layout."""
    return _item(control_image.id, control_image.record["legends"], DRAWN_MARGIN)


def _item(name: str, legends: Sequence[Mapping[str, Any]], margin: float) -> Item:
    record = {"legends": list(legends), "margin": margin}
    return Item(name, record, json_digest(record))
