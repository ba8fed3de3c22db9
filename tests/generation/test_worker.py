import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from skin_pipeline.embedded.architecture import build_controlnet, build_unet
from skin_pipeline.errors import ConfigurationError, InputError, MissingWeightsError, SkinPipelineError
from skin_pipeline.generation.parameters import InferenceParameters
from skin_pipeline.generation.pipeline import load_pipeline
from skin_pipeline.generation.plan import plan_generation
from skin_pipeline.generation.weights import locate_base_model

ROUNDING = 1
"""Levels of 255 by which a picture may differ when products of other shapes round differently (fp32)."""


@pytest.fixture
def parameters(base_model):
    return InferenceParameters(
        base_model=str(base_model), seeds=(0, 7), num_conditioning=2, num_inference_steps=3, num_threads=1
    )


def generate(plan, size=None):
    tasks, worker = plan.tasks(), plan.make_worker()
    size = size or len(tasks)
    starts = range(0, len(tasks), size)
    outputs = [output for start in starts for output in worker(tasks[start : start + size])]
    return dict(zip([task.id for task in tasks], outputs, strict=True))


@pytest.fixture
def pictures(controlnet, published, parameters):
    return generate(plan_generation(controlnet, published, parameters))


def largest_difference(first, second):
    return int(np.abs(first.astype(int) - second.astype(int)).max())


def test_a_picture_is_the_same_alone_and_in_any_batch(controlnet, published, parameters, pictures):
    plan = plan_generation(controlnet, published, parameters)
    for size in (1, 3):
        for task_id, output in generate(plan, size).items():
            assert largest_difference(output.image, pictures[task_id].image) <= ROUNDING


def test_the_same_batch_is_the_same_bit_for_bit(controlnet, published, parameters, pictures):
    for task_id, output in generate(plan_generation(controlnet, published, parameters)).items():
        np.testing.assert_array_equal(output.image, pictures[task_id].image)


def test_seed_prompt_and_conditioning_image_all_matter(controlnet, published, parameters):
    changed = parameters.model_copy(
        update={
            "prompts": ("red keys", "white white white"),
            "guidance_scale": 20.0,
            "controlnet_conditioning_scale": 4.0,
        }
    )
    images = {
        (output.record["conditioning"], output.record["prompt"], output.record["seed"]): output.image
        for output in generate(plan_generation(controlnet, published, changed)).values()
    }
    assert len(images) == 8
    reference = images["demo/a", "red keys", 0]
    assert reference.shape == (64, 64, 3)
    assert reference.dtype == np.uint8
    for other in [
        ("demo/b<&>", "red keys", 0),
        ("demo/a", "white white white", 0),
        ("demo/a", "red keys", 7),
    ]:
        assert largest_difference(reference, images[other]) > 4


def test_without_weight_the_conditioning_image_is_ignored(controlnet, published, parameters):
    uncontrolled = parameters.model_copy(
        update={"prompts": ("red keys",), "controlnet_conditioning_scale": 0.0, "seeds": (0,)}
    )
    first, second = generate(plan_generation(controlnet, published, uncontrolled)).values()
    np.testing.assert_array_equal(first.image, second.image)


def test_the_record_says_how_to_make_the_picture_again(controlnet, published, parameters, pictures):
    plan = plan_generation(controlnet, published, parameters)
    record = next(iter(pictures.values())).record
    assert record == {
        "prompt": "a keyboard skin of kind 0",
        "negative_prompt": "",
        "seed": 0,
        "conditioning": "demo/a",
        "conditioning_sha256": published.files["conditioning_images/0.png"],
        "weights_digest": controlnet.digest,
        "base_model": parameters.base_model,
        "base_model_digest": plan.shared["base_model"],
        "settings": {
            "num_inference_steps": 3,
            "scheduler": "unipc",
            "guidance_scale": 5.0,
            "controlnet_conditioning_scale": 1.0,
            "dtype": "float32",
            "variant": None,
            "legends": "generated",
            "size_px": [64, 64],
        },
    }


@pytest.mark.parametrize("scheduler", ["unipc", "euler", "ddim"])
def test_the_sampler_keeps_what_the_base_model_predicts(base_model, controlnet, parameters, scheduler):
    chosen = parameters.model_copy(update={"scheduler": scheduler})
    pipeline = load_pipeline(chosen, locate_base_model(str(base_model)), controlnet.path)
    config = pipeline.scheduler.config
    assert config.prediction_type == "v_prediction"
    assert config.timestep_spacing == "trailing"
    assert config.rescale_betas_zero_snr is True


def test_given_embeddings_take_the_place_of_the_text_encoders(
    base_model, controlnet, published, parameters, pictures, tmp_path
):
    """The embeddings of the captions give the pictures of the captions."""
    prompts = ("a keyboard skin of kind 0", "a keyboard skin of kind 1")
    pipeline = load_pipeline(parameters, locate_base_model(str(base_model)), controlnet.path)
    with torch.inference_mode():
        encoded, _, pooled, _ = pipeline.encode_prompt(list(prompts))
    path = tmp_path / "embeds.safetensors"
    save_file({"prompt_embeds": encoded, "pooled_prompt_embeds": pooled}, path)
    given = parameters.model_copy(update={"prompts": prompts, "prompt_embeds": path})
    outputs = generate(plan_generation(controlnet, published, given))
    for task_id, output in pictures.items():
        assert largest_difference(outputs[task_id].image, output.image) <= ROUNDING


def test_embeddings_that_do_not_match_the_prompts_are_refused(controlnet, published, parameters, tmp_path):
    path = tmp_path / "embeds.safetensors"
    save_file({"prompt_embeds": torch.zeros(2, 77, 96)}, path)
    given = parameters.model_copy(update={"prompts": ("one",), "prompt_embeds": path})
    with pytest.raises(InputError, match="expected prompt_embeds with 1 rows, one a prompt, got 2"):
        plan_generation(controlnet, published, given).make_worker()


def test_pictures_of_two_sizes_can_share_a_batch(controlnet, published, parameters):
    path = published.path / "conditioning_images/1.png"
    with Image.open(path) as image:
        image.crop((0, 0, 64, 48)).save(path)
    outputs = generate(plan_generation(controlnet, published, parameters))
    assert [output.image.shape for output in outputs.values()] == [(64, 64, 3)] * 2 + [(48, 64, 3)] * 2


def test_a_size_the_autoencoder_cannot_make_is_refused_by_name(controlnet, published, parameters):
    path = published.path / "conditioning_images/0.png"
    with Image.open(path) as image:
        image.crop((0, 0, 60, 64)).save(path)
    with pytest.raises(InputError, match=r"'demo/a' is 60x64 px; both must be multiples of 8"):
        generate(plan_generation(controlnet, published, parameters))


def test_numbers_that_are_not_finite_stop_the_run(controlnet, published, parameters):
    worker = plan_generation(controlnet, published, parameters).make_worker()
    worker._pipeline.vae.decoder.conv_out.bias.data.fill_(float("nan"))
    with pytest.raises(SkinPipelineError, match=r"not finite in torch\.float32"):
        worker(plan_generation(controlnet, published, parameters).tasks()[:1])


def test_a_controlnet_of_another_base_model_is_refused(parameters, tmp_path):
    build_controlnet(build_unet((32, 64), 4, 64, 8)).save_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match="its cross_attention_dim is 64, the base model's 96"):
        load_pipeline(parameters, locate_base_model(parameters.base_model), tmp_path)


def test_what_this_machine_lacks_is_said(controlnet, parameters):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    base = locate_base_model(parameters.base_model)
    with pytest.raises(ConfigurationError, match=r"inference.device is cuda"):
        load_pipeline(parameters.model_copy(update={"device": "cuda"}), base, controlnet.path)
    with pytest.raises(ConfigurationError, match="no GPU to move models off"):
        load_pipeline(parameters.model_copy(update={"offload": "model"}), base, controlnet.path)


def test_attention_slicing_gives_the_same_pictures(controlnet, published, parameters, pictures):
    sliced = parameters.model_copy(update={"attention": "slicing"})
    for task_id, output in generate(plan_generation(controlnet, published, sliced)).items():
        assert largest_difference(output.image, pictures[task_id].image) <= ROUNDING


def test_missing_weights_are_found_before_anything_runs(tmp_path):
    with pytest.raises(MissingWeightsError, match=r"inference\.base_model"):
        InferenceParameters(base_model=str(tmp_path / "nowhere")).preflight()
