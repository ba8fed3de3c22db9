"""Nodes of the evaluate pipeline."""

from typing import Any

from skin_pipeline.evaluation.embed import plan_features
from skin_pipeline.evaluation.parameters import EvaluationParameters
from skin_pipeline.evaluation.score import Truth, plan_scores
from skin_pipeline.evaluation.sets import judged_pictures, reference_pictures
from skin_pipeline.evaluation.summarise import summarise
from skin_pipeline.evaluation.table import render_table
from skin_pipeline.generation.baselines import BaselinesParameters, plan_baselines, rows_of
from skin_pipeline.generation.parameters import InferenceParameters
from skin_pipeline.generation.plan import read_rows
from skin_pipeline.items import Folder, Items, Plan
from skin_pipeline.prep.edges import EdgeParameters


def generate_baselines(
    generated_skins: Items,
    train_dataset: Folder,
    inference: InferenceParameters,
    parameters: BaselinesParameters,
) -> Plan:
    """Plan a picture of every baseline for each generated one, from the same prompt and seed.

    Args:
        generated_skins: Pictures with their records.
        train_dataset: The published training set they were conditioned on.
        inference: The machine that generates.
        parameters: What to compare with.

    Returns:
        The plan of ``baseline_skins``.
    """
    return plan_baselines(generated_skins, train_dataset, inference, parameters)


def extract_features(
    generated_skins: Items, baseline_skins: Items, train_dataset: Folder, parameters: EvaluationParameters
) -> Plan:
    """Plan the features of all pictures that are judged and of the real ones they are compared with.

    Args:
        generated_skins: Pictures with their records.
        baseline_skins: Those of the baselines.
        train_dataset: The published training set.
        parameters: Which features.

    Returns:
        The plan of ``picture_features``.
    """
    judged, reference = _pictures(generated_skins, baseline_skins, train_dataset, parameters)
    record = next(iter(generated_skins.values())).record
    pictures = Items([*judged.values(), *reference.values()])
    return plan_features(pictures, record["base_model"], record["base_model_digest"], parameters)


def score_pictures(
    train_dataset: Folder, edges: EdgeParameters, parameters: EvaluationParameters, **items: Items
) -> Plan:
    """Plan what is measured on each picture.

    Args:
        train_dataset: The published training set.
        edges: How the conditioning images' edges were traced.
        parameters: What to measure.
        **items: ``generated_skins``, ``baseline_skins``, their ``picture_features``, and where keys lie:
            ``sheet_records`` and ``resized_skins``.

    Returns:
        The plan of ``evaluation_items``.
    """
    generated = items["generated_skins"]
    judged, _ = _pictures(generated, items["baseline_skins"], train_dataset, parameters)
    truth = Truth(
        dataset=train_dataset,
        rows=rows_of(train_dataset, generated),
        train_rows={row.skin: row for row in read_rows(train_dataset, "train")},
        sheet_records=items["sheet_records"],
        resized_skins=items["resized_skins"],
    )
    return plan_scores(judged, items["picture_features"], truth, edges, parameters)


def summarise_scores(
    evaluation_items: Items,
    picture_features: Items,
    generated_skins: Items,
    train_dataset: Folder,
    parameters: EvaluationParameters,
) -> tuple[dict[str, dict[str, Any]], str]:
    """Bring the pictures' measurements together, with intervals.

    Args:
        evaluation_items: What was measured on each picture.
        picture_features: Features of the same pictures and of the real ones they are compared with.
        generated_skins: Pictures with their records.
        train_dataset: The published training set.
        parameters: How to redraw.

    Returns:
        The scores by system and metric, with the reasons of those left out; and a table of them.
    """
    _, reference = _pictures(generated_skins, Items(), train_dataset, parameters)
    scores = summarise(evaluation_items, picture_features, reference, parameters)
    return scores, render_table(scores, evaluation_items)


def _pictures(
    generated: Items, baselines: Items, dataset: Folder, parameters: EvaluationParameters
) -> tuple[Items, Items]:
    """Return what is judged, and the real pictures it is compared with."""
    judged = judged_pictures(generated, baselines, dataset, rows_of(dataset, generated))
    split = {row.skin: row for row in read_rows(dataset, parameters.reference)}
    return judged, reference_pictures(judged, dataset, split, parameters.max_reference)
