import json

import pytest

from benchmarks.engines import cost, main


@pytest.mark.slow
def test_it_measures_and_compares(capsys):
    main(["--num", "2", "4", "--engines", "local"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["same_bytes"] is True
    assert set(figures["cost"]) == {"local"}
    assert figures["cpu_seconds"]["local"]["2"] > 0.1


def test_cost_is_split_into_fixed_and_each():
    assert cost({40: 6.0, 200: 14.0}) == {"fixed_seconds": 4.0, "each_skin_ms": 50.0}
