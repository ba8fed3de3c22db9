import pytest
from pydantic import ValidationError

from skin_pipeline.errors import InputError
from skin_pipeline.generation.parameters import InferenceParameters


def test_settings_are_what_decides_a_picture():
    """Where and how fast it runs is no part of a picture's key."""
    assert set(InferenceParameters().settings()) == {
        "num_inference_steps",
        "scheduler",
        "guidance_scale",
        "controlnet_conditioning_scale",
        "dtype",
        "variant",
        "legends",
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prompts": ["red keys", "red keys "]}, "prompts holds red keys more than once"),
        ({"prompts": []}, "prompts is empty"),
        ({"prompts": [" "]}, "at least 1 character"),
        ({"prompts": "a red keyboard"}, "captions"),
        ({"seeds": [3, 3]}, "seeds holds 3 more than once"),
        ({"seeds": [-1]}, "greater than or equal to 0"),
        ({"seeds": []}, "at least 1 item"),
        ({"conditioning": ["a", "a"]}, "conditioning holds a more than once"),
        ({"prompt_embeds": "embeds.safetensors"}, "prompt_embeds needs a list of prompts"),
        ({"device": "cpu", "offload": "model"}, "Set offload: none"),
        ({"guidence_scale": 3}, "Extra inputs are not permitted"),
    ],
)
def test_what_makes_no_sense_is_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        InferenceParameters(**values)


def test_missing_embeddings_are_found_before_anything_runs(base_model, tmp_path):
    parameters = InferenceParameters(
        base_model=str(base_model), prompts=("one",), prompt_embeds=tmp_path / "embeds.safetensors"
    )
    with pytest.raises(InputError, match=r"there is no file '.*embeds\.safetensors'"):
        parameters.preflight()
    parameters.model_copy(update={"prompt_embeds": None}).preflight()
