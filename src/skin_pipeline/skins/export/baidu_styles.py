"""The style sheet, sheets and slices of a Baidu skin, from appearances.

A style has one paint a state: a picture (``NM_IMG``, ``HL_IMG``: sheet and slice), a colour, or, in the stack
of foregrounds of a key, a text. All pictures and text of a style sheet have one scale: ``FOR`` says for which
width of the screen they are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import PurePosixPath

from skin_pipeline.skins.export.ini import IniSections, IniValue, ini_document, one_line
from skin_pipeline.skins.export.packages import Losses, encode_png, safe_name
from skin_pipeline.skins.export.packing import MAX_TILES_ON_SHEET, pack, picture_digest
from skin_pipeline.skins.export.pictures import BLANK, fill_tile, picture_of, pixels_tile, resampled
from skin_pipeline.skins.model import (
    Appearance,
    Fill,
    Insets,
    Lettering,
    Paint,
    Rect,
    Rgba,
    RgbaPixels,
    TextStyle,
    Tile,
    Typeface,
)


@dataclass(frozen=True)
class Slice:
    """A picture on a sheet and how it stretches.

    Attributes:
        sheet: Name of the sheet's group.
        digest: See :func:`picture_digest`.
        size: Width and height in pixels.
        inner: The part that stretches, relative to the slice, x y w h; None if it is centred.
    """

    sheet: str
    digest: str
    size: tuple[int, int]
    inner: tuple[int, int, int, int] | None


class Sheets:
    """Pictures of all styles of a package, by group; equal pictures are stored once."""

    def __init__(self) -> None:
        """Start without pictures."""
        self._pictures: dict[str, dict[str, RgbaPixels]] = {}
        self._slices: dict[str, dict[Slice, None]] = {}
        self._names: dict[Slice, tuple[str, int]] = {}

    def add(self, group: str, tile: Tile) -> Slice:
        """Take up a tile, at its own resolution."""
        pixels = tile.crop()
        digest = picture_digest(pixels)
        size = (pixels.shape[1], pixels.shape[0])
        self._pictures.setdefault(group, {})[digest] = pixels
        part = Slice(group, digest, size, _inner(tile, size))
        self._slices.setdefault(group, {})[part] = None
        return part

    def files(self) -> dict[str, bytes]:
        """Pack everything; from then on :meth:`reference` knows the places."""
        files: dict[str, bytes] = {}
        for group, pictures in sorted(self._pictures.items()):
            # A slice counts, not a picture: one picture may be stretched in several ways.
            slices_a_picture = max(
                sum(part.digest == digest for part in self._slices[group]) for digest in pictures
            )
            packed = pack(pictures.values(), MAX_TILES_ON_SHEET // slices_a_picture)
            for index, pixels in enumerate(packed.sheets):
                name = group if index == 0 else f"{group}{index + 1}"
                lying = [
                    part for part in self._slices[group] if packed.placements[part.digest].sheet == index
                ]
                lying.sort(
                    key=lambda part: (
                        packed.placements[part.digest].rect.y,
                        packed.placements[part.digest].rect.x,
                        part.inner or (),
                    )
                )
                places = [packed.placements[part.digest].rect for part in lying]
                self._names |= {part: (name, number) for number, part in enumerate(lying, start=1)}
                files[f"res/{name}.png"] = encode_png(pixels)
                files[f"res/{name}.til"] = _til(lying, places)
        return files

    def reference(self, part: Slice) -> str:
        """Return a slice as a style names it: ``sheet,number``."""
        name, number = self._names[part]
        return f"{name},{number}"


def _inner(tile: Tile, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    if tile.fit == "centre":
        return None
    insets = tile.insets if tile.fit == "nine_patch" else Insets()
    left, top = int(insets.left), int(insets.top)
    return left, top, size[0] - left - int(insets.right), size[1] - top - int(insets.bottom)


def _til(slices: Sequence[Slice], places: Sequence[Rect]) -> bytes:
    """Write the slices of a sheet; the inner rectangle counts from the sheet's corner."""
    sections: IniSections = [("GLOBAL", {"USE_ALPHA": 1, "TILE_NUM": len(slices)})]
    for number, (part, place) in enumerate(zip(slices, places, strict=True), start=1):
        x, y = int(place.x), int(place.y)
        values: dict[str, IniValue] = {"SOURCE_RECT": (x, y, *part.size)}
        if part.inner is not None:
            values["INNER_RECT"] = (x + part.inner[0], y + part.inner[1], part.inner[2], part.inner[3])
        sections.append((f"IMG{number}", values))
    return ini_document(sections)


_Value = str | int | Slice
_Style = tuple[tuple[str, _Value], ...]


class BaiduStyles:
    """Styles of one orientation, numbered in the order in which they are first used."""

    def __init__(
        self, sheets: Sheets, unit: float, edge_unit: float, screen_width: int | None, losses: Losses
    ) -> None:
        """Start without styles.

        Args:
            sheets: Takes the pictures.
            unit: Design pixels in a pixel of a picture; also what text is measured in.
            edge_unit: Design pixels in a pixel of a nine-patch, whose edges ``FOR`` does not scale.
            screen_width: Width in such pixels of the panel when it is upright; None if the geometry of the
                package is stated in them too.
            losses: Takes what cannot be said.
        """
        self._sheets = sheets
        self._unit = unit
        self._edge_unit = edge_unit
        self._screen_width = screen_width
        self._losses = losses
        self._numbers: dict[_Style, int] = {}
        self.fonts: dict[str, bytes] = {}

    # --- styles ---

    def background(self, look: Appearance, group: str, owner: str, size: tuple[float, float]) -> int:
        """Return the number of a style that fills a place.

        Args:
            look: What is drawn.
            group: Of the sheet that takes its pictures.
            owner: What has this look, for losses.
            size: Width and height of the place in design pixels.

        Returns:
            The number of a style of pictures or colours; 0 for nothing.
        """
        if look.is_empty:
            return 0
        if _is_plain(look):
            return self._number(self._colours(look))
        return self._pictured(look, group, owner, size)

    def foregrounds(self, look: Appearance, group: str, owner: str, size: tuple[float, float]) -> list[int]:
        """Return the styles that together draw one layer of a key: a picture, a text, or one for each state.

        Args:
            look: What is drawn.
            group: Of the sheet that takes its pictures.
            owner: What has this look, for losses.
            size: Width and height of the key in design pixels.
        """
        normal, pressed = look.normal, look.pressed
        letterings = [paint for paint in (normal, pressed) if isinstance(paint, Lettering)]
        if not letterings:
            # A colour in a stack of foregrounds would mean text, so colours become pictures here.
            return [] if look.is_empty else [self._pictured(look, group, owner, size)]
        if len(letterings) == 2 and _same_but_colour(letterings[0], letterings[1]):
            return [self._lettering(letterings[0], letterings[0].colour, letterings[1].colour, owner)]
        numbers = []
        if isinstance(normal, Lettering):
            numbers.append(self._lettering(normal, normal.colour, _clear(normal.colour), owner))
        elif normal is not None:
            numbers.append(self._pictures(self._tile(normal, owner, size), None, group))
        if isinstance(pressed, Lettering):
            numbers.append(self._lettering(pressed, _clear(pressed.colour), pressed.colour, owner))
        elif pressed is not None:
            numbers.append(self._pictures(None, self._tile(pressed, owner, size), group))
        return numbers

    def text(self, style: TextStyle | None, owner: str) -> int:
        """Return the number of a style that says how text is written; 0 for none."""
        if style is None:
            return 0
        font = self._font(style.size, style.weight, style.typeface, owner)
        return self._number(
            (("NM_COLOR", _argb(style.colour)), ("HL_COLOR", _argb(style.pressed_colour)), *font)
        )

    def document(self) -> bytes:
        """Write the sheet; the pictures must have been packed."""
        head: dict[str, IniValue] = {"STYLE_NUM": len(self._numbers)}
        if self._screen_width is not None:
            head["FOR"] = self._screen_width
        sections: IniSections = [("GLOBAL", head)]
        for style, number in self._numbers.items():
            values: dict[str, IniValue] = {}
            for key, value in style:
                values[key] = self._sheets.reference(value) if isinstance(value, Slice) else value
            sections.append((f"STYLE{number}", values))
        return ini_document(sections)

    # --- parts ---

    def _number(self, style: _Style) -> int:
        return self._numbers.setdefault(style, len(self._numbers) + 1)

    def _colours(self, look: Appearance) -> _Style:
        """Return a style of one or two plain colours; without a colour a state draws nothing."""
        fills = [paint if isinstance(paint, Fill) else None for paint in (look.normal, look.pressed)]
        drawn = next(fill for fill in fills if fill is not None)
        style: list[tuple[str, _Value]] = [
            (key, _argb(fill.colour if fill else _clear(drawn.colour)))
            for key, fill in zip(("NM_COLOR", "HL_COLOR"), fills, strict=True)
        ]
        if drawn.border_colour is not None and drawn.border_width > 0:
            style += [
                ("BORDER_COLOR", _argb(drawn.border_colour)),
                ("BORDER_SIZE", round(drawn.border_width / self._unit)),
            ]
        return tuple(style)

    def _pictures(self, normal: Tile | None, pressed: Tile | None, group: str) -> int:
        """Return a style of pictures; a blank one keeps the normal one from showing when pressed."""
        style: list[tuple[str, _Value]] = []
        if normal is not None:
            style.append(("NM_IMG", self._sheets.add(group, normal)))
        down = BLANK if pressed is None else pressed
        style.append(("HL_IMG", self._sheets.add(group if down == normal else f"{group}ax", down)))
        return self._number(tuple(style))

    def _pictured(self, look: Appearance, group: str, owner: str, size: tuple[float, float]) -> int:
        """Return a style of pictures only."""
        normal, pressed = (
            None if paint is None else self._tile(paint, owner, size) for paint in (look.normal, look.pressed)
        )
        return self._pictures(normal, pressed, group)

    def _lettering(self, text: Lettering, colour: Rgba, pressed: Rgba, owner: str) -> int:
        line = one_line(text.text)
        if line != text.text:
            self._losses.add(owner, f"blanks of the legend {text.text!r}", f"{line!r} is written")
        font = self._font(text.size, text.weight, text.typeface, owner)
        return self._number(
            (("NM_COLOR", _argb(colour)), ("HL_COLOR", _argb(pressed)), *font, ("SHOW", line))
        )

    def _font(
        self, size: float, weight: int, typeface: Typeface | None, owner: str
    ) -> tuple[tuple[str, _Value], ...]:
        pixels = max(1, round(size / self._unit))
        if abs(pixels - size / self._unit) > 0.01:
            self._losses.add(owner, f"text of {size / self._unit:.2f} px", f"whole pixels: {pixels}")
        style: list[tuple[str, _Value]] = [("FONT_SIZE", pixels), ("FONT_WEIGHT", max(100, weight))]
        if typeface is not None:
            name = safe_name(PurePosixPath(typeface.name).name, "font.ttf")
            self.fonts[name] = typeface.content
            style.append(("FONT_NAME", name))
        return tuple(style)

    def _tile(self, paint: Paint, owner: str, size: tuple[float, float]) -> Tile:
        """Return a paint as a tile at the scale of the sheet."""
        if isinstance(paint, Fill):
            return fill_tile(paint, self._edge_unit)
        if isinstance(paint, Lettering):
            self._losses.add(owner, f"text {paint.text!r} as a background", "a picture of it")
            return picture_of(paint, size, self._unit)
        return self._rescaled(paint, owner)

    def _rescaled(self, tile: Tile, owner: str) -> Tile:
        """Bring a tile to the scale of the sheet, and its insets to whole pixels with something between."""
        ratio = tile.scale / (self._edge_unit if tile.fit == "nine_patch" else self._unit)
        if tile.fit == "stretch":
            return tile
        if abs(ratio - 1) > 1e-6:
            width, height = (max(1, round(side * ratio)) for side in (tile.source.width, tile.source.height))
            self._losses.add(owner, f"a picture at {ratio:.3g} times its size", "it is resampled")
            insets = Insets(*(side * ratio for side in astuple(tile.insets)))
            tile = replace(pixels_tile(resampled(tile.crop(), (width, height))), fit=tile.fit, insets=insets)
        return (
            replace(tile, insets=_whole_insets(tile), scale=1.0)
            if tile.fit == "nine_patch"
            else replace(tile, scale=1.0)
        )


def _whole_insets(tile: Tile) -> Insets:
    """Round insets, and leave one pixel between them: an empty middle would mean no stretching at all."""
    width, height = int(tile.source.width), int(tile.source.height)
    left, top = min(round(tile.insets.left), width - 1), min(round(tile.insets.top), height - 1)
    right = min(round(tile.insets.right), width - 1 - left)
    bottom = min(round(tile.insets.bottom), height - 1 - top)
    return Insets(left, top, right, bottom)


def _is_plain(look: Appearance) -> bool:
    """Whether both states are plain colours with the same line around them."""
    paints = [paint for paint in (look.normal, look.pressed) if paint is not None]
    fills = [paint for paint in paints if isinstance(paint, Fill) and not paint.radius]
    borders = {(fill.border_colour, fill.border_width) for fill in fills}
    return len(fills) == len(paints) and len(borders) == 1 and (len(fills) == 2 or not fills[0].border_colour)


def _same_but_colour(one: Lettering, other: Lettering) -> bool:
    return replace(one, colour=other.colour) == other


def _clear(colour: Rgba) -> Rgba:
    return (*colour[:3], 0)


def _argb(colour: Rgba) -> str:
    """Write a colour; alpha comes first and is left out if it is 255."""
    red, green, blue, alpha = colour
    return f"{red:02X}{green:02X}{blue:02X}" if alpha == 255 else f"{alpha:02X}{red:02X}{green:02X}{blue:02X}"
