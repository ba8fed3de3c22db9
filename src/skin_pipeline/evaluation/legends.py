"""Whether the legends of a picture can be read.

Each legend's place and text are known. Its crop is read by a recogniser, and what it reads is compared with
what should be there. The definitions are AnyText's (Tuo et al., ICLR 2024, ``eval/eval_dgocr.py``):

* Sen.ACC: the share of legends that are read exactly.
* NED: the mean of 1 - d / (max(len) + 1e-5), where d is the Levenshtein distance between what was read and
  the truth, and len their numbers of characters. Higher is better; 1 is perfect but for the 1e-5.

AnyText counts all characters that its recogniser does not know as one and the same; here they stay different.

A figure is a property of pictures *and* recogniser, so the same recogniser's figure on real pictures belongs
beside it. Text is compared as it is; other normalisations are asked for by name (:data:`Normalisation`).

Legends of one picture are alike in colour and typeface, so not legends but pictures are redrawn for the
intervals (:mod:`.bootstrap`); give pictures of one skin the same ``picture_id``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rapidfuzz.distance import Levenshtein

from skin_pipeline.errors import InputError
from skin_pipeline.evaluation.bootstrap import Interval, bootstrap_ratio
from skin_pipeline.geometry import FloatArray, as_quads, draw_in, quad_sizes, runs_downwards
from skin_pipeline.recognition.crops import straighten
from skin_pipeline.recognition.recognizers import Recognizer

__all__ = [
    "HEIGHT_BINS",
    "SCRIPTS",
    "LegendReading",
    "LegendScore",
    "LegendScores",
    "Normalisation",
    "Recognizer",
    "Script",
    "height_bin",
    "normalise",
    "normalised_edit_similarity",
    "read_legends",
    "score_readings",
    "script_of",
]

Image = NDArray[np.uint8]

Script = Literal["Latin", "Chinese", "digits/symbols"]
SCRIPTS: tuple[Script, ...] = ("Latin", "Chinese", "digits/symbols")

LEAST_HEIGHTS_PX = (12, 16, 20, 24, 28, 32, 48)
HEIGHT_BINS = ("<12", "12", "16", "20", "24", "28", "32", "48+")
"""Bins of legend heights in pixels, named by their least height: ``16`` is 16 px or more, below 20."""

Normalisation = Literal["strict", "width", "width_and_case"]
"""``strict``: text as it is. ``width``: full-width ASCII (Ａ, ！, the ideographic space) as plain.
``width_and_case``: also letters without their case, which tells whether errors are of case only."""


_Group = TypeVar("_Group")

_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}


@dataclass(frozen=True)
class LegendReading:
    """One legend, and what a recogniser read in its place."""

    picture_id: str
    """What is independent of what: one id a skin."""
    truth: str
    read: str
    confidence: float
    """The recogniser's, 0 to 1."""
    height_px: float
    """Height of the line that was cropped."""


@dataclass(frozen=True)
class LegendScore:
    """Sen.ACC and NED of a group of legends, with 95 % intervals over pictures."""

    sentence_accuracy: Interval
    ned: Interval
    num_legends: int

    @property
    def num_pictures(self) -> int:
        """Independent samples; an interval of few is too narrow, that of one has no width."""
        return self.sentence_accuracy.num_samples


@dataclass(frozen=True)
class LegendScores:
    """Scores of all legends and of groups; a group that holds no legend is absent."""

    overall: LegendScore
    by_script: Mapping[Script, LegendScore]
    by_height: Mapping[str, LegendScore]
    """By name of :data:`HEIGHT_BINS`."""
    by_script_and_height: Mapping[tuple[Script, str], LegendScore]

    def as_rows(self) -> list[dict[str, str | float | int]]:
        """Return one flat row for each group, for a table or JSON.

        ``script`` and ``height_px`` are ``all`` where a row is not restricted by them; then follow
        ``num_legends``, ``num_pictures``, and estimate and bounds of both figures.
        """
        rows = [_row("all", "all", self.overall)]
        rows += [_row(script, "all", score) for script, score in self.by_script.items()]
        rows += [_row("all", height, score) for height, score in self.by_height.items()]
        return rows + [_row(*group, score) for group, score in self.by_script_and_height.items()]


def read_legends(
    picture: Image,
    quads: ArrayLike,
    texts: Sequence[str],
    reader: Recognizer,
    picture_id: str = "",
    *,
    inset: float = 0.0,
) -> list[LegendReading]:
    """Read what stands where the legends of a picture should be.

    Args:
        picture: (H, W, 3) uint8 RGB.
        quads: Where they should be, (N, 4, 2), pixels of the picture, close around their ink.
        texts: What they should say, N.
        reader: Reads the crops.
        picture_id: One id for all pictures of a skin.
        inset: How far to draw each side of a quad in, in units of its shorter side. The quads of data_prep's
            ``text_boxes`` leave 0.115 around their ink, which is more than a recogniser wants.

    Returns:
        One reading a legend, in their order.

    Raises:
        InputError: Quads and texts differ in number, or are not what they should be.
    """
    corners = draw_in(as_quads(quads), inset)
    if len(corners) != len(texts):
        raise InputError(
            f"Picture '{picture_id}' has {len(corners)} quads but {len(texts)} texts; each legend needs both."
        )
    lines = [_line(picture, quad, text) for quad, text in zip(corners, texts, strict=True)]
    readings = reader.recognize(lines)
    heights = [line_height(quad, text) for quad, text in zip(corners, texts, strict=True)]
    return [
        LegendReading(picture_id, truth, read, confidence, height)
        for truth, (read, confidence), height in zip(texts, readings, heights, strict=True)
    ]


def score_readings(
    readings: Iterable[LegendReading],
    *,
    seed: int = 0,
    num_resamples: int = 2000,
    normalisation: Normalisation = "strict",
) -> LegendScores:
    """Score readings overall, by script of the truth, by legend height, and by both.

    Args:
        readings: Of any pictures; their order changes nothing.
        seed: Seed of the bootstrap.
        num_resamples: How often pictures are redrawn.
        normalisation: Applied to truth and reading before they are compared.

    Raises:
        InputError: There is no reading.
    """
    all_readings = list(readings)
    if not all_readings:
        raise InputError("A score needs at least one legend, got none.")

    def score(members: Sequence[LegendReading]) -> LegendScore:
        return _score(members, normalisation, num_resamples, seed)

    scripts = _grouped(all_readings, lambda reading: script_of(reading.truth), SCRIPTS)
    heights = _grouped(all_readings, lambda reading: height_bin(reading.height_px), HEIGHT_BINS)
    both = {
        (script, height): group
        for script, members in scripts.items()
        for height, group in _grouped(members, lambda one: height_bin(one.height_px), HEIGHT_BINS).items()
    }
    return LegendScores(
        overall=score(all_readings),
        by_script={script: score(members) for script, members in scripts.items()},
        by_height={height: score(members) for height, members in heights.items()},
        by_script_and_height={group: score(members) for group, members in both.items()},
    )


def normalised_edit_similarity(read: str, truth: str) -> float:
    """Return NED of one legend as AnyText reports it: 1 - Levenshtein / (longer length + 1e-5)."""
    longer = max(len(read), len(truth))
    return 1 - Levenshtein.distance(read, truth) / (longer + 1e-5)


def normalise(text: str, normalisation: Normalisation) -> str:
    """Return the text that is compared; see :data:`Normalisation`."""
    if normalisation == "strict":
        return text
    plain = text.translate(_FULL_WIDTH)
    return plain.casefold() if normalisation == "width_and_case" else plain


def script_of(text: str) -> Script:
    """Return the script of a legend: Chinese if it has an ideograph, else Latin if it has a letter."""
    if any("\u3400" <= character <= "\u9fff" for character in text):
        return "Chinese"
    return "Latin" if any(character.isalpha() for character in text) else "digits/symbols"


def height_bin(height_px: float) -> str:
    """Return the name of the bin that a height belongs to."""
    return HEIGHT_BINS[int(np.searchsorted(LEAST_HEIGHTS_PX, height_px, side="right"))]


def _line(picture: Image, quad: FloatArray, text: str) -> Image:
    """Cut out a legend as a line that runs to the right."""
    crop = straighten(picture, quad)
    return np.rot90(crop) if runs_downwards(quad, text) else crop


def line_height(quad: FloatArray, text: str) -> float:
    """Return the height of a legend's line in pixels: of text that runs downwards, its quad's width."""
    width, height = quad_sizes(quad)[0]
    return float(width if runs_downwards(quad, text) else height)


def _grouped(
    readings: Iterable[LegendReading], key: Callable[[LegendReading], _Group], order: Sequence[_Group]
) -> dict[_Group, list[LegendReading]]:
    """Sort readings into groups; groups come in the given order, empty ones are left out."""
    groups: dict[_Group, list[LegendReading]] = {name: [] for name in order}
    for reading in readings:
        groups[key(reading)].append(reading)
    return {name: members for name, members in groups.items() if members}


def _score(
    readings: Sequence[LegendReading], normalisation: Normalisation, num_resamples: int, seed: int
) -> LegendScore:
    """Score one group. A mean over legends is a ratio of means over pictures: right ones to all."""
    right: dict[str, list[bool]] = {}
    similarities: dict[str, list[float]] = {}
    for reading in readings:
        read, truth = normalise(reading.read, normalisation), normalise(reading.truth, normalisation)
        right.setdefault(reading.picture_id, []).append(read == truth)
        similarities.setdefault(reading.picture_id, []).append(normalised_edit_similarity(read, truth))
    counts = [len(members) for members in right.values()]
    num_right = [sum(members) for members in right.values()]
    similarity = [fsum(members) for members in similarities.values()]  # exact, so in any order the same
    return LegendScore(
        sentence_accuracy=bootstrap_ratio(num_right, counts, num_resamples=num_resamples, seed=seed),
        ned=bootstrap_ratio(similarity, counts, num_resamples=num_resamples, seed=seed),
        num_legends=len(readings),
    )


def _row(script: str, height: str, score: LegendScore) -> dict[str, str | float | int]:
    row: dict[str, str | float | int] = {
        "script": script,
        "height_px": height,
        "num_legends": score.num_legends,
        "num_pictures": score.num_pictures,
    }
    for name, interval in (("sentence_accuracy", score.sentence_accuracy), ("ned", score.ned)):
        row |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return row
