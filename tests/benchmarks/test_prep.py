import json

import pytest

from benchmarks.prep import main


def last_line(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_it_compares_the_engine_with_the_loop(tmp_path, capsys):
    main(["--quick", "--only", "engine", f"--work={tmp_path}"])
    figures = last_line(capsys)["engine"]
    assert figures["num_pictures"] == 12
    costs = figures["cpu_ms_a_picture"]
    assert set(costs) == {"loop", "functions", "engine_1", "engine_2"}
    assert all(cost > 1 for cost in costs.values())
    assert figures["floor_ms"] < figures["sum_of_steps_ms"] < 2 * costs["functions"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_it_compares_the_whole_and_many(tmp_path, capsys):
    main(["--quick", "--only", "whole", "many", f"--work={tmp_path}"])
    figures = last_line(capsys)
    assert set(figures["whole"]["forerunner_cpu_s_by_step"]) == {
        "resize",
        "canny",
        "caption",
        "read",
        "glyphs",
    }
    assert figures["many"]["again_cpu_s"] > 0
    assert figures["many"]["peak_ratio"] > 0
