"""Keys that leave their panel, cut off at its edge.

Packages hold keys that reach a little over the edge of their panel, or lie beyond it: leftovers of a taller
panel. Phones draw what is inside. A format whose rules want every key inside gets just that part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from skin_pipeline.skins.export.packages import Losses
from skin_pipeline.skins.export.pictures import picture_of
from skin_pipeline.skins.model import (
    Appearance,
    Condition,
    Fill,
    Key,
    Keyboard,
    Layer,
    Lettering,
    Paint,
    Rect,
    Tile,
    Variant,
)


def within_panel(keyboard: Keyboard, losses: Losses) -> Keyboard:
    """Return a keyboard whose keys lie inside its panel.

    What is seen stays as it is: caps are cut, and what is drawn at its own size keeps its place.

    Args:
        keyboard: Its keys may lie anywhere.
        losses: Takes the keys of which nothing is seen, and which are left out.
    """
    title, keys = f"{keyboard.orientation} {keyboard.name}", []
    for key in keyboard.keys:
        seen = key.rect.intersection(keyboard.panel)
        if seen.is_empty:
            losses.add(f"{title}, {key.id}", "keys beyond the edge of their panel", "they are left out")
            continue
        touch = key.touch.intersection(keyboard.panel)
        keys.append(replace(_cut_off(key, seen), touch=seen if touch.is_empty else touch))
    return replace(keyboard, keys=tuple(keys))


def _cut_off(key: Key, seen: Rect) -> Key:
    """Return a key of which only a part is seen, as a key of that part."""
    if seen == key.rect:
        return key

    def cut(layer: Layer) -> Layer:
        return _cut_layer(layer, key.rect, seen)

    variants: Mapping[Condition, Variant] = {
        condition: replace(
            variant,
            background=None if variant.background is None else cut(variant.background),
            foregrounds=None
            if variant.foregrounds is None
            else tuple(cut(layer) for layer in variant.foregrounds),
        )
        for condition, variant in key.variants.items()
    }
    foregrounds = tuple(cut(layer) for layer in key.foregrounds)
    return replace(key, rect=seen, background=cut(key.background), foregrounds=foregrounds, variants=variants)


def _cut_layer(layer: Layer, whole: Rect, seen: Rect) -> Layer:
    """Return a layer of a rectangle as a layer of a part of it."""
    place = whole.inset(layer.insets).moved(*layer.offset)
    paints = layer.appearance.normal, layer.appearance.pressed
    if any(_has_own_size(paint) for paint in paints):
        offset = place.centre[0] - seen.centre[0], place.centre[1] - seen.centre[1]
        return Layer(layer.appearance, offset)
    part = place.intersection(seen)
    if part.is_empty:
        return Layer(Appearance(None, None))
    offset = part.centre[0] - seen.centre[0], part.centre[1] - seen.centre[1]
    across, down = (seen.width - part.width) / 2, (seen.height - part.height) / 2
    insets = replace(layer.insets, left=across, right=across, top=down, bottom=down)
    return Layer(Appearance(*(_cut_paint(paint, place, part) for paint in paints)), offset, insets)


def _has_own_size(paint: Paint | None) -> bool:
    return isinstance(paint, Lettering) or (isinstance(paint, Tile) and paint.fit == "centre")


def _cut_paint(paint: Paint | None, place: Rect, part: Rect) -> Paint | None:
    """Return the part of a paint that fills its place."""
    if paint is None or part == place or (isinstance(paint, Fill) and not paint.radius + paint.border_width):
        return paint
    unit = paint.scale if isinstance(paint, Tile) else 1.0
    picture = picture_of(paint, (place.width, place.height), unit)
    frame = Rect(0, 0, *(float(side) for side in picture.atlas.size))
    left, top = round((part.x - place.x) / unit), round((part.y - place.y) / unit)
    source = Rect(left, top, max(1, round(part.width / unit)), max(1, round(part.height / unit)))
    return replace(picture, source=source.intersection(frame), fit="stretch", scale=unit)
