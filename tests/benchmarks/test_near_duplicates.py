import json

import numpy as np
import pytest

from benchmarks import near_duplicates


def test_the_index_is_exact_and_every_method_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    near_duplicates.main(["--num=600", "--num-checked=600"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["exact"] == {"uniform": True, "families": True}
    families = figures["kinds"]["families"]
    assert {"pairs", "groups", "repeats"} <= families.keys()
    assert families["pairs"]["found"] > families["repeats"]["found"] > 0
    assert figures["kinds"]["uniform"]["groups"]["found"] == 600


def test_families_lie_within_twelve_bits_of_each_design() -> None:
    hashes = near_duplicates.families(100)
    first = hashes[: near_duplicates.FAMILY]
    assert np.bitwise_count(first[:, None] ^ first[None]).max() <= 24
    assert np.bitwise_count(hashes[0] ^ hashes[-1]) > 12
