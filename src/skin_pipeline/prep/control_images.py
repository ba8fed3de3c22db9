"""Control images drawn from sheet layouts, with the legends that a user asks for: no skin is behind them.

The training set's conditioning images carry the legends of real skins. For a keyboard with others (another
language's, a game's) the layout is drawn (:mod:`skin_pipeline.skins.sheets.conditioning`), and on each key
what is to be written there, as glyph conditioning shows it (:mod:`skin_pipeline.prep.glyphs`).
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from skin_pipeline.errors import ConfigurationError
from skin_pipeline.geometry import FloatArray
from skin_pipeline.items import Item, Output, Plan, Task, Worker, json_digest
from skin_pipeline.prep.glyphs import SHIPPED_TYPEFACE, GlyphStyle, Legend, render_legends
from skin_pipeline.skins.model import Rect
from skin_pipeline.skins.sheets.compose import SheetRecord
from skin_pipeline.skins.sheets.conditioning import draw_outlines, lay_out, layout_outlines, places_of_keys
from skin_pipeline.skins.sheets.keyboards import KeyGeometry
from skin_pipeline.skins.sheets.layout import SheetLayout, load_layout
from skin_pipeline.typefaces import font_path, ink_box, missing_glyphs

LEGEND_EM, LEGEND_WIDTH = 0.42, 0.8
"""Size of a legend's type as a share of its key's height, and the most that it takes of the key's width."""
CAPITAL_HEIGHT = 0.73
"""Of Latin capitals, in em; their middle lies in the middle of the key."""
_MARGIN = 0.0
_DIGITS = 8

_MODULES = (
    __name__,
    "skin_pipeline.geometry",
    "skin_pipeline.prep.edges",
    "skin_pipeline.prep.glyphs",
    "skin_pipeline.prep.positions",
    "skin_pipeline.skins.sheets.conditioning",
    "skin_pipeline.skins.sheets.keyboards",
    "skin_pipeline.skins.sheets.layout",
)


class ControlImageParameters(GlyphStyle):
    """Which control images are drawn, and what is written on their keys."""

    layouts: tuple[str, ...] = ()
    """Sheet layouts: ``whole_keyboard``, ``four_parts``, ``key_elements`` or the path of a layout (.yml).
    Skins are then generated on these and not on the training set's conditioning images. Empty: none."""

    legends: Literal["standard", "none"] | dict[str, str] = "standard"
    """``standard``: what the standard keyboards have on their keys. ``none``: outlines only. Or what to
    write, by key: its id, its function or its standard legend (``space``, ``enter``, ``q``, ``123``); other
    keys keep their standard legends, and an empty string leaves a key bare. So do standard legends for which
    the font has no glyph, such as arrows."""

    size_px: int = Field(default=512, ge=64, multiple_of=8)
    """Side of the control images, pixels; as the pictures that the ControlNet was trained on."""

    font: Path | None = None
    """A .ttf or .otf file; by default the Noto Sans SC subset of the package."""

    @property
    def font_file(self) -> Path:
        """The font in use."""
        return font_path(SHIPPED_TYPEFACE) if self.font is None else self.font

    def preflight(self) -> None:
        """Raise where a layout is not there, a legend names no key, or the font lacks a character.

        Raises:
            ConfigurationError: One of these.
        """
        for name in self.layouts:
            sheet = lay_out(load_layout(name), self.size_px, name=name)
            legends_of(sheet, self.legends)
        own = "" if isinstance(self.legends, str) else "".join(self.legends.values())
        lacking = sorted(missing_glyphs(own, self.font_file)) if own else []
        if lacking:
            raise ConfigurationError(
                f"control_images.legends: {self.font_file.name} has no glyph for {', '.join(lacking)}."
                " Name another font in control_images.font, or write something else."
            )


def plan_control_images(parameters: ControlImageParameters) -> Plan:
    """Plan a control image for each layout.

    Args:
        parameters: Which layouts, and what is written on their keys.

    Returns:
        The plan; its items are called ``<layout>_<digest of its path and the legends>``, and their records
        say what they are ``outlines_of``, with the legends and their quads.
    """
    tasks = []
    for name in parameters.layouts:
        asked = {
            "name": name,
            "layout": load_layout(name).model_dump(mode="json"),
            "legends": parameters.legends,
            "size_px": parameters.size_px,
        }
        digest = json_digest([name, parameters.legends])[:_DIGITS]
        item = Item(f"{Path(name).stem}_{digest}", asked, json_digest(asked))
        tasks.append(Task(item.id, {"asked": item}))
    style = GlyphStyle(**{name: getattr(parameters, name) for name in GlyphStyle.model_fields})
    return Plan.from_tasks(
        "control_images",
        tasks=tasks,
        make_worker=partial(_make_drawer, parameters.font_file, style),
        parameters=style.model_dump(mode="json", exclude=set(style.unused)),
        shared={"font": hashlib.sha256(parameters.font_file.read_bytes()).hexdigest()},
        modules=_MODULES,
    )


def legends_of(
    sheet: SheetRecord, legends: Literal["standard", "none"] | Mapping[str, str]
) -> list[tuple[str, Rect, str]]:
    """Return what is written on the keys of a sheet: the key's id, its place, and the text.

    Args:
        sheet: Laid out; its keyboards have standard legends.
        legends: As :attr:`ControlImageParameters.legends`.

    Raises:
        ConfigurationError: A legend names a key that no keyboard of the sheet has.
    """
    if legends == "none":
        return []
    wanted: Mapping[str, str] = {} if isinstance(legends, str) else legends
    found, met = [], set()
    for (cell, key_id), place in places_of_keys(sheet).items():
        key = sheet.keyboards[sheet.cells[cell].keyboard].keys[key_id]
        names = [name for name in (key_id, key.label, key.text, str(key.function)) if name in wanted]
        met.update(names)
        text = wanted[names[0]] if names else key.label
        if text.strip():
            found.append((key_id, place, text))
    unknown = [name for name in wanted if name not in met]
    if unknown:
        known = sorted({name for board in sheet.keyboards.values() for name in _names(board.keys)})
        raise ConfigurationError(
            f"control_images.legends: '{unknown[0]}' is no key of the sheet layout '{sheet.layout}'. It has"
            f" {', '.join(known)}."
        )
    return found


def _names(keys: Mapping[str, KeyGeometry]) -> Iterator[str]:
    for key_id, key in keys.items():
        yield key_id
        yield key.label or key_id


def _make_drawer(font: Path, style: GlyphStyle) -> Worker:
    """Return the worker that draws control images."""

    def draw(tasks: Sequence[Task]) -> list[Output]:
        return [_draw(task, font, style) for task in tasks]

    return draw


def _draw(task: Task, font: Path, style: GlyphStyle) -> Output:
    asked = task.inputs["asked"].record
    layout = SheetLayout.model_validate(asked["layout"])
    sheet = lay_out(layout, asked["size_px"], name=asked["name"])
    legends = [
        Legend(text, _quad(place, text, font)) for _, place, text in legends_of(sheet, asked["legends"])
    ]
    glyphs = render_legends(
        draw_outlines(sheet), legends, font=font, min_height_px=1.0, margin=_MARGIN, style=style
    )
    record = {
        "outlines_of": layout_outlines(asked["name"]),
        "legends": [{"text": one.text, "quad": one.quad.round(2).tolist()} for one in glyphs.rendered],
        "skipped": [{"text": one.text, "reason": reason} for one, reason in glyphs.skipped],
    }
    return Output(record, glyphs.image)


def _quad(key: Rect, text: str, font: Path) -> FloatArray:
    """Return the place of a legend's ink in the middle of its key.

    All legends of keys of one size are set in one size, on one baseline, unless they are too long.
    """
    left, top, right, bottom = ink_box(text, font)
    em = min(LEGEND_EM * key.height, LEGEND_WIDTH * key.width / (right - left))
    x, y = key.centre
    x_min, y_min = x - em * (right - left) / 2, y + em * (CAPITAL_HEIGHT / 2 + top)
    x_max, y_max = x_min + em * (right - left), y_min + em * (bottom - top)
    return np.array([(x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max)])
