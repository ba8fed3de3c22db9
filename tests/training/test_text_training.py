"""Trainings with legends supervised: they run, resume exactly, and leave the rest as it was."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from skin_pipeline.errors import InputError
from skin_pipeline.training import loop
from skin_pipeline.training.config import TrainingRun
from skin_pipeline.training.metrics import deterministic_rows, read_metrics
from tests.training.conftest import MakeRun, train_here
from tests.training.text_sets import save_text_set, tiny_recognizer

TEXT = {"sampler_steps": 4, "last_steps": 2, "sampled_share": 0.5, "max_boxes": 1}


@pytest.fixture(scope="module")
def text_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_text_set(tmp_path_factory.mktemp("text") / "train_dataset")


@pytest.fixture(autouse=True)
def _tiny_recognizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "load_recognizer", tiny_recognizer)


def _weights(run: TrainingRun) -> dict[str, torch.Tensor]:
    return load_file(run.folder / "weights" / "diffusion_pytorch_model.safetensors")


def _rows(run: TrainingRun) -> list[dict[str, Any]]:
    return deterministic_rows(read_metrics(run.folder))


@pytest.mark.parametrize("mode", ["one_step", "last_steps", "both", "sampled"])
def test_every_mode_trains(mode: str, make_run: MakeRun, text_set: Path) -> None:
    run = make_run(dataset=text_set, max_train_steps=2, text={"mode": mode, **TEXT})
    assert train_here(run)
    rows = _rows(run)
    assert all(row["loss"] > row["loss_text"] >= 0 for row in rows)
    assert rows[-1]["loss_text"] > 0


def test_it_resumes_bit_for_bit(make_run: MakeRun, text_set: Path) -> None:
    settings: dict[str, Any] = {
        "dataset": text_set,
        "max_train_steps": 4,
        "lr_scheduler": "constant",
        "legend_weight": 3.0,
        "text": {"mode": "both", "start_step": 1, **TEXT},
    }
    whole = make_run("whole", **settings)
    assert train_here(whole)
    part = make_run("part", **{**settings, "max_train_steps": 3})
    assert train_here(part)
    rest = make_run("part", **settings)
    assert train_here(rest)
    expected, found = _weights(whole), _weights(rest)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert _rows(whole) == _rows(rest)
    assert "loss_text" in _rows(whole)[-1]


def test_measuring_changes_nothing(make_run: MakeRun, text_set: Path) -> None:
    settings: dict[str, Any] = {"dataset": text_set, "max_train_steps": 2, "num_validation_samples": 2}
    plain, measured = make_run("plain", **settings), make_run("measured", **settings, text={"measure": True})
    assert train_here(plain)
    assert train_here(measured)
    expected, found = _weights(plain), _weights(measured)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    values = [row for row in _rows(measured) if row["kind"] == "validation"][-1]
    for kind in ("feature", "ctc"):
        assert all(values[f"loss_text/{kind}_t{t:04d}_{t + 249:04d}"] > 0 for t in (0, 250, 500, 750))
    assert not any("loss_text" in name for row in _rows(plain) for name in row)


def test_legends_weigh_more_in_the_loss(make_run: MakeRun, text_set: Path) -> None:
    plain = make_run("plain", dataset=text_set, max_train_steps=1)
    weighted = make_run("weighted", dataset=text_set, max_train_steps=1, legend_weight=3.0)
    assert train_here(plain)
    assert train_here(weighted)
    assert _rows(plain)[0]["loss"] != _rows(weighted)[0]["loss"]


def test_a_set_without_strings_is_refused(make_run: MakeRun) -> None:
    run = make_run(text={"mode": "one_step"})
    with pytest.raises(InputError, match=r"needs one quad for each.*train\.text\.mode"):
        train_here(run)
