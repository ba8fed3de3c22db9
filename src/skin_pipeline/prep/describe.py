"""Describe a skin by measuring it: colours, background, the shape of its keys.

Keys are found as what edges enclose: an edge map cuts the picture into regions, and regions whose filled
shape is nearly a rectangle, and of which many have one size, are keys. That holds for solid, outlined,
shaded and translucent keys alike, and needs no training. What cannot be measured surely is ``None`` and stays
out of the caption.

The words are those of the captions of :mod:`skin_pipeline.skins.drawn`, on which the embedded base model is
trained.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from skin_pipeline.colours import Rgb, dominant_colours, name_colour, to_lab

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]
FloatVector = NDArray[np.float64]
FloatImage = NDArray[np.float32]

WORKING_WIDTH_PX = 640
"""Pictures are measured at this width, in their original proportions."""
CLEAR_EDGES = (25.0, 60.0)
"""Canny's thresholds for keys that stand out."""
FAINT_EDGES = (6.0, 14.0)
"""For keys a few levels lighter or darker than their panel."""
MIN_EXTENT = 0.7
"""Least share of its box that a key fills; a circle fills 0.785."""
LEAST_KEYS = 6
"""Fewer regions of one size are no keys."""
SURE_SHARE = 0.5
"""A colour counts as the panel's if it covers this share of it."""
SECOND_SHARE = 0.2
"""A second colour is named from this share of the panel on."""
VISIBLE_STEP = 5.0
"""Colours nearer than this in CIELAB look the same side by side."""
SAME_SURFACE = 6.0
"""Keys whose surface is nearer to the panel than this, in CIELAB, are outlines at most."""
VISIBLE_OUTLINE = 25.0
"""An outline differs from what it surrounds by at least this, in CIELAB."""
BORDER_PX = 4
"""How far a key's border and the blur of its edge reach. Its shadow reaches further, downwards."""
LEAST_PANEL = 0.01
"""The background is not named if less than this share of the picture shows it."""
SMOOTH_SHARE = 0.03
"""A panel is smooth if at most this share of it differs visibly from a smooth surface."""
PATTERNED_SHARE = 0.3
"""It is patterned if more than this share does; between the two, a key may have been overlooked."""
LEGEND_STEP = 20.0
"""Marks that differ from the panel by more than this, in CIELAB, may be legends."""
LEAST_LEGENDS = 15
"""Fewer marks on a bare panel are no keyboard."""


@dataclass(frozen=True)
class SkinDescription:
    """What was measured; ``None`` where it could not be.

    Colours are English names of :data:`skin_pipeline.colours.COLOURS`.
    """

    panel: str | None = None
    second: str | None = None
    """Another colour that the panel shows much of."""
    background: str | None = None
    """``plain``, ``gradient`` or ``patterned``."""
    key: str | None = None
    """Colour of the letter keys' surface; of their outline if they are outlined."""
    outlined: bool = False
    """Whether the keys are an outline on the panel."""
    key_shape: str | None = None
    """``square``, ``rounded``, ``pill``, ``round`` or ``leaf shaped``."""
    borderless: bool = False
    """Whether the keys have neither fill nor outline."""
    legend: str | None = None
    brightness: str | None = None
    """``light`` or ``dark``."""
    layout: str | None = None
    """``26-key`` or ``9-key``."""

    @property
    def attributes(self) -> dict[str, Any]:
        """What is known, as JSON."""
        return {name: value for name, value in asdict(self).items() if value not in (None, False)}

    @property
    def text(self) -> str:
        """The description in words: ``pink plain background, white rounded keys, gray legends, light``."""
        colours = " and ".join(name for name in (self.panel, self.second) if name)
        ground = " ".join(word for word in (colours, self.background) if word)
        parts = [f"{ground} background" if self.background else ground, self._keys]
        parts += [f"{self.legend} legends" if self.legend else "", self.brightness or ""]
        return ", ".join(part for part in parts if part)

    @property
    def _keys(self) -> str:
        if self.borderless:
            return "borderless keys"
        words = [word for word in ("outlined" if self.outlined else None, self.key, self.key_shape) if word]
        return " ".join([*words, "keys"]) if words else ""


@dataclass(frozen=True)
class Region:
    """A region that edges enclose, holes filled."""

    box: tuple[int, int, int, int]
    """Left, top, width, height in pixels."""
    filled: Mask
    """(height, width): the region without the holes that its legend makes."""
    surface: Mask
    """(height, width): the region itself, without its legend."""


def describe_skin(picture: Picture, *, stretch: float = 1.0) -> SkinDescription:
    """Measure a skin.

    Args:
        picture: RGB, (H, W, 3).
        stretch: How much more the picture was scaled in x than in y; it is undone, so that round corners
            are round.

    Returns:
        What could be measured.
    """
    picture = _at_working_size(picture, stretch)
    regions, keys = _find_keys(picture)
    panel = _panel_mask(picture.shape[:2], regions, keys)
    surface = fit_smooth_surface(to_lab(picture), panel)
    borderless = not keys and _shows_bare_legends(picture, surface)
    # Without keys, what is taken for the panel has legends in it, or keys that were overlooked.
    background = classify_background(picture, panel, surface) if keys else None
    panel_name, second = _panel_names(dominant_colours(picture, panel, k=3), background)
    key, outlined = _key_colour(picture, keys, panel)
    return SkinDescription(
        panel=panel_name,
        second=second,
        background=background,
        key=key,
        outlined=outlined,
        key_shape=_key_shape(keys),
        borderless=borderless,
        legend=_legend_colour(picture, keys),
        brightness=_brightness(picture, panel),
        layout=_layout(keys, picture.shape[1]),
    )


def _at_working_size(picture: Picture, stretch: float) -> Picture:
    height, width = picture.shape[:2]
    scale = WORKING_WIDTH_PX / width
    size = (WORKING_WIDTH_PX, max(16, round(height * scale * stretch)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=interpolation), dtype=np.uint8)


# --- keys -----------------------------------------------------------------------------------------------


def _find_keys(picture: Picture) -> tuple[list[Region], list[Region]]:
    """Return key-like regions and, of them, the letter keys: by clear edges, else by faint ones."""
    regions: list[Region] = []
    for thresholds in (CLEAR_EDGES, FAINT_EDGES):
        regions = find_key_like_regions(picture, thresholds)
        keys = _largest_family(regions)
        if keys:
            return regions, keys
    return regions, []


def find_key_like_regions(picture: Picture, thresholds: tuple[float, float]) -> list[Region]:
    """Find regions that edges enclose, of the size and about the shape of a key.

    Args:
        picture: RGB, (H, W, 3).
        thresholds: Canny's.

    Returns:
        The regions, in no certain order; icons and letters are too small to be among them.
    """
    height, width = picture.shape[:2]
    smooth = cv2.bilateralFilter(picture, 5, thresholds[0], 5)
    edges = np.maximum.reduce([cv2.Canny(channel, *thresholds) for channel in cv2.split(smooth)])
    closed = cv2.dilate(edges, np.ones((3, 3), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats((closed == 0).astype(np.uint8), connectivity=4)
    regions = []
    for label in range(1, len(stats)):
        left, top, w, h, area = (int(value) for value in stats[label])
        if not (0.04 * width < w < 0.75 * width and 0.05 * height < h < 0.8 * height):
            continue
        if w * h > 0.25 * width * height or area < 0.4 * w * h:
            continue
        surface = labels[top : top + h, left : left + w] == label
        filled = _fill_holes(surface)
        if filled.mean() > MIN_EXTENT:
            regions.append(Region((left, top, w, h), filled, surface))
    return regions


def _fill_holes(mask: Mask) -> Mask:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(filled, contours, -1, (1,), thickness=cv2.FILLED)
    return filled.astype(bool)


def _largest_family(regions: Sequence[Region]) -> list[Region]:
    """Return the largest set of regions of nearly one size: the letter keys; empty if too few agree."""
    sizes = np.array([region.box[2:] for region in regions], dtype=np.float64).reshape(-1, 2)
    if len(sizes) < LEAST_KEYS:
        return []
    alike: Mask = np.all(np.abs(sizes[:, None] - sizes[None]) <= 0.12 * sizes[:, None] + 2, axis=2)
    best = int(alike.sum(axis=1).argmax())
    family = [regions[index] for index in np.flatnonzero(alike[best])]
    return family if len(family) >= LEAST_KEYS else []


def _key_colour(picture: Picture, keys: Sequence[Region], panel: Mask) -> tuple[str | None, bool]:
    """Name the keys' colour, and say whether it is that of an outline."""
    if not keys:
        return None, False
    surface = np.median(np.concatenate([_crop(picture, key)[key.surface] for key in keys]), axis=0)
    around = np.median(picture[panel], axis=0) if panel.any() else np.full(3, np.inf)
    if np.linalg.norm(to_lab(surface) - to_lab(around)) > SAME_SURFACE:
        return name_colour(surface).english, False
    outline = np.median([_outline_colour(picture, key) for key in keys], axis=0)
    if np.linalg.norm(to_lab(outline) - to_lab(surface)) < VISIBLE_OUTLINE:
        return None, False
    return name_colour(outline).english, True


def _outline_colour(picture: Picture, key: Region) -> NDArray[np.float64]:
    """Return the colour just outside a region that differs most from its surface, (3,)."""
    left, top, width, height = key.box
    reach = 5
    frame = cv2.copyMakeBorder(picture, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    crop = frame[top : top + height + 2 * reach, left : left + width + 2 * reach]
    inside = np.pad(key.filled, reach).astype(np.uint8)
    ring = (cv2.dilate(inside, np.ones((3, 3), np.uint8), iterations=reach) > inside).astype(bool)
    colours = crop[ring]
    distance = np.linalg.norm(to_lab(colours) - to_lab(np.median(crop[inside > 0], axis=0)), axis=1)
    median: NDArray[np.float64] = np.median(colours[distance >= np.percentile(distance, 80)], axis=0)
    return median


def _crop(picture: Picture, region: Region) -> Picture:
    left, top, width, height = region.box
    return picture[top : top + height, left : left + width]


def _key_shape(keys: Sequence[Region]) -> str | None:
    """Name the shape of the keys by the radii of their corners."""
    if not keys:
        return None
    radii = np.median([_corner_radii(key.filled) for key in keys], axis=0)
    width, height = np.median([key.box[2:] for key in keys], axis=0)
    opposite, other = radii[[0, 2]].mean(), radii[[1, 3]].mean()
    if opposite - other > 0.15:
        return "leaf shaped"
    radius = float(radii.mean())
    if radius < 0.09:
        return "square"
    if radius < 0.38:
        return "rounded"
    return "round" if 0.87 < width / height < 1.15 else "pill"


def _corner_radii(filled: Mask) -> FloatVector:
    """Return the radii of a shape's corners in units of its shorter side: TL, TR, BR, BL.

    A corner of radius r leaves (1 - pi/4) r² of its box empty.
    """
    half = min(filled.shape) // 2
    corners = (filled[:half, :half], filled[:half, -half:], filled[-half:, -half:], filled[-half:, :half])
    empty = np.array([np.count_nonzero(~corner) for corner in corners], dtype=np.float64)
    radii: FloatVector = np.sqrt(empty / (1 - np.pi / 4)) / min(filled.shape)
    return radii


def _legend_colour(picture: Picture, keys: Sequence[Region]) -> str | None:
    """Name the colour inside the keys that differs most from their surface."""
    inks = []
    for key in keys:
        crop = to_lab(_crop(picture, key))
        inner = cv2.erode(key.filled.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=2).astype(bool)
        distance = np.linalg.norm(crop - np.median(crop[key.surface], axis=0), axis=2)
        distance[~inner] = 0
        if distance.max() > 25:
            inks.append(np.median(_crop(picture, key)[distance > 0.8 * distance.max()], axis=0))
    if len(inks) < max(LEAST_KEYS, len(keys) // 2):
        return None
    names = [name_colour(ink).english for ink in inks]
    commonest = max(set(names), key=names.count)
    return commonest if names.count(commonest) > 0.6 * len(names) else None


def _layout(keys: Sequence[Region], width: int) -> str | None:
    """Tell 26 keys from 9 by how many there are of one size, and how wide they are."""
    if not keys:
        return None
    key_width = float(np.median([key.box[2] for key in keys])) / width
    if len(keys) >= 18 and key_width < 0.11:
        return "26-key"
    return "9-key" if len(keys) <= 14 and key_width > 0.14 else None


# --- the panel ------------------------------------------------------------------------------------------


def _panel_mask(shape: tuple[int, ...], regions: Sequence[Region], keys: Sequence[Region]) -> Mask:
    """Return what lies between and around the keys, without what shadows and borders may touch."""
    mask = np.ones(shape, np.uint8)
    for left, top, width, height in (region.box for region in regions):
        rows = slice(max(0, top - BORDER_PX), top + height + BORDER_PX + height // 10)
        mask[rows, max(0, left - BORDER_PX) : left + width + BORDER_PX] = 0
    if keys:
        # Above the keys there may be a bar with a colour of its own.
        first_row = min(key.box[1] for key in keys)
        mask[: max(0, first_row - 4)] = 0
    return mask.astype(bool)


def _panel_names(
    colours: Sequence[tuple[Rgb, float]], background: str | None
) -> tuple[str | None, str | None]:
    """Return the names of the colour that covers most of the panel, and of another that covers much."""
    names = [(name_colour(rgb).english, share) for rgb, share in colours]
    if not names:
        return None, None
    panel, share = names[0]
    second = names[1][0] if len(names) > 1 and names[1][1] >= SECOND_SHARE else None
    if share < SURE_SHARE and second is None:
        return None, None
    return panel, second if background != "plain" else None


def fit_smooth_surface(lab: FloatImage, mask: Mask) -> FloatImage:
    """Fit a quadratic polynomial of the position to each colour channel, the second time without outliers.

    Args:
        lab: CIELAB, (H, W, 3).
        mask: (H, W), True where to fit.

    Returns:
        The polynomial everywhere, (H, W, 3).
    """
    height, width = mask.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    samples = np.flatnonzero(mask)
    samples = samples[:: max(1, len(samples) // 4000)]
    design, values = terms.reshape(-1, 6)[samples], lab.reshape(-1, 3)[samples]
    if len(samples) < 50:
        return np.zeros_like(lab)
    weights = np.ones(len(samples), dtype=bool)
    for _ in range(2):
        coefficients = np.linalg.lstsq(design[weights], values[weights], rcond=None)[0]
        residual = np.linalg.norm(values - design @ coefficients, axis=1)
        weights = residual <= np.percentile(residual, 75)
    fitted: FloatImage = (terms @ coefficients).astype(np.float32)
    return fitted


def classify_background(picture: Picture, panel: Mask, surface: FloatImage) -> str | None:
    """Name what the panel shows.

    Args:
        picture: RGB, (H, W, 3).
        panel: (H, W), True where the panel is seen.
        surface: The smooth surface that fits the panel best (:func:`fit_smooth_surface`).

    Returns:
        ``plain``, ``gradient`` or ``patterned``; None where too little is seen or it is none of these.
    """
    if panel.mean() < LEAST_PANEL:
        return None
    residual = np.linalg.norm(to_lab(picture)[panel] - surface[panel], axis=1)
    off = float((residual > VISIBLE_STEP).mean())
    if off > PATTERNED_SHARE:
        return "patterned"
    if off > SMOOTH_SHARE:
        return None
    fitted = surface[panel]
    spread = float(np.linalg.norm(np.percentile(fitted, 95, axis=0) - np.percentile(fitted, 5, axis=0)))
    return "plain" if spread < 6 else "gradient"


def _shows_bare_legends(picture: Picture, surface: FloatImage) -> bool:
    """Say whether rows of legends stand on a smooth panel without keys around them."""
    height, width = picture.shape[:2]
    residual = np.linalg.norm(to_lab(picture) - surface, axis=2)
    if np.median(residual) > 1.5 * VISIBLE_STEP or (residual > LEGEND_STEP).mean() > 0.3:
        return False
    _, _, stats, _ = cv2.connectedComponentsWithStats((residual > LEGEND_STEP).astype(np.uint8))
    sizes = stats[1:, 2:4] / (width, height)
    legends = (sizes[:, 1] > 0.02) & (sizes[:, 1] < 0.14) & (sizes[:, 0] < 0.12)
    return int(legends.sum()) >= LEAST_LEGENDS


def _brightness(picture: Picture, panel: Mask) -> str | None:
    if not panel.any():
        return None
    lightness = float(np.median(to_lab(picture[panel])[..., 0]))
    if lightness > 62:
        return "light"
    return "dark" if lightness < 48 else None
