"""Which legends are too small for a base model, whatever it is trained on.

A latent diffusion model draws what its decoder can decode, and an autoencoder blurs legends below a certain
height into something that nobody can read. That height is a property of the base model, measured once
(:mod:`skin_pipeline.evaluation.legend_floor`) and stored here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LeastHeights:
    """Heights from which on nine of ten legends that read before an autoencoder still read after it."""

    latin_px: int
    """Of letters, digits and symbols."""
    chinese_px: int


LEAST_LEGEND_HEIGHTS: Mapping[str, LeastHeights] = {"embedded": LeastHeights(latin_px=16, chinese_px=24)}
"""By name of the base model, as both PP-OCR and Tesseract read; see docs/legends.md."""


def small_legends_warning(legends: Sequence[tuple[str, float]], base_model: str) -> str | None:
    """Say how many legends of a data set lie below what a base model can show.

    Args:
        legends: Text, empty where it is not known, and height at the size that is trained at, in pixels.
        base_model: Its name in the configuration.

    Returns:
        What is the matter and what to do; None if nothing is, or if the base model was never measured.
    """
    least = LEAST_LEGEND_HEIGHTS.get(base_model)
    if least is None:
        return None
    chinese = [height for text, height in legends if _is_chinese(text)]
    others = [height for text, height in legends if not _is_chinese(text)]
    counts = [
        f"{below} of {len(heights)} {script} legends are lower than {least_px} px"
        for script, heights, least_px in (
            ("Chinese", chinese, least.chinese_px),
            ("other", others, least.latin_px),
        )
        if (below := sum(height < least_px for height in heights))
    ]
    if not counts:
        return None
    return (
        f"{' and '.join(counts)}. The autoencoder of '{base_model}' does not keep such legends readable,"
        " whatever is trained: train at a larger size (data_prep's resize), crop closer to the keys, or take"
        " a base model that keeps more detail."
    )


def _is_chinese(text: str) -> bool:
    return any("\u3400" <= character <= "\u9fff" for character in text)
