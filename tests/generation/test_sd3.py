"""Generation with an SD3 base model: the same worker, chosen by the base model's own files."""

import numpy as np
import pytest
import torch
from diffusers import SD3ControlNetModel, SD3Transformer2DModel
from PIL import Image

from skin_pipeline.errors import ConfigurationError, InputError
from skin_pipeline.generation.parameters import InferenceParameters
from skin_pipeline.generation.pipeline import load_pipeline, sampling_of
from skin_pipeline.generation.plan import plan_generation
from skin_pipeline.generation.weights import locate_base_model
from tests.generation.conftest import as_folder
from tests.generation.test_worker import ROUNDING, generate, largest_difference
from tests.tiny_models import save_tiny_sd3


@pytest.fixture(scope="module")
def sd3(tmp_path_factory):
    return save_tiny_sd3(tmp_path_factory.mktemp("base") / "sd3", has_t5=False)


@pytest.fixture(scope="module")
def sd3_controlnet(sd3, tmp_path_factory):
    """A random ControlNet for that model, which does steer it."""
    torch.manual_seed(1)
    transformer = SD3Transformer2DModel.from_pretrained(sd3, subfolder="transformer")
    controlnet = SD3ControlNetModel.from_transformer(
        transformer, num_layers=2, num_extra_conditioning_channels=0
    )
    controlnet.register_to_config(force_zeros_for_pooled_projection=False)
    for part in (controlnet.controlnet_blocks, controlnet.pos_embed_input):
        for parameter in part.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    folder = tmp_path_factory.mktemp("weights") / "controlnet"
    controlnet.save_pretrained(folder)
    return as_folder(folder)


@pytest.fixture
def parameters(sd3):
    return InferenceParameters(
        base_model=str(sd3), seeds=(0, 7), num_conditioning=2, num_inference_steps=2, num_threads=1
    )


def test_a_picture_is_the_same_alone_and_in_any_batch(sd3_controlnet, published, parameters):
    """Above all the control is: diffusers' own pipeline encodes it with chance."""
    plan = plan_generation(sd3_controlnet, published, parameters)
    together, alone = generate(plan), generate(plan, 1)
    assert len(together) == 4
    for task_id, output in together.items():
        assert largest_difference(output.image, alone[task_id].image) <= ROUNDING
    record = next(iter(together.values())).record
    assert record["settings"]["dtype"] == "float32"
    again = generate(plan)
    assert all(np.array_equal(again[task_id].image, together[task_id].image) for task_id in together)


def test_seed_prompt_and_conditioning_image_all_matter(sd3_controlnet, published, parameters):
    prompts = ("pink keys", "white white white")
    changed = parameters.model_copy(
        update={"prompts": prompts, "guidance_scale": 20.0, "controlnet_conditioning_scale": 4.0}
    )
    images = {
        (output.record["conditioning"], output.record["prompt"], output.record["seed"]): output.image
        for output in generate(plan_generation(sd3_controlnet, published, changed)).values()
    }
    reference = images["demo/a", prompts[0], 0]
    for other in (("demo/b<&>", prompts[0], 0), ("demo/a", prompts[1], 0), ("demo/a", prompts[0], 7)):
        assert largest_difference(reference, images[other]) > 2


@pytest.mark.parametrize(
    ("scheduler", "kind"),
    [("euler", "FlowMatchEulerDiscreteScheduler"), ("unipc", "UniPCMultistepScheduler")],
)
def test_the_sampler_keeps_the_base_models_shift(sd3, sd3_controlnet, parameters, scheduler, kind):
    chosen = parameters.model_copy(update={"scheduler": scheduler})
    pipeline = load_pipeline(chosen, locate_base_model(str(sd3)), sd3_controlnet.path)
    sampler = pipeline.scheduler
    assert type(sampler).__name__ == kind
    sampler.set_timesteps(3)
    middle = float(sampler.sigmas[1])
    unshifted = middle / (3 - 2 * middle)  # the inverse of a shift by 3
    assert unshifted == pytest.approx(0.5 if scheduler == "euler" else 2 / 3, abs=0.01)
    assert sampling_of(pipeline).sides_px(pipeline) == (16, 192)


def test_what_sd3_does_not_have_is_said(sd3, sd3_controlnet, parameters):
    base = locate_base_model(str(sd3))
    with pytest.raises(ConfigurationError, match=r"scheduler 'ddim' .* Choose one of unipc, euler"):
        load_pipeline(parameters.model_copy(update={"scheduler": "ddim"}), base, sd3_controlnet.path)
    with pytest.raises(ConfigurationError, match=r"attention 'slicing' .* Set it to sdpa"):
        load_pipeline(parameters.model_copy(update={"attention": "slicing"}), base, sd3_controlnet.path)


def test_base_and_controlnet_of_two_families_are_refused(
    sd3, base_model, sd3_controlnet, controlnet, parameters
):
    for base, weights, found, family in (
        (sd3, controlnet, "ControlNetModel, a ControlNet for sdxl", "sd3"),
        (base_model, sd3_controlnet, "SD3ControlNetModel, a ControlNet for sd3", "sdxl"),
    ):
        changed = parameters.model_copy(update={"base_model": str(base)})
        with pytest.raises(
            ConfigurationError, match=rf"is of class {found}, but inference\.base_model .* is an {family}"
        ):
            load_pipeline(changed, locate_base_model(str(base)), weights.path)


@pytest.mark.parametrize(("side_px", "message"), [(72, "multiples of 16"), (208, "places up to 192 px")])
def test_a_size_that_is_no_whole_patches_is_refused(sd3_controlnet, published, parameters, side_px, message):
    Image.new("RGB", (side_px, 64)).save(published.path / "conditioning_images/1.png")
    plan = plan_generation(sd3_controlnet, as_folder(published.path), parameters)
    with pytest.raises(InputError, match=rf"'demo/b<&>' is {side_px}x64 px; .*{message}"):
        generate(plan)
