"""What a base model can show at all: legends after its autoencoder, read by OCR.

A latent diffusion model draws what its decoder can decode. A legend of real pixels that no longer reads after
encoding and decoding is out of reach for any training: the floor under every legend metric. It depends on the
autoencoder and on the legend's height in pixels of the trained size, hardly on anything else, so it is
measured once for a base model (``prep.legend_heights`` keeps the heights), and a data set's legends are held
against it.

Loads no deep-learning library by itself; the autoencoder is the caller's.

Shapes: H, W pixels.
"""

import math
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

    def lost_below_px(self, script: Script | None = None) -> float:
        """Return the height below which legends surely do not survive.

        Args:
            script: One script, or None for all.

        Returns:
            The upper bound of the highest bin of which even the upper end of Sen.ACC's interval lies below
            :data:`SURVIVES` of what read before; bins of too few legends are passed over. 0 if there is no
            such bin, infinity if it is the highest.
        """
        uppers = (*LEAST_HEIGHTS_PX, math.inf)
        for height, upper in reversed(list(zip(HEIGHT_BINS, uppers, strict=True))):
            before, after = (_group(scores, script, height) for scores in (self.before, self.after))
            if before is None or after is None or before.num_legends < LEAST_LEGENDS:
                continue
            if after.sentence_accuracy.high < SURVIVES * before.sentence_accuracy.estimate:
                return upper
        return 0

    def as_rows(self) -> list[dict[str, str | float | int]]:
        """Return one row for each group that was seen, all legends first.

        ``script`` and ``height_px`` are ``all`` where a row is not restricted by them; then follow
        ``num_legends``, ``num_pictures``, and Sen.ACC (``before``, ``after``) and NED (``ned_before``,
        ``ned_after``) on both sides, each with its bounds ``_low`` and ``_high``.
        """
        rows: list[dict[str, str | float | int]] = []
        for script in (None, *SCRIPTS):
            for height in (None, *HEIGHT_BINS):
                before, after = _group(self.before, script, height), _group(self.after, script, height)
                if before is not None and after is not None:
                    place = {"script": script or "all", "height_px": height or "all"}
                    rows.append({**place, **_sides(before, after)})
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
        image: (H, W, 3) uint8 RGB; sides that its scale (8, mostly) does not divide are continued for it.

    Returns:
        What the decoder makes of the mean of the latents' distribution, (H, W, 3) uint8.
    """
    import torch

    height, width = image.shape[:2]
    scale = 2 ** (len(autoencoder.config.block_out_channels) - 1)
    whole = np.pad(image, ((0, -height % scale), (0, -width % scale), (0, 0)), mode="edge")
    pixels = torch.from_numpy(whole).permute(2, 0, 1)[None].to(autoencoder.device, autoencoder.dtype)
    with torch.no_grad():
        latents = autoencoder.encode(pixels / 127.5 - 1).latent_dist.mode()
        decoded = autoencoder.decode(latents).sample[0]
    shown = ((decoded.float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return np.ascontiguousarray(shown.permute(1, 2, 0).cpu().numpy()[:height, :width])


def _group(scores: LegendScores, script: Script | None, height: str | None) -> LegendScore | None:
    if script is None:
        return scores.overall if height is None else scores.by_height.get(height)
    if height is None:
        return scores.by_script.get(script)
    return scores.by_script_and_height.get((script, height))


def _sides(before: LegendScore, after: LegendScore) -> dict[str, float | int]:
    figures: dict[str, float | int] = {"num_legends": before.num_legends, "num_pictures": before.num_pictures}
    for name, interval in (
        ("before", before.sentence_accuracy),
        ("after", after.sentence_accuracy),
        ("ned_before", before.ned),
        ("ned_after", after.ned),
    ):
        figures |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return figures
