"""Do generated circles lie where the conditioning image says, in the colours that the caption says?

The picture is divided into two colours (k-means in CIELAB); the largest connected region of the one that
does not hold most of the frame is the circle. Its outline gives centre and radius by an algebraic
least-squares fit (Kåsa, "A circle fitting procedure and its error analysis", 1976), which also fits the arc
of a circle that the frame cuts off. Nothing of the wanted circle helps to find it.

Convention: (x, y) in pixels, pixel (0, 0) has its centre at (0.5, 0.5).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np
import numpy.typing as npt

from skin_pipeline.colours import Rgb, to_lab
from skin_pipeline.evaluation.bootstrap import Interval, bootstrap_mean

RIGHT_COLOUR_DISTANCE = 20.0
"""A colour is right within this distance in CIELAB (CIE 1976 colour difference), or if no other colour of the
palette is as near."""
RIGHT_PLACE_SHARE = 0.25
"""A circle is in its place when centre and radius are both off by less than this share of its radius."""
_MIN_POINTS = 8


@dataclass(frozen=True)
class FoundCircle:
    """A circle in a picture.

    Attributes:
        centre: (x, y).
        radius: Pixels.
        colour: Median sRGB inside.
        ground: Median sRGB outside.
    """

    centre: tuple[float, float]
    radius: float
    colour: Rgb
    ground: Rgb


@dataclass(frozen=True)
class CircleErrors:
    """How far a generated circle is from what was asked for.

    Attributes:
        centre_px: Distance of the centres; infinite when no circle was found.
        radius_px: Difference of the radii; infinite when no circle was found.
        colour_distance: Of the circle's colour, in CIELAB.
        ground_distance: Of the ground's colour, in CIELAB.
        is_in_place: Whether centre and radius are right (:data:`RIGHT_PLACE_SHARE`).
        has_right_colour: Whether the circle's colour is right (:data:`RIGHT_COLOUR_DISTANCE`).
        has_right_ground: Whether the ground's is.
    """

    centre_px: float
    radius_px: float
    colour_distance: float
    ground_distance: float
    is_in_place: bool
    has_right_colour: bool
    has_right_ground: bool

    @property
    def has_right_colours(self) -> bool:
        """Whether both colours are right."""
        return self.has_right_colour and self.has_right_ground

    @property
    def is_right(self) -> bool:
        """Whether place and colours are right."""
        return self.is_in_place and self.has_right_colours


def find_outline(conditioning: npt.NDArray[np.uint8]) -> tuple[tuple[float, float], float] | None:
    """Fit a circle to the white line of a conditioning image.

    Args:
        conditioning: uint8, (H, W) or (H, W, 3), white on black.

    Returns:
        Centre (x, y) and radius in pixels; None if there is no line.
    """
    grey = conditioning if conditioning.ndim == 2 else conditioning.max(axis=2)
    return _fit(np.argwhere(grey > 127)[:, ::-1].astype(np.float64) + 0.5)


def find_circle(picture: npt.NDArray[np.uint8]) -> FoundCircle | None:
    """Find the circle of a picture.

    Args:
        picture: uint8 RGB, (H, W, 3).

    Returns:
        The circle; None if the picture has one colour only, or nothing round enough to fit.
    """
    is_circle = _smaller_colour(picture)
    if is_circle is None:
        return None
    _, regions, sizes, _ = cv2.connectedComponentsWithStats(is_circle.astype(np.uint8))
    if len(sizes) < 2:
        return None
    region = (regions == 1 + int(np.argmax(sizes[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    outlines, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = max(outlines, key=len)[:, 0].astype(np.float64)
    height, width = region.shape
    x, y = points.T
    inner = points[(x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)]
    fitted = _fit(inner + 0.5)
    if fitted is None:
        return None
    centre, radius = fitted
    colour, ground = (_median_colour(picture[region == side]) for side in (1, 0))
    return FoundCircle(centre, radius, colour, ground)


def measure_circle(
    found: FoundCircle | None,
    conditioning: npt.NDArray[np.uint8],
    colours: tuple[Rgb, Rgb],
    palette: Sequence[Rgb],
) -> CircleErrors:
    """Compare a generated circle with what was asked for.

    Args:
        found: The circle of the picture.
        conditioning: The outline, uint8, as high and wide as the picture.
        colours: sRGB of circle and ground.
        palette: All colours that could have been asked for.

    Returns:
        The errors; infinite ones if the picture shows no circle.
    """
    wanted = find_outline(conditioning)
    if wanted is None or found is None:
        return CircleErrors(np.inf, np.inf, np.inf, np.inf, False, False, False)
    (centre, radius), limit = wanted, RIGHT_PLACE_SHARE * wanted[1]
    off = float(np.hypot(*np.subtract(found.centre, centre)))
    radius_off = abs(found.radius - radius)
    return CircleErrors(
        off,
        radius_off,
        _distance(found.colour, colours[0]),
        _distance(found.ground, colours[1]),
        is_in_place=max(off, radius_off) <= limit,
        has_right_colour=_is_right(found.colour, colours[0], palette),
        has_right_ground=_is_right(found.ground, colours[1], palette),
    )


@dataclass(frozen=True)
class CircleScores:
    """What circles come to; shares with their intervals.

    Attributes:
        right: Share that is right in place and colours.
        in_place: Share that is in its place.
        right_colours: Share whose two colours are right.
        right_colour: Share whose circle has the right colour.
        right_ground: Share whose ground has the right colour.
        chance: Share of right colours when each picture is held against the captions of the others: what a
            model reaches that does not read its caption.
        median_centre_px: Median distance of the centres, pixels.
        median_radius_px: Median difference of the radii, pixels.
    """

    right: Interval
    in_place: Interval
    right_colours: Interval
    right_colour: Interval
    right_ground: Interval
    chance: float
    median_centre_px: float
    median_radius_px: float


def score_circles(errors: Sequence[CircleErrors], chance: float) -> CircleScores:
    """Sum up circles.

    Args:
        errors: One a picture; at least one.
        chance: See :class:`CircleScores`.

    Raises:
        InputError: There are none.
    """
    return CircleScores(
        bootstrap_mean([float(error.is_right) for error in errors]),
        bootstrap_mean([float(error.is_in_place) for error in errors]),
        bootstrap_mean([float(error.has_right_colours) for error in errors]),
        bootstrap_mean([float(error.has_right_colour) for error in errors]),
        bootstrap_mean([float(error.has_right_ground) for error in errors]),
        chance,
        float(median(error.centre_px for error in errors)),
        float(median(error.radius_px for error in errors)),
    )


def chance_of_colours(
    found: Sequence[FoundCircle | None], wanted: Sequence[tuple[Rgb, Rgb]], palette: Sequence[Rgb]
) -> float:
    """Return the share of right colours when each picture is held against the captions of all others.

    Args:
        found: The circles of the pictures.
        wanted: sRGB of circle and ground that each one's caption asks for.
        palette: All colours that could have been asked for.

    Returns:
        A share in [0, 1]; 0 for a single picture.
    """
    hits = [
        circle is not None
        and _is_right(circle.colour, wanted[other][0], palette)
        and _is_right(circle.ground, wanted[other][1], palette)
        for place, circle in enumerate(found)
        for other in range(len(wanted))
        if other != place
    ]
    return float(np.mean(hits)) if hits else 0.0


def _smaller_colour(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_] | None:
    """Divide a picture in two colours; mark the one that holds less of the frame."""
    smooth = cv2.medianBlur(picture, 5)
    lab = to_lab(smooth.reshape(-1, 3)).astype(np.float32)
    if float(np.ptp(lab, axis=0).max()) < 1.0:
        return None
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.1)
    frame_colour = np.median(lab.reshape(*picture.shape)[_frame(picture.shape)], axis=0)
    distances = np.linalg.norm(lab - frame_colour, axis=1)
    first = (distances > (distances.min() + distances.max()) / 2).astype(np.int32)[:, None]
    _, labels, _ = cv2.kmeans(lab, 2, first, stop, 1, cv2.KMEANS_USE_INITIAL_LABELS)
    second: npt.NDArray[np.bool_] = labels.reshape(picture.shape[:2]) == 1
    return ~second if second[_frame(picture.shape)].mean() > 0.5 else second


def _frame(shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Mark the outermost pixels."""
    frame = np.ones(shape[:2], bool)
    frame[1:-1, 1:-1] = False
    return frame


def _fit(points: npt.NDArray[np.float64]) -> tuple[tuple[float, float], float] | None:
    """Fit a circle to points (N, 2): minimise the sum of (x² + y² + a x + b y + c)²."""
    if len(points) < _MIN_POINTS:
        return None
    design = np.column_stack([points, np.ones(len(points))])
    (a, b, c), *_ = np.linalg.lstsq(design, -(points**2).sum(axis=1), rcond=None)
    x, y = -a / 2, -b / 2
    squared = x * x + y * y - c
    return ((float(x), float(y)), float(np.sqrt(squared))) if squared > 0 else None


def _median_colour(pixels: npt.NDArray[np.uint8]) -> Rgb:
    red, green, blue = (int(value) for value in np.median(pixels, axis=0))
    return red, green, blue


def _is_right(seen: Rgb, asked: Rgb, palette: Sequence[Rgb]) -> bool:
    """Tell whether a colour is near enough to the one asked for, or nearer than to any other."""
    nearest = min(_distance(seen, one) for one in palette)
    return _distance(seen, asked) <= max(RIGHT_COLOUR_DISTANCE, nearest)


def _distance(first: Rgb, second: Rgb) -> float:
    """Return the CIE 1976 colour difference."""
    return float(np.linalg.norm(to_lab(first) - to_lab(second)))
