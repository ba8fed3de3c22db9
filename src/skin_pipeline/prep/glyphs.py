"""Render a skin's legends into their quads on an edge background: glyph conditioning.

Canny's outline of a legend of 20 px is a tangle that says little about the characters. Glyph conditioning
(GlyphControl, AnyText) shows the characters themselves: filled, in a clean typeface, where they belong.
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

from skin_pipeline.geometry import FloatArray, as_quads, quad_sizes, quads_inside
from skin_pipeline.items import Output, Rejection, Task, Worker
from skin_pipeline.prep.shared import load_outlines
from skin_pipeline.schemas import Parameters
from skin_pipeline.typefaces import font_path, ink_box, load_font, missing_glyphs

GrayPicture = NDArray[np.uint8]

SHIPPED_TYPEFACE = "sans_sc_regular"
TALL = 1.5
"""Several characters in a quad this many times higher than wide run downwards."""
SUPERSAMPLING = 4
"""Glyphs are drawn this many times larger than shown, in each direction, and averaged."""
WIDEST_STRETCH, NARROWEST_STRETCH = 1.4, 0.6
"""How far a legend may be widened or narrowed to fill its quad. Typefaces of keyboards differ that much, and
a skin of 4:3 that is stretched to a square narrows its legends to 0.75."""
OUTSIDE_TOLERANCE_PX = 1.0


class GlyphParameters(Parameters):
    """How legends are rendered for glyph conditioning."""

    min_confidence: float = Field(default=0.98, ge=0, le=1)
    """Only strings read with a confidence above this are rendered."""

    background: Literal["shared", "per_skin"] = "per_skin"
    """Edges behind the glyphs: those that all skins share, ``dataset.shared_image``, or each skin's own."""

    font: Path | None = None
    """A .ttf or .otf file; by default the Noto Sans SC subset of the package."""

    min_height_px: float = Field(default=10.0, gt=0)
    """Legends whose quad is lower than this, in the resized skin, are left out: nobody could read them."""

    margin: float = Field(default=0.115, ge=0, lt=0.5)
    """Space left free on each side of a quad, in units of its shorter side: what the text reader's quads
    leave around the ink."""

    num_workers: int = Field(default=1, ge=1)
    """Processes that render at the same time."""

    @property
    def font_file(self) -> Path:
        """The font that is used."""
        return self.font or font_path(SHIPPED_TYPEFACE)

    def preflight(self) -> None:
        """Open the font.

        Raises:
            ConfigurationError: The file is missing or is not a font.
        """
        load_font(self.font_file, 16)

    def shared_digests(self) -> dict[str, str]:
        """Return the sha256 of each file that all items are made with, by name, for ``Plan.shared``."""
        return {"font": hashlib.sha256(self.font_file.read_bytes()).hexdigest()}

    def item_parameters(self) -> dict[str, Any]:
        """Return the parameters that change what is rendered, as JSON, for ``Plan.parameters``."""
        return self.model_dump(mode="json", exclude={"font", "num_workers"})


@dataclass(frozen=True)
class Legend:
    """Text to render, and where."""

    text: str
    quad: FloatArray
    """(4, 2), pixels; its first corner is the top left of the text."""


@dataclass(frozen=True)
class GlyphMap:
    """A conditioning image with legends."""

    image: GrayPicture
    """(H, W): the background's edges, and the glyphs filled with 255."""
    rendered: tuple[Legend, ...]
    skipped: tuple[tuple[Legend, str], ...]
    """Legends that were left out, each with the reason."""


def make_glyph_renderer(parameters: GlyphParameters) -> Worker:
    """Build the worker that renders legends.

    Args:
        parameters: How to render.

    Returns:
        A worker for tasks with the sources ``edge_maps`` (the background, see
        :func:`skin_pipeline.prep.shared.load_outlines`) and ``text_boxes``.
    """
    return partial(_render_batch, parameters)


def _render_batch(parameters: GlyphParameters, tasks: Sequence[Task]) -> list[Output | Rejection]:
    return [_render_task(task, parameters) for task in tasks]


def _render_task(task: Task, parameters: GlyphParameters) -> Output:
    boxes = task.inputs["text_boxes"].record["boxes"]
    sure = [box for box in boxes if box["confidence"] > parameters.min_confidence]
    glyphs = render_legends(
        load_outlines(task.inputs["edge_maps"]),
        [Legend(box["text"], as_quads(box["quad"])[0]) for box in sure],
        font=parameters.font_file,
        min_height_px=parameters.min_height_px,
        margin=parameters.margin,
    )
    skipped = [_unsure(box, parameters.min_confidence) for box in boxes if box not in sure]
    skipped += [{"text": legend.text, "reason": reason} for legend, reason in glyphs.skipped]
    rendered = [{"text": legend.text, "quad": legend.quad.tolist()} for legend in glyphs.rendered]
    outlines = task.inputs["edge_maps"].record.get("outlines_of")
    shared = {} if outlines is None else {"outlines_of": outlines}
    return Output({"rendered": rendered, "skipped": skipped, **shared}, glyphs.image)


def _unsure(box: Mapping[str, Any], min_confidence: float) -> dict[str, str]:
    reason = f"confidence {box['confidence']:.3f} is not above {min_confidence:g}"
    return {"text": box["text"], "reason": reason}


def render_legends(
    background: GrayPicture,
    legends: Sequence[Legend],
    *,
    font: Path,
    min_height_px: float,
    margin: float,
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
        _blend_legend(image, legend, font, margin)
    skipped = tuple((legend, reason) for legend, reason in zip(legends, reasons, strict=True) if reason)
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
    line_height = width if runs_downwards(legend) else height
    if line_height < min_height_px:
        return f"its height of {line_height:.1f} px is below {min_height_px:g} px, too small to be read"
    return None


def runs_downwards(legend: Legend) -> bool:
    """Say whether a legend is written from top to bottom, turned by a quarter, as OCR reads tall quads."""
    width, height = quad_sizes(legend.quad)[0]
    return bool(height > TALL * width) and len(legend.text) > 1


def _blend_legend(image: GrayPicture, legend: Legend, font: Path, margin: float) -> None:
    """Write one legend into the picture, in place: the brighter of glyph and background stays."""
    # Text that runs downwards has its own top left at the quad's top right corner.
    quad = np.roll(legend.quad, -1, axis=0) if runs_downwards(legend) else legend.quad
    width, height = quad_sizes(quad)[0]
    glyphs = _draw_line(legend.text, (float(width), float(height)), font, margin)
    left, top = np.maximum(np.floor(quad.min(axis=0)).astype(int), 0)
    right, bottom = np.ceil(quad.max(axis=0)).astype(int)
    region = image[top:bottom, left:right]
    warped = _warp_into(glyphs, quad - (left, top), (region.shape[1], region.shape[0]))
    np.maximum(region, warped, out=region)


def _draw_line(text: str, size: tuple[float, float], font: Path, margin: float) -> GrayPicture:
    """Draw text as large as it fits, supersampled, with its ink in the middle of a rectangle.

    Args:
        text: One line.
        size: Width and height of the rectangle in pixels of the final picture.
        font: A font file.
        margin: Free space on each side, in units of the shorter side.

    Returns:
        (height, width) times :data:`SUPERSAMPLING`, 0 to 255.
    """
    width, height = (max(1, round(length * SUPERSAMPLING)) for length in size)
    free = margin * min(width, height)
    left, top, right, bottom = ink_box(text, font)
    em, stretch = _fit((right - left, bottom - top), (width - 2 * free, height - 2 * free))
    drawn_width = max(1, round(width / stretch))
    origin = ((drawn_width - em * (left + right)) / 2, (height - em * (top + bottom)) / 2)
    line = Image.new("L", (drawn_width, height))
    ImageDraw.Draw(line).text(origin, text, font=load_font(font, em), fill=255, anchor="ls")
    return np.asarray(line.resize((width, height), Image.Resampling.BILINEAR))


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
