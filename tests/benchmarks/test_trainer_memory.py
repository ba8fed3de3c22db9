import json

import pytest

from benchmarks import trainer_memory


def test_estimate_is_what_the_allocator_records(monkeypatch, capsys):
    monkeypatch.setattr(trainer_memory, "in_a_process", lambda function, task: function(task))
    trainer_memory.main(["--quick"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(figures["small"]) == {"bf16", "fp32"}
    for case in figures["small"].values():
        assert case["ratio"] == pytest.approx(1, abs=0.05)


def test_failing_case_is_named():
    figures = trainer_memory.in_a_process(trainer_memory.measure_step, {"train_batch_size": 0})
    assert figures == {"error": "train_batch_size"}


def test_missing_script_is_refused(capsys):
    with pytest.raises(SystemExit):
        trainer_memory.main(["--gpu", "--script", "nowhere.py"])
    assert "'nowhere.py' is no file" in capsys.readouterr().err
