"""The styles and sheets of a Hamster skin, from appearances.

A style is a picture pulled over its place, a plain colour with round corners, or a text. A picture has its
own size only by the insets of its place, so a tile that is drawn at its own size becomes a style for that
key, and nine-patches become pictures of their place: the app's corners count in thirds of a point, which
would shrink or blur those of most skins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from skin_pipeline.skins.export.packages import Losses, encode_png
from skin_pipeline.skins.export.packing import PackedSheets, pack, picture_digest
from skin_pipeline.skins.export.pictures import BLANK, picture_of
from skin_pipeline.skins.model import (
    Appearance,
    Fill,
    Insets,
    Layer,
    Lettering,
    Paint,
    Rect,
    Rgba,
    RgbaPixels,
    Tile,
)

Node = dict[str, Any]
"""A node of YAML."""

_SHEET = "tiles"
_CLEAR = "#00000000"
_WEIGHTS = [
    "ultraLight",
    "thin",
    "light",
    "regular",
    "medium",
    "semibold",
    "bold",
    "heavy",
    "black",
]  # 100 to 900, in steps of 100


@dataclass(frozen=True)
class _Picture:
    """Stands for a picture in a style until the sheets are packed."""

    digest: str


class HamsterSheets:
    """The pictures of a theme; equal ones are stored once."""

    def __init__(self) -> None:
        """Start without pictures."""
        self._pictures: dict[str, RgbaPixels] = {}
        self._packed: PackedSheets | None = None
        self._names: dict[str, str] = {}

    def add(self, pixels: RgbaPixels) -> _Picture:
        """Take up a picture."""
        digest = picture_digest(pixels)
        self._pictures[digest] = pixels
        self._names.setdefault(digest, f"t{len(self._names) + 1}")
        return _Picture(digest)

    def pack(self) -> dict[str, RgbaPixels]:
        """Lay the pictures on sheets and return these by name; from then on references resolve."""
        self._packed = pack(self._pictures.values())
        return {self._sheet(index): pixels for index, pixels in enumerate(self._packed.sheets)}

    def descriptions(self) -> dict[str, Node]:
        """Return, for each sheet, the rectangles of its pictures by name."""
        assert self._packed is not None
        described: dict[str, Node] = {}
        for digest, name in self._names.items():
            placement = self._packed.placements[digest]
            rect = placement.rect
            place = {"x": int(rect.x), "y": int(rect.y), "width": int(rect.width), "height": int(rect.height)}
            described.setdefault(self._sheet(placement.sheet), {})[name] = {"rect": place}
        return described

    def resolve(self, value: Any) -> Any:
        """Replace pictures in a node by their names."""
        assert self._packed is not None
        if isinstance(value, _Picture):
            sheet = self._sheet(self._packed.placements[value.digest].sheet)
            return {"file": sheet, "image": self._names[value.digest]}
        if isinstance(value, Mapping):
            return {key: self.resolve(part) for key, part in value.items()}
        return value

    @staticmethod
    def _sheet(index: int) -> str:
        return _SHEET if index == 0 else f"{_SHEET}{index + 1}"


def sheet_files(sheets: Mapping[str, RgbaPixels]) -> dict[str, bytes]:
    """Encode sheets."""
    return {f"resources/{name}.png": encode_png(pixels) for name, pixels in sheets.items()}


class HamsterStyles:
    """The styles of one keyboard, each named once."""

    def __init__(
        self, sheets: HamsterSheets, points: float, unit: float, origin: tuple[float, float], losses: Losses
    ) -> None:
        """Start without styles.

        Args:
            sheets: Takes the pictures.
            points: Points in a design pixel.
            unit: Design pixels in a pixel of pictures that have to be drawn.
            origin: Top left corner of the whole keyboard; pictures lie on whole pixels counted from there.
            losses: Takes what cannot be said.
        """
        self._sheets = sheets
        self._origin = origin
        self._points = points
        self._unit = unit
        self._losses = losses
        self._names: dict[str, str] = {}
        self.nodes: Node = {}

    def area(self, look: Appearance, place: Rect) -> str | None:
        """Return the name of the style behind an area; None for nothing."""
        names = self.layer(Layer(look), place, place, "area")
        return names[0] if names else None

    def layer(self, layer: Layer, owner: Rect, cell: Rect, title: str) -> list[str]:
        """Return the names of the styles that together draw a layer.

        Args:
            layer: What is drawn.
            owner: The key's place in design pixels.
            cell: The place that the app gives to the key.
            title: What has the layer, for losses.
        """
        place = owner.inset(layer.insets).moved(*layer.offset)
        normal, pressed = layer.appearance.normal, layer.appearance.pressed
        if layer.appearance.is_empty or place.is_empty:
            return []
        if _is_one_style(normal, pressed) and self._reach(normal, place) == self._reach(pressed, place):
            return [self._style(normal, pressed, place, cell, title)]
        names = [self._style(normal, None, place, cell, title)] if normal is not None else []
        return names + ([self._style(None, pressed, place, cell, title)] if pressed is not None else [])

    def covers(self, layer: Layer, owner: Rect) -> bool:
        """Whether the first style of a layer has the margins of its owner."""
        paint = layer.appearance.normal or layer.appearance.pressed
        place = owner.inset(layer.insets).moved(*layer.offset)
        return paint is not None and self._reach(paint, place) == owner

    def frame(self, place: Rect, cell: Rect) -> str:
        """Return the name of a style that shows nothing and has the margins of a place in its cell."""
        node = {"buttonStyleType": "geometry", "normalColor": _CLEAR, "highlightColor": _CLEAR}
        return self._name(node | {"insets": self._insets(cell, place)})

    # --- one style ---

    def _style(self, normal: Paint | None, pressed: Paint | None, place: Rect, cell: Rect, title: str) -> str:
        paint = normal if normal is not None else pressed
        assert paint is not None
        reach = self._reach(paint, place)
        insets = self._insets(cell, reach)
        if isinstance(paint, Lettering):
            node = self._text(paint, normal, pressed, title)
        elif isinstance(paint, Fill):
            node = self._colour(paint, normal, pressed)
        else:
            node = self._picture(normal, pressed, reach)
        return self._name(node | ({"insets": insets} if insets else {}))

    def _reach(self, paint: Paint | None, place: Rect) -> Rect:
        """Return the rectangle that a paint covers: a tile at its own size has its own, on whole pixels."""
        if not isinstance(paint, Tile) or paint.fit != "centre":
            return place
        width, height = paint.size
        # The same rounding as where it is drawn at its own size, on the finest grid that the keyboard has.
        unit = self._unit
        width, height = (max(1, round(extent / unit)) * unit for extent in (width, height))
        left, top = (
            round((middle - start - extent / 2) / unit) * unit + start
            for middle, start, extent in zip(place.centre, self._origin, (width, height), strict=True)
        )
        return Rect(left, top, width, height)

    def _picture(self, normal: Paint | None, pressed: Paint | None, reach: Rect) -> Node:
        """Describe pictures. A state without one shows nothing, which is said by a blank one."""
        node: Node = {"buttonStyleType": "fileImage", "contentMode": "scaleToFill"}
        for key, paint in (("normalImage", normal), ("highlightImage", pressed)):
            node[key] = self._sheets.add(self._pixels(paint, reach))
        return node

    def _pixels(self, paint: Paint | None, reach: Rect) -> RgbaPixels:
        if paint is None:
            return BLANK.crop()
        if isinstance(paint, Tile) and paint.fit != "nine_patch":
            return paint.crop()
        unit = min(self._unit, paint.scale) if isinstance(paint, Tile) else self._unit
        return picture_of(paint, (reach.width, reach.height), unit).crop()

    def _colour(self, fill: Fill, normal: Paint | None, pressed: Paint | None) -> Node:
        node: Node = {"buttonStyleType": "geometry"}
        if fill.radius:
            node["cornerRadius"] = _number(fill.radius * self._points)
        if fill.border_colour is not None and fill.border_width > 0:
            node["borderSize"] = _number(fill.border_width * self._points)
        for state, paint in (("normal", normal), ("highlight", pressed)):
            shown = paint if isinstance(paint, Fill) else None
            node[f"{state}Color"] = hex_colour(shown.colour if shown else (*fill.colour[:3], 0))
            if "borderSize" in node and shown and shown.border_colour is not None:
                node[f"{state}BorderColor"] = hex_colour(shown.border_colour)
        return node

    def _text(self, text: Lettering, normal: Paint | None, pressed: Paint | None, title: str) -> Node:
        if text.typeface is not None:
            detail = f"{text.typeface.name} of {text.text!r}"
            self._losses.add(title, "a font of the skin's", "the phone's own font", detail)
        colours = [
            paint.colour if isinstance(paint, Lettering) else (*text.colour[:3], 0)
            for paint in (normal, pressed)
        ]
        return {
            "buttonStyleType": "text",
            "text": text.text,
            "fontSize": _number(text.size * self._points),
            "fontWeight": weight_name(text.weight),
            "normalColor": hex_colour(colours[0]),
            "highlightColor": hex_colour(colours[1]),
        }

    def _insets(self, cell: Rect, place: Rect) -> Node:
        """Return the margins of a place within a cell in points; what reaches out of it has negative ones."""
        margins = {
            "top": place.y - cell.y,
            "left": place.x - cell.x,
            "bottom": cell.bottom - place.bottom,
            "right": cell.right - place.right,
        }
        return {
            side: _number(margin * self._points) for side, margin in margins.items() if abs(margin) > 1e-9
        }

    def _name(self, node: Node) -> str:
        """Return the name of a style, the same for equal ones."""
        key = repr(node)
        if key not in self._names:
            self._names[key] = name = f"style{len(self._names) + 1}"
            self.nodes[name] = node
        return self._names[key]


def _is_one_style(normal: Paint | None, pressed: Paint | None) -> bool:
    """Whether one style can say both states."""
    if normal is None or pressed is None:
        return True
    if isinstance(normal, Lettering) and isinstance(pressed, Lettering):
        return replace(normal, colour=pressed.colour) == pressed
    if isinstance(normal, Fill) and isinstance(pressed, Fill):
        return (normal.radius, normal.border_width) == (pressed.radius, pressed.border_width)
    return isinstance(normal, Tile) and isinstance(pressed, Tile)


def hex_colour(colour: Rgba) -> str:
    """Write a colour as #RRGGBB or #RRGGBBAA."""
    red, green, blue, alpha = colour
    opaque = f"#{red:02x}{green:02x}{blue:02x}"
    return opaque if alpha == 255 else f"{opaque}{alpha:02x}"


def weight_name(weight: int) -> str:
    """Return a weight's name."""
    return _WEIGHTS[min(9, max(1, round(weight / 100))) - 1]


def margins_of(insets: Insets, points: float) -> Node:
    """Write insets in points."""
    sides = {"top": insets.top, "left": insets.left, "bottom": insets.bottom, "right": insets.right}
    return {side: _number(value * points) for side, value in sides.items() if value}


def _number(value: float) -> float:
    """Return a number as short as it can be written without moving anything a hundredth of a pixel."""
    return round(value, 9)
