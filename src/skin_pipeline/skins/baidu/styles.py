"""Styles of a Baidu skin: ``default.css``, and the atlases and slices (``.png``, ``.til``) it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skin_pipeline.skins.archives import PackageFiles
from skin_pipeline.skins.baidu.ini import IniFile, Section, integer, integers, parse_ini
from skin_pipeline.skins.findings import Findings
from skin_pipeline.skins.model import (
    NOTHING,
    Appearance,
    Fill,
    Insets,
    Orientation,
    Paint,
    Rect,
    Rgba,
    TextStyle,
    Tile,
    Typeface,
)
from skin_pipeline.skins.pictures import Pictures

_PICTURE_SUFFIXES = (".png", ".jpg", ".9.png", ".webp")
_DEFAULT_FONT_SHARE = 1 / 16
"""Em of a text style without FONT_SIZE, in widths of the panel (30 of 480)."""
_BLACK: Rgba = (0, 0, 0, 255)
_CSS_KEYS = frozenset(
    (
        *("NM_IMG", "HL_IMG", "NM_COLOR", "HL_COLOR", "BORDER_COLOR", "BORDER_SIZE", "SHOW", "INFO"),
        *("FONT_SIZE", "FONT_WEIGHT", "FONT_NAME", "FONT_CLEARTYPE", "PRESS_ANIM", "STYLE_NUM", "FOR"),
    )
)
_TIL_KEYS = frozenset(("SOURCE_RECT", "INNER_RECT", "TILE_NUM", "USE_ALPHA", "SCALE"))
_STRETCHED = ("", "1,1,1,1,1")


@dataclass(frozen=True)
class Places:
    """The folders of one theme in one orientation, from the strongest to the weakest.

    A package may hold the same file in several: under ``720/port/``, ``720/``, ``port/`` and at its root, in
    this order of precedence, each time directly or in ``res/``.

    Attributes:
        files: The package.
        folders: Path prefixes, empty or ending in a slash.
        buckets: Width of the screens that a folder is made for, by folder; folders for any are not in it.
    """

    files: PackageFiles
    folders: tuple[str, ...]
    buckets: dict[str, int]

    @classmethod
    def of(cls, files: PackageFiles, root: str, orientation: Orientation, buckets: Sequence[int]) -> Places:
        """List the folders under a root; of the resolution buckets the largest is the sharpest."""
        port = {"portrait": "port/", "landscape": "land/"}[orientation]
        if not buckets:
            return cls(files, (root + port, root), {})
        bucket = f"{root}{max(buckets)}/"
        return cls(
            files,
            (bucket + port, bucket, root + port, root),
            {bucket + port: max(buckets), bucket: max(buckets)},
        )

    def find(self, name: str) -> str | None:
        """Return the strongest path of a file."""
        return next(iter(self.find_all(name)), None)

    def find_all(self, name: str) -> list[str]:
        """Return every path of a file, from the strongest to the weakest."""
        candidates = (self.files.find(folder + sub + name) for folder in self.folders for sub in ("res/", ""))
        return [path for path in candidates if path is not None]

    def bucket_of(self, path: str) -> int | None:
        """Return the screen width that a file is made for, if its folder says so."""
        widths = (width for folder, width in self.buckets.items() if path.startswith(folder))
        return next(widths, None)


class Styles:
    """The styles of one theme in one orientation, looked up by number."""

    def __init__(
        self,
        places: Places,
        panel_width: float,
        panel_design_width: float,
        pictures: Pictures,
        findings: Findings,
    ) -> None:
        """Read the style sheets.

        Args:
            places: Where files are looked for.
            panel_width: Width of the panel of this orientation, in design pixels.
            panel_design_width: Width of the upright panel, to which screen widths (``FOR=720``) relate.
            pictures: The package's pictures.
            findings: Where problems are noted.
        """
        self._places = places
        self._panel_width = panel_width
        self._design_width = panel_design_width
        self._pictures = pictures
        self._findings = findings
        self._tiles: dict[tuple[str, int], Tile | None] = {}
        self._slices: dict[str, IniFile | None] = {}
        self._appearances: dict[int, Appearance] = {}
        self._texts: dict[int, TextStyle | None] = {}
        self._sections: dict[int, Section] = {}
        self._screen_width = 0
        # From the weakest to the strongest, so that the strongest style of a number remains.
        for path in reversed(places.find_all("default.css")):
            self._read_sheet(parse_ini(path, places.files[path], findings))

    def _read_sheet(self, sheet: IniFile) -> None:
        for section in sheet.sections:
            report_unknown(section, _CSS_KEYS, self._findings)
        self._sections |= dict(sheet.numbered("STYLE"))
        head = sheet.get("GLOBAL")
        if head is not None:
            self._screen_width = max(0, integer(head, "FOR", self._screen_width, self._findings))

    @property
    def is_empty(self) -> bool:
        """Whether there are no styles at all."""
        return not self._sections

    @property
    def _unit(self) -> float:
        """Design pixels in a pixel of the screen that the sheet is made for."""
        return self._design_width / self._screen_width if self._screen_width else 1.0

    # --- appearances ---

    def appearance(self, number: int, user: Section, key: str) -> Appearance:
        """Return what a style draws as a background, or as a foreground with a picture.

        A state without picture and colour draws nothing; a pressed state of which the sheet says nothing at
        all looks like the normal one.

        Args:
            number: Of the style; 0 or less is no style.
            user: The section that uses it, for findings.
            key: The key in that section.
        """
        if number not in self._appearances:
            self._appearances[number] = self._make_appearance(number, user, key)
        return self._appearances[number]

    def _make_appearance(self, number: int, user: Section, key: str) -> Appearance:
        section = self._section(number, user, key)
        if section is None:
            return NOTHING
        normal, pressed = self._paint(section, "NM"), self._paint(section, "HL")
        says_pressed = section.get("HL_IMG") or section.get("HL_COLOR")
        return Appearance(normal, pressed if says_pressed else normal)

    def _paint(self, section: Section, state: str) -> Paint | None:
        """Return the picture of a state, or else its colour."""
        if section.get(f"{state}_IMG"):
            return self._picture(section, f"{state}_IMG")
        colour = self._colour(section, f"{state}_COLOR")
        if colour is None:
            return None
        width = integer(section, "BORDER_SIZE", 0, self._findings) * self._unit
        border = self._colour(section, "BORDER_COLOR") if 0 < width < self._panel_width else None
        return Fill(colour, border_colour=border, border_width=width if border else 0)

    def has_picture(self, number: int) -> bool:
        """Return whether a style names a picture for any state."""
        section = self._sections.get(number)
        return section is not None and bool(section.get("NM_IMG") or section.get("HL_IMG"))

    def shown_text(self, number: int) -> str:
        """Return the fixed text of a style; empty for none."""
        section = self._sections.get(number)
        return section.get("SHOW") if section else ""

    def text(self, number: int, user: Section, key: str) -> TextStyle | None:
        """Return how a style writes text; None if there is no such style or it has no colour."""
        if number not in self._texts:
            section = self._section(number, user, key)
            self._texts[number] = None if section is None else self._make_text(section)
        return self._texts[number]

    def _make_text(self, section: Section) -> TextStyle | None:
        normal, pressed = self._colour(section, "NM_COLOR"), self._colour(section, "HL_COLOR")
        if normal is None and pressed is None:
            return None
        size = integer(section, "FONT_SIZE", 0, self._findings) * self._unit
        if not 0 < size <= self._panel_width:
            size = self._panel_width * _DEFAULT_FONT_SHARE
        weight = integer(section, "FONT_WEIGHT", 400, self._findings)
        return TextStyle(
            size,
            normal or pressed or _BLACK,
            pressed or normal or _BLACK,
            # Older sheets write 0 and 1 for regular and bold.
            {0: 400, 1: 700}.get(weight, min(900, max(100, weight))),
            self._typeface(section),
        )

    def _typeface(self, section: Section) -> Typeface | None:
        name = section.get("FONT_NAME")
        if not name:
            return None
        path = self._places.find(name)
        if path is None:
            self._note(
                section, "FONT_NAME", f"there is no font '{name[:60]}'", "the phone's own font is used"
            )
            return None
        return Typeface(path, self._places.files[path])

    def _section(self, number: int, user: Section, key: str) -> Section | None:
        if number <= 0:
            return None
        section = self._sections.get(number)
        if section is None:
            self._note(user, key, f"there is no style {number}", "nothing is drawn for it")
        return section

    def _colour(self, section: Section, key: str) -> Rgba | None:
        """Read RRGGBB or AARRGGBB; None if the key is missing or empty, or (with a finding) anything else."""
        value = section.get(key).lstrip("#")
        if not value:
            return None
        try:
            if len(value) not in (6, 8) or not value.isalnum():
                raise ValueError
            channels = bytes.fromhex(value)
        except ValueError:
            self._note(section, key, f"'{value[:40]}' is not RRGGBB or AARRGGBB", "no colour is drawn")
            return None
        alpha = channels[0] if len(channels) == 4 else 255
        red, green, blue = channels[-3:]
        return red, green, blue, alpha

    # --- tiles ---

    def _picture(self, section: Section, key: str) -> Tile | None:
        """Return the tile that ``atlas,index`` names; without an index, the atlas is one tile."""
        name, separator, index = section.get(key).partition(",")
        index = index.strip()
        if separator and not (index.isascii() and index.isdigit() and len(index) < 10):
            self._note(
                section, key, f"'{section.get(key)[:60]}' is not atlas,index", "nothing is drawn for it"
            )
            return None
        reference = (name.strip(), int(index) if separator else 0)
        if reference not in self._tiles:
            self._tiles[reference] = self._make_tile(*reference, section, key)
        return self._tiles[reference]

    def _make_tile(self, name: str, index: int, user: Section, key: str) -> Tile | None:
        path = next(
            (found for suffix in _PICTURE_SUFFIXES if (found := self._places.find(name + suffix))), None
        )
        if path is None:
            self._note(user, key, f"there is no picture '{name[:60]}'", "nothing is drawn for it")
            return None
        atlas = self._pictures.atlas(path)
        if atlas is None:
            return None
        scale = self._scale(path)
        whole = Rect(0, 0, *atlas.size)
        slices = self._slices_of(name, path, atlas.size)
        if slices is None or (index == 0 and slices.get("IMG0") is None):
            if index > 1:
                self._note(user, key, f"'{name[:60]}' has no slices", "nothing is drawn for it")
                return None
            return Tile(atlas, whole, scale=scale)
        section = slices.get(f"IMG{index}")
        if section is None:
            self._note(user, key, f"{slices.file} has no slice {index}", "nothing is drawn for it")
            return None
        return self._slice(section, Tile(atlas, whole, scale=scale))

    def _scale(self, path: str) -> float:
        """Return design pixels in a pixel of a picture: by its bucket, by the sheet's ``FOR``, else 1."""
        screen_width = self._places.bucket_of(path) or self._screen_width
        return self._design_width / screen_width if screen_width else 1.0

    def _edge_scale(self, path: str) -> float:
        """Return design pixels in a pixel of a nine-patch's edges: ``FOR`` does not scale them."""
        screen_width = self._places.bucket_of(path)
        return self._design_width / screen_width if screen_width else 1.0

    def _slices_of(self, name: str, picture: str, size: tuple[int, int]) -> IniFile | None:
        """Read the slices of a picture: the file beside it, or else the strongest of that name."""
        if name not in self._slices:
            beside = self._places.files.find(f"{picture.rpartition('/')[0]}/{name}.til".lstrip("/"))
            path = beside or self._places.find(f"{name}.til")
            self._slices[name] = self._read_slices(path) if path else None
            if path is None:
                self._findings.add(
                    picture,
                    None,
                    f"there is no '{name[:60]}.til'",
                    f"all {size[0]}x{size[1]} px are one tile",
                )
        return self._slices[name]

    def _read_slices(self, path: str) -> IniFile:
        slices = parse_ini(path, self._places.files[path], self._findings)
        count = sum(1 for _ in slices.numbered("IMG"))
        head = slices.get("GLOBAL")
        stated = integer(head, "TILE_NUM", count, self._findings) if head else count
        if head and stated != count:
            self._note(
                head, "TILE_NUM", f"TILE_NUM is {stated}, but there are {count} slices", "all are used"
            )
        for section in slices.sections:
            report_unknown(section, _TIL_KEYS, self._findings)
        return slices

    def _slice(self, section: Section, whole: Tile) -> Tile | None:
        """Cut a slice out of an atlas; a rectangle that leaves the atlas is cut off at its edge."""
        numbers = integers(section, "SOURCE_RECT", 4, self._findings)
        if numbers is None or numbers[2] <= 0 or numbers[3] <= 0:
            self._note(section, "SOURCE_RECT", "the slice has no area", "nothing is drawn for it")
            return None
        asked = Rect(*numbers)
        source = asked.intersection(whole.source)
        if source != asked:
            width, height = whole.atlas.size
            remedy = "nothing is drawn for it" if source.is_empty else "what lies inside is used"
            self._note(
                section,
                "SOURCE_RECT",
                f"{section.get('SOURCE_RECT')} leaves the {width}x{height} picture",
                remedy,
            )
            if source.is_empty:
                return None
        return self._stretching(section, Tile(whole.atlas, source, scale=whole.scale))

    def _stretching(self, section: Section, tile: Tile) -> Tile:
        """Add how a slice stretches: not without an inner rectangle, wholly if that is all of the slice."""
        if section.get("SCALE").replace(" ", "") not in _STRETCHED:
            self._note(section, "SCALE", "parts that repeat are not supported", "they are stretched")
        numbers = integers(section, "INNER_RECT", 4, self._findings)
        if numbers is None or numbers[2] <= 0 or numbers[3] <= 0:
            return tile
        source, inner = tile.source, Rect(*numbers).intersection(tile.source)
        if inner.is_empty:
            self._note(section, "INNER_RECT", "it lies outside of SOURCE_RECT", "the slice is not stretched")
            return tile
        if inner != Rect(*numbers):
            self._note(
                section, "INNER_RECT", "it lies partly outside of SOURCE_RECT", "what lies inside is used"
            )
        if inner == source:
            return Tile(tile.atlas, source, "stretch", scale=tile.scale)
        insets = Insets(
            inner.x - source.x, inner.y - source.y, source.right - inner.right, source.bottom - inner.bottom
        )
        return Tile(tile.atlas, source, "nine_patch", insets, self._edge_scale(tile.atlas.name))

    def _note(self, section: Section, key: str, problem: str, remedy: str) -> None:
        self._findings.add(*section.place_of(key), problem, remedy)


def report_unknown(section: Section, known: frozenset[str], findings: Findings) -> None:
    """Note the keys of a section that have no meaning here."""
    for key in section.values:
        if key not in known:
            findings.add(*section.place_of(key), f"'{key[:40]}' has no known meaning", "ignored")
