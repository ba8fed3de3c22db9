"""Reading a plain folder of element pictures with a small YAML layout, ``skin.yaml``.

This is the form to which any private format can be converted: one picture a tile (or atlases with
rectangles), and one file that says where they go. All lengths are design pixels of the keyboard's panel, all
pictures are drawn one picture pixel to a design pixel unless ``picture_scale`` says otherwise::

    name: Blue hills
    author: Somebody
    themes:
      default:                             # or light and dark
        keyboards:
          - kind: pinyin_26
            size: [720, 437]
            background: panel              # names a style
            bar: {rect: [0, -81, 720, 81], background: bar}
            keys:
              - {id: q, rect: [9, 12, 64, 96], background: key, function: letter, text: q, legend: letter}
              - {id: back, rect: [583, 227, 128, 96], background: key, function: backspace,
                 foregrounds: [{style: icon_backspace, offset: [0, 4]}]}
    styles:
      panel: {normal: {picture: panel.png, fit: stretch}}
      bar: {normal: {colour: "#20304080"}}
      key: {normal: {picture: key.png, fit: nine_patch, insets: [12, 12, 12, 12]},
            pressed: {picture: key_pressed.png, fit: nine_patch, insets: [12, 12, 12, 12]}}
      icon_backspace: {normal: {picture: icons.png, rect: [0, 0, 48, 48]}}
    texts:
      letter: {size: 40, colour: "#ffffff", pressed_colour: "#ffd060"}

A style without ``pressed`` looks the same when pressed.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skin_pipeline.skins.archives import PackageFiles
from skin_pipeline.skins.findings import Findings
from skin_pipeline.skins.model import (
    MAX_LAYERS,
    NOTHING,
    Action,
    Appearance,
    CandidateBar,
    Fill,
    Function,
    Gesture,
    Insets,
    Key,
    Keyboard,
    KeyboardKind,
    Layer,
    Orientation,
    Paint,
    Rect,
    Rgba,
    Skin,
    TextStyle,
    Theme,
    ThemeName,
    Tile,
    with_unique_ids,
)
from skin_pipeline.skins.pictures import Pictures
from skin_pipeline.skins.yaml_files import lines_of_keys, load_yaml

FILE_NAME = "skin.yaml"

_Coordinate = Annotated[float, Field(ge=-100_000, le=100_000, allow_inf_nan=False)]
_Side = Annotated[float, Field(gt=0, le=8192, allow_inf_nan=False)]
_RectNumbers = tuple[_Coordinate, _Coordinate, _Side, _Side]
_Hex = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}([0-9a-fA-F]{2})?$")]
_Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Form(BaseModel):
    """A mapping of the file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class PaintForm(_Form):
    """What one state shows: either a picture or a colour."""

    picture: _Name | None = None
    """Path of a picture in the package."""
    rect: tuple[int, int, int, int] | None = None
    """x, y, width and height in the picture, in its pixels; all of it if left out."""
    fit: Literal["centre", "stretch", "nine_patch"] = "centre"
    """How it fills its place; see ``model.Tile``."""
    insets: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Left, top, right and bottom edges of a nine-patch, in pixels of the picture."""
    colour: _Hex | None = None
    """#RRGGBB or #RRGGBBAA."""
    radius: Annotated[float, Field(ge=0, le=8192)] = 0
    """Radius of a colour's rounded corners, in design pixels."""


class StyleForm(_Form):
    """What a thing shows."""

    normal: PaintForm | None = None
    """When idle; nothing if left out."""
    pressed: PaintForm | None = None
    """When pressed; the same as when idle if left out."""


class TextForm(_Form):
    """How text is written."""

    size: Annotated[float, Field(gt=0, le=2000)]
    """Em square in design pixels."""
    colour: _Hex
    """When idle."""
    pressed_colour: _Hex | None = None
    """When pressed; the same as when idle if left out."""
    weight: Annotated[int, Field(ge=100, le=900)] = 400
    """100 (thin) to 900 (black)."""


class ForegroundForm(_Form):
    """A picture on a key."""

    style: _Name
    """Names a style."""
    offset: tuple[_Coordinate, _Coordinate] = (0, 0)
    """From the centre of the key to the centre of the picture, in design pixels."""


class KeyForm(_Form):
    """A key."""

    id: _Name
    """Unique in its keyboard."""
    rect: _RectNumbers
    """x, y, width, height."""
    touch: _RectNumbers | None = None
    """Where it is touched; where it is drawn if left out."""
    function: Function = Function.TEXT
    """What a tap does."""
    text: Annotated[str, Field(max_length=64)] = ""
    """What a tap writes."""
    background: _Name | None = None
    """Names a style."""
    foregrounds: Annotated[tuple[ForegroundForm, ...], Field(max_length=MAX_LAYERS)] = ()
    """From the lowest to the highest."""
    legend: _Name | None = None
    """Names a text style in which ``text`` is written on the key."""


class BarForm(_Form):
    """A candidate bar."""

    rect: _RectNumbers
    """Above the panel y is negative."""
    background: _Name | None = None
    """Names a style."""
    text: _Name | None = None
    """Names a text style, for candidates."""


class KeyboardForm(_Form):
    """A keyboard."""

    kind: KeyboardKind
    """What it is for."""
    orientation: Orientation = "portrait"
    """How the phone is held."""
    size: tuple[_Side, _Side]
    """Width and height of the panel in design pixels."""
    background: _Name | None = None
    """Names a style."""
    bar: BarForm | None = None
    """The candidate bar."""
    keys: Annotated[tuple[KeyForm, ...], Field(max_length=512)] = ()
    """In the order in which they are drawn."""


class ThemeForm(_Form):
    """A theme."""

    keyboards: Annotated[tuple[KeyboardForm, ...], Field(max_length=64)]
    """In any order."""


class SkinForm(_Form):
    """The file ``skin.yaml``."""

    name: str = ""
    """What the skin is called; its folder's name if left out."""
    author: str = ""
    """Who made it."""
    description: str = ""
    """Free text."""
    picture_scale: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Design pixels in a picture pixel."""
    themes: dict[ThemeName, ThemeForm]
    """'default', or 'light' and 'dark'."""
    styles: dict[str, StyleForm] = {}
    """By name."""
    texts: dict[str, TextForm] = {}
    """Text styles by name."""


def is_pictured(files: PackageFiles) -> bool:
    """Return whether a package has ``skin.yaml``."""
    return _path(files) is not None


def _path(files: PackageFiles) -> str | None:
    paths = (path for path in files if path.lower().rpartition("/")[2] == FILE_NAME)
    return min(paths, key=lambda path: (path.count("/"), path), default=None)


def read_pictured(files: PackageFiles, name: str, findings: Findings) -> Skin:
    """Read a folder of element pictures.

    Args:
        files: The package.
        name: What to call it if it does not say.
        findings: Where problems are noted.

    Returns:
        The skin; it has no themes if ``skin.yaml`` is not valid. ``findings`` are not yet in it.
    """
    path = _path(files)
    assert path is not None
    root = path[: -len(FILE_NAME)]
    pictures = Pictures(files, findings)
    preview = files.find(f"{root}demo.png")
    try:
        form = SkinForm.model_validate(load_yaml(files[path]))
    except ValidationError as exc:
        _note_errors(path, files[path], exc, findings)
        return Skin(name, "", "", "folder", ())
    except ValueError as exc:
        findings.add(path, None, f"it cannot be loaded: {exc}", "left out")
        return Skin(name, "", "", "folder", ())
    reader = _Reader(files, path, form, pictures, findings)
    return Skin(
        name=form.name or name,
        author=form.author,
        description=form.description,
        source="folder",
        themes=tuple(Theme(theme, reader.keyboards(entry)) for theme, entry in form.themes.items()),
        preview=pictures.atlas(preview) if preview else None,
    )


def _note_errors(path: str, content: bytes, error: ValidationError, findings: Findings) -> None:
    """Note what is wrong with the form, with the line of the top-level key it lies under."""
    lines = lines_of_keys(content)
    for problem in error.errors()[:20]:
        place = ".".join(str(part) for part in problem["loc"])
        line = lines.get(str(problem["loc"][0])) if problem["loc"] else None
        findings.add(path, line, f"{place}: {problem['msg']}"[:200], "the file is not used")


class _Reader:
    """Turns the form into the model."""

    def __init__(
        self, files: PackageFiles, path: str, form: SkinForm, pictures: Pictures, findings: Findings
    ) -> None:
        self._files = files
        self._path = path
        self._root = path[: -len(FILE_NAME)]
        self._form = form
        self._pictures = pictures
        self._findings = findings
        self._appearances: dict[str, Appearance] = {}

    def keyboards(self, theme: ThemeForm) -> tuple[Keyboard, ...]:
        """Read the keyboards of a theme; those without anything to draw are left out."""
        boards = tuple(self._keyboard(form, number) for number, form in enumerate(theme.keyboards, start=1))
        return tuple(
            board
            for board in boards
            if not board.background.is_empty
            or any(not layer.appearance.is_empty for key in board.keys for layer in key.layers)
        )

    def _keyboard(self, form: KeyboardForm, number: int) -> Keyboard:
        ids = [key.id for key in form.keys]
        if len(set(ids)) < len(ids):
            self._note(f"keyboard {number}: several keys have the same id", "later ones are numbered")
        return Keyboard(
            kind=form.kind,
            name=f"{form.kind}_{number}",
            orientation=form.orientation,
            size=form.size,
            background=self._appearance(form.background),
            keys=with_unique_ids(self._key(key) for key in form.keys),
            bar=self._bar(form.bar) if form.bar else None,
        )

    def _bar(self, form: BarForm) -> CandidateBar:
        text = self._text(form.text)
        return CandidateBar(
            Rect(*form.rect), background=self._appearance(form.background), text=text, first_text=text
        )

    def _key(self, form: KeyForm) -> Key:
        foregrounds = [Layer(self._appearance(item.style), item.offset) for item in form.foregrounds]
        legend = self._text(form.legend)
        if legend is not None and form.text:
            foregrounds.append(Layer(legend.lettering(form.text)))
        return Key(
            id=form.id,
            rect=Rect(*form.rect),
            touch=Rect(*(form.touch or form.rect)),
            background=Layer(self._appearance(form.background)),
            foregrounds=tuple(foregrounds),
            actions={Gesture.TAP: Action(form.function, form.text)},
        )

    def _text(self, name: str | None) -> TextStyle | None:
        if name is None:
            return None
        form = self._form.texts.get(name)
        if form is None:
            self._note(f"there is no text style '{name}'", "nothing is written")
            return None
        return TextStyle(
            form.size, _rgba(form.colour), _rgba(form.pressed_colour or form.colour), form.weight
        )

    def _appearance(self, name: str | None) -> Appearance:
        if name is None:
            return NOTHING
        if name not in self._appearances:
            form = self._form.styles.get(name)
            if form is None:
                self._note(f"there is no style '{name}'", "nothing is drawn for it")
                form = StyleForm()
            normal = self._paint(name, form.normal)
            self._appearances[name] = Appearance(
                normal, self._paint(name, form.pressed) if form.pressed else normal
            )
        return self._appearances[name]

    def _paint(self, name: str, form: PaintForm | None) -> Paint | None:
        if form is None:
            return None
        if form.picture is None:
            return Fill(_rgba(form.colour), form.radius) if form.colour else None
        path = self._files.find(self._root + form.picture)
        atlas = self._pictures.atlas(path) if path else None
        if atlas is None:
            self._note(
                f"style '{name}': there is no usable picture '{form.picture}'", "nothing is drawn for it"
            )
            return None
        whole = Rect(0, 0, *atlas.size)
        source = whole if form.rect is None else Rect(*form.rect).intersection(whole)
        if source.is_empty or (form.rect is not None and source != Rect(*form.rect)):
            remedy = "nothing is drawn for it" if source.is_empty else "what lies inside is used"
            self._note(f"style '{name}': its rect leaves the picture '{form.picture}' or has no area", remedy)
        if source.is_empty:
            return None
        return self._tile(name, form, Tile(atlas, source, scale=self._form.picture_scale))

    def _tile(self, name: str, form: PaintForm, tile: Tile) -> Tile:
        """Add how a tile fills its place."""
        left, top, right, bottom = form.insets
        fits = (
            left + right < tile.source.width and top + bottom < tile.source.height and min(form.insets) >= 0
        )
        if form.fit == "nine_patch" and not fits:
            self._note(f"style '{name}': its insets leave no middle", "the picture is stretched as a whole")
        fit = "stretch" if form.fit == "nine_patch" and not fits else form.fit
        insets = Insets(left, top, right, bottom) if fit == "nine_patch" else Insets()
        return Tile(tile.atlas, tile.source, fit, insets, tile.scale)

    def _note(self, problem: str, remedy: str) -> None:
        self._findings.add(self._path, None, problem[:200], remedy)


def _rgba(value: str) -> Rgba:
    red, green, blue, *alpha = bytes.fromhex(value[1:])
    return red, green, blue, alpha[0] if alpha else 255
