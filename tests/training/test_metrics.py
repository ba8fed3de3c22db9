from pathlib import Path

from skin_pipeline.training.metrics import (
    FILE_NAME,
    MetricsFile,
    MetricsTail,
    deterministic_rows,
    read_metrics,
)


def test_a_new_start_keeps_what_was_measured_up_to_its_step(tmp_path: Path) -> None:
    with MetricsFile(tmp_path, {"attempt": "a", "step": 0}) as metrics:
        for step in (1, 2, 3):
            metrics.write("train", step=step, loss=step / 10)
    with MetricsFile(tmp_path, {"attempt": "b", "step": 2}) as metrics:
        metrics.write("train", step=3, loss=0.5)
    rows = read_metrics(tmp_path)
    assert [(row["kind"], row["step"]) for row in rows] == [("start", 2), *(("train", s) for s in (1, 2, 3))]
    assert rows[-1]["loss"] == 0.5


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    with MetricsFile(tmp_path, {"attempt": "a", "step": 0}) as metrics:
        metrics.write("train", step=1)
    with (tmp_path / FILE_NAME).open("a") as file:
        file.write('{"kind": "train", "st')
    assert [row["step"] for row in read_metrics(tmp_path)] == [0, 1]


def test_the_tail_waits_for_its_own_start_and_for_whole_lines(tmp_path: Path) -> None:
    tail = MetricsTail(tmp_path, "b")
    assert list(tail.new_rows()) == []
    MetricsFile(tmp_path, {"attempt": "a", "step": 0}).close()
    assert list(tail.new_rows()) == []
    with MetricsFile(tmp_path, {"attempt": "b", "step": 0}) as metrics:
        assert [row["kind"] for row in tail.new_rows()] == ["start"]
        with (tmp_path / FILE_NAME).open("a") as file:
            file.write('{"kind": "train",')
            file.flush()
            assert list(tail.new_rows()) == []
            file.write(' "step": 1}\n')
        metrics.write("train", step=2)
        assert [row["step"] for row in tail.new_rows()] == [1, 2]
        assert list(tail.new_rows()) == []


def test_timings_are_no_part_of_the_result() -> None:
    rows = [
        {"kind": "start", "step": 0, "attempt": "a"},
        {"kind": "train", "step": 1, "loss": 0.5, "images_per_second": 3.2, "peak_memory_gib": 1.0},
        {"kind": "checkpoint", "step": 1, "path": "x"},
        {"kind": "validation", "step": 1, "validation_loss": 0.4},
    ]
    assert deterministic_rows(rows) == [
        {"kind": "train", "step": 1, "loss": 0.5},
        {"kind": "validation", "step": 1, "validation_loss": 0.4},
    ]
