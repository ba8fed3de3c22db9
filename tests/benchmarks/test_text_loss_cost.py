import json

import pytest

from benchmarks import text_loss_cost, trainer_memory
from skin_pipeline.training.text_parameters import TextParameters


def test_the_limit_is_the_calls_that_a_mode_makes():
    share = {False: 0.25, True: 1.0}  # of all pictures' calls, in steps without the text loss

    def limit(mode, **changes):
        return text_loss_cost.limit(TextParameters(mode=mode, **changes), share)

    assert limit("one_step") == 1
    plain = {"sampler_steps": 10, "sampled_share": 0.5, "guidance_scale": 1}
    assert limit("sampled", **plain) == pytest.approx(1 + 0.5 * 10)
    assert limit("sampled", **{**plain, "guidance_scale": 3}) == pytest.approx(1 + 0.5 * 2 * 10)
    # from step 5 of 10 to the 8th, 9th or 10th: 2, 3 or 4 calls without gradient, and one with it
    assert limit("last_steps", **plain, last_steps=3) == pytest.approx(1 + 0.5 * (3 * 0.25 + 1))
    assert limit("both", **plain, last_steps=1, sampler_start=1) == pytest.approx(1 + 0.5 * (9 * 0.25 + 1))


def test_one_tensor_is_counted_once():
    import torch

    layer = torch.nn.Linear(3, 4)
    assert text_loss_cost.size_of([*text_loss_cost.tensors_of(layer), layer.weight]) == 4 * (3 * 4 + 4)


def test_a_gpu_is_needed_for_sdxl(capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit):
        text_loss_cost.main(["--sdxl", "--size", "1024"])
    assert "--sdxl needs a GPU" in capsys.readouterr().err


def test_a_failing_trainer_is_named(monkeypatch):
    monkeypatch.setattr(trainer_memory, "in_a_process", lambda *_, **__: {"error": "InputError: no rows"})
    with pytest.raises(SystemExit, match="InputError: no rows"):
        text_loss_cost.main(["--quick"])


@pytest.mark.slow
def test_every_mode_costs_more_than_none(capsys):
    text_loss_cost.main(["--quick"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(figures["modes"]) == list(text_loss_cost.MODES)
    none, *others = figures["modes"].values()
    assert none["memory_ratio"] == none["time_ratio"]["estimate"] == none["limit_time_ratio"] == 1
    for some in others:
        assert some["time_ratio"]["estimate"] > some["limit_time_ratio"] >= 1
        assert some["memory_ratio"] > 1
