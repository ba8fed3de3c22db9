"""``inference.legends: composited``: legends on record are set over sampled pictures."""

import json
import shutil

import numpy as np
import pytest

from skin_pipeline.errors import ConfigurationError, IncompleteDatasetError
from skin_pipeline.generation.parameters import InferenceParameters
from skin_pipeline.generation.plan import plan_generation
from skin_pipeline.items import Folder, Item, Items, encode_png, item_key
from skin_pipeline.skins.legends import composite_legends
from skin_pipeline.typefaces import font_path

QUADS = [[[6, 24], [18, 24], [18, 40], [6, 40]], [[24, 24], [40, 24], [40, 40], [24, 40]]]
TEXTS = ["Q", "空"]


def with_legends(published, legends=TEXTS, quads=QUADS, skins=None):
    """Give rows of the training set legends; all rows but for those not named."""
    path = published.path / "validation.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        if skins is None or row["skin"] in skins:
            row |= {"legends": legends, "box": quads}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return published


@pytest.fixture
def lettered(published):
    return with_legends(published)


@pytest.fixture
def generated(base_model):
    return InferenceParameters(
        base_model=str(base_model), num_conditioning=2, num_inference_steps=2, num_threads=1
    )


@pytest.fixture
def composited(generated):
    return generated.model_copy(update={"legends": "composited"})


def keys(plan):
    return {task.id: item_key(plan, task) for task in plan.tasks()}


def test_legends_are_part_of_what_a_picture_is(controlnet, lettered, generated, composited, tmp_path):
    before = keys(plan_generation(controlnet, lettered, generated))
    plan = plan_generation(controlnet, lettered, composited)
    assert before.keys() == keys(plan).keys()
    assert not set(before.values()) & set(keys(plan).values())
    own_font = tmp_path / "own.otf"
    shutil.copy(font_path("sans_sc_bold"), own_font)
    in_own = composited.model_copy(update={"legend_font": own_font})
    assert not set(keys(plan).values()) & set(keys(plan_generation(controlnet, lettered, in_own)).values())

    after = keys(
        plan_generation(controlnet, with_legends(lettered, ["W", "格"], skins=["demo/a"]), composited)
    )
    changed = {task_id for task_id, key in keys(plan).items() if after[task_id] != key}
    assert changed == {task_id for task_id in after if task_id.startswith("demo/a/")}


def test_pictures_are_those_of_the_model_with_legends_set_over_them(
    controlnet, lettered, generated, composited
):
    plain, plan = (plan_generation(controlnet, lettered, one) for one in (generated, composited))
    before, after = (one.make_worker()(one.tasks()) for one in (plain, plan))
    for one, other in zip(before, after, strict=True):
        assert one.record["settings"]["legends"] == "generated"
        assert other.record["settings"]["legends"] == "composited"
        expected = composite_legends(one.image, QUADS, TEXTS, inset=0.115).picture
        np.testing.assert_array_equal(other.image, expected)
        assert (one.image != other.image).any()


def test_control_images_bring_their_own_legends(controlnet, published, composited, tmp_path):
    path = tmp_path / "drawn.png"
    path.write_bytes(encode_png(np.zeros((64, 64), np.uint8)))
    legends = [{"text": text, "quad": quad} for text, quad in zip(TEXTS, QUADS, strict=True)]
    drawn = Item("layout", {"outlines_of": "layout:own", "legends": legends}, "5" * 64, path)
    prompted = composited.model_copy(update={"prompts": ("red keys",)})
    (task,) = plan_generation(controlnet, published, prompted, Items([drawn])).tasks()
    assert task.inputs["legends"].record == {"legends": legends, "margin": 0.0}
    bare = Item("bare", {"outlines_of": "layout:own", "legends": []}, "6" * 64, path)
    with pytest.raises(ConfigurationError, match="but 'bare' has no legends on record"):
        plan_generation(controlnet, published, prompted, Items([bare]))


def test_what_cannot_be_composited_is_named_before_anything_is_made(controlnet, published, composited):
    with pytest.raises(ConfigurationError, match=r"but 'demo/a' has no legends on record\. Choose other"):
        plan_generation(controlnet, published, composited)
    with pytest.raises(IncompleteDatasetError, match="Skin 'demo/a' has 1 legends and 2 quads"):
        plan_generation(controlnet, with_legends(published, ["Q"]), composited)
    with pytest.raises(ConfigurationError, match="legend '囧' cannot be written"):
        plan_generation(controlnet, with_legends(published, ["Q", "囧"]), composited)


def test_generated_legends_need_no_record(controlnet, published, generated):
    tasks = plan_generation(controlnet, Folder(published.path, "", published.files), generated).tasks()
    assert all("legends" not in task.inputs for task in tasks)


def test_a_font_for_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="legend_font is for legends: composited"):
        InferenceParameters(legend_font=font_path("narrow"))
    missing = InferenceParameters(legends="composited", legend_font=tmp_path / "none.ttf")
    with pytest.raises(ConfigurationError, match="Cannot read the font file"):
        missing.preflight()
