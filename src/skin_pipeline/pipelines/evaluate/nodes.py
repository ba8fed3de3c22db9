"""Nodes of the evaluate pipeline."""

from typing import Any

from skin_pipeline.evaluation.embed import plan_features
from skin_pipeline.evaluation.held_out_floor import SPLIT, plan_floor, summarise_floor
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
from skin_pipeline.prep.publish import SPLITS


def generate_baselines(
    generated_skins: Items,
    train_dataset: Folder,
    control_images: Items,
    inference: InferenceParameters,
    parameters: BaselinesParameters,
) -> Plan:
    """Plan a picture of every baseline for each generated one, from the same prompt and seed.

    Args:
        generated_skins: Pictures with their records.
        train_dataset: The published training set they were conditioned on.
        control_images: What they were conditioned on instead, if on drawn layouts.
        inference: The machine that generates.
        parameters: What to compare with.

    Returns:
        The plan of ``baseline_skins``.
    """
    return plan_baselines(generated_skins, train_dataset, control_images, inference, parameters)


def extract_features(
    generated_skins: Items,
    baseline_skins: Items,
    train_dataset: Folder,
    control_images: Items,
    parameters: EvaluationParameters,
) -> Plan:
    """Plan the features of all pictures that are judged and of the real ones they are compared with.

    Args:
        generated_skins: Pictures with their records.
        baseline_skins: Those of the baselines.
        train_dataset: The published training set.
        control_images: Drawn layouts that pictures may have been conditioned on.
        parameters: Which features.

    Returns:
        The plan of ``picture_features``.
    """
    rows = rows_of(train_dataset, generated_skins, control_images)
    judged = judged_pictures(generated_skins, baseline_skins, train_dataset, rows)
    reference = _reference(judged, train_dataset, parameters)
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
            ``sheet_records`` and ``resized_skins``, or ``control_images`` where no skin is behind them.

    Returns:
        The plan of ``evaluation_items``.
    """
    generated = items["generated_skins"]
    rows = rows_of(train_dataset, generated, items["control_images"])
    judged = judged_pictures(generated, items["baseline_skins"], train_dataset, rows)
    truth = Truth(
        dataset=train_dataset,
        rows=rows,
        control_images=items["control_images"],
        train_rows={row.skin: row for row in read_rows(train_dataset, "train")},
        sheet_records=items["sheet_records"],
        resized_skins=items["resized_skins"],
    )
    return plan_scores(judged, items["picture_features"], truth, edges, parameters)


def read_legend_floor(
    generated_skins: Items, train_dataset: Folder, parameters: EvaluationParameters
) -> Plan:
    """Plan what is read on held-out skins before and after the autoencoder of the base model in use.

    Args:
        generated_skins: Pictures with their records, which name the base model.
        train_dataset: The published training set.
        parameters: What reads, and of how many skins.

    Returns:
        The plan of ``legend_floor_items``.
    """
    record = next(iter(generated_skins.values())).record
    held_out = read_rows(train_dataset, SPLIT)
    return plan_floor(train_dataset, held_out, record["base_model"], record["base_model_digest"], parameters)


def summarise_legend_floor(
    legend_floor_items: Items,
    generated_skins: Items,
    train_dataset: Folder,
    parameters: EvaluationParameters,
) -> dict[str, Any]:
    """Bring together what an autoencoder leaves of legends, and hold the training set's against it.

    Args:
        legend_floor_items: What was read on each held-out skin.
        generated_skins: Pictures with their records, which name the base model.
        train_dataset: The published training set.
        parameters: How to redraw.

    Returns:
        Figures by reader, script and height, or the reason why there are none.
    """
    rows = [row for split in SPLITS for row in read_rows(train_dataset, split)]
    record = next(iter(generated_skins.values())).record
    return summarise_floor(legend_floor_items, rows, record["base_model"], parameters)


def summarise_scores(
    evaluation_items: Items,
    picture_features: Items,
    train_dataset: Folder,
    legend_floor: dict[str, Any],
    parameters: EvaluationParameters,
) -> tuple[dict[str, dict[str, Any]], str]:
    """Bring the pictures' measurements together, with intervals.

    Args:
        evaluation_items: What was measured on each picture.
        picture_features: Features of the same pictures and of the real ones they are compared with.
        train_dataset: The published training set.
        legend_floor: What the base model can show of legends at all.
        parameters: How to redraw.

    Returns:
        The scores by system and metric, with the reasons of those left out; and a table of them, with the
        floor.
    """
    reference = _reference(evaluation_items, train_dataset, parameters)
    scores = summarise(evaluation_items, picture_features, reference, parameters)
    return scores, render_table(scores, evaluation_items, legend_floor)


def _reference(judged: Items, dataset: Folder, parameters: EvaluationParameters) -> Items:
    """Return the real pictures that what is judged is compared with."""
    split = {row.skin: row for row in read_rows(dataset, parameters.reference)}
    return reference_pictures(judged, dataset, split, parameters.max_reference)
