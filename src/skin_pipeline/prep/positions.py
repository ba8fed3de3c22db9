"""Where text is, beside what it says: AnyText's position map, as one channel of a conditioning image.

In a conditioning image of lines and filled glyphs both are white on black, and strokes of an ideograph look
like edges. A position map (Tuo et al. 2024, section 3.2: l_p) tells them apart. It takes the blue channel, so
that red and green stay what they are without it, and a picture of three channels stays one.
"""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from skin_pipeline.geometry import FloatArray


def show_positions(lines: NDArray[np.uint8], quads: Iterable[FloatArray]) -> NDArray[np.uint8]:
    """Return a conditioning image that also shows where its text is.

    Args:
        lines: (H, W), white on black.
        quads: Of the text, (4, 2) each, pixels.

    Returns:
        (H, W, 3) RGB: the lines in all channels, and the insides of the quads in the blue one.
    """
    inside = lines.copy()
    for quad in quads:
        cv2.fillConvexPoly(inside, np.round(quad - 0.5).astype(np.int32), (255,))
    return np.dstack([lines, lines, inside])


def lines_of(conditioning: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a conditioning image's lines and glyphs, without where text is.

    Args:
        conditioning: (H, W), or (H, W, 3) RGB with or without positions; white on black.

    Returns:
        (H, W).
    """
    lines: NDArray[np.uint8] = conditioning if conditioning.ndim == 2 else conditioning[..., :2].max(axis=2)
    return lines
