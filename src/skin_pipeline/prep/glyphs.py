"""Render a skin's legends into their quads on an edge background: glyph conditioning.

Canny's outline of a legend below 20 px is a tangle that says little about the characters. Glyph conditioning
(GlyphControl, AnyText) shows the characters themselves: filled, in a clean typeface, where they belong. Where
there is room for them, outlines of the clean glyphs can take the place of filled ones, for a ControlNet that
knows edges.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydantic import Field

from skin_pipeline.geometry import FloatArray, as_quads, draw_in, quad_sizes, quads_inside, runs_downwards
from skin_pipeline.items import Output, Rejection, Task, Worker
from skin_pipeline.prep.edges import trace_edges
from skin_pipeline.prep.positions import show_positions
from skin_pipeline.prep.shared import load_outlines
from skin_pipeline.recognition.crops import straighten
from skin_pipeline.schemas import Parameters
from skin_pipeline.typefaces import font_path, ink_box, load_font, missing_glyphs

GrayPicture = NDArray[np.uint8]

SHIPPED_TYPEFACE, BOLD_TYPEFACE = "sans_sc_regular", "sans_sc_bold"
LEGENDS_WEIGHED = 12
"""A skin's type is regular or bold by so many of its legends, the highest ones."""
READ_MARGIN = 0.115
"""What the text reader's quads leave around the ink, in units of their shorter side. Positions do, too."""
SUPERSAMPLING = 4
"""Glyphs are drawn this many times larger than shown, in each direction, and averaged."""
WIDEST_STRETCH, NARROWEST_STRETCH = 1.4, 0.6
"""How far a legend may be widened or narrowed to fill its quad. Typefaces of keyboards differ that much, and
a skin of 4:3 that is stretched to a square narrows its legends to 0.75."""
OUTSIDE_TOLERANCE_PX = 1.0
_OUTLINE_PX = 2
"""How far an outline may lie outside its quad."""


class GlyphStyle(Parameters):
    """How glyphs are shown in a conditioning image."""

    style: Literal["filled", "outline", "auto"] = "filled"
    """``filled``: characters can be told at every size. ``outline``: as Canny traces them, which below 20 px
    tells little. ``auto``: outlines where the type is large enough for them, else filled. What a ControlNet
    is given at inference should look as what it was trained on."""

    outline_from_px: float = Field(default=20.0, gt=0)
    """Size of type, the em square in pixels, from which on ``auto`` shows outlines."""

    positions: bool = False
    """Whether conditioning images also show where text is, in their blue channel (AnyText's position map): a
    ControlNet then need not tell strokes from edges. One that never saw it, such as public Canny weights, has
    to learn it first; at inference give it what it was trained on."""

    def is_outline(self, type_px: float) -> bool:
        """Whether type of a size is shown by its outlines."""
        return self.style == "outline" or (self.style == "auto" and type_px >= self.outline_from_px)

    @property
    def unused(self) -> frozenset[str]:
        """The parameters that change nothing with this style."""
        unused = set() if self.style == "auto" else {"outline_from_px"}
        return frozenset(unused if self.positions else {*unused, "positions"})


FILLED = GlyphStyle()


class GlyphParameters(GlyphStyle):
    """How legends are rendered for glyph conditioning."""

    min_confidence: float = Field(default=0.98, ge=0, le=1)
    """Only strings read with a confidence above this are rendered."""

    background: Literal["shared", "per_skin"] = "per_skin"
    """Edges behind the glyphs: those that all skins share, ``dataset.shared_image``, or each skin's own."""

    font: Path | None = None
    """A .ttf or .otf file; by default the package's Noto Sans SC subset in the weight, regular or bold, that
    is nearer to the skin's own legends."""

    min_height_px: float = Field(default=10.0, gt=0)
    """Legends whose quad is lower than this, in the resized skin, are left out: nobody could read them."""

    margin: float = Field(default=READ_MARGIN, ge=0, lt=0.5)
    """Space left free on each side of a quad, in units of its shorter side: what the text reader's quads
    leave around the ink."""

    num_workers: int = Field(default=1, ge=1)
    """Processes that render at the same time."""

    @property
    def font_files(self) -> tuple[Path, ...]:
        """The fonts of which each skin's is chosen, the lightest first."""
        if self.font is not None:
            return (self.font,)
        return font_path(SHIPPED_TYPEFACE), font_path(BOLD_TYPEFACE)

    def preflight(self) -> None:
        """Open the fonts.

        Raises:
            ConfigurationError: The file is missing or is not a font.
        """
        for file in self.font_files:
            load_font(file, 16)

    def shared_digests(self) -> dict[str, str]:
        """Return the sha256 of each file that all items are made with, by name, for ``Plan.shared``."""
        return {
            f"font_{number}": hashlib.sha256(file.read_bytes()).hexdigest()
            for number, file in enumerate(self.font_files)
        }

    def item_parameters(self) -> dict[str, Any]:
        """Return the parameters that change what is rendered, as JSON, for ``Plan.parameters``."""
        return self.model_dump(mode="json", exclude={"font", "num_workers", *self.unused})


@dataclass(frozen=True)
class Legend:
    """Text to render, and where."""

    text: str
    quad: FloatArray
    """(4, 2), pixels; its first corner is the top left of the text."""


@dataclass(frozen=True)
class GlyphMap:
    """A conditioning image with legends."""

    image: NDArray[np.uint8]
    """(H, W): the background's edges, and the glyphs, filled with 255 or their outlines. With positions
    (H, W, 3), see :func:`skin_pipeline.prep.positions.show_positions`."""
    rendered: tuple[Legend, ...]
    skipped: tuple[tuple[Legend, str], ...]
    """Legends that were left out, each with the reason."""


def make_glyph_renderer(parameters: GlyphParameters) -> Worker:
    """Build the worker that renders legends.

    Args:
        parameters: How to render.

    Returns:
        A worker for tasks with the sources ``edge_maps`` (the background, see
        :func:`skin_pipeline.prep.shared.load_outlines`), ``text_boxes`` and ``resized_skins``, whose type's
        weight is looked at.
    """
    return partial(_render_batch, parameters)


def _render_batch(parameters: GlyphParameters, tasks: Sequence[Task]) -> list[Output | Rejection]:
    return [_render_task(task, parameters) for task in tasks]


def _render_task(task: Task, parameters: GlyphParameters) -> Output:
    boxes = task.inputs["text_boxes"].record["boxes"]
    sure = [box for box in boxes if box["confidence"] > parameters.min_confidence]
    legends = [Legend(box["text"], as_quads(box["quad"])[0]) for box in sure]
    font = _choose_font(task, legends, parameters)
    glyphs = render_legends(
        load_outlines(task.inputs["edge_maps"]),
        legends,
        font=font,
        min_height_px=parameters.min_height_px,
        margin=parameters.margin,
        style=parameters,
    )
    skipped = [_unsure(box, parameters.min_confidence) for box in boxes if box not in sure]
    skipped += [{"text": legend.text, "reason": reason} for legend, reason in glyphs.skipped]
    rendered = [{"text": legend.text, "quad": legend.quad.tolist()} for legend in glyphs.rendered]
    outlines = task.inputs["edge_maps"].record.get("outlines_of")
    shared = {} if outlines is None else {"outlines_of": outlines}
    record = {"rendered": rendered, "skipped": skipped, "font": font.stem, **shared}
    return Output(record, glyphs.image)


def _choose_font(task: Task, legends: Sequence[Legend], parameters: GlyphParameters) -> Path:
    light, *others = parameters.font_files
    if not others:
        return light
    picture = task.inputs["resized_skins"].load_image()
    return others[0] if is_bold(picture, legends, light, others[0], parameters.margin) else light


def _unsure(box: Mapping[str, Any], min_confidence: float) -> dict[str, str]:
    reason = f"confidence {box['confidence']:.3f} is not above {min_confidence:g}"
    return {"text": box["text"], "reason": reason}


def is_bold(
    picture: NDArray[np.uint8], legends: Sequence[Legend], regular: Path, bold: Path, margin: float
) -> bool:
    """Say whether a skin's type is nearer to a bold font than to a regular one.

    In each quad the share of ink is compared with that of the same text in both fonts, at the same size. The
    median of the highest legends counts: all of a skin's are shown in one weight.

    Args:
        picture: (H, W, 3) RGB.
        legends: What is written in it; strings that either font lacks are passed over.
        regular: A font file.
        bold: Its bold face.
        margin: Free space on each side of a quad, in units of its shorter side.

    Returns:
        False without legends.
    """
    heights = [float(quad_sizes(legend.quad)[0].min()) for legend in legends]
    highest = np.argsort(heights, kind="stable")[::-1][:LEGENDS_WEIGHED]
    places = [
        _place_between_fonts(picture, legends[index], regular, bold, margin)
        for index in highest
        if legends[index].text.strip()
        and not any(missing_glyphs(legends[index].text, font) for font in (regular, bold))
    ]
    return bool(np.median(places) > 0.5) if places else False


def _place_between_fonts(
    picture: NDArray[np.uint8], legend: Legend, regular: Path, bold: Path, margin: float
) -> float:
    """Return how heavy a legend's ink is: 0 as in the regular font, 1 as in the bold one."""
    quad = _reading_quad(legend)
    width, height = (float(length) for length in quad_sizes(quad)[0])
    gray = cv2.cvtColor(straighten(picture, quad), cv2.COLOR_RGB2GRAY)
    size = (gray.shape[1], gray.shape[0])
    light, heavy = (
        _ink_share(cv2.resize(line, size, interpolation=cv2.INTER_AREA))
        for line in (_draw_line(legend.text, (width, height), font, margin)[0] for font in (regular, bold))
    )
    return (_ink_share(gray) - light) / max(heavy - light, 1e-3)


def _ink_share(gray: NDArray[Any]) -> float:
    """Return the share of a crop that is ink: by Otsu's threshold, what its border is not.

    Thin strokes are blurred and seem wider than they are; those of two crops of one size do so alike.
    """
    fine = cv2.resize(gray, None, fx=SUPERSAMPLING, fy=SUPERSAMPLING, interpolation=cv2.INTER_CUBIC)
    _, found = cv2.threshold(fine, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    bright = found.astype(bool)
    border = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    return float((~bright if border.mean() > 0.5 else bright).mean())


def render_legends(
    background: GrayPicture,
    legends: Sequence[Legend],
    *,
    font: Path,
    min_height_px: float,
    margin: float,
    style: GlyphStyle = FILLED,
) -> GlyphMap:
    """Render legends on a background of edges.

    The background is cleared inside a legend's quad first. What lies there is the outline of the same
    legend in the skin's own typeface (or of another skin's, if the background is shared); under a filled
    glyph it would look like further strokes.

    Args:
        background: Edges, (H, W), 0 to 255.
        legends: What to write.
        font: A font file.
        min_height_px: A quad lower than this is skipped.
        margin: Free space on each side of a quad, in units of its shorter side.
        style: Filled, or by outlines; and whether positions are shown.

    Returns:
        The picture, what it shows, and what was left out.
    """
    size = (background.shape[1], background.shape[0])
    reasons = [_reason_to_skip(legend, size, font, min_height_px) for legend in legends]
    rendered = tuple(legend for legend, reason in zip(legends, reasons, strict=True) if reason is None)
    image = background.copy()
    for legend in rendered:
        cv2.fillConvexPoly(image, np.round(legend.quad - 0.5).astype(np.int32), (0,))
    for legend in rendered:
        _blend_legend(image, legend, font, margin, style)
    skipped = tuple((legend, reason) for legend, reason in zip(legends, reasons, strict=True) if reason)
    if style.positions:
        ink = draw_in(as_quads([legend.quad for legend in rendered]), margin)
        image = show_positions(image, draw_in(ink, -READ_MARGIN / (1 - 2 * READ_MARGIN)))
    return GlyphMap(image, rendered, skipped)


def _reason_to_skip(legend: Legend, size: tuple[int, int], font: Path, min_height_px: float) -> str | None:
    if not legend.text.strip():
        return "no text"
    missing = missing_glyphs(legend.text, font)
    if missing:
        return f"{font.name} has no glyph for {', '.join(sorted(missing))}"
    if not quads_inside(legend.quad, size, OUTSIDE_TOLERANCE_PX).all():
        return f"its quad lies partly outside the picture of {size[0]}x{size[1]} px"
    width, height = quad_sizes(legend.quad)[0]
    line_height = width if runs_downwards(legend.quad, legend.text) else height
    if line_height < min_height_px:
        return f"its height of {line_height:.1f} px is below {min_height_px:g} px, too small to be read"
    return None


def _reading_quad(legend: Legend) -> FloatArray:
    """Return a legend's quad from its text's own top left, which downwards is the quad's top right corner."""
    return np.roll(legend.quad, -1, axis=0) if runs_downwards(legend.quad, legend.text) else legend.quad


def _blend_legend(image: GrayPicture, legend: Legend, font: Path, margin: float, style: GlyphStyle) -> None:
    """Write one legend into the picture, in place: the brighter of glyph and background stays."""
    quad = _reading_quad(legend)
    width, height = quad_sizes(quad)[0]
    glyphs, type_px = _draw_line(legend.text, (float(width), float(height)), font, margin)
    left, top = np.maximum(np.floor(quad.min(axis=0)).astype(int) - _OUTLINE_PX, 0)
    right, bottom = np.ceil(quad.max(axis=0)).astype(int) + _OUTLINE_PX
    region = image[top:bottom, left:right]
    warped = _warp_into(glyphs, quad - (left, top), (region.shape[1], region.shape[0]))
    if style.is_outline(type_px):
        warped = trace_edges(cv2.cvtColor(warped, cv2.COLOR_GRAY2RGB))
    np.maximum(region, warped, out=region)


def _draw_line(text: str, size: tuple[float, float], font: Path, margin: float) -> tuple[GrayPicture, int]:
    """Draw text as large as it fits, supersampled, with its ink in the middle of a rectangle.

    Args:
        text: One line.
        size: Width and height of the rectangle in pixels of the final picture.
        font: A font file.
        margin: Free space on each side, in units of the shorter side.

    Returns:
        (height, width) times :data:`SUPERSAMPLING`, 0 to 255; and the size of the type in whole pixels of the
        final picture, so that legends of one size, whose quads differ by a hair, look alike.
    """
    width, height = (max(1, round(length * SUPERSAMPLING)) for length in size)
    free = margin * min(width, height)
    left, top, right, bottom = ink_box(text, font)
    em, stretch = _fit((right - left, bottom - top), (width - 2 * free, height - 2 * free))
    drawn_width = max(1, round(width / stretch))
    origin = ((drawn_width - em * (left + right)) / 2, (height - em * (top + bottom)) / 2)
    line = Image.new("L", (drawn_width, height))
    ImageDraw.Draw(line).text(origin, text, font=load_font(font, em), fill=255, anchor="ls")
    return np.asarray(line.resize((width, height), Image.Resampling.BILINEAR)), round(em / SUPERSAMPLING)


def _fit(ink_em: tuple[float, float], room_px: tuple[float, float]) -> tuple[int, float]:
    """Choose the size of a line, and how much to widen it, so that its ink fills the room as well as it can.

    Args:
        ink_em: Width and height of the ink, in em.
        room_px: Width and height to fill.

    Returns:
        The em in whole pixels, and the factor of the width.
    """
    scale_x, scale_y = room_px[0] / ink_em[0], room_px[1] / ink_em[1]
    stretch = float(np.clip(scale_x / scale_y, NARROWEST_STRETCH, WIDEST_STRETCH))
    return max(1, int(min(scale_y, scale_x / stretch))), stretch


def _warp_into(glyphs: GrayPicture, quad: FloatArray, size: tuple[int, int]) -> GrayPicture:
    """Warp a supersampled rectangle onto a quad and average it down.

    Args:
        glyphs: The rectangle.
        quad: Where its corners go, (4, 2), pixels of the region.
        size: Width and height of the region.

    Returns:
        The region, (height, width).
    """
    height, width = glyphs.shape
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    # OpenCV counts pixel centres as whole numbers, geometry.py as halves.
    matrix = cv2.getPerspectiveTransform(
        (source - 0.5).astype(np.float32), (quad * SUPERSAMPLING - 0.5).astype(np.float32)
    )
    fine = cv2.warpPerspective(glyphs, matrix, (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING))
    return np.asarray(cv2.resize(fine, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
