import shutil

import numpy as np
import pytest

from skin_pipeline.errors import ConfigurationError, IncompleteDatasetError, MissingWeightsError
from skin_pipeline.generation.parameters import InferenceParameters
from skin_pipeline.generation.plan import plan_generation, read_rows
from skin_pipeline.items import Folder, Item, Items, encode_png, item_key


@pytest.fixture
def parameters(base_model):
    return InferenceParameters(base_model=str(base_model), seeds=(0, 7), num_conditioning=2)


def keys(*sources):
    plan = plan_generation(*sources)
    return {task.id: item_key(plan, task) for task in plan.tasks()}


def test_there_is_a_task_for_every_prompt_conditioning_image_and_seed(controlnet, published, parameters):
    prompts = parameters.model_copy(update={"prompts": ("red keys", "blue keys", "粉色键盘")})
    tasks = plan_generation(controlnet, published, prompts).tasks()
    made = {
        (task.inputs["conditioning"].id, task.inputs["request"].record["prompt"], task.id.rsplit("-")[-1])
        for task in tasks
    }
    assert made == {
        (skin, prompt, seed)
        for skin in ("demo/a", "demo/b<&>")
        for prompt in prompts.prompts
        for seed in "07"
    }


def test_captions_prompt_each_conditioning_image_with_its_own_text(controlnet, published, parameters):
    tasks = plan_generation(controlnet, published, parameters).tasks()
    prompts = [(task.inputs["conditioning"].id, task.inputs["request"].record["prompt"]) for task in tasks]
    own = [("demo/a", "a keyboard skin of kind 0"), ("demo/b<&>", "a keyboard skin of kind 1")]
    assert prompts == [pair for pair in own for _ in range(2)]


def test_skins_can_be_chosen_by_name(controlnet, published, parameters):
    chosen = parameters.model_copy(update={"conditioning": ("demo/d", "demo/a")})
    tasks = plan_generation(controlnet, published, chosen).tasks()
    assert {task.inputs["conditioning"].id for task in tasks} == {"demo/a", "demo/d"}
    unknown = parameters.model_copy(update={"conditioning": ("demo/z",)})
    with pytest.raises(ConfigurationError, match=r"names demo/z, not among the 4 skins .* \(demo/a, "):
        plan_generation(controlnet, published, unknown)


def test_more_seeds_and_prompts_leave_the_old_pictures_alone(controlnet, published, parameters):
    before = keys(controlnet, published, parameters.model_copy(update={"prompts": ("one",)}))
    more = {"prompts": ("two", "one"), "seeds": (5, 7, 0), "num_conditioning": 4, "batch_size": 1}
    after = keys(controlnet, published, parameters.model_copy(update=more))
    assert before.items() < after.items()


@pytest.mark.parametrize(
    "change",
    [
        {"num_inference_steps": 30},
        {"guidance_scale": 2.0},
        {"controlnet_conditioning_scale": 0.5},
        {"scheduler": "euler"},
        {"dtype": "bf16"},
        {"negative_prompt": "blurry"},
    ],
)
def test_what_changes_a_picture_changes_its_key(controlnet, published, parameters, change):
    before = keys(controlnet, published, parameters)
    after = keys(controlnet, published, parameters.model_copy(update=change))
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())


@pytest.mark.parametrize(
    "change",
    [{"batch_size": 1}, {"num_workers": 2}, {"num_threads": 2}, {"attention": "slicing"}, {"compile": True}],
)
def test_how_it_is_run_does_not(controlnet, published, parameters, change):
    changed = parameters.model_copy(update=change)
    assert keys(controlnet, published, parameters) == keys(controlnet, published, changed)


def test_other_weights_change_every_key(controlnet, published, parameters, tmp_path):
    before = keys(controlnet, published, parameters)
    trained_on = Folder(controlnet.path, "another digest", controlnet.files)
    assert not set(before.values()) & set(keys(trained_on, published, parameters).values())

    shutil.copytree(parameters.base_model, tmp_path / "base")
    with (tmp_path / "base/unet/diffusion_pytorch_model.safetensors").open("ab") as file:
        file.write(b" ")
    other_base = parameters.model_copy(update={"base_model": str(tmp_path / "base")})
    assert not set(before.values()) & set(keys(controlnet, published, other_base).values())


def test_another_conditioning_image_changes_its_own_pictures_only(controlnet, published, parameters):
    before = keys(controlnet, published, parameters)
    files = {**published.files, "conditioning_images/1.png": "another digest"}
    after = keys(controlnet, Folder(published.path, "", files), parameters)
    assert {task_id for task_id in before if before[task_id] != after[task_id]} == {
        task_id for task_id in before if task_id.startswith("demo/b")
    }


def test_an_untrained_folder_is_refused(published, parameters, tmp_path):
    with pytest.raises(
        MissingWeightsError, match=r"config\.json is missing\. Run `kedro run --pipeline=train`"
    ):
        plan_generation(Folder(tmp_path, "", {}), published, parameters)


def test_a_training_set_with_holes_is_refused(controlnet, published, parameters):
    files = {name: digest for name, digest in published.files.items() if name != "images/2.png"}
    with pytest.raises(IncompleteDatasetError, match=r"names 'images/2\.png' for skin 'demo/c'"):
        read_rows(Folder(published.path, "", files), "validation")
    (published.path / "validation.jsonl").unlink()
    with pytest.raises(IncompleteDatasetError, match=r"has no validation\.jsonl"):
        plan_generation(controlnet, published, parameters)


def test_a_split_without_skins_is_refused(controlnet, published, parameters):
    with pytest.raises(ConfigurationError, match=r"inference\.split is 'train', which holds no skins"):
        plan_generation(controlnet, published, parameters.model_copy(update={"split": "train"}))


def test_control_images_take_the_place_of_the_training_sets(controlnet, published, parameters, tmp_path):
    path = tmp_path / "drawn.png"
    path.write_bytes(encode_png(np.zeros((64, 64), np.uint8)))
    drawn = Item("four_parts_0123", {"outlines_of": "layout:four_parts", "legends": []}, "5" * 64, path)
    with pytest.raises(ConfigurationError, match="which have no captions"):
        plan_generation(controlnet, published, parameters, Items([drawn]))
    prompts = parameters.model_copy(update={"prompts": ("a red skin", "a blue skin")})
    tasks = plan_generation(controlnet, published, prompts, Items([drawn])).tasks()
    assert {task.inputs["conditioning"].path for task in tasks} == {path}
    assert {task.inputs["conditioning"].record["outlines_of"] for task in tasks} == {"layout:four_parts"}
    assert len(tasks) == 2 * len(prompts.seeds)
    assert all(task.id.startswith("four_parts_0123/") for task in tasks)
    without = plan_generation(controlnet, published, prompts, Items()).tasks()
    assert without == plan_generation(controlnet, published, prompts).tasks()
