import json
from collections import Counter

import pytest
import torch
import torch.nn.functional as F

from benchmarks import text_loss_cost, text_loss_estimate
from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.estimate import build_empty, estimate_memory
from skin_pipeline.training.text_estimate import largest_legends
from skin_pipeline.training.text_parameters import TextParameters


def test_operations_are_counted_by_format():
    layer = torch.nn.Linear(3, 5, bias=False)
    with text_loss_estimate.CountOperations() as counted:
        layer(torch.zeros(7, 3, requires_grad=True)).sum().backward()
        torch.zeros(2, 3, dtype=torch.bfloat16) @ torch.zeros(3, 4, dtype=torch.bfloat16)
    assert counted.made == {"float32": 3 * 2 * 7 * 3 * 5, "bfloat16": 2 * 2 * 3 * 4}


def test_attention_is_counted_forwards_and_backwards():
    query = torch.randn(1, 2, 8, 16, requires_grad=True)
    with text_loss_estimate.CountOperations() as counted:
        out = F.scaled_dot_product_attention(query, query, query)
    forwards = 2 * (2 * 2 * 8 * 8 * 16)  # scores, and values of the scores
    assert counted.made == {"float32": forwards}
    with text_loss_estimate.CountOperations() as counted:
        out.sum().backward()
    assert counted.made["float32"] == 2.5 * forwards  # scores again, and two gradients of either product


def test_the_mean_way_has_the_mean_number_of_calls():
    text = TextParameters(mode="last_steps", sampler_steps=20, last_steps=3, sampler_start=0.5)
    way = text.model_copy(update=text_loss_estimate.mean_way(text, 3))
    stops = way.sampler_steps - 1
    begin = round((1 - way.sampler_start) * way.sampler_steps)
    assert (begin, stops, way.last_steps) == (10, 18, 1)  # of 17, 18 and 19


def test_a_step_has_what_its_pictures_need_on_average():
    p = TrainParameters(
        train_batch_size=4,
        gradient_accumulation_steps=4,
        text={"timestep_limit": 500, "sampled_share": 0.25},
    )
    traces = {
        "none": (10, Counter(bfloat16=100), 0),
        "one_step": (20, Counter(bfloat16=100, float32=40), 1),
        "last_steps": (20, Counter(bfloat16=400, float32=50), 1),
        "sampled": (20, Counter(bfloat16=900, float32=50), 1),
    }

    def step(mode):
        return text_loss_estimate.operations_of_step(mode, traces, p)

    assert step("none") == {"bfloat16": 400}
    assert step("one_step") == {"bfloat16": 400, "float32": 4 * 0.5 * 40}
    assert step("last_steps") == {"bfloat16": 400 + 300, "float32": 50}
    assert step("both") == {"bfloat16": 700, "float32": 130}
    assert step("sampled") == {"bfloat16": 400 + 800, "float32": 50}


@pytest.mark.slow
def test_the_memory_is_what_a_dry_run_says(tmp_path):
    settings = {**text_loss_cost.EMBEDDED, "resolution_px": 128}
    text_loss_cost.write_sheets(tmp_path / "sheets", 128)
    traced, _, _ = text_loss_estimate.trace(tmp_path / "sheets", settings, "last_steps")
    p = TrainParameters(**settings, text={"mode": "last_steps"})
    legends = largest_legends(tmp_path / "sheets", p, p.train_batch_size)
    said = estimate_memory(build_empty(p), p, "bf16", "cpu", p.train_batch_size, legends=legends)
    assert traced == pytest.approx(said.peak, rel=1e-5)  # it samples further, which keeps nothing


@pytest.mark.slow
def test_every_mode_takes_more_than_none(capsys):
    text_loss_estimate.main(["--quick"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    (case,) = figures["cases"].values()
    none, *others = case["modes"].values()
    assert none["operations_ratio"] == none["memory_ratio"] == 1
    assert all(some["operations_ratio"] > 1 and some["memory_ratio"] > 1 for some in others)
    assert case["modes"]["sampled"]["operations_ratio"] > case["modes"]["last_steps"]["operations_ratio"]
