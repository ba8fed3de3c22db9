"""Nodes of the data_prep pipeline: each plans one stage.

The modules named in a plan are those whose source decides what comes out: an edit there makes the stage's
items out of date.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from skin_pipeline.items import FolderPlan, Items, PagePlan, Plan, json_digest, source_digest
from skin_pipeline.prep.caption_quality import tokenizer_digest
from skin_pipeline.prep.captions import CaptionParameters, make_captioner
from skin_pipeline.prep.edges import EdgeParameters, make_edge_tracer
from skin_pipeline.prep.glyphs import GlyphParameters, make_glyph_renderer
from skin_pipeline.prep.publish import DatasetParameters, DatasetSources, plan_dataset
from skin_pipeline.prep.quality_report import QualitySources, plan_report
from skin_pipeline.prep.resize import ResizeParameters, make_resizer
from skin_pipeline.prep.screen import ScreenParameters, make_screener, reasons_to_reject
from skin_pipeline.prep.select import SelectionParameters, make_selection_measurer, reasons_to_leave_out
from skin_pipeline.prep.shared import MODULES as MODULES_OF_OUTLINES
from skin_pipeline.prep.shared import shared_edges
from skin_pipeline.prep.text import TextParameters, make_text_reader


def screen_skins(raw_skins: Items, parameters: ScreenParameters) -> Plan:
    """Plan to measure raw skins and to leave out what cannot be trained on.

    Args:
        raw_skins: Every file that a user brought.
        parameters: Thresholds.

    Returns:
        The plan of ``screened_skins``: records that point at the raw files.
    """
    return Plan(
        "screen",
        partial(make_screener, parameters),
        sources={"raw_skins": raw_skins},
        parameters=parameters.item_parameters(),
        modules=(
            "skin_pipeline.prep.screen",
            "skin_pipeline.prep.pictures",
            "skin_pipeline.prep.duplicates",
            "skin_pipeline.prep.quality",
        ),
        num_workers=parameters.num_workers,
        select=partial(reasons_to_reject, parameters=parameters),
        select_key=_select_key(parameters, "screen", "quality", "duplicates"),
    )


def resize_skins(screened_skins: Items, parameters: ResizeParameters) -> Plan:
    """Plan to bring skins to the training size.

    Args:
        screened_skins: Skins that passed the screening.
        parameters: Size and fit.

    Returns:
        The plan of ``resized_skins``: RGB pictures, with the matrix from the raw picture's frame to theirs.
    """
    return Plan(
        "resize",
        partial(make_resizer, parameters),
        sources={"screened_skins": screened_skins},
        parameters=parameters.item_parameters(),
        modules=("skin_pipeline.prep.resize", "skin_pipeline.prep.pictures", "skin_pipeline.geometry"),
        num_workers=parameters.num_workers,
    )


def trace_edges(resized_skins: Items, parameters: EdgeParameters) -> Plan:
    """Plan to trace edges.

    Args:
        resized_skins: Skins of the training size.
        parameters: Thresholds.

    Returns:
        The plan of ``edge_maps``: white edges on black, 1 bit a pixel.
    """
    return Plan(
        "edges",
        partial(make_edge_tracer, parameters),
        sources={"resized_skins": resized_skins},
        parameters=parameters.item_parameters(),
        modules=("skin_pipeline.prep.edges",),
        num_workers=parameters.num_workers,
    )


def caption_skins(resized_skins: Items, parameters: CaptionParameters) -> Plan:
    """Plan to caption skins.

    Args:
        resized_skins: Skins of the training size.
        parameters: Which engine writes, and what stands before and after.

    Returns:
        The plan of ``captions``: records.
    """
    return Plan(
        "captions",
        partial(make_captioner, parameters),
        sources={"resized_skins": resized_skins},
        parameters=parameters.item_parameters(),
        shared=parameters.shared_digests(),
        modules=(
            "skin_pipeline.prep.captions",
            "skin_pipeline.prep.blip",
            "skin_pipeline.prep.describe",
            "skin_pipeline.colours",
        ),
        batch_size=parameters.batch_size,
        num_workers=parameters.num_workers,
    )


def read_text(screened_skins: Items, resized_skins: Items, parameters: TextParameters) -> Plan:
    """Plan to read the legends of skins.

    Args:
        screened_skins: Skins as the user brought them, where legends are sharpest.
        resized_skins: The same skins, for the frame that quads are wanted in.
        parameters: Weights and thresholds of the reader.

    Returns:
        The plan of ``text_boxes``: records of every string read, whatever its confidence.
    """
    return Plan(
        "text_boxes",
        partial(make_text_reader, parameters),
        sources={"screened_skins": screened_skins, "resized_skins": resized_skins},
        parameters=parameters.item_parameters(),
        shared=parameters.shared_digests(),
        modules=(
            "skin_pipeline.prep.text",
            "skin_pipeline.prep.pictures",
            "skin_pipeline.recognition.agreement",
            "skin_pipeline.recognition.crops",
            "skin_pipeline.recognition.layouts",
            "skin_pipeline.recognition.overlaps",
            "skin_pipeline.recognition.paddle_models",
            "skin_pipeline.recognition.read_text",
            "skin_pipeline.recognition.reader",
            "skin_pipeline.recognition.recognizers",
            "skin_pipeline.recognition.weights",
            "skin_pipeline.geometry",
        ),
        num_workers=parameters.num_workers,
    )


def render_glyphs(
    edge_maps: Items,
    text_boxes: Items,
    resized_skins: Items,
    parameters: GlyphParameters,
    dataset: DatasetParameters,
) -> Plan:
    """Plan to render legends into edges.

    Args:
        edge_maps: The background.
        text_boxes: What was read, and where.
        resized_skins: Where the weight of the type is looked at.
        parameters: Confidence, background, fonts.
        dataset: Says what the background is, if it is shared.

    Returns:
        The plan of ``glyph_maps``: grey pictures, with ``positions`` colour ones.
    """
    if parameters.background == "shared" and edge_maps:
        edge_maps = shared_edges(edge_maps, dataset)
    return Plan(
        "glyphs",
        partial(make_glyph_renderer, parameters),
        sources={"edge_maps": edge_maps, "text_boxes": text_boxes, "resized_skins": resized_skins},
        parameters=parameters.item_parameters(),
        shared=parameters.shared_digests(),
        modules=(
            "skin_pipeline.prep.edges",
            "skin_pipeline.prep.glyphs",
            "skin_pipeline.prep.positions",
            "skin_pipeline.recognition.crops",
            *MODULES_OF_OUTLINES,
            "skin_pipeline.typefaces",
            "skin_pipeline.geometry",
        ),
        num_workers=parameters.num_workers,
    )


def select_skins(
    screened_skins: Items,
    edge_maps: Items,
    captions: Items,
    text_boxes: Items,
    parameters: SelectionParameters,
    dataset: DatasetParameters,
) -> Plan:
    """Plan to leave out skins that the stages could make nothing good of, and skins that repeat others.

    Args:
        screened_skins: For their hashes and colours.
        edge_maps: Scored.
        captions: Checked.
        text_boxes: Skins whose legends differ do not repeat each other.
        parameters: The limits; they are in no key, so that another limit measures nothing again.
        dataset: States which strings are legends.

    Returns:
        The plan of ``selected_skins``: records.
    """
    return Plan(
        "selection",
        partial(make_selection_measurer, dataset.min_confidence),
        sources={
            "screened_skins": screened_skins,
            "edge_maps": edge_maps,
            "captions": captions,
            "text_boxes": text_boxes,
        },
        parameters={"min_confidence": dataset.min_confidence},
        shared={"tokenizer": tokenizer_digest()},
        modules=(
            "skin_pipeline.prep.select",
            "skin_pipeline.prep.quality",
            "skin_pipeline.prep.caption_quality",
        ),
        num_workers=parameters.num_workers,
        select=partial(reasons_to_leave_out, parameters=parameters),
        select_key=_select_key(parameters, "select", "quality", "caption_quality", "duplicates"),
    )


def _select_key(parameters: ScreenParameters | SelectionParameters, *modules: str) -> str:
    """Digest what a selection goes by: its limits, and the source of these modules of ``prep``."""
    limits = parameters.model_dump(mode="json", exclude={"num_workers"})
    return json_digest([limits, {name: source_digest(f"skin_pipeline.prep.{name}") for name in modules}])


def publish_dataset(
    selected_skins: Items,
    resized_skins: Items,
    edge_maps: Items,
    captions: Items,
    text_boxes: Items,
    glyph_maps: Items,
    parameters: DatasetParameters,
) -> FolderPlan:
    """Plan the training set of all skins that came through every stage.

    Args:
        selected_skins: Which skins; their hashes keep near-duplicates on one side of the split.
        resized_skins: The pictures.
        edge_maps: Conditioning images of each skin, or of the reference skin, unless a layout or a picture is
            shared.
        captions: The texts.
        text_boxes: Legends, unless those of ``glyph_maps`` count.
        glyph_maps: Conditioning images with legends.
        parameters: Conditioning and split.

    Returns:
        The plan of ``train_dataset``; the folder is checked before it takes its place.
    """
    sources = DatasetSources(
        selected_skins=selected_skins,
        resized_skins=resized_skins,
        edge_maps=edge_maps,
        captions=captions,
        text_boxes=text_boxes,
        glyph_maps=glyph_maps,
    )
    return plan_dataset(sources, parameters)


def compose_quality_report(
    screened_skins: Items,
    resized_skins: Items,
    edge_maps: Items,
    captions: Items,
    selected_skins: Items,
    screen: ScreenParameters,
    selection: SelectionParameters,
) -> PagePlan:
    """Plan to show what fell out and why, with skins from both sides of each limit.

    Args:
        screened_skins: Measured skins, and those that the screening left out.
        resized_skins: Pictures to show.
        edge_maps: Edges to show.
        captions: Captions to show.
        selected_skins: Measured skins, and those that the selection left out.
        screen: The limits of the screening.
        selection: The limits of the selection.

    Returns:
        The plan of one self-contained HTML page.
    """
    sources = QualitySources(
        screened_skins=screened_skins,
        resized_skins=resized_skins,
        edge_maps=edge_maps,
        captions=captions,
        selected_skins=selected_skins,
    )
    return plan_report(sources, screen, selection)


def list_rejections(raw_skins: Items, **stages: Items) -> list[dict[str, Any]]:
    """List every skin that a stage left out.

    Args:
        raw_skins: Every file that a user brought, for their names.
        **stages: Items by the name of their dataset, in the order of the stages.

    Returns:
        A record for each, with ``stage``, ``id``, ``source`` (path below the raw folder) and ``reason``.
    """
    return [
        {"stage": stage, "id": item_id, "source": _source_of(raw_skins, item_id), "reason": reason}
        for stage, items in stages.items()
        for item_id, reason in items.rejected.items()
    ]


def _source_of(raw_skins: Mapping[str, Any], item_id: str) -> str:
    source: str = raw_skins[item_id].record["source"]
    return source
