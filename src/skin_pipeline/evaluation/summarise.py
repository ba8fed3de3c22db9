"""From measured pictures to scores: of each system and metric, each with its interval.

A score has ``estimate``, ``low``, ``high``, ``num_skins`` (the independent samples), ``num_pictures`` and,
where there is something to know, ``note``; scores of legends also ``groups``, by script and height. Under
``skipped`` are the metrics that could not be taken, and why.

Figures of whole sets are taken of the pictures with the lowest seed of each prompt and conditioning image,
then of those with the next, and averaged, as ControlNet++ averages the FID of its four groups: so a system
with more seeds compares with one that has fewer, and with real pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skin_pipeline.evaluation.bootstrap import (
    Interval,
    bootstrap_mean,
    bootstrap_set,
    resampling_weights,
)
from skin_pipeline.evaluation.colour import prompt_colours
from skin_pipeline.evaluation.distribution import (
    CMMD_SCALE,
    Features,
    frechet_distance,
    gaussian_kernels,
    polynomial_kernels,
    sample_size_warning,
)
from skin_pipeline.evaluation.diversity import mean_distance, vendi_score
from skin_pipeline.evaluation.embed import load_features
from skin_pipeline.evaluation.legends import LegendReading, score_readings
from skin_pipeline.evaluation.metrics import METRICS
from skin_pipeline.evaluation.parameters import EvaluationParameters
from skin_pipeline.evaluation.readers import reason_for_absence
from skin_pipeline.evaluation.sets import by_system
from skin_pipeline.items import Item, Items

Record = Mapping[str, Any]
Score = dict[str, Any]
NamedScore = tuple[str, Score]
"""A metric and its score."""

SKIPPED = "skipped"
_CNPP_COUNT = "cnpp_num_found"
_OF_SETS = frozenset({"distribution", "diversity"})
"""Families of metrics of which a single skin has none."""


def summarise(
    measured: Items, features: Items, reference: Items, parameters: EvaluationParameters
) -> dict[str, dict[str, Any]]:
    """Return all scores, by system and metric, and the reasons of those left out, by metric.

    Args:
        measured: Records of :mod:`skin_pipeline.evaluation.score`.
        features: Of the same pictures and of the reference.
        reference: The real skins that distributions are compared with.
        parameters: How to redraw.
    """
    kinds = parameters.feature_weights("")
    real = {kind: _stack(features, list(reference), kind) for kind in kinds}
    scores: dict[str, dict[str, Any]] = {}
    for system, items in by_system(measured).items():
        found = dict(_scores_of_pictures([dict(item.record) for item in items], parameters))
        for kind in kinds:
            vectors = _stack(features, [item.id for item in items], kind)
            found |= _scores_of_sets(kind, items, vectors, real[kind], parameters)
        scores[system] = {metric: found[metric] for metric in METRICS if metric in found}
    taken = {metric for found in scores.values() for metric in found}
    missing = [metric for metric in METRICS if metric not in taken]
    reasons = {metric: _reason(metric, measured, reference, parameters) for metric in missing}
    return {**scores, SKIPPED: reasons}


# --- of pictures ----------------------------------------------------------------------------------------


def _scores_of_pictures(records: Sequence[Record], parameters: EvaluationParameters) -> Iterator[NamedScore]:
    for name, metric in METRICS.items():
        if metric.family == "legends":
            yield from _legend_scores(name, records, parameters)
        elif metric.field is not None:
            some = [record for record in records if record.get(metric.field) is not None]
            values = _means_by_skin(some, metric.field)
            if values:
                yield name, _score(_mean(values, parameters), len(some))
    paired = [record for record in records if _CNPP_COUNT in record]
    if paired:
        yield "cnpp_f1", _controlnet_plus_plus(paired, parameters)
    chances = _colour_chances(records)
    if chances:
        yield "colour_chance", _score(_mean(chances, parameters), len(records))


def _means_by_skin(records: Sequence[Record], field: str) -> list[float]:
    """Average the pictures of each skin, which are not independent."""
    by_skin: dict[str, list[float]] = {}
    for record in records:
        by_skin.setdefault(record["skin"], []).append(float(record[field]))
    return [float(np.mean(sorted(values))) for _, values in sorted(by_skin.items())]


def _mean(values: Sequence[float], parameters: EvaluationParameters) -> Interval:
    return bootstrap_mean(values, parameters.confidence, parameters.num_resamples, parameters.seed)


def _legend_scores(
    metric: str, records: Sequence[Record], parameters: EvaluationParameters
) -> Iterator[NamedScore]:
    """Means over legends, not over pictures: a skin with more legends counts for more, as with AnyText."""
    figure, _, reader = metric.rpartition("_")
    readings = [LegendReading(**one) for record in records for one in record.get(f"legends_{reader}", ())]
    if readings:
        scores = score_readings(readings, seed=parameters.seed, num_resamples=parameters.num_resamples)
        overall = scores.overall
        interval = overall.sentence_accuracy if figure == "sen_acc" else overall.ned
        score = _score(interval, sum(f"legends_{reader}" in record for record in records))
        yield metric, {**score, "num_legends": overall.num_legends, "groups": scores.as_rows()}


def _controlnet_plus_plus(records: Sequence[Record], parameters: EvaluationParameters) -> Score:
    """F1 of all pictures of a condition together, then the mean over conditions."""
    counts: dict[str, npt.NDArray[np.int64]] = {}
    for record in records:
        both = int(record[_CNPP_COUNT]) + int(record["cnpp_num_wanted"])
        found = np.array([2 * int(record["cnpp_true_positives"]), both])
        counts[record["skin"]] = counts.get(record["skin"], np.zeros(2, dtype=np.int64)) + found
    values = [float(right / both) if both else 0.0 for _, (right, both) in sorted(counts.items())]
    return _score(_mean(values, parameters), len(records))


def _colour_chances(records: Sequence[Record]) -> list[float]:
    """Return for each skin how often its pictures' main colour is one of another skin's prompt."""
    wanted = {record["skin"]: prompt_colours(record["prompt"]).large for record in records}
    chances = []
    for skin in sorted(wanted):
        main = [record["dominant_colour"] for record in records if record["skin"] == skin]
        others = [colours for other, colours in wanted.items() if other != skin and colours]
        if others:
            chances.append(float(np.mean([colour in colours for colour in main for colours in others])))
    return chances


# --- of sets --------------------------------------------------------------------------------------------


def _scores_of_sets(
    kind: str,
    items: Sequence[Item],
    vectors: Features,
    real: Features,
    parameters: EvaluationParameters,
) -> Iterator[NamedScore]:
    """Scores of features: distances from the reference, and diversity."""
    sets = _sets_by_seed(items)
    skins = [str(items[place].record["skin"]) for place in sets[0]]
    drawn = resampling_weights(skins, parameters.num_set_resamples, parameters.seed)
    drawn = drawn[(drawn > 0).sum(axis=1) > 1]  # one skin alone has no spread
    num_pictures = sum(map(len, sets))

    def score(figures: Sequence[Sequence[float]], note: str | None = None) -> Score:
        """Make a score of each set's estimate, followed by those of the redrawn sets."""
        means = np.mean(figures, axis=0)
        interval = bootstrap_set(float(means[0]), means[1:], len(set(skins)), parameters.confidence)
        return _score(interval, num_pictures, note)

    spread = _distances_of_seeds(items, vectors)
    if spread:
        yield f"seeds_{kind}", _score(_mean(spread, parameters), len(items))
    if len(set(skins)) < 2:
        return
    some = [vectors[places] for places in sets]
    once = np.ones((1, len(skins)))
    yield f"vendi_{kind}", score([[vendi_score(one, w) for w in (*once, *drawn)] for one in some])
    if len(real) < 2:
        return
    again = resampling_weights([str(place) for place in range(len(real))], len(drawn), parameters.seed + 1)
    pairs = list(zip((*once, *drawn), (np.ones(len(real)), *again), strict=True))
    cubic = [polynomial_kernels(one, real) for one in some]
    yield f"kid_{kind}", score([[kernels.unbiased(*pair) for pair in pairs] for kernels in cubic])
    warning = sample_size_warning(len(skins), len(real), vectors.shape[1])
    yield (
        f"fid_{kind}",
        score([[frechet_distance(one, real, *pair) for pair in pairs] for one in some], warning),
    )
    if kind == "clip":
        gaussian = [gaussian_kernels(one, real) for one in some]
        figures = [[CMMD_SCALE * kernels.biased(*pair) for pair in pairs] for kernels in gaussian]
        yield "cmmd", score(figures)


def _sets_by_seed(items: Sequence[Item]) -> list[list[int]]:
    """Return the places of pictures with the lowest seed of each subject, with the next one, and so on.

    Each set has one picture of every subject, a prompt with a conditioning image, in the same order; seeds
    that some subjects lack are left out.
    """
    subjects: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for place, item in enumerate(items):
        subject = (str(item.record["skin"]), str(item.record["prompt"]))
        subjects.setdefault(subject, []).append((int(item.record["seed"] or 0), place))
    ranked = [sorted(pictures) for _, pictures in sorted(subjects.items())]
    return [[pictures[rank][1] for pictures in ranked] for rank in range(min(map(len, ranked)))]


def _distances_of_seeds(items: Sequence[Item], vectors: Features) -> list[float]:
    """Return for each skin how far its pictures of one prompt are apart, the mean over its prompts."""
    places: dict[tuple[str, str], list[int]] = {}
    for index, item in enumerate(items):
        places.setdefault((item.record["skin"], item.record["prompt"]), []).append(index)
    by_skin: dict[str, list[float]] = {}
    for (skin, _), some in sorted(places.items()):
        if len(some) > 1:
            by_skin.setdefault(skin, []).append(mean_distance(vectors[some]))
    return [float(np.mean(values)) for _, values in sorted(by_skin.items())]


def _stack(features: Items, ids: Sequence[str], kind: str) -> Features:
    vectors = [load_features(features[item_id])[kind] for item_id in ids]
    return np.asarray(vectors, dtype=np.float64).reshape(len(ids), -1)


# --- scores ---------------------------------------------------------------------------------------------


def _score(interval: Interval, num_pictures: int, note: str | None = None) -> Score:
    score = {
        "estimate": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "num_skins": interval.num_samples,
        "num_pictures": num_pictures,
    }
    return score if note is None else {**score, "note": note}


def _reason(metric: str, measured: Items, reference: Items, parameters: EvaluationParameters) -> str:
    """Say why a metric could not be taken."""
    num_skins = len({item.record["skin"] for item in measured.values()})
    needs_clip = metric in {"cmmd", "clip_score"} or metric.endswith("_clip")
    reasons: list[tuple[bool, str]] = [
        (needs_clip and parameters.clip is None, "needs CLIP weights: evaluation.clip names none"),
        (
            metric.endswith("_inception") and parameters.inception is None,
            "needs Inception-v3 weights: evaluation.inception names no file",
        ),
        (
            metric.endswith("_autoencoder") and not parameters.autoencoder,
            "evaluation.autoencoder is switched off",
        ),
        (METRICS[metric].family == "legends", _why_no_reader(metric.rpartition("_")[2], parameters)),
        (
            METRICS[metric].family == "distribution" and len(reference) < 2,
            f"needs at least 2 real skins to compare with, the reference has {len(reference)}",
        ),
        (
            metric.startswith("cnpp") and not any(_CNPP_COUNT in one.record for one in measured.values()),
            "needs real skins behind the conditioning images, and these were drawn from layouts",
        ),
        ("ms_ssim" in metric, "needs pictures with sides of at least 176 px"),
        (metric.startswith("seeds_"), "needs two seeds of one prompt and conditioning image"),
        (
            (METRICS[metric].family in _OF_SETS or metric == "colour_chance") and num_skins < 2,
            f"needs at least 2 conditioning images, got {num_skins}",
        ),
        (METRICS[metric].family == "colours", "no prompt names colours of such parts"),
        (METRICS[metric].family == "layout", "neither layout nor conditioning image shows keys"),
        (METRICS[metric].family == "memorisation", "needs at least 2 training pictures"),
    ]
    return next((reason for holds, reason in reasons if holds), f"needs more than {len(measured)} pictures")


def _why_no_reader(name: str, parameters: EvaluationParameters) -> str:
    reader = next((one for one in parameters.readers if one == name), None)
    if reader is None:
        return f"evaluation.readers does not name {name}"
    return reason_for_absence(reader) or "the skins have no legends that pictures are told of"
