"""How far the few pictures that are drawn on schedule during training follow their conditioning images.

They are drawn of the same held-out skins from the same seeds each time, so figures of two steps differ by
what was learned between them; they are few, so they are no measure of a model. For that there is the pipeline
``evaluate``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skin_pipeline.evaluation.edges import edge_agreement, outlines
from skin_pipeline.evaluation.legends import normalised_edit_similarity, read_legends
from skin_pipeline.evaluation.memorisation import TrainingPictures, is_copy
from skin_pipeline.evaluation.readers import ReaderName, load_reader
from skin_pipeline.evaluation.score import LEGEND_INSET
from skin_pipeline.prep.edges import EdgeParameters, trace_edges

Picture = npt.NDArray[np.uint8]


class DrawnSkin(NamedTuple):
    """A drawn picture, what it was drawn from, and what is written on it."""

    skin: str
    """The held-out skin that its conditioning image and caption are of."""
    conditioning: Picture
    """(H, W, 3)"""
    drawn: Picture
    """(H, W, 3)"""
    texts: Sequence[str]
    boxes: Sequence[Any]
    """A quad for each text, (4, 2), in pixels of the picture."""


def score_drawn(
    skins: Sequence[DrawnSkin], edges: EdgeParameters, tolerance_px: int, readers: Sequence[ReaderName]
) -> Mapping[str, float]:
    """Return means over drawn skins.

    Args:
        skins: At least one.
        edges: How the conditioning images' edges were traced.
        tolerance_px: Distance at which two edge pixels match.
        readers: What reads legends.

    Returns:
        ``drawn_edge_f1``, ``drawn_edge_precision`` and ``drawn_edge_recall``; and, where legends are known,
        ``drawn_sen_acc_<reader>`` and ``drawn_ned_<reader>``, means over legends.
    """
    found = [
        edge_agreement(
            trace_edges(skin.drawn, edges.low, edges.high, edges.channels),
            outlines(skin.conditioning),
            tolerance_px,
        )
        for skin in skins
    ]
    scores = {
        "drawn_edge_f1": float(np.mean([one.f1 for one in found])),
        "drawn_edge_precision": float(np.mean([one.precision for one in found])),
        "drawn_edge_recall": float(np.mean([one.recall for one in found])),
    }
    told = [skin for skin in skins if len(skin.texts) and len(skin.texts) == len(skin.boxes)]
    for name in readers if told else ():
        reader = load_reader(name)
        readings = [
            reading
            for skin in told
            for reading in read_legends(skin.drawn, skin.boxes, skin.texts, reader, inset=LEGEND_INSET)
        ]
        alike = [normalised_edit_similarity(one.read, one.truth) for one in readings]
        scores[f"drawn_sen_acc_{name}"] = float(np.mean([one.read == one.truth for one in readings]))
        scores[f"drawn_ned_{name}"] = float(np.mean(alike))
    return scores


def find_copies(skins: Sequence[DrawnSkin], training: TrainingPictures, limit: float) -> Mapping[str, Any]:
    """Tell which drawn skins are training pictures over again.

    Args:
        skins: At least one.
        training: All training pictures.
        limit: Of :func:`skin_pipeline.evaluation.memorisation.copy_limit`.

    Returns:
        ``drawn_nearest_distance``, the mean distance to the nearest training picture; ``drawn_copied``, the
        share of copies; and ``drawn_copies``, a line for each, with the training picture.
    """
    nearest = [training.nearest(skin.drawn) for skin in skins]
    copies = [
        f"'{skin.skin}' was drawn as training picture '{found.skin}' (distance {found.distance:.1f};"
        f" copies lie below {limit:.1f})"
        for skin, found in zip(skins, nearest, strict=True)
        if is_copy(found, limit)
    ]
    return {
        "drawn_nearest_distance": float(np.mean([found.distance for found in nearest])),
        "drawn_copied": len(copies) / len(skins),
        "drawn_copies": copies,
    }
