"""Does a skin's keyboard hang together: the measure that takes the place of sorting sheets by eye.

Skins drawn for another protocol come out with keys beside their panel, caps over each other and legends
outside of their caps. Each of these is an area, so each can be measured from the geometry.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from pydantic import Field

from skin_pipeline.schemas import Parameters
from skin_pipeline.skins.model import Key, Keyboard, Rect, Tile


class AlignmentParameters(Parameters):
    """From where on a keyboard counts as misaligned. Shares lie between 0 and 1."""

    min_inside: float = Field(default=0.97, ge=0, le=1)
    """Least share of the keys' area that lies on the panel."""
    max_overlap: float = Field(default=0.05, ge=0, le=1)
    """Largest share of the keys' area that lies under another key."""
    min_legends_inside: float = Field(default=0.9, ge=0, le=1)
    """Least share of the legends whose centre lies on their key."""
    min_keys: int = Field(default=8, ge=1)
    """Least number of keys that do something."""


@dataclass(frozen=True)
class Alignment:
    """How a keyboard's parts lie to each other.

    Attributes:
        inside: Share of the keys' area that lies on the panel.
        overlap: Share of the keys' area that lies under another key.
        legends_inside: Share of the legends whose centre lies on their key; 1 without legends.
        num_keys: Keys that do something.
    """

    inside: float
    overlap: float
    legends_inside: float
    num_keys: int

    def complaints(self, parameters: AlignmentParameters) -> list[str]:
        """Return what is wrong, each with the value and the threshold."""
        p = parameters
        checks = [
            (self.num_keys >= p.min_keys, f"it has {self.num_keys} keys, expected at least {p.min_keys}"),
            (
                self.inside >= p.min_inside,
                f"{self.inside:.0%} of its keys' area lies on the panel, expected at least"
                f" {p.min_inside:.0%}",
            ),
            (
                self.overlap <= p.max_overlap,
                f"{self.overlap:.0%} of its keys' area lies under other keys, expected at most"
                f" {p.max_overlap:.0%}",
            ),
            (
                self.legends_inside >= p.min_legends_inside,
                f"{self.legends_inside:.0%} of its legends lie on their key, expected at least"
                f" {p.min_legends_inside:.0%}",
            ),
        ]
        return [complaint for is_well, complaint in checks if not is_well]


def measure_alignment(keyboard: Keyboard) -> Alignment:
    """Measure how a keyboard's keys, panel and legends lie to each other."""
    keys = [key for key in keyboard.keys if key.function and not key.rect.is_empty]
    area = sum(_area(key.rect) for key in keys)
    if not area:
        return Alignment(0.0, 0.0, 1.0, 0)
    inside = sum(_area(key.rect.intersection(keyboard.bounds)) for key in keys)
    overlap = sum(_area(one.rect.intersection(other.rect)) for one, other in combinations(keys, 2))
    legends = [_is_on_key(key, layer_offset, tile) for key in keys for layer_offset, tile in _legends(key)]
    share = float(np.mean(legends)) if legends else 1.0
    return Alignment(inside / area, min(1.0, overlap / area), share, len(keys))


def _legends(key: Key) -> list[tuple[tuple[float, float], Tile]]:
    """Return offsets and tiles of the pictures that lie on a key at their own size."""
    shown = ((layer.offset, layer.appearance.normal) for layer in key.foregrounds)
    return [(offset, paint) for offset, paint in shown if isinstance(paint, Tile) and paint.fit == "centre"]


def _is_on_key(key: Key, offset: tuple[float, float], tile: Tile) -> bool:
    """Tell whether the centre of what a legend really shows lies on its key."""
    alpha = tile.crop()[..., 3].astype(np.float64)
    if not alpha.any():
        return True
    height, width = alpha.shape
    x = (alpha.sum(axis=0) @ np.arange(width)) / alpha.sum() + 0.5 - width / 2
    y = (alpha.sum(axis=1) @ np.arange(height)) / alpha.sum() + 0.5 - height / 2
    place_x, place_y = key.rect.centre
    centre_x, centre_y = place_x + offset[0] + x * tile.scale, place_y + offset[1] + y * tile.scale
    return bool(key.rect.x <= centre_x <= key.rect.right and key.rect.y <= centre_y <= key.rect.bottom)


def _area(rect: Rect) -> float:
    return max(0.0, rect.width) * max(0.0, rect.height)
