from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from skin_pipeline.evaluation.parameters import EvaluationParameters
from skin_pipeline.evaluation.score import Truth, layout_boxes, plan_scores
from skin_pipeline.evaluation.summarise import summarise
from skin_pipeline.evaluation.table import render_table
from skin_pipeline.items import Folder, Item, Items, json_digest
from skin_pipeline.prep.control_images import ControlImageParameters, plan_control_images
from skin_pipeline.prep.edges import EdgeParameters, trace_edges
from skin_pipeline.prep.publish import Row
from skin_pipeline.skins.sheets.conditioning import lay_out, places_of_keys
from skin_pipeline.skins.sheets.layout import load_layout

SIZE = (200, 240)
KEYS = [(20 + 55 * i, 40 + 80 * j, 65 + 55 * i, 100 + 80 * j) for i in range(4) for j in range(2)]


def draw(panel, key):
    picture = np.full((*SIZE, 3), panel, np.uint8)
    for left, top, right, bottom in KEYS:
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), key, -1)
    return picture


@pytest.fixture
def truth(tmp_path):
    """Two held-out skins and three that are trained on, with their edges."""
    looks = {
        "a": ((240, 240, 240), (250, 60, 60)),
        "b": ((40, 80, 240), (240, 240, 240)),
        "c": ((20, 20, 20), (90, 200, 90)),
        "d": ((250, 220, 80), (60, 60, 60)),
        "e": ((120, 60, 160), (250, 250, 250)),
    }
    prompts = {"a": "a keyboard skin of white, red keys", "b": "a keyboard skin of blue, white keys"}
    rows, files = {}, {}
    for skin, (panel, key) in looks.items():
        picture = draw(panel, key)
        for name, pixels in ((f"{skin}.png", picture), (f"{skin}_edges.png", trace_edges(picture))):
            Image.fromarray(pixels).save(tmp_path / name)
            files[name] = json_digest([name])
        text = prompts.get(skin, "a keyboard skin")
        rows[skin] = Row(text, f"{skin}.png", f"{skin}_edges.png", [], skin, "per_skin")
    dataset = Folder(tmp_path, "digest", files)
    held_out = {skin: rows[skin] for skin in "ab"}
    return Truth(dataset, held_out, Items(), {skin: rows[skin] for skin in "cde"}, Items(), Items())


def judged(truth, system, pictures):
    """Make items of pictures by skin, in memory but for their files."""
    for skin, picture in pictures.items():
        path = truth.dataset.path / f"{system}_{skin}.png"
        Image.fromarray(picture).save(path)
        seed = None if system == "real" else 0
        record = {"system": system, "skin": skin, "prompt": truth.rows[skin].text, "seed": seed}
        yield Item(f"{system}/{skin}", record, json_digest([system, skin]), path)


def measure(truth, items, **parameters):
    chosen = EvaluationParameters(readers=(), autoencoder=False, **parameters)
    plan = plan_scores(items, Items(), truth, EdgeParameters(), chosen)
    outputs = plan.make_worker()(plan.tasks())
    records = zip(plan.tasks(), outputs, strict=True)
    return Items(Item(task.id, one.record, json_digest(one.record)) for task, one in records)


def test_real_pictures_are_perfect_and_blank_ones_are_not(truth):
    real = {
        skin: draw(*look)
        for skin, look in (("a", ((240,) * 3, (250, 60, 60))), ("b", ((40, 80, 240), (240,) * 3)))
    }
    blank = {skin: np.full((*SIZE, 3), 128, np.uint8) for skin in "ab"}
    measured = measure(truth, Items([*judged(truth, "real", real), *judged(truth, "generated", blank)]))
    for skin in "ab":
        record = measured[f"real/{skin}"].record
        for name in (
            "edge_f1",
            "edge_f1_0px",
            "edge_ms_ssim",
            "cnpp_ms_ssim",
            "key_recall",
            "key_precision",
            "colour",
        ):
            assert record[name] == pytest.approx(1.0, abs=1e-6), name
        assert record["key_iou"] > 0.95
        assert record["layout_from"] == "conditioning"
        assert measured[f"generated/{skin}"].record["edge_recall"] == 0.0
        assert measured[f"generated/{skin}"].record["key_iou"] == 0.0

    scores = summarise(measured, Items(), Items(), EvaluationParameters(readers=(), autoencoder=False))
    assert scores["real"]["cnpp_f1"]["estimate"] == 1.0
    assert scores["generated"]["cnpp_f1"]["estimate"] == 0.0
    assert scores["skipped"]["kid_autoencoder"] == "evaluation.autoencoder is switched off"
    table = render_table(scores, measured, {"skipped": "not asked for"})
    assert "| Edge F1, exact (`edge_f1_0px`) | higher | 0.000 [0.000, 0.000] (n=2) | 1.000" in table


def test_a_training_picture_over_again_is_found(truth):
    copy = {"a": draw((20, 20, 20), (90, 200, 90))}
    record = measure(truth, Items(judged(truth, "generated", copy)))["generated/a"].record
    assert (record["nearest_skin"], record["nearest_distance"], record["authentic"]) == ("c", 0.0, 0.0)


def test_scores_do_not_depend_on_order_or_batches(truth):
    pictures = {skin: draw((200, 200, 210), (90, 90, 250)) for skin in "ab"}
    items = list(judged(truth, "generated", pictures))
    together = measure(truth, Items(items))
    for item in items:
        assert measure(truth, Items([item]))[item.id].record == together[item.id].record
    chosen = EvaluationParameters(readers=(), autoencoder=False)
    backwards = Items(reversed(list(together.values())))
    assert summarise(backwards, Items(), Items(), chosen) == summarise(together, Items(), Items(), chosen)


@pytest.mark.parametrize(
    ("conditioning", "outlines_of", "is_told"),
    [
        ("per_skin", None, True),
        ("glyph", None, True),
        ("glyph", "layout:four_parts", True),  # its legends are rendered on the outlines that all share
        ("shared", "layout:four_parts", False),
    ],
)
def test_legends_are_expected_where_the_conditioning_image_shows_them(
    truth, conditioning, outlines_of, is_told
):
    row = replace(
        truth.rows["a"],
        box=[[[1, 1], [9, 1], [9, 9], [1, 9]]],
        legends=["Q"],
        conditioning=conditioning,
        outlines_of=outlines_of,
    )
    said = {"system": "generated", "skin": "a", "prompt": "a prompt of one's own", "seed": 0}
    item = Item("generated/a", said, json_digest(said), truth.dataset.path / "a.png")
    measuring = EvaluationParameters(readers=())
    plan = plan_scores(Items([item]), Items(), replace(truth, rows={"a": row}), EdgeParameters(), measuring)
    assert plan.tasks()[0].inputs["row"].record["legends"] == (["Q"] if is_told else [])


@pytest.fixture
def control_image(tmp_path):
    """A keyboard layout, drawn, with a legend of somebody's own on the space key."""
    plan = plan_control_images(
        ControlImageParameters(layouts=("whole_keyboard",), legends={"space": "GO"}, size_px=256)
    )
    (task,), (output,) = plan.tasks(), plan.make_worker()(plan.tasks())
    path = tmp_path / "control.png"
    Image.fromarray(output.image).save(path)
    return Item(task.id, output.record, json_digest(output.record), path)


def test_pictures_on_drawn_layouts_are_judged_by_layout_and_legends(truth, control_image):
    record = lay_out(load_layout("whole_keyboard"), 256, name="whole_keyboard")
    picture = np.full((256, 256, 3), (20, 20, 20), np.uint8)
    for place in places_of_keys(record).values():
        corner, other = (round(place.x), round(place.y)), (round(place.right) - 1, round(place.bottom) - 1)
        cv2.rectangle(picture, corner, other, (90, 200, 90), -1)
    path = truth.dataset.path / "generated.png"
    Image.fromarray(picture).save(path)
    said = {
        "system": "generated",
        "skin": control_image.id,
        "prompt": "a keyboard skin of black, green keys",
        "seed": 0,
    }
    items = Items([Item("generated/x", said, json_digest(said), path)])
    on_layout = replace(truth, rows={}, control_images=Items([control_image]))

    plan = plan_scores(items, Items(), on_layout, EdgeParameters(), EvaluationParameters(readers=()))
    told = plan.tasks()[0].inputs["row"].record
    assert "GO" in told["legends"]
    assert len(told["box"]) == len(told["legends"]) > 26

    measured = measure(on_layout, items)
    found = measured["generated/x"].record
    assert found["layout_from"] == "layout"
    assert found["key_iou"] > 0.85
    assert found["edge_precision"] > 0.95  # its outlines are where the layout's are
    assert found["nearest_skin"] == "c"
    assert not [name for name in found if name.startswith("cnpp")]
    scores = summarise(measured, Items(), Items(), EvaluationParameters(readers=(), autoencoder=False))
    assert list(scores) == ["generated", "skipped"]
    reason = "needs real skins behind the conditioning images, and these were drawn from layouts"
    assert scores["skipped"]["cnpp_f1"] == scores["skipped"]["cnpp_ms_ssim"] == reason
    assert scores["skipped"]["colour_chance"] == "needs at least 2 conditioning images, got 1"


def test_boxes_of_a_layout_follow_the_resizing():
    record = lay_out(load_layout("whole_keyboard"), 512, name="whole_keyboard")
    places = list(places_of_keys(record).values())
    boxes = layout_boxes(record, [[0.5, 0, 10], [0, 0.25, 0]], (128, 266))
    assert len(boxes) == len(places)
    first = places[0]
    expected = (first.x / 2 + 10, first.y / 4, first.right / 2 + 10, first.bottom / 4)
    np.testing.assert_allclose(boxes[0], expected)
    cut = layout_boxes(record, [[1, 0, -256], [0, 1, 0]], (512, 512))  # the left half is cut off
    assert 0 < len(cut) < len(places)
    assert cut.min() >= 0
