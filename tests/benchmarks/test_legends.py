import json

import numpy as np
import pytest
from PIL import Image

from benchmarks import legends
from skin_pipeline.skins.drawn.legend_sheets import is_held_out
from skin_pipeline.skins.drawn.legends import is_chinese
from skin_pipeline.training.text_legends import placed_legends

TRAINED = [legends.draw_sheet(seed) for seed in range(6)]
NEW = [legends.draw_sheet(legends.HELD_OUT_FROM + seed) for seed in (1, 3, 5)]


def test_held_out_sheets_of_odd_seeds_have_new_strings():
    assert all(sheet.has_new_strings for sheet in NEW)
    assert not any(sheet.has_new_strings for sheet in TRAINED)
    assert all(is_held_out(text) for sheet in NEW for text in sheet.texts if not is_chinese(text))
    assert not any(is_held_out(text) for sheet in TRAINED for text in sheet.texts if not is_chinese(text))


def test_a_seed_is_a_sheet():
    again = legends.draw_sheet(TRAINED[0].seed)
    assert again.texts == TRAINED[0].texts
    assert np.array_equal(again.picture, TRAINED[0].picture)


def test_the_set_is_in_the_published_form(tmp_path):
    sizes = legends.Sizes(num_train=2, num_held_out=1)
    legends.write_set(tmp_path, sizes)
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert [placed_legends(row, "train.jsonl") for row in rows] == [list(s.texts) for s in TRAINED[:2]]
    with Image.open(tmp_path / rows[0]["image"]) as picture:
        assert picture.size == (legends.SIDE_PX, legends.SIDE_PX)


def test_the_position_map_adds_where_text_is():
    plain, marked = TRAINED[0], legends.draw_sheet(0, "positions")
    assert np.array_equal(marked.control[:, :, :2], plain.control[:, :, :2])
    added = marked.control[:, :, 2] != plain.control[:, :, 2]
    assert (marked.control[:, :, 2][added] == 255).all()
    assert added[tuple(plain.quads.mean(axis=1).round().astype(int).T[::-1])].any()
    assert not added[:, : int(plain.quads[:, :, 0].min())].any()


def test_legends_are_read_where_they_were_set_with_the_room_of_a_sheets_quads():
    ink = np.array([[10.2, 20.3], [40.2, 20.3], [40.2, 40.3], [10.2, 40.3]])  # 20 px high: 1.2 px of room
    (quad,) = legends.quads_around([ink])
    assert quad.tolist() == [[9, 19], [42, 19], [42, 42], [9, 42]]


def test_results_of_other_settings_are_not_mixed(tmp_path):
    legends.keep_sizes(tmp_path, legends.Sizes())
    legends.keep_sizes(tmp_path, legends.Sizes())
    with pytest.raises(SystemExit, match="conditioning glyph, not edges; arm_steps 120, not 300"):
        legends.keep_sizes(tmp_path, legends.Sizes("edges", arm_steps=300))


def test_an_arms_figures_are_known_by_hand(tmp_path):
    readings = [
        {"truth": "OK", "read": "ok", "is_new": False, "picture_id": "1"},
        {"truth": "春花", "read": "春", "is_new": True, "picture_id": "2"},
    ]
    rows = [{"confidence": 1.0, "height_px": 20.0, **reading} for reading in readings]
    result = {"readings": {"tesseract": rows}, "edge_f1": [0.5, 0.7], "diversity": [0.2]}
    for arm, seconds in (("none", 10.0), ("both", 25.0)):
        path = tmp_path / "results" / f"{arm}_0.json"
        legends.write_json(path, {"arm": arm, "seed": 0, "cpu_seconds": seconds, **result})
    figures = legends.summarise(tmp_path, legends.Sizes())["systems"]["both"]
    assert figures["tesseract"]["all"]["sentence_accuracy"] == 0.5
    assert figures["tesseract"]["new strings"]["sentence_accuracy"] == 0
    assert figures["tesseract"]["all"]["ned"] == pytest.approx(0.75, abs=1e-4)
    assert figures["edge_f1"] == pytest.approx(0.6)
    assert figures["cost"] == 2.5
    assert figures["gain"]["none"]["tesseract"]["by_seed"] == [0.0]


def reading(sheet, is_right):
    return {"truth": "OK", "read": "OK" if is_right else "0K", "picture_id": sheet}


def test_a_gain_is_over_the_same_sheets_and_seeds():
    def result(seed, rights):
        rows = [reading(f"{place}", is_right) for place, is_right in enumerate(rights)]
        return {"seed": seed, "readings": {"tesseract": rows}, "edge_f1": [0.5], "diversity": [0.1]}

    some = [result(0, [True, True, False, True]), result(1, [True, True, True, True]), result(2, [False] * 4)]
    others = [result(1, [True, False, False, False]), result(0, [True, False, False, True])]
    gain = legends.gain(some, others)
    assert gain["seeds"] == [0, 1]  # the third seed has no partner
    assert gain["tesseract"]["by_seed"] == [0.25, 0.75]
    assert gain["tesseract"]["estimate"] == 0.5
    assert gain["tesseract"]["low"] >= 0
    assert gain["edge_f1"] == {"estimate": 0, "low": 0, "high": 0}


def test_curves_are_means_over_seeds():
    name = "loss_text/feature_t0000_0249"
    results = [
        {"validation": [{"step": 0, name: 0.4, "kind": "validation"}, {"step": 10, name: low}]}
        for low in (0.2, 0.3)
    ]
    assert legends.curves(results) == {name: [[0, 0.4], [10, 0.25]]}


@pytest.mark.slow
def test_it_trains_measures_and_reports(tmp_path, capsys):
    legends.main(["--quick", "--work", str(tmp_path)])
    printed = capsys.readouterr().out.splitlines()
    systems = json.loads(printed[-1])["systems"]
    assert any(line.startswith("| last_steps over none |") for line in printed)
    assert (tmp_path / "text_loss.png").is_file()
    at_default = {f"{arm}, 5 steps" for arm in ("start", "none", "last_steps")}
    assert set(systems) == {"start", "composited", "none", "last_steps", "real", "autoencoder", *at_default}
    assert systems["real"]["ppocr"]["all"]["sentence_accuracy"] > 0.8
    assert systems["composited"]["ppocr"]["all"]["sentence_accuracy"] > 0.8
    assert systems["last_steps"]["cost"] > 0
    assert (tmp_path / "last_steps_0.png").is_file()
