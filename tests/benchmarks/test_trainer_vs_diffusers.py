import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import trainer_vs_diffusers as benchmark
from benchmarks.trainer_vs_diffusers import Cost, Task
from skin_pipeline.training.sampling import SampleOrder


def test_a_script_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.parse([str(tmp_path / "train_controlnet_sdxl.py")])
    assert "get it from the diffusers repository" in capsys.readouterr().err


def test_both_programs_get_the_same_pictures_in_one_order(tmp_path: Path) -> None:
    task = Task(
        tmp_path / "script.py", tmp_path, resolution_px=64, batch_size=4, num_steps=9, num_warmup_steps=1
    )
    rows = benchmark.draw_pictures(tmp_path / "data", task.resolution_px)
    order = SampleOrder(len(rows), task.batch_size, seed=0)
    turns = [rows[draw.index] for step in range(task.num_steps) for draw in order.batch(step)]
    benchmark.write_for_script(tmp_path / "data", turns, tmp_path / "script_data")
    lines = (tmp_path / "script_data" / "metadata.jsonl").read_text().splitlines()
    written = [json.loads(line) for line in lines]
    assert [row["text"] for row in written] == [row["text"] for row in turns]
    assert len(written) == 36  # a whole epoch of 32 and a part of the next
    for row, turn in zip(written, turns, strict=True):
        for part in ("image", "conditioning_image"):
            picture = tmp_path / "script_data" / row[f"{part}_file_name"]
            assert picture.read_bytes() == (tmp_path / "data" / turn[part]).read_bytes()
    with Image.open(tmp_path / "data" / rows[0]["conditioning_image"]) as picture:
        assert (picture.size, picture.mode) == ((64, 64), "RGB")


def test_figures_are_ratios_of_processor_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    costs = {
        "script": [Cost(3.0, 30.0), Cost(5.0, 10.0)],
        "trainer": [Cost(2.0, 10.0), Cost(2.0, 10.0)],
        "bare": [Cost(1.5, 9.0), Cost(2.1, 9.0)],
    }
    figures = benchmark.summarise(costs, batch_size=4)
    assert figures["times_as_fast"]["estimate"] == pytest.approx(2.0)
    assert figures["times_as_fast_wall"]["estimate"] == pytest.approx(2.0)
    assert figures["share_of_models"]["estimate"] == pytest.approx(0.9)
    assert figures["limit_times_as_fast"] == pytest.approx(8 / 3.6)
    assert figures["trainer"]["cpu_seconds_per_sample"] == pytest.approx(0.5)
    assert figures["script"]["samples_per_second"] == pytest.approx(0.2)
    figures["losses"] = benchmark.compare_losses([0.5, 0.25], [0.5, 0.25001])
    benchmark.report({"benchmark": "trainer_vs_diffusers", "like_for_like": figures})
    printed = capsys.readouterr().out.splitlines()
    assert json.loads(printed[-1])["like_for_like"]["losses"]["num_steps"] == 2


@pytest.mark.parametrize(("difference", "is_within"), [(0.9e-5, True), (1.1e-5, False)])
def test_losses_are_compared_absolutely(difference: float, is_within: bool) -> None:
    compared = benchmark.compare_losses([0.5, 0.25], [0.5, 0.25 - difference])
    assert compared["within_tolerance"] is is_within
    assert compared["largest_difference"] == pytest.approx(difference)
