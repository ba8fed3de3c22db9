"""Trainings with legends supervised: they run, resume exactly, and leave the rest as it was."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from skin_pipeline.errors import InputError
from skin_pipeline.training import loop
from skin_pipeline.training.config import TrainingRun
from skin_pipeline.training.metrics import deterministic_rows, read_metrics
from tests.training import forked
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


def use_tiny_recognizer(_: TrainingRun) -> None:
    """Read with a few random weights in a trainer of its own."""
    loop.load_recognizer = tiny_recognizer  # type: ignore[assignment]


def take_legends_away(folder: Path) -> set[str]:
    """Leave every other picture of a set without legends; return those that keep theirs."""
    path = folder / "train.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows[::2]:
        row |= {"text": "a keyboard", "box": []}
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")
    return {Path(row["image"]).with_suffix("").as_posix() for row in rows[1::2]}


@pytest.mark.slow
@pytest.mark.parametrize("passes", [1, 2])
def test_two_processes_read_as_one(passes: int, make_run: MakeRun, tmp_path: Path) -> None:
    """Also in steps in which one of them has nothing to read, and so calls the ControlNet less often."""
    folder = save_text_set(tmp_path / "set")
    with_legends = take_legends_away(folder)
    settings: dict[str, Any] = {
        "dataset": folder,
        "max_train_steps": 12,
        "gradient_accumulation_steps": passes,
        "control_dropout": 0.2,
        "lr_scheduler": "constant",
        "text": {"mode": "both", **TEXT},
    }
    one, two = make_run("one", **settings), make_run("two", **settings)
    prepare = (use_tiny_recognizer, forked.NotingSamples())
    assert forked.train(one, *prepare) == 0
    assert forked.train_with_processes(two, 2, *prepare) == [0, 0]
    seen = [forked.samples_seen(two, rank) for rank in (0, 1)]
    reads = [[bool(with_legends & set(some[step])) for step in range(12)] for some in seen]
    assert any(first != second for first, second in zip(*reads, strict=True))
    rows, others = _rows(one), _rows(two)
    assert [row["samples"] for row in rows] == [row["samples"] for row in others]
    assert sum(row["loss_text"] > 0 for row in rows) > 6
    for row, other in zip(rows, others, strict=True):
        for name in ("loss", "loss_text", "grad_norm"):
            assert other[name] == pytest.approx(row[name], rel=1e-4), (row["step"], name)
    weights, found = _weights(one), _weights(two)
    for name, tensor in weights.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=2 * one.parameters.learning_rate)


def test_a_set_without_strings_is_refused(make_run: MakeRun) -> None:
    run = make_run(text={"mode": "one_step"})
    with pytest.raises(InputError, match=r"needs one quad for each.*train\.text\.mode"):
        train_here(run)
