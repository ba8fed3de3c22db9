"""Judges the pictures that a training draws on the way, beside it, so that training does not wait."""

import json
import logging
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from skin_pipeline.evaluation.drawn import DrawnSkin, find_copies, score_drawn
from skin_pipeline.evaluation.memorisation import COPY_BITS, COPY_SHARE, TrainingPictures, copy_limit
from skin_pipeline.evaluation.parameters import EvaluationParameters
from skin_pipeline.evaluation.readers import present_readers
from skin_pipeline.items import json_digest
from skin_pipeline.prep.edges import EdgeParameters
from skin_pipeline.training.metrics import Row
from skin_pipeline.training.pictures import Picture, cut_rows

logger = logging.getLogger(__name__)

FILE_NAME = "drawn_scores.json"
MOST_COMPARED = 2000
"""So many pictures of a split, chosen as if by lot, are looked at for copies; reading them takes seconds."""


class PictureJudge:
    """Takes the rows of a training's metrics, and adds a row for each sheet of pictures that was drawn.

    What was judged is kept beside the pictures, so that running the same command again judges nothing anew.
    """

    def __init__(
        self,
        dataset: Path,
        edges: EdgeParameters,
        parameters: EvaluationParameters,
        forward: Callable[[Row], None] | None,
    ) -> None:
        """Remember how to judge.

        Args:
            dataset: Folder of the training set, whose pictures may be drawn over again.
            edges: How the conditioning images' edges were traced.
            parameters: Tolerance and readers.
            forward: Takes all rows and what they are judged as.
        """
        self._dataset = dataset
        self._edges = edges
        self._tolerance_px = parameters.tolerance_px
        self._readers = present_readers(parameters.readers)
        self._key = json_digest(
            [edges.item_parameters(), self._tolerance_px, self._readers, COPY_SHARE, COPY_BITS, MOST_COMPARED]
        )
        self._forward = forward

    def __call__(self, row: Row) -> None:
        """Take a row, paths in it absolute; never raises."""
        if self._forward is not None:
            self._forward(row)
        if row["kind"] == "picture" and "subjects" in row:
            try:
                scores = self.judge(row)
            except Exception as exc:  # training goes on, whatever a reader or a picture does
                logger.warning("The pictures drawn at step %d were not judged: %s", row["step"], exc)
                return
            if self._forward is not None:
                self._forward({"kind": "validation", "step": row["step"], **scores})

    def judge(self, row: Row) -> Mapping[str, Any]:
        """Return the scores of a sheet of pictures, from a row of the metrics file with an absolute path."""
        path = Path(row["path"])
        kept = self._kept(path.with_name(FILE_NAME))
        if path.name not in kept:
            kept[path.name] = self._score(_cut(path, row))
            for copy in kept[path.name].get("drawn_copies", ()):
                logger.warning("Step %d: %s.", row["step"], copy)
            _replace(path.with_name(FILE_NAME), {"key": self._key, "scores": kept})
        return kept[path.name]

    def add_to(self, rows: list[Row], pictures: list[Row]) -> list[Row]:
        """Return rows, those of validations with the scores of the pictures that were drawn at their step.

        Args:
            rows: Of the metrics file.
            pictures: Those of its rows that tell of pictures, with absolute paths.
        """
        scores = {row["step"]: self.judge(row) for row in pictures if "subjects" in row}
        return [
            {**row, **scores.pop(row["step"], {})} if row["kind"] == "validation" else row for row in rows
        ] + [{"kind": "validation", "step": step, **found} for step, found in sorted(scores.items())]

    def _score(self, skins: list[DrawnSkin]) -> dict[str, Any]:
        scores = dict(score_drawn(skins, self._edges, self._tolerance_px, self._readers))
        if self._trained_on is not None:
            scores |= find_copies(skins, *self._trained_on)
        return scores

    @cached_property
    def _trained_on(self) -> tuple[TrainingPictures, float] | None:
        """What was trained on, and how near to it a copy lies; None if too few skins are there to tell."""
        train, held_out = _pictures(self._dataset, "train"), _pictures(self._dataset, "validation")
        if len(train) < 2 or not held_out:
            return None
        training = TrainingPictures((name, _rgb(path)) for name, path in train.items())
        return training, copy_limit(training, map(_rgb, held_out.values()))

    def _kept(self, path: Path) -> dict[str, Mapping[str, Any]]:
        if not path.is_file():
            return {}
        kept = json.loads(path.read_text(encoding="utf-8"))
        return dict(kept["scores"]) if kept["key"] == self._key else {}


def _cut(path: Path, row: Row) -> list[DrawnSkin]:
    subjects: list[Mapping[str, Any]] = row["subjects"]
    rows = cut_rows(_rgb(path), [tuple(one["size_px"]) for one in subjects])
    return [
        DrawnSkin(one["skin"], cut.conditioning, cut.drawn, one["texts"], one["boxes"])
        for cut, one in zip(rows, subjects, strict=True)
    ]


def _pictures(dataset: Path, split: str) -> dict[str, Path]:
    """Return the pictures of a split by skin, or some of them; none if the split is not there."""
    path = dataset / f"{split}.jsonl"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    rows.sort(key=lambda row: json_digest(row["image"]))
    return {row.get("skin", row["image"]): dataset / row["image"] for row in rows[:MOST_COMPARED]}


def _rgb(path: Path) -> Picture:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def _replace(path: Path, content: Mapping[str, Any]) -> None:
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(content, indent=1), encoding="utf-8")
    beside.replace(path)
