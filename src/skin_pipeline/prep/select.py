"""Select skins for the training set by what the stages made of them, and leave out repeats.

The screening knows a skin's pixels only; whether its edges can condition anything, whether its caption says
something and whether two skins that look alike also have equal legends is known when all stages are through.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from pydantic import Field

from skin_pipeline.items import Output, Rejection, Task, Worker
from skin_pipeline.prep.caption_quality import (
    BLIP_ARTEFACTS,
    caption_words,
    count_tokens,
    find_non_words,
    find_terms,
    repeated_words,
    words_of,
)
from skin_pipeline.prep.duplicates import Look, LookAlikes, find_repeats
from skin_pipeline.prep.quality import (
    AtLeast,
    AtMost,
    Check,
    EdgeQuality,
    Limit,
    Measure,
    edge_quality,
    find_faults,
)
from skin_pipeline.schemas import Parameters

EDGE_SCORE = Check(
    "edge_score",
    "Edge map score",
    "edges that condition nothing",
    "Whether the edge map holds outlines: 0 for an empty map, a tangle or specks, 1 for long clear lines. "
    "Product of three parts, after the ControlNet Dataset Curator's rating of Canny maps.",
)
CAPTION_WORDS = Check(
    "caption_words", "Caption words", "empty caption", "Words of the caption between its prefix and suffix."
)
CAPTION_TOKENS = Check(
    "caption_tokens",
    "Caption tokens",
    "caption too long",
    "Tokens of the whole caption, without legends, begin and end included; CLIP's text encoder takes 77 and "
    "cuts off the rest. Counted with the shipped tokenizer; SDXL's own needs as many or fewer.",
)
REPEATED_WORDS = Check(
    "repeated_words",
    "Repeated words",
    "caption repeats itself",
    "Share of the caption's words that it said before; articles and the like do not count.",
)
NON_WORDS = Check(
    "non_words",
    "Non-words",
    "caption with non-words",
    "Words of Latin letters that cannot be English: no vowel, three alike letters in a row, digits amid.",
)
BANNED_TERMS = Check(
    "banned_terms",
    "Banned terms",
    "caption with banned terms",
    "Terms of a list that the caption holds, by default what BLIP writes when it has nothing to say.",
)
LEGENDS = Check("legends", "Legends", "no legends", "Strings read in the skin with enough confidence.")


class BannedTerms(AtMost):
    """Terms that a caption must not hold."""

    at_most: float = 0
    """So many of the terms may be in a caption."""

    terms: tuple[str, ...] = BLIP_ARTEFACTS
    """Words or phrases; a ``*`` at the end stands for any ending. Case does not count."""


class RepeatLimit(Limit):
    """When a skin repeats another: close hashes, equal colours and equal legends, all three."""

    max_bits: int = Field(default=3, ge=0, le=16)
    """Perceptual hashes of repeats differ in so many of 64 bits, or fewer. Encodings and sizes of one picture
    are 0 to 2 bits apart."""

    max_colour_distance: float = Field(default=2.3, ge=0)
    """Colours of repeats differ by no more than this where they differ most, on a grid of 12 x 12 cells, in
    CIELAB; 2.3 is just noticeable. Without this, every recoloured skin of a design would be a repeat."""


class SelectionParameters(Parameters):
    """Which skins become part of the training set."""

    edge_score: AtLeast = AtLeast(at_least=0.25, action="reject")
    """0 to 1. Real keyboard skins lie above 0.8."""

    caption_words: AtLeast = AtLeast(at_least=1)
    """A caption of prefix and suffix only says nothing about its skin."""

    caption_tokens: AtMost = AtMost(at_most=77)
    """What CLIP's text encoder takes."""

    repeated_words: AtMost = AtMost(at_most=0.5)
    """0 to 1. Captions of real previews lie at 0.18 and below."""

    non_words: AtMost = AtMost(at_most=0)
    """How many words may be none."""

    banned_terms: BannedTerms = BannedTerms(action="reject")
    """What no caption may hold."""

    legends: AtLeast = AtLeast(at_least=1)
    """Least number of strings read with more than ``dataset.min_confidence``."""

    repeats: RepeatLimit = RepeatLimit(action="reject")
    """Of skins that repeat each other the first by id stays."""

    num_workers: int = Field(default=1, ge=1)
    """Processes that measure at the same time."""

    def limits(self) -> dict[Check, AtLeast | AtMost]:
        """Return what skins are judged by one at a time."""
        return {
            EDGE_SCORE: self.edge_score,
            CAPTION_WORDS: self.caption_words,
            CAPTION_TOKENS: self.caption_tokens,
            REPEATED_WORDS: self.repeated_words,
            NON_WORDS: self.non_words,
            BANNED_TERMS: self.banned_terms,
            LEGENDS: self.legends,
        }


def make_selection_measurer(min_confidence: float) -> Worker:
    """Build the worker that measures what the stages made.

    Args:
        min_confidence: Strings read with more confidence than this are legends.

    Returns:
        A worker for tasks with the sources ``screened_skins``, ``edge_maps``, ``captions``, ``text_boxes``.
    """
    return partial(_measure_batch, min_confidence)


def _measure_batch(min_confidence: float, tasks: Sequence[Task]) -> list[Output | Rejection]:
    return [_measure_task(task, min_confidence) for task in tasks]


def _measure_task(task: Task, min_confidence: float) -> Output:
    screened = task.inputs["screened_skins"].record
    caption = task.inputs["captions"].record
    edges = task.inputs["edge_maps"].load_image()
    boxes = task.inputs["text_boxes"].record["boxes"]
    record = {
        "phash": screened["phash"],
        "colours": screened["colours"],
        "edges": asdict(edge_quality(edges)),
        "caption_words": caption_words(caption),
        "caption_tokens": count_tokens(caption["caption"]),
        "legends": [
            place_text(box["text"], box["quad"], edges.shape)
            for box in boxes
            if box["confidence"] > min_confidence
        ],
    }
    return Output(record)


def place_text(text: str, quad: Sequence[Sequence[float]], shape: Sequence[int]) -> list[Any]:
    """Return a legend and its box as the record holds them: the fields of a ``PlacedText``.

    Args:
        text: As it was read.
        quad: Its corners in pixels, (4, 2).
        shape: Height and width of the picture.
    """
    corners = np.asarray(quad, dtype=np.float64) / (shape[1], shape[0])
    low, high = corners.min(axis=0), corners.max(axis=0)
    return [text, *((low + high) / 2).round(4).tolist(), *(high - low).round(4).tolist()]


def selection_measures(record: Mapping[str, Any], banned_terms: Sequence[str]) -> dict[str, Measure]:
    """Return what a skin is judged by, from its record.

    Args:
        record: Of the stage ``selected_skins``.
        banned_terms: See :class:`BannedTerms`.
    """
    record = dict(record.items())  # one reading of a record that lies on the disk
    words = record["caption_words"]
    edges = EdgeQuality(**record["edges"])
    repeated, again = repeated_words(words)
    non_words, banned = find_non_words(words), find_terms(words, banned_terms)
    return {
        EDGE_SCORE.name: Measure(edges.score, edges.detail),
        CAPTION_WORDS.name: Measure(len(words_of(words))),
        CAPTION_TOKENS.name: Measure(record["caption_tokens"]),
        REPEATED_WORDS.name: Measure(repeated, ", ".join(again)),
        NON_WORDS.name: Measure(len(non_words), ", ".join(non_words)),
        BANNED_TERMS.name: Measure(len(banned), ", ".join(banned)),
        LEGENDS.name: Measure(len(record["legends"])),
    }


def look_of(record: Mapping[str, Any]) -> Look:
    """Return what tells a skin from others, from its record."""
    fields = dict(record.items())  # one reading of a record that lies on the disk
    return Look(fields["phash"], fields["colours"], record)


def reasons_to_leave_out(
    records: Mapping[str, Mapping[str, Any]], parameters: SelectionParameters
) -> dict[str, str]:
    """Judge measured skins: by the limits that reject, then by whether they repeat another that is left.

    Args:
        records: Records of the stage by id.
        parameters: The limits.

    Returns:
        Reason by id of each skin to leave out.
    """
    limits = parameters.limits()
    reasons = {}
    for item_id, record in records.items():
        measures = selection_measures(record, parameters.banned_terms.terms)
        faults = find_faults(measures, limits, "reject")
        if faults:
            reasons[item_id] = " ".join(fault.sentence for fault in faults)
    if parameters.repeats.action == "reject":
        left = {item_id: record for item_id, record in records.items() if item_id not in reasons}
        repeats = repeats_among(left, parameters.repeats)
        reasons |= {item_id: repeat_sentence(pair, parameters.repeats) for item_id, pair in repeats.items()}
    return reasons


def repeats_among(records: Mapping[str, Mapping[str, Any]], limit: RepeatLimit) -> dict[str, LookAlikes]:
    """Find skins that repeat another that is kept; see :func:`skin_pipeline.prep.duplicates.find_repeats`."""
    looks = {item_id: look_of(record) for item_id, record in records.items()}
    return find_repeats(looks, limit.max_bits, limit.max_colour_distance)


def repeat_sentence(pair: LookAlikes, limit: RepeatLimit) -> str:
    """Say which skin the second of two repeats, how it was measured and what the limits are."""
    return (
        f"repeats '{pair.first}', which is kept: the same legends, {pair.bits} of 64 hash bits apart (at "
        f"most {limit.max_bits}), colours {pair.colour_distance:g} apart (at most "
        f"{limit.max_colour_distance:g})."
    )
