"""What a base model can show at all: legends after its autoencoder, read by OCR.

A latent diffusion model draws what its decoder can decode. A legend of real pixels that no longer reads after
encoding and decoding is out of reach for any training: the floor under every legend metric. It depends on the
autoencoder and on the legend's height in pixels of the trained size, hardly on anything else, so it is
measured once for a base model (``prep.legend_heights`` keeps the heights), and a data set's legends are held
against it.

Loads no deep-learning library by itself; the autoencoder is the caller's.

Shapes: H, W pixels, multiples of the autoencoder's scale (8, mostly).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skin_pipeline.errors import InputError
from skin_pipeline.evaluation.legends import (
    HEIGHT_BINS,
    LEAST_HEIGHTS_PX,
    SCRIPTS,
    LegendReading,
    LegendScore,
    LegendScores,
    Recognizer,
    Script,
    read_legends,
    score_readings,
)
from skin_pipeline.geometry import FloatArray

Image = NDArray[np.uint8]

SURVIVES = 0.9
"""Legends of a height survive if at least this share of those that read before still reads."""
LEAST_LEGENDS = 8
"""A height of which fewer legends were seen says nothing."""


@dataclass(frozen=True)
class LegendPicture:
    """A picture whose legends are known."""

    id: str
    """One for all pictures of a skin."""
    image: Image
    """(H, W, 3) uint8 RGB."""
    quads: FloatArray
    """(N, 4, 2), pixels, close around the ink."""
    texts: tuple[str, ...]


@dataclass(frozen=True)
class LegendFloor:
    """How the same legends read before and after an autoencoder."""

    reader: str
    """What read them."""
    before: LegendScores
    after: LegendScores

    def survival(self, script: Script | None, height: str) -> tuple[float, int] | None:
        """Return the share of legends of a height bin that still read, of those that read before.

        Args:
            script: One script, or None for all.
            height: A name of :data:`skin_pipeline.evaluation.legends.HEIGHT_BINS`.

        Returns:
            The ratio of both Sen.ACC, and the number of legends; None if there is no such legend, or if none
            read before.
        """
        before, after = (_group(scores, script, height) for scores in (self.before, self.after))
        if before is None or after is None or before.sentence_accuracy.estimate == 0:
            return None
        share = after.sentence_accuracy.estimate / before.sentence_accuracy.estimate
        return share, before.num_legends

    def least_height_px(self, script: Script | None = None) -> int | None:
        """Return the least height from which on legends survive.

        Args:
            script: One script, or None for all.

        Returns:
            The lower bound of the lowest bin that survives together with all bins above it (see
            :data:`SURVIVES`); bins of too few legends are passed over. None if not even the highest bin that
            was seen survives.
        """
        least: int | None = None
        for height, least_px in reversed(list(zip(HEIGHT_BINS[1:], LEAST_HEIGHTS_PX, strict=True))):
            survival = self.survival(script, height)
            if survival is None or survival[1] < LEAST_LEGENDS:
                continue
            if survival[0] < SURVIVES:
                break
            least = least_px
        return least

    def as_rows(self) -> list[dict[str, str | float | int]]:
        """Return one row for each script and height that was seen: legends, Sen.ACC and NED on both sides."""
        rows: list[dict[str, str | float | int]] = []
        for script in (None, *SCRIPTS):
            for height in HEIGHT_BINS:
                before, after = _group(self.before, script, height), _group(self.after, script, height)
                if before is not None and after is not None:
                    rows.append({"script": script or "all", "height_px": height, **_sides(before, after)})
        return rows


def measure_floor(
    pictures: Iterable[LegendPicture], autoencoder: Any, reader: Recognizer, *, seed: int = 0
) -> LegendFloor:
    """Read legends before and after an autoencoder.

    Args:
        pictures: Real or drawn, at the size that is trained at.
        autoencoder: A diffusers ``AutoencoderKL``, on any device and of any type.
        reader: Reads the crops; one that no training saw (Tesseract) as much as the text loss's own.
        seed: Seed of the bootstrap.

    Raises:
        InputError: There is no legend.
    """
    before: list[LegendReading] = []
    after: list[LegendReading] = []
    for picture in pictures:
        legends = (picture.quads, picture.texts, reader, picture.id)
        before += read_legends(picture.image, *legends)
        after += read_legends(encode_decode(autoencoder, picture.image), *legends)
    if not before:
        raise InputError("A floor needs at least one legend, got none. Give pictures that have legends.")
    return LegendFloor(reader.name, score_readings(before, seed=seed), score_readings(after, seed=seed))


def encode_decode(autoencoder: Any, image: Image) -> Image:
    """Send a picture through an autoencoder.

    Args:
        autoencoder: A diffusers ``AutoencoderKL``.
        image: (H, W, 3) uint8 RGB.

    Returns:
        What the decoder makes of the mean of the latents' distribution, (H, W, 3) uint8.
    """
    import torch

    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].to(autoencoder.device, autoencoder.dtype)
    with torch.no_grad():
        latents = autoencoder.encode(pixels / 127.5 - 1).latent_dist.mode()
        decoded = autoencoder.decode(latents).sample[0]
    shown = ((decoded.float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return np.ascontiguousarray(shown.permute(1, 2, 0).cpu().numpy())


def _group(scores: LegendScores, script: Script | None, height: str) -> LegendScore | None:
    if script is None:
        return scores.by_height.get(height)
    return scores.by_script_and_height.get((script, height))


def _sides(before: LegendScore, after: LegendScore) -> dict[str, float | int]:
    return {
        "num_legends": before.num_legends,
        "before": before.sentence_accuracy.estimate,
        "after": after.sentence_accuracy.estimate,
        "after_low": after.sentence_accuracy.low,
        "after_high": after.sentence_accuracy.high,
        "ned_before": before.ned.estimate,
        "ned_after": after.ned.estimate,
    }
