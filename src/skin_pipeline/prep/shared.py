"""The outlines that all skins share as their conditioning image, in place of each skin's own edges.

They are the edges of one of the skins, the outlines of a sheet layout (drawn from the layout itself, so no
skin is behind them), or a picture that somebody drew. Each is an item that stands among the edge maps and can
be loaded at any size.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from skin_pipeline.errors import ConfigurationError, InputError
from skin_pipeline.geometry import Size, plan_fit
from skin_pipeline.items import Item, Items, json_digest
from skin_pipeline.prep.edges import load_edges
from skin_pipeline.prep.pictures import read_picture
from skin_pipeline.prep.resize import resize_lines
from skin_pipeline.schemas import Parameters
from skin_pipeline.skins.sheets.conditioning import draw_outlines, lay_out, layout_outlines
from skin_pipeline.skins.sheets.layout import SheetLayout, load_layout

REFERENCE_SKIN = "reference_skin"
MODULES = (
    __name__,
    "skin_pipeline.prep.edges",
    "skin_pipeline.prep.resize",
    "skin_pipeline.skins.sheets.conditioning",
    "skin_pipeline.skins.sheets.keyboards",
    "skin_pipeline.skins.sheets.layout",
)
"""Modules whose source decides what shared outlines look like."""

_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
_FOLDER = "shared"
"""Of the ids of shared items that are no skin."""


class SharedOutlines(Parameters):
    """Which outlines skins share, where they share any."""

    shared_image: str = REFERENCE_SKIN
    """What skins share with ``conditioning: shared`` and with ``glyphs.background: shared``.
    ``reference_skin``: the edges of that skin. ``whole_keyboard``, ``four_parts``, ``key_elements`` or the
    path of a sheet layout (.yml): the outlines of its cells and of the standard keyboards' keys in them. The
    path of a picture: its grey levels, light lines on black. Skins of another size get it stretched."""

    reference_skin: str | None = None
    """Id of the skin whose edges are shared; null: the first."""

    @property
    def needs_edges(self) -> bool:
        """Whether what is shared comes from one of the skins."""
        return self.shared_image == REFERENCE_SKIN

    def preflight(self) -> None:
        """Raise where the layout or the picture to be shared is not there or cannot be used.

        Raises:
            ConfigurationError: See :func:`drawn_or_given`.
        """
        drawn_or_given(self)


def drawn_or_given(parameters: SharedOutlines) -> Item | None:
    """Return shared outlines that no skin is behind; None if they are to be the reference skin's.

    Returns:
        An item whose record has ``size_px``, the size it was made for, and ``outlines_of``, what it shows.

    Raises:
        ConfigurationError: There is no such layout or picture, or it cannot be used.
    """
    name = parameters.shared_image
    if parameters.needs_edges:
        return None
    item_id = f"{_FOLDER}/{Path(name).stem}"
    if Path(name).suffix.lower() in _PICTURES:
        return _given(item_id, Path(name))
    layout = load_layout(name)
    sheet = lay_out(layout, layout.size, name=name)
    record = {
        "size_px": [layout.size, layout.size],
        "outlines_of": layout_outlines(name),
        "layout": layout.model_dump(mode="json"),
    }
    return Item(item_id, record, json_digest(sheet.model_dump(mode="json")))


def _given(item_id: str, path: Path) -> Item:
    try:
        height, width = read_picture(path).shape[:2]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except (InputError, OSError) as exc:
        raise ConfigurationError(
            f"dataset.shared_image is '{path}', which cannot be read as a picture: {exc}. Give the path of"
            " one, the name of a sheet layout, or reference_skin."
        ) from exc
    return Item(item_id, {"size_px": [width, height], "outlines_of": f"picture:{path.name}"}, digest, path)


def shared_edge_map(edge_maps: Items, parameters: SharedOutlines) -> Item:
    """Return the edge map that all skins share.

    Args:
        edge_maps: Edges by skin.
        parameters: What is shared.

    Raises:
        ConfigurationError: There is no such skin among those that were traced, no such layout or picture.
    """
    shared = drawn_or_given(parameters)
    return choose_reference(edge_maps, parameters.reference_skin) if shared is None else shared


def choose_reference(edge_maps: Items, reference_skin: str | None) -> Item:
    """Return the edges of the skin that all skins share, with ``outlines_of`` in their record.

    Args:
        edge_maps: Edges by skin.
        reference_skin: Id of the skin, or None for the first.

    Raises:
        ConfigurationError: There is no such skin among those that were traced.
    """
    wanted = next(iter(edge_maps), None) if reference_skin is None else reference_skin
    if wanted is None or wanted not in edge_maps:
        some_ids = ", ".join(map(repr, list(edge_maps)[:3]))
        raise ConfigurationError(
            f"dataset.reference_skin is {reference_skin!r}, which is not among the {len(edge_maps)} skins "
            f"with edges. Name one by its id, the path in the raw folder without suffix ({some_ids} …)."
        )
    reference = edge_maps[wanted]
    return Item(wanted, {**reference.record, "outlines_of": wanted}, reference.sha256, reference.path)


def shared_edges(edge_maps: Items, parameters: SharedOutlines) -> Items:
    """Give every skin the edges that all share; see :func:`shared_edge_map`.

    Each record keeps the ``size_px`` of the skin's own edges, to which :func:`load_outlines` stretches them.
    """
    shared = shared_edge_map(edge_maps, parameters)
    return Items(
        replace(with_size(shared, edges.record["size_px"]), id=item_id)
        for item_id, edges in edge_maps.items()
    )


def with_size(edges: Item, size: Sequence[int]) -> Item:
    """Return an edge map that is to be loaded at a size (width, height)."""
    return replace(edges, record={**edges.record, "size_px": list(size)})


def load_outlines(item: Item) -> NDArray[np.uint8]:
    """Load a skin's own edges, or shared ones, at the size that the record states, (H, W).

    Outlines of a layout are drawn at that size; edges and pictures are stretched to it without blur.

    Raises:
        InputError: The picture is missing or cannot be decoded.
    """
    width, height = item.record["size_px"]
    if "layout" in item.record:
        layout = SheetLayout.model_validate(item.record["layout"])
        return draw_outlines(lay_out(layout, (width, height), name=item.id))
    if not str(item.record.get("outlines_of", "")).startswith("picture:"):
        return load_edges(item)
    assert item.path is not None, "a given picture has a file"
    return _stretched(cv2.cvtColor(read_picture(item.path), cv2.COLOR_RGB2GRAY), (width, height))


def _stretched(lines: NDArray[np.generic], size: Size) -> NDArray[np.uint8]:
    grey = np.asarray(lines, np.uint8)
    fit = plan_fit("stretch", (grey.shape[1], grey.shape[0]), size)
    return resize_lines(grey, fit.matrix, size)
