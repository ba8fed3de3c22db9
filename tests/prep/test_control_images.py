"""Control images of layouts: legends of the user's own on the keys that were named, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from skin_pipeline.errors import ConfigurationError
from skin_pipeline.geometry import as_quads, boxes_of
from skin_pipeline.items import item_key
from skin_pipeline.prep.control_images import ControlImageParameters, legends_of, plan_control_images
from skin_pipeline.skins.sheets.conditioning import draw_outlines, lay_out, places_of_keys
from skin_pipeline.skins.sheets.layout import SHIPPED, layout_folder, load_layout


def draw(**parameters):
    plan = plan_control_images(ControlImageParameters(**parameters))
    return plan.make_worker()(plan.tasks())


def whole_keyboard(size_px=512):
    return lay_out(load_layout("whole_keyboard"), size_px, name="whole_keyboard")


@pytest.mark.parametrize("layout", SHIPPED)
def test_every_layout_can_be_drawn(layout):
    (output,) = draw(layouts=(layout,))
    assert output.image.shape == (512, 512)
    assert output.record["outlines_of"] == f"layout:{layout}"


def test_legends_lie_on_their_keys_and_change_nothing_else():
    bare, written = draw(layouts=("whole_keyboard",), legends="none")[0], draw(layouts=("whole_keyboard",))[0]
    assert (bare.image == draw_outlines(whole_keyboard())).all()
    assert bare.record["legends"] == []
    rest = np.ones(bare.image.shape, bool)
    for legend in written.record["legends"]:
        x_min, y_min, x_max, y_max = boxes_of(as_quads(legend["quad"]))[0]
        rest[int(y_min) - 1 : int(y_max) + 2, int(x_min) - 1 : int(x_max) + 2] = False
        assert written.image[int(y_min) : int(y_max) + 1, int(x_min) : int(x_max) + 1].max() == 255
    assert (written.image[rest] == bare.image[rest]).all()
    assert (written.image != bare.image).sum() > 1000


def test_keys_are_named_by_id_function_or_standard_legend():
    legends = {"q": "Q", "enter": "发射", "空格": "SPACE", "123": ""}
    written = {key: text for key, _, text in legends_of(whole_keyboard(), legends)}
    assert (written["q"], written["enter"], written["space"]) == ("Q", "发射", "SPACE")
    assert written["w"] == "w"
    assert "numbers" not in written


def test_legends_of_one_size_stand_on_one_line_inside_their_keys():
    (output,) = draw(layouts=("whole_keyboard",))
    by_text = {legend["text"]: boxes_of(as_quads(legend["quad"]))[0] for legend in output.record["legends"]}
    baselines = [by_text[letter][3] for letter in "wertuio"]
    assert np.ptp(baselines) < 1.5
    places = {key: place for (_, key), place in places_of_keys(whole_keyboard()).items()}
    for letter in "qwm":
        x_min, _, x_max, _ = by_text[letter]
        assert places[letter].x < x_min < x_max < places[letter].right


def test_a_long_legend_is_set_smaller():
    (output,) = draw(layouts=("whole_keyboard",), legends={"q": "WWWWW"})
    box = boxes_of(as_quads(next(one["quad"] for one in output.record["legends"] if one["text"] == "WWWWW")))[
        0
    ]
    place = next(place for (_, key), place in places_of_keys(whole_keyboard()).items() if key == "q")
    assert box[2] - box[0] == pytest.approx(0.8 * place.width, abs=0.1)


def test_the_digest_of_the_legends_is_in_the_name():
    names = [
        plan_control_images(ControlImageParameters(layouts=("four_parts",), legends=legends)).tasks()[0].id
        for legends in ("standard", {"q": "Q"}, {"q": "Q"})
    ]
    assert names[1] == names[2] != names[0]
    assert all(name.startswith("four_parts_") for name in names)


def test_no_layouts_are_no_images():
    assert plan_control_images(ControlImageParameters()).tasks() == []
    ControlImageParameters().preflight()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"layouts": ("whole_keyboard",), "legends": {"warp": "!"}}, "'warp' is no key of the sheet layout"),
        ({"layouts": ("whole_keyboard",), "legends": {"q": "\U0001f680"}}, "has no glyph for \U0001f680"),
        ({"layouts": ("nowhere",)}, "nowhere"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_the_run(parameters, message):
    with pytest.raises(ConfigurationError, match=message):
        ControlImageParameters(**parameters).preflight()


def test_sizes_are_multiples_of_eight():
    with pytest.raises(ValidationError, match="multiple of 8"):
        ControlImageParameters(size_px=500)


def test_two_layouts_of_one_file_name_are_two_images(tmp_path):
    own = tmp_path / "whole_keyboard.yml"
    own.write_text((layout_folder() / "whole_keyboard.yml").read_text())
    names = [
        task.id
        for task in plan_control_images(ControlImageParameters(layouts=("whole_keyboard", str(own)))).tasks()
    ]
    assert len(set(names)) == 2


def test_legends_can_be_shown_by_outlines():
    filled, outlined = (draw(layouts=("whole_keyboard",), style=style)[0] for style in ("filled", "outline"))
    assert outlined.record == filled.record
    assert set(np.unique(outlined.image)) == {0, 255}
    assert outlined.image.sum() < filled.image.sum()

    def key(**changes):
        plan = plan_control_images(ControlImageParameters(layouts=("whole_keyboard",), **changes))
        return item_key(plan, plan.tasks()[0])

    assert key() == key(outline_from_px=30.0) == key(positions=False)
    assert key() != key(positions=True)
    assert len({key(), key(style="outline"), key(style="auto"), key(style="auto", outline_from_px=30.0)}) == 4


def test_positions_are_shown_in_the_blue_channel():
    plain, shown = (draw(layouts=("four_parts",), positions=positions)[0] for positions in (False, True))
    assert shown.record == plain.record
    assert (shown.image[..., :2] == plain.image[..., None]).all()
    centres = as_quads([legend["quad"] for legend in plain.record["legends"]]).mean(axis=1).astype(int)
    assert (shown.image[centres[:, 1], centres[:, 0], 2] == 255).all()
