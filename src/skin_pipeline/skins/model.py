"""What a keyboard skin is: the one description between package formats and everything else.

A :class:`Skin` has one or two themes; a theme has keyboards; a keyboard is a panel, a candidate bar and keys;
what each of them shows is an :class:`Appearance`, which is a paint when idle and a paint when pressed.

Convention:
    * A *design pixel* is the unit in which a package states its geometry. The panel of a keyboard is
      ``Keyboard.size`` design pixels large, and its top left corner is the origin; x runs to the right, y
      down. What lies above the panel (a candidate bar fixed there) has negative y.
    * A *picture pixel* is a pixel of an :class:`Atlas`; ``Tile.scale`` design pixels wide.
    * Rectangles are ``x, y, width, height``.
    * Colours are sRGB with straight (not premultiplied) alpha, ``(red, green, blue, alpha)`` of 0-255.
    * Layers are listed from the lowest to the highest, keys in the order in which they are drawn.

Every value is what is drawn, not what a file says: an importer has applied its format's defaults, inheritance
and fallbacks, so no reader of a model needs to know where it came from. Where a file asks for something that
cannot be had, the model holds what was taken in its place and ``Skin.findings`` says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from skin_pipeline.errors import InputError

Rgba = tuple[int, int, int, int]
"""Red, green, blue and alpha, 0-255, alpha not premultiplied."""

RgbaPixels = npt.NDArray[np.uint8]
"""(H, W, 4), red, green, blue, alpha, alpha not premultiplied."""

State = Literal["normal", "pressed"]
MAX_LAYERS = 32
"""Foregrounds of a key that importers keep; real keys have up to four."""

Orientation = Literal["portrait", "landscape"]
ThemeName = Literal["default", "light", "dark"]
SourceFormat = Literal["baidu", "hamster", "folder"]


class KeyboardKind(StrEnum):
    """What a keyboard is for."""

    PINYIN_26 = "pinyin_26"
    PINYIN_9 = "pinyin_9"
    ENGLISH_26 = "english_26"
    ENGLISH_26_UPPER = "english_26_upper"
    ENGLISH_9 = "english_9"
    ENGLISH_9_UPPER = "english_9_upper"
    NUMBERS_26 = "numbers_26"
    NUMBERS_9 = "numbers_9"
    SYMBOLS = "symbols"
    EMOJI = "emoji"
    STROKES = "strokes"
    HANDWRITING_BOX = "handwriting_box"
    HANDWRITING_FULL = "handwriting_full"
    MORE_CANDIDATES = "more_candidates"
    MORE_CANDIDATES_ENGLISH = "more_candidates_english"
    ADDRESSES = "addresses"
    USER_26 = "user_26"
    """26 keys for input schemes that the user defines (double pinyin, say)."""
    USER_9 = "user_9"
    CUSTOM = "custom"
    """Any other panel of a package; ``Keyboard.name`` tells them apart."""


class Function(StrEnum):
    """What a key does, whatever its format calls it."""

    LETTER = "letter"
    """Hands a letter (``Action.text``) to the input method."""
    TEXT = "text"
    """Writes ``Action.text``: a digit, a mark, a phrase."""
    SPACE = "space"
    ENTER = "enter"
    BACKSPACE = "backspace"
    DELETE = "delete"
    CLEAR = "clear"
    """Empties the composition or the text field."""
    SHIFT = "shift"
    CAPS_LOCK = "caps_lock"
    NUMBERS = "numbers"
    SYMBOLS = "symbols"
    SYMBOL_LOCK = "symbol_lock"
    EMOJI = "emoji"
    LANGUAGE = "language"
    """Changes between Chinese and another language."""
    KEYBOARD = "keyboard"
    """Opens the keyboard whose name is ``Action.text``."""
    LAYOUT = "layout"
    """Changes between 26 and 9 keys."""
    INPUT_METHOD = "input_method"
    """Changes to, or lists, other input methods."""
    BACK = "back"
    HIDE = "hide"
    MENU = "menu"
    SETTINGS = "settings"
    CANDIDATES = "candidates"
    """Shows more candidates."""
    CANDIDATE_AREA = "candidate_area"
    """Not a key: the place of the candidates on a panel of more candidates."""
    PAGE_UP = "page_up"
    PAGE_DOWN = "page_down"
    FILTER_CANDIDATES = "filter_candidates"
    """Single characters only, or all candidates."""
    HANDWRITING_AREA = "handwriting_area"
    STROKE = "stroke"
    """Hands one of the five strokes (``Action.text``: 1-5, 6 is any) to the input method."""
    TAB = "tab"
    HOME = "home"
    END = "end"
    LEFT = "left"
    RIGHT = "right"
    UP = "up"
    DOWN = "down"
    SELECT = "select"
    SELECT_ALL = "select_all"
    CUT = "cut"
    COPY = "copy"
    PASTE = "paste"
    UNDO = "undo"
    REDO = "redo"
    SEARCH = "search"
    OTHER = "other"
    """Something without a name here; ``Action.text`` is the format's own code."""


class Gesture(StrEnum):
    """What a finger does on a key."""

    TAP = "tap"
    UP = "up"
    DOWN = "down"
    LEFT = "left"
    RIGHT = "right"
    HOLD = "hold"


class Condition(StrEnum):
    """A circumstance in which some keys look and act otherwise."""

    SHIFTED = "shifted"
    CAPS_LOCKED = "caps_locked"
    COMPOSING = "composing"
    """There is unfinished input."""
    PREDICTING = "predicting"
    SINGLE_CHARACTERS = "single_characters"
    SYMBOLS_LOCKED = "symbols_locked"
    FIRST_PAGE = "first_page"
    LAST_PAGE = "last_page"
    SEARCH_FIELD = "search_field"
    ADDRESS_FIELD = "address_field"
    NEXT_FIELD = "next_field"
    SUBMIT_FIELD = "submit_field"
    OTHER = "other"


# --- geometry -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rect:
    """An upright rectangle."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The x of the right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The y of the bottom edge."""
        return self.y + self.height

    @property
    def centre(self) -> tuple[float, float]:
        """The x and y of the centre."""
        return self.x + self.width / 2, self.y + self.height / 2

    @property
    def is_empty(self) -> bool:
        """Whether there is no area in it."""
        return self.width <= 0 or self.height <= 0

    def moved(self, dx: float, dy: float) -> Rect:
        """Return the rectangle, shifted."""
        return replace(self, x=self.x + dx, y=self.y + dy)

    def inset(self, insets: Insets) -> Rect:
        """Return what is left of it within insets; its sizes do not fall below 0."""
        return Rect(
            self.x + insets.left,
            self.y + insets.top,
            max(0.0, self.width - insets.left - insets.right),
            max(0.0, self.height - insets.top - insets.bottom),
        )

    def intersection(self, other: Rect) -> Rect:
        """Return the part that two rectangles share; empty if there is none."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        width, height = min(self.right, other.right) - x, min(self.bottom, other.bottom) - y
        return Rect(x, y, max(0, width), max(0, height))

    def union(self, other: Rect) -> Rect:
        """Return the smallest rectangle around two."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        return Rect(x, y, max(self.right, other.right) - x, max(self.bottom, other.bottom) - y)


@dataclass(frozen=True)
class Insets:
    """Distances from the four sides of a rectangle, inwards."""

    left: float = 0
    top: float = 0
    right: float = 0
    bottom: float = 0


# --- pictures -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Atlas:
    """One picture file of a package. Two atlases are equal if their pixels are, whatever their names.

    Attributes:
        name: Its path in the package.
        pixels: (H, W, 4) uint8, RGBA, read-only.
    """

    name: str
    pixels: RgbaPixels = field(repr=False)

    def __post_init__(self) -> None:
        """Make the pixels read-only."""
        self.pixels.setflags(write=False)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in picture pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @cached_property
    def digest(self) -> str:
        """The sha256 of size and pixels."""
        return hashlib.sha256(repr(self.pixels.shape).encode() + self.pixels.tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        """Compare pixels."""
        return isinstance(other, Atlas) and (self is other or self.digest == other.digest)

    def __hash__(self) -> int:
        """Hash pixels."""
        return hash(self.digest)


@dataclass(frozen=True)
class Tile:
    """A rectangle of an atlas, and how it fills the place where it is drawn.

    Attributes:
        atlas: The picture.
        source: The rectangle, in whole picture pixels, inside the atlas and not empty.
        fit: 'centre' draws the tile at its own size, its centre on the centre of the place; 'stretch' pulls
            it over the whole place; 'nine_patch' keeps its corners at their own size, pulls its edges along
            one axis and its middle along both.
        insets: Widths of the four edges of a nine-patch, in picture pixels.
        scale: Design pixels in a picture pixel; gives 'centre' and the corners of 'nine_patch' their size.
    """

    atlas: Atlas
    source: Rect
    fit: Literal["centre", "stretch", "nine_patch"] = "centre"
    insets: Insets = Insets()
    scale: float = 1.0

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in design pixels."""
        return self.source.width * self.scale, self.source.height * self.scale

    def crop(self) -> RgbaPixels:
        """Return its pixels, a read-only view (h, w, 4)."""
        x, y = int(self.source.x), int(self.source.y)
        return self.atlas.pixels[y : y + int(self.source.height), x : x + int(self.source.width)]


# --- paints ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fill:
    """A plain colour over the whole place.

    Attributes:
        colour: Its colour.
        radius: Radius of the rounded corners in design pixels.
        border_colour: Colour of a line along the inside of the edge; None for no line.
        border_width: Width of that line in design pixels.
    """

    colour: Rgba
    radius: float = 0
    border_colour: Rgba | None = None
    border_width: float = 0


@dataclass(frozen=True)
class Typeface:
    """A font file of a package.

    Attributes:
        name: Its path in the package.
        content: The file.
    """

    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class TextStyle:
    """How text is written.

    Attributes:
        size: Em square in design pixels.
        colour: Its colour when idle.
        pressed_colour: Its colour when pressed.
        weight: 100 (thin) to 900 (black); 400 is regular.
        typeface: A font of the package; None for the phone's own.
    """

    size: float
    colour: Rgba
    pressed_colour: Rgba
    weight: int = 400
    typeface: Typeface | None = None

    def lettering(self, text: str) -> Appearance:
        """Return a text in this style."""
        return Appearance(
            Lettering(text, self.size, self.colour, self.weight, self.typeface),
            Lettering(text, self.size, self.pressed_colour, self.weight, self.typeface),
        )


@dataclass(frozen=True)
class Lettering:
    """A text, centred on the centre of the place.

    Attributes:
        text: One line.
        size: Em square in design pixels.
        colour: Its colour.
        weight: 100 (thin) to 900 (black).
        typeface: A font of the package; None for the phone's own.
    """

    text: str
    size: float
    colour: Rgba
    weight: int = 400
    typeface: Typeface | None = None


Paint = Tile | Fill | Lettering
"""Anything that can be drawn in a place."""


@dataclass(frozen=True)
class Appearance:
    """What a thing shows in each state. None draws nothing.

    Both states are explicit. Formats disagree about a pressed state that is not given (one repeats the normal
    one, another shows nothing); an importer has applied its format's rule.
    """

    normal: Paint | None
    pressed: Paint | None

    def paint(self, state: State) -> Paint | None:
        """Return the paint of a state."""
        return self.normal if state == "normal" else self.pressed

    @property
    def is_empty(self) -> bool:
        """Whether nothing is ever drawn."""
        return self.normal is None and self.pressed is None


NOTHING = Appearance(None, None)
"""Draws nothing."""


@dataclass(frozen=True)
class Layer:
    """An appearance, and where in the place of its owner it is drawn.

    Attributes:
        appearance: What is drawn.
        offset: Shift of its centre from the centre of the place, in design pixels.
        insets: Margin between the owner's place and the layer's, in design pixels.
    """

    appearance: Appearance
    offset: tuple[float, float] = (0.0, 0.0)
    insets: Insets = Insets()


# --- keys -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Action:
    """What a gesture does.

    Attributes:
        function: The kind of action.
        text: What is written, or which keyboard is opened, or the format's own code; see :class:`Function`.
    """

    function: Function
    text: str = ""


@dataclass(frozen=True)
class Variant:
    """How a key differs while a condition holds. What is None stays as it is."""

    background: Layer | None = None
    foregrounds: tuple[Layer, ...] | None = None
    actions: Mapping[Gesture, Action] | None = None


@dataclass(frozen=True)
class Key:
    """A key, or a decoration that lies among the keys (no actions then).

    Attributes:
        id: Unique within its keyboard; the format's own name.
        rect: Where it is drawn.
        touch: Where it is touched.
        background: The key cap.
        foregrounds: Legend, hints, icons, from the lowest to the highest.
        actions: What it does, by gesture.
        code: What a tap tells the input method where that is not the text itself (a 9-key keyboard's digit).
        held_characters: Characters offered while it is held.
        variants: How it looks and acts in other circumstances.
    """

    id: str
    rect: Rect
    touch: Rect
    background: Layer = Layer(NOTHING)
    foregrounds: tuple[Layer, ...] = ()
    actions: Mapping[Gesture, Action] = field(default_factory=dict)
    code: str = ""
    held_characters: str = ""
    variants: Mapping[Condition, Variant] = field(default_factory=dict)

    @property
    def function(self) -> Function | None:
        """What a tap does; None for a decoration."""
        action = self.actions.get(Gesture.TAP)
        return action.function if action else None

    @property
    def text(self) -> str:
        """What a tap writes; empty for functions."""
        action = self.actions.get(Gesture.TAP)
        return action.text if action and action.function in (Function.LETTER, Function.TEXT) else ""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Background and foregrounds, from the lowest to the highest."""
        return (self.background, *self.foregrounds)

    def under(self, conditions: Collection[Condition]) -> Key:
        """Return the key as it is while conditions hold; of several variants, the first listed applies."""
        for condition, variant in self.variants.items():
            if condition in conditions:
                return replace(
                    self,
                    background=self.background if variant.background is None else variant.background,
                    foregrounds=self.foregrounds if variant.foregrounds is None else variant.foregrounds,
                    actions=self.actions if variant.actions is None else variant.actions,
                )
        return self


def with_unique_ids(keys: Iterable[Key]) -> tuple[Key, ...]:
    """Return keys of which no two have the same id: later ones are numbered (``q``, ``q#2`` ...)."""
    counts: dict[str, int] = {}
    unique = []
    for key in keys:
        counts[key.id] = count = counts.get(key.id, 0) + 1
        unique.append(key if count == 1 else replace(key, id=f"{key.id}#{count}"))
    return tuple(unique)


@dataclass(frozen=True)
class KeyList:
    """A row or column of cells that scrolls: the marks beside a 9-key keyboard, its syllables when composing.

    Attributes:
        rect: Where it is drawn: all visible cells.
        direction: 'column' or 'row'.
        cell_size: Width and height of a cell.
        background: Behind all cells.
        cell: Behind each cell.
        text: How entries are written; None if it writes none.
        entries: What is written in the cells.
        values: What each entry does.
        always_shown: False if it appears only when there is something to choose from.
    """

    rect: Rect
    direction: Literal["column", "row"]
    cell_size: tuple[float, float]
    background: Appearance = NOTHING
    cell: Appearance = NOTHING
    text: TextStyle | None = None
    entries: tuple[str, ...] = ()
    values: tuple[Action, ...] = ()
    always_shown: bool = True

    def cells(self) -> tuple[Rect, ...]:
        """Return the places of its visible cells."""
        (width, height), column = self.cell_size, self.direction == "column"
        extent, step = (self.rect.height, height) if column else (self.rect.width, width)
        count = max(1, round(extent / step)) if step > 0 else 0
        return tuple(
            Rect(
                self.rect.x + (0 if column else i * width),
                self.rect.y + (i * height if column else 0),
                width,
                height,
            )
            for i in range(count)
        )


@dataclass(frozen=True)
class CandidateGrid:
    """The cells of a panel of more candidates or symbols.

    Attributes:
        rect: Where the cells lie.
        rows: Number of rows.
        columns: Number of columns.
        cell: Behind each cell.
        text: How candidates are written.
    """

    rect: Rect
    rows: int
    columns: int
    cell: Appearance = NOTHING
    text: TextStyle | None = None


@dataclass(frozen=True)
class BarIcon:
    """A button on a candidate bar.

    Attributes:
        key: Place, look and action.
        shown: Whether it is there without candidates, with them, always or never.
    """

    key: Key
    shown: Literal["idle", "with_candidates", "always", "never"]


@dataclass(frozen=True)
class CandidateBar:
    """The strip in which candidates appear.

    Attributes:
        rect: Where it lies: above the panel (y is negative) or on it.
        always_shown: False if it appears only with candidates (the keys beneath it show until then).
        background: Behind everything.
        cell: Behind each candidate.
        first_cell: Behind the first candidate.
        text: How candidates are written.
        first_text: How the first candidate is written.
        gap: Design pixels between candidates.
        first_gap: Design pixels before the first one.
        icons: Buttons.
    """

    rect: Rect
    always_shown: bool = True
    background: Appearance = NOTHING
    cell: Appearance = NOTHING
    first_cell: Appearance = NOTHING
    text: TextStyle | None = None
    first_text: TextStyle | None = None
    gap: float = 0
    first_gap: float = 0
    icons: tuple[BarIcon, ...] = ()


@dataclass(frozen=True)
class Popup:
    """A bubble over a key.

    Attributes:
        kind: 'hint' while the key is pressed, 'choices' while it is held.
        rect: Where it is drawn, with the centre of the key's top edge as its origin.
        background: The bubble.
        text: How the key's text is written in it.
    """

    kind: Literal["hint", "choices"]
    rect: Rect
    background: Appearance
    text: TextStyle | None = None


# --- keyboards, themes, skins ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Keyboard:
    """One panel of keys with its candidate bar.

    Attributes:
        kind: What it is for.
        name: Unique within its theme and orientation; the format's own name.
        orientation: How the phone is held.
        size: Width and height of the panel in design pixels.
        background: The panel, behind everything on it.
        keys: In the order in which they are drawn.
        bar: The candidate bar, if there is one.
        preedit: The strip above the bar that shows unfinished input, if the format reserves one.
        lists: Scrolling lists.
        grid: Cells of candidates, on a panel that has them.
        popups: Bubbles over keys.
    """

    kind: KeyboardKind
    name: str
    orientation: Orientation
    size: tuple[float, float]
    background: Appearance = NOTHING
    keys: tuple[Key, ...] = ()
    bar: CandidateBar | None = None
    preedit: CandidateBar | None = None
    lists: tuple[KeyList, ...] = ()
    grid: CandidateGrid | None = None
    popups: tuple[Popup, ...] = ()

    @property
    def panel(self) -> Rect:
        """The panel's rectangle."""
        return Rect(0, 0, *self.size)

    @property
    def bounds(self) -> Rect:
        """The panel and the strips above it, as they are without candidates."""
        return self.bounds_when(composing=False)

    def bounds_when(self, *, composing: bool) -> Rect:
        """Return the panel and the strips above it; while composing, all of these are there."""
        bounds = self.panel
        for strip in (self.bar, self.preedit):
            if strip is not None and (composing or strip.always_shown):
                bounds = bounds.union(strip.rect)
        return bounds

    def key(self, function: Function, text: str = "") -> Key | None:
        """Return the first key that does something when tapped (and writes that text), if there is one."""
        matches = (key for key in self.keys if key.function == function and (not text or key.text == text))
        return next(matches, None)


@dataclass(frozen=True)
class Theme:
    """A skin's looks under one brightness of the system.

    Attributes:
        name: 'default' if the skin has only one theme.
        keyboards: In no certain order.
    """

    name: ThemeName
    keyboards: tuple[Keyboard, ...]

    def keyboard(self, kind: KeyboardKind, orientation: Orientation = "portrait") -> Keyboard:
        """Return the keyboard of a kind.

        Raises:
            InputError: The theme has none.
        """
        for keyboard in self.keyboards:
            if keyboard.kind == kind and keyboard.orientation == orientation:
                return keyboard
        there = sorted({str(board.kind) for board in self.keyboards if board.orientation == orientation})
        raise InputError(
            f"The theme '{self.name}' has no {orientation} keyboard of the kind '{kind}'; "
            f"it has {', '.join(there) or 'none'}."
        )

    def has(self, kind: KeyboardKind, orientation: Orientation = "portrait") -> bool:
        """Return whether there is a keyboard of a kind."""
        return any(board.kind == kind and board.orientation == orientation for board in self.keyboards)


@dataclass(frozen=True)
class Finding:
    """Something in a package that is not as it should be, or is not understood, and what was done.

    Attributes:
        file: Path in the package.
        line: Line in that file, from 1; None if it concerns the file as a whole.
        problem: What is wrong.
        remedy: What was done instead.
    """

    file: str
    line: int | None
    problem: str
    remedy: str

    def __str__(self) -> str:
        """Return it as 'file:line: problem (remedy)'."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.problem} ({self.remedy})"


@dataclass(frozen=True)
class Skin:
    """A keyboard skin.

    Attributes:
        name: What its author calls it; the package's file name if it does not say.
        author: Who made it; may be empty.
        description: Free text; may be empty.
        source: The format it was read from.
        themes: One, or one for light and one for dark surroundings.
        preview: The picture that advertises the skin, if the package has one.
        findings: What was wrong with the package or was not understood.
    """

    name: str
    author: str
    description: str
    source: SourceFormat
    themes: tuple[Theme, ...]
    preview: Atlas | None = None
    findings: tuple[Finding, ...] = ()

    def theme(self, name: ThemeName | None = None) -> Theme:
        """Return a theme by name, or the first.

        Raises:
            InputError: There is none of that name.
        """
        for theme in self.themes:
            if name is None or theme.name == name:
                return theme
        names = ", ".join(theme.name for theme in self.themes)
        raise InputError(f"Skin '{self.name}' has no theme '{name}'; it has {names}.")
