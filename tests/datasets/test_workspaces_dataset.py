"""Workspaces are found, read in the order asked for, and refused by name when they are not finished."""

from __future__ import annotations

import json

import numpy as np
import pytest
from kedro.io import DatasetError

from skin_pipeline.datasets import ItemsDataset, WorkspacesDataset
from skin_pipeline.items import Item, Output, Plan, Task, json_digest

CARD = {
    "parameters": {"controlnet_init": None, "resolution_px": 512},
    "dataset": {"num_train": 102},
    "base_model": {"name": "embedded"},
    "step": 6000,
    "images_seen": 48000,
}
ROW = {"skin": "a", "conditioning": "shared", "outlines_of": "layout:four_parts"}


@pytest.fixture
def make_workspace(tmp_path):
    """Return what makes a finished experiment below tmp_path."""

    def make(name, prompts=("a red skin",), scores=None, card=None, grey=90):
        folder = tmp_path / name
        for path, content in (
            ("06_models/controlnet/training.json", {**CARD, **(card or {})}),
            ("05_model_input/train_dataset/train.jsonl", ROW),
        ):
            (folder / path).parent.mkdir(parents=True)
            (folder / path).write_text(json.dumps(content) + "\n")
        (folder / "08_reporting").mkdir()
        if scores is not None:
            (folder / "08_reporting/evaluation_scores.json").write_text(json.dumps(scores))
            losses = (
                {"validation_loss": 0.4, "step": 0},
                {"validation_loss": 0.3, "step": 50},
                {"loss": 0.1},
            )
            lines = "".join(json.dumps(row) + "\n" for row in losses)
            (folder / "08_reporting/training_metrics.jsonl").write_text(lines)
        requests = [{"prompt": prompt, "seed": 7} for prompt in prompts]
        tasks = [
            Task(f"skin_{number}/x-7", {"request": Item("request", request, json_digest(request))})
            for number, request in enumerate(requests)
        ]

        def generate(some):
            picture = np.full((64, 64, 3), grey, np.uint8)
            return [Output(task.inputs["request"].record, picture) for task in some]

        dataset = ItemsDataset(filepath=str(folder / "07_model_output/generated_skins"), suffix=".png")
        dataset.save(Plan.from_tasks("inference", tasks=tasks, make_worker=lambda: generate))
        return folder

    return make


def test_all_finished_workspaces_are_read_by_name(tmp_path, make_workspace):
    make_workspace("b", scores={"generated": {"edge_f1": {"estimate": 0.5}}})
    make_workspace("a")
    (tmp_path / "01_raw").mkdir()
    first, second = WorkspacesDataset(filepath=str(tmp_path)).load()
    assert (first.name, second.name) == ("a", "b")
    assert first.card["step"] == 6000
    assert first.row["conditioning"] == "shared"
    assert [item.record["seed"] for item in first.generated.values()] == [7]
    assert (first.scores, first.metrics) == ({}, [])
    assert second.scores["generated"]["edge_f1"] == {"estimate": 0.5}
    assert len(second.metrics) == 3


def test_named_workspaces_come_in_the_order_of_their_names(tmp_path, make_workspace):
    for name in ("a", "b", "c"):
        make_workspace(name)
    dataset = WorkspacesDataset(filepath=str(tmp_path), names=f"c; {tmp_path / 'a'}")
    assert [run.name for run in dataset.load()] == ["c", "a"]
    assert "names" in str(dataset)
    assert sorted(dataset.content_manifest())[:3] == ["a/generated_skins", "a/scores", "a/weights"]
    assert dataset.exists()


def test_an_unfinished_workspace_that_was_named_is_refused(tmp_path, make_workspace):
    (make_workspace("a") / "06_models/controlnet/training.json").unlink()
    assert WorkspacesDataset(filepath=str(tmp_path)).load() == []
    with pytest.raises(DatasetError, match=r"'.*a' is no finished experiment"):
        WorkspacesDataset(filepath=str(tmp_path), names="a").load()


def test_saving_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="read here"):
        WorkspacesDataset(filepath=str(tmp_path)).save([])
    assert not WorkspacesDataset(filepath=str(tmp_path / "missing")).exists()
