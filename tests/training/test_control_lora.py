"""The lighter ControlNet: what it starts as, what moves, what is kept, and what inference gets."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel
from safetensors.torch import load_file

from skin_pipeline.training import loop
from skin_pipeline.training.backend import Batch
from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.sdxl import SDXLFamily
from tests.training.conftest import MakeRun, random_batch, train_here

LIGHT: dict[str, Any] = {"controlnet_kind": "lora", "controlnet_lora_rank": 4}


@pytest.fixture
def light(tiny_pipeline: Path) -> SDXLFamily:
    return SDXLFamily(_parameters(tiny_pipeline))


def _parameters(base: Path, **changes: Any) -> TrainParameters:
    settings = {
        "model_base": str(base),
        "conditioning_embedding_out_channels": (8, 8, 8, 16),
        "fast_start": True,
    }
    return TrainParameters(**{**settings, **LIGHT, **changes})


def _prediction(family: SDXLFamily, controlnet: torch.nn.Module, batch: Batch) -> torch.Tensor:
    noisy_latents = family.add_noise(batch)
    with torch.no_grad():
        control = family.control_forward(controlnet, noisy_latents, batch)
        return family.denoise_forward(noisy_latents, batch, control)


def _move(family: SDXLFamily) -> None:
    """Change all that is trained, as training would."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for group in family.parameter_groups():
            for parameter in group["params"]:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def test_first_prediction_is_the_bases(light: SDXLFamily) -> None:
    batch = random_batch(light)
    base = light.denoise_forward(light.add_noise(batch), batch, None)
    assert torch.equal(_prediction(light, light.controlnet, batch), base)


def test_weights_are_the_unets_own(light: SDXLFamily) -> None:
    conv = light.controlnet.down_blocks[0].resnets[0].conv1
    assert conv.base_layer.weight is light.unet.down_blocks[0].resnets[0].conv1.weight
    light.to(torch.device("cpu"), torch.bfloat16)
    assert conv.base_layer.weight.data_ptr() == light.unet.down_blocks[0].resnets[0].conv1.weight.data_ptr()
    assert conv.base_layer.weight.dtype == torch.bfloat16
    assert {p.dtype for group in light.parameter_groups() for p in group["params"]} == {torch.float32}


def test_only_the_updates_and_the_new_layers_are_trained(light: SDXLFamily) -> None:
    trained = {name for name, p in light.controlnet.named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in trained if ".lora_" not in name} == {
        "controlnet_cond_embedding",
        "controlnet_down_blocks",
        "controlnet_mid_block",
    }
    updated = {name.split(".lora_")[0] for name in trained if ".lora_" in name}
    layers = {
        name
        for name, module in light.controlnet.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d) and not name.startswith("controlnet_")
    }
    assert updated == {name.removesuffix(".base_layer") for name in layers if name.endswith(".base_layer")}
    assert "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k" in updated
    assert "conv_in" in updated
    assert "time_embedding.linear_1" in updated


def test_saved_weights_are_an_ordinary_controlnet_that_computes_the_same(
    light: SDXLFamily, tmp_path: Path
) -> None:
    _move(light)
    batch = random_batch(light)
    light.save_weights(light.controlnet, tmp_path)
    plain = ControlNetModel.from_pretrained(tmp_path)
    expected = _prediction(light, light.controlnet, batch)
    torch.testing.assert_close(_prediction(light, plain, batch), expected, rtol=1e-4, atol=1e-5)
    assert not torch.equal(expected, light.denoise_forward(light.add_noise(batch), batch, None))
    assert not any("lora" in name for name in plain.state_dict())


def test_given_weights_are_kept_and_updated(tiny_pipeline: Path, light: SDXLFamily, tmp_path: Path) -> None:
    _move(light)
    light.save_weights(light.controlnet, tmp_path)
    given = ControlNetModel.from_pretrained(tmp_path)
    further = SDXLFamily(_parameters(tiny_pipeline, controlnet_init=str(tmp_path), fast_start=False))
    batch = random_batch(light)
    assert torch.equal(_prediction(further, further.controlnet, batch), _prediction(light, given, batch))


def test_run_keeps_a_small_state_and_resumes_exactly(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**LIGHT, "max_train_steps": 5, "ema_decay": 0.9, "ema_device": "cpu", "control_dropout": 0.5}
    settings |= {"mixed_precision": "bf16", "num_validation_pictures": 1, "validation_inference_steps": 2}
    whole, broken = make_run("whole", **settings), make_run("broken", **settings)
    assert train_here(whole)
    step = loop._Training.step

    def step_then_ask(self: Any, number: int, *args: Any) -> Any:
        if number == 2:
            self.stop.set("test")
        return step(self, number, *args)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Training, "step", step_then_ask)
        assert not train_here(broken)
    assert train_here(broken)
    weights = [
        load_file(run.folder / "weights" / "diffusion_pytorch_model.safetensors") for run in (whole, broken)
    ]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    state = whole.folder / "checkpoints" / "step_00000005" / "state" / "model.safetensors"
    assert all(name.startswith("controlnet_") or ".lora_" in name for name in load_file(state))
    assert sum(t.numel() for t in load_file(state).values()) < sum(t.numel() for t in weights[0].values()) / 2
