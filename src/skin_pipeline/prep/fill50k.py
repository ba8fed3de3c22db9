"""Coloured circles on coloured grounds: the small task that shows whether a ControlNet trainer works at all.

A row of fill50k (Zhang et al., "Adding Conditional Control to Text-to-Image Diffusion Models", 2023, its
training tutorial) is a circle's outline, a filled circle, and a caption that names both colours: ``pale
golden rod circle with old lace background``. What is to be drawn where comes from the conditioning image
alone, in which colours from the caption alone; whoever learns it has learnt both.

The pictures are drawn here, any number of them, or taken from a folder of the published data set.
"""

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor
from pydantic import Field

from skin_pipeline.colours import COLOURS, Rgb
from skin_pipeline.errors import ConfigurationError, InputError
from skin_pipeline.items import FolderPlan, encode_png, json_digest, source_digest
from skin_pipeline.prep.publish import SPLITS, Row, card_configs, write_manifests
from skin_pipeline.schemas import Parameters

Palette = Literal["basic", "css"]

_CAPTION = re.compile(r"(?P<circle>[a-z ]+?) circle with (?P<ground>[a-z ]+) background")
_RADII = (1 / 16, 1 / 4)
"""Least and greatest radius, as shares of the picture's side."""
_MARGIN = 1 / 64
"""Between a circle and the frame, as a share of the picture's side."""
_SUBPIXEL_BITS = 4

# fmt: off
_CSS_NAMES = (
    "alice blue", "antique white", "aqua", "aqua marine", "azure", "beige", "bisque", "black",
    "blanched almond", "blue", "blue violet", "brown", "burly wood", "cadet blue", "chartreuse", "chocolate",
    "coral", "corn flower blue", "corn silk", "crimson", "dark blue", "dark cyan", "dark golden rod",
    "dark gray", "dark green", "dark khaki", "dark magenta", "dark olive green", "dark orange", "dark orchid",
    "dark red", "dark salmon", "dark sea green", "dark slate blue", "dark slate gray", "dark turquoise",
    "dark violet", "deep pink", "deep sky blue", "dim gray", "dodger blue", "fire brick", "floral white",
    "forest green", "gainsboro", "ghost white", "gold", "golden rod", "gray", "green", "green yellow",
    "honey dew", "hot pink", "indian red", "indigo", "ivory", "khaki", "lavender", "lavender blush",
    "lawn green", "lemon chiffon", "light blue", "light coral", "light cyan", "light golden rod yellow",
    "light gray", "light green", "light pink", "light salmon", "light sea green", "light sky blue",
    "light slate gray", "light steel blue", "light yellow", "lime", "lime green", "linen", "magenta",
    "maroon", "medium aqua marine", "medium blue", "medium orchid", "medium purple", "medium sea green",
    "medium slate blue", "medium spring green", "medium turquoise", "medium violet red", "midnight blue",
    "mint cream", "misty rose", "moccasin", "navajo white", "navy", "old lace", "olive", "olive drab",
    "orange", "orange red", "orchid", "pale golden rod", "pale green", "pale turquoise", "pale violet red",
    "papaya whip", "peach puff", "peru", "pink", "plum", "powder blue", "purple", "rebecca purple", "red",
    "rosy brown", "royal blue", "saddle brown", "salmon", "sandy brown", "sea green", "sea shell", "sienna",
    "silver", "sky blue", "slate blue", "slate gray", "snow", "spring green", "steel blue", "tan", "teal",
    "thistle", "tomato", "turquoise", "violet", "wheat", "white", "white smoke", "yellow", "yellow green",
)
# fmt: on
"""CSS Color Module Level 4's names, spelt as in fill50k's captions; of twins (fuchsia, cyan, grey) one."""


class Fill50kParameters(Parameters):
    """Which circles to train on."""

    source: Path | None = None
    """A folder of the published data set, which holds train.jsonl with the columns ``text``, ``image`` and
    ``conditioning_image``, and the pictures that it names. Null: circles are drawn."""

    num_pictures: int = Field(default=50_000, ge=2)
    """So many are drawn, or taken from the source (its first ones)."""

    size_px: int = Field(default=512, ge=32)
    """Side of a drawn picture, pixels."""

    palette: Palette = "css"
    """``css``: the 139 colour names of the original's captions. ``basic``: the names that this project's
    captions use (red, mint, beige …), which are the only ones that the embedded base model was taught."""

    validation_share: float = Field(default=0.02, gt=0, lt=1)
    """Share that is held out, one picture at least: the last ones."""

    seed: int = 0
    """Of the drawing."""


@dataclass(frozen=True)
class Circle:
    """One row before it is published.

    Attributes:
        text: The caption.
        image: uint8 RGB, (S, S, 3): the filled circle.
        conditioning: uint8 grey, (S, S): its outline, white on black.
    """

    text: str
    image: npt.NDArray[np.uint8]
    conditioning: npt.NDArray[np.uint8]


def palette_colours(palette: Palette) -> dict[str, Rgb]:
    """Return the sRGB colour of each name of a palette."""
    if palette == "basic":
        return {colour.english: colour.anchor for colour in COLOURS}
    return {name: ImageColor.getrgb(name.replace(" ", ""))[:3] for name in _CSS_NAMES}


def caption_colours(text: str, palette: Palette) -> tuple[Rgb, Rgb]:
    """Return the colours of circle and ground that a caption asks for.

    Args:
        text: ``<colour> circle with <colour> background``, perhaps with more around it.
        palette: Whose names they are.

    Raises:
        InputError: The caption is of another form, or names an unknown colour.
    """
    found = _CAPTION.search(text)
    known = palette_colours(palette)
    names = () if found is None else (found["circle"].strip(), found["ground"].strip())
    if not names or any(name not in known for name in names):
        raise InputError(
            f"The caption '{text}' names no two colours: expected '<colour> circle with <colour> background',"
            f" with colours of the palette '{palette}'."
        )
    return known[names[0]], known[names[1]]


def draw_circle(number: int, parameters: Fill50kParameters) -> Circle:
    """Draw one circle; the same number and parameters give the same circle.

    Args:
        number: Of the picture.
        parameters: Size, palette and seed count.
    """
    colours = palette_colours(parameters.palette)
    random = np.random.default_rng([parameters.seed, number])
    size = parameters.size_px
    circle, ground = (str(name) for name in random.choice(list(colours), 2, replace=False))
    radius = random.uniform(*_RADII) * size
    centre = random.uniform(radius + _MARGIN * size, size - radius - _MARGIN * size, 2)
    image = np.full((size, size, 3), colours[ground], np.uint8)
    conditioning = np.zeros((size, size), np.uint8)
    _draw(image, centre, radius, colours[circle], cv2.FILLED)
    _draw(conditioning, centre, radius, (255,), max(1, round(size / 256)))
    return Circle(f"{circle} circle with {ground} background", image, conditioning)


def _draw(
    image: npt.NDArray[np.uint8],
    centre: npt.NDArray[np.float64],
    radius: float,
    colour: tuple[int, ...],
    thickness: int,
) -> None:
    """Draw with OpenCV's fixed-point coordinates; pixel (0, 0) has its centre at (0, 0) there."""
    x, y, r = (round(float(value) * 2**_SUBPIXEL_BITS) for value in (*(centre - 0.5), radius))
    cv2.circle(image, (x, y), r, colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)


def plan_fill50k(parameters: Fill50kParameters) -> FolderPlan:
    """Plan the training set of circles, in the form of :mod:`skin_pipeline.prep.publish`.

    Args:
        parameters: Which circles.

    Raises:
        ConfigurationError: The source has no train.jsonl.
    """
    contents: object = None
    if parameters.source is not None:
        manifest = parameters.source / "train.jsonl"
        if not manifest.is_file():
            raise ConfigurationError(
                f"fill50k.source is '{parameters.source}', which holds no train.jsonl. Give the folder "
                "of the published data set, or null to draw the circles."
            )
        contents = _contents_of(parameters)
    modules = {module: source_digest(module) for module in (__name__, write_manifests.__module__)}
    key = json_digest([parameters.model_dump(mode="json", exclude={"source"}), contents, modules])
    return FolderPlan(partial(write_fill50k, parameters=parameters), key)


def _contents_of(parameters: Fill50kParameters) -> list[object]:
    """Return what changes when a source's rows or pictures do: lines, and each picture's size and time."""
    contents: list[object] = []
    for line, row in _source_lines(parameters):
        contents.append(line)
        for name in (row.get("image"), row.get("conditioning_image")) if isinstance(row, dict) else ():
            try:
                status = (parameters.source / str(name)).stat()  # type: ignore[operator]
                contents.append([status.st_size, status.st_mtime_ns])
            except OSError:
                contents.append(None)  # said when the folder is written
    return contents


def _source_lines(parameters: Fill50kParameters) -> Iterator[tuple[str, object]]:
    """Yield the lines of a source that are taken, each with what it says; None where that is no JSON."""
    assert parameters.source is not None
    with (parameters.source / "train.jsonl").open(encoding="utf-8") as lines:
        for line in _first(lines, parameters.num_pictures):
            try:
                yield line, json.loads(line)
            except ValueError:
                yield line, None


def write_fill50k(folder: Path, parameters: Fill50kParameters) -> None:
    """Fill an empty folder with the training set of circles.

    Args:
        folder: An existing, empty folder.
        parameters: Which circles.

    Raises:
        InputError: A row of the source lacks a column or names a picture that cannot be used.
    """
    for name in ("images", "conditioning_images"):
        (folder / name).mkdir()
    rows = _drawn_rows(folder, parameters) if parameters.source is None else _own_rows(folder, parameters)
    listed = list(rows)
    if len(listed) < 2:
        raise InputError(f"fill50k needs two circles at least, one of them held out; found {len(listed)}.")
    num_held_out = max(1, round(parameters.validation_share * len(listed)))
    parts = (listed[:-num_held_out], listed[-num_held_out:])
    for split, part in zip(SPLITS, parts, strict=True):
        write_manifests(folder, split, iter(part))
    (folder / "README.md").write_text(
        f"---\npretty_name: Circles\n{card_configs(SPLITS)}\n---\n\n# Circles (fill50k)\n\n"
        f"{len(parts[0])} circles to train on and {len(parts[1])} held out: a filled "
        "circle (`image`), its outline (`conditioning_image`) and the names of both colours (`text`).\n",
        encoding="utf-8",
    )


def _drawn_rows(folder: Path, parameters: Fill50kParameters) -> Iterator[Row]:
    for number in range(parameters.num_pictures):
        circle = draw_circle(number, parameters)
        row = _row(f"{number:06}", circle.text)
        (folder / row.image).write_bytes(encode_png(circle.image))
        outline = cv2.cvtColor(circle.conditioning, cv2.COLOR_GRAY2RGB)
        (folder / row.conditioning_image).write_bytes(encode_png(outline))
        yield row


def _own_rows(folder: Path, parameters: Fill50kParameters) -> Iterator[Row]:
    """Copy the pictures of the published data set, and complete its rows."""
    source = parameters.source
    assert source is not None
    for number, (_, given) in enumerate(_source_lines(parameters)):
        where = f"{source / 'train.jsonl'}, row {number + 1}"
        columns = ("text", "image", "conditioning_image")
        if not isinstance(given, dict) or not all(isinstance(given.get(name), str) for name in columns):
            raise InputError(f"{where}: expected an object with text, image and conditioning_image.")
        row = _row(f"{number:06}", given["text"])
        caption_colours(row.text, parameters.palette)
        _copy_picture(source, given["image"], folder / row.image, where)
        _copy_picture(source, given["conditioning_image"], folder / row.conditioning_image, where)
        yield row


def _copy_picture(source: Path, name: str, target: Path, where: str) -> None:
    """Copy an RGB PNG as it is, and write any other picture as one."""
    path = source / name
    if not path.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{where}: '{name}' lies outside the folder.")
    try:
        with Image.open(path) as picture:
            if picture.format == "PNG" and picture.mode == "RGB":
                shutil.copyfile(path, target)
            else:
                target.write_bytes(encode_png(np.asarray(picture.convert("RGB"))))
    except OSError as exc:
        raise InputError(f"{where}: '{name}' is missing or no picture ({exc}).") from exc


def _first(lines: Iterable[str], count: int) -> Iterator[str]:
    """Yield the first lines, blank ones left out."""
    full = (line for line in lines if line.strip())
    return (line for _, line in zip(range(count), full, strict=False))


def _row(name: str, text: str) -> Row:
    return Row(
        text=text,
        image=f"images/{name}.png",
        conditioning_image=f"conditioning_images/{name}.png",
        box=[],
        skin=f"circle_{name}",
        conditioning="per_skin",
    )
