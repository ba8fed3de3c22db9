"""The trainer's losses are those of diffusers' train_controlnet_sdxl.py, whose step is written out here.

Of the trainer's own code the reference uses nothing: it reads the rows and pictures by itself, encodes them
at each step and minimises with diffusers' and torch's classes. What is random (which pictures, the latents'
own noise, the noise, the timesteps) is handed over from the trainer. benchmarks/trainer_vs_diffusers.py
compares with the script itself.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, DDPMScheduler, UNet2DConditionModel
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer, CLIPTextModel, CLIPTextModelWithProjection

from skin_pipeline.training import data, loop
from skin_pipeline.training.config import TrainingRun
from skin_pipeline.training.metrics import read_metrics
from tests.tiny_models import save_tiny_pipeline
from tests.training.conftest import MakeRun, train_here

pytestmark = pytest.mark.slow

NUM_STEPS = 20
LEARNING_RATE = 1e-3
SIDE_PX = 64


@dataclass(frozen=True)
class Draws:
    """What was random in a step, (B, ...)."""

    sample_ids: tuple[str, ...]
    posterior_noise: Tensor
    noise: Tensor
    timesteps: Tensor


def train_and_listen(run: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> tuple[list[float], list[Draws]]:
    """Train; return each step's loss and what was random in it."""
    draws: list[Draws] = []
    posterior_noise: list[Tensor] = []
    make, predict = data.encoded_sample, loop.predict

    def heard_sample(*args: Any, **kwargs: Any) -> Any:
        generator = next(a for a in [*args, *kwargs.values()] if isinstance(a, torch.Generator))
        before = torch.Generator()
        before.set_state(generator.get_state())
        made = make(*args, **kwargs)
        posterior_noise.append(torch.randn(made.latents.shape, generator=before))
        return made

    def heard_predict(backend: Any, controlnet: Any, batch: Any, autocast: Any) -> Any:
        draws.append(Draws(batch.sample_ids, torch.cat(posterior_noise), batch.noise, batch.timesteps))
        posterior_noise.clear()
        return predict(backend, controlnet, batch, autocast)

    monkeypatch.setattr(data, "encoded_sample", heard_sample)
    monkeypatch.setattr(loop, "predict", heard_predict)
    train_here(run)
    return [row["loss"] for row in read_metrics(run.folder) if row["kind"] == "train"], draws


class Script:
    """diffusers' examples/controlnet/train_controlnet_sdxl.py: its models, its step, its optimizer."""

    def __init__(self, base: Path, controlnet: Path, dataset: Path) -> None:
        self.unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet").requires_grad_(False)
        self.vae = AutoencoderKL.from_pretrained(base, subfolder="vae").requires_grad_(False)
        self.noise_scheduler = DDPMScheduler.from_pretrained(base, subfolder="scheduler")
        self.tokenizers = [
            AutoTokenizer.from_pretrained(base / name) for name in ("tokenizer", "tokenizer_2")
        ]
        self.text_encoders = [
            CLIPTextModel.from_pretrained(base / "text_encoder"),
            CLIPTextModelWithProjection.from_pretrained(base / "text_encoder_2"),
        ]
        self.controlnet = ControlNetModel.from_pretrained(controlnet).train()
        self.optimizer = torch.optim.AdamW(
            self.controlnet.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8
        )
        self.dataset = dataset
        lines = (dataset / "train.jsonl").read_text(encoding="utf-8").splitlines()
        self.rows = {Path(row["image"]).with_suffix("").as_posix(): row for row in map(json.loads, lines)}

    def step(self, draws: Draws) -> float:
        """Make an optimizer step; return its loss."""
        rows = [self.rows[name] for name in draws.sample_ids]
        posterior = self.vae.encode(self._pixels(rows, "image") * 2 - 1).latent_dist
        latents = posterior.mean + posterior.std * draws.posterior_noise
        latents = latents * self.vae.config.scaling_factor
        noisy_latents = self.noise_scheduler.add_noise(latents, draws.noise, draws.timesteps)
        prompt_embeds, pooled = self._encode_prompt([row["text"] for row in rows])
        time_ids = torch.tensor([[SIDE_PX, SIDE_PX, 0, 0, SIDE_PX, SIDE_PX]] * len(rows))
        shared = {
            "encoder_hidden_states": prompt_embeds,
            "added_cond_kwargs": {"text_embeds": pooled, "time_ids": time_ids},
            "return_dict": False,
        }
        down, middle = self.controlnet(
            noisy_latents,
            draws.timesteps,
            controlnet_cond=self._pixels(rows, "conditioning_image"),
            **shared,
        )
        model_pred = self.unet(
            noisy_latents,
            draws.timesteps,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            **shared,
        )[0]
        if self.noise_scheduler.config.prediction_type == "epsilon":
            target = draws.noise
        else:
            target = self.noise_scheduler.get_velocity(latents, draws.noise, draws.timesteps)
        loss = torch.nn.functional.mse_loss(model_pred, target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.controlnet.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

    def _pixels(self, rows: list[dict[str, str]], column: str) -> Tensor:
        pictures = [np.array(Image.open(self.dataset / row[column]).convert("RGB")) for row in rows]
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255

    @torch.no_grad()
    def _encode_prompt(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        hidden, pooled = [], torch.empty(0)
        for tokenizer, text_encoder in zip(self.tokenizers, self.text_encoders, strict=True):
            ids = tokenizer(
                captions,
                padding="max_length",
                max_length=tokenizer.model_max_length,
                truncation=True,
                return_tensors="pt",
            ).input_ids
            encoded = text_encoder(ids, output_hidden_states=True)
            pooled = encoded[0]
            hidden.append(encoded.hidden_states[-2])
        return torch.cat(hidden, -1), pooled


@pytest.mark.parametrize("prediction_type", ["v_prediction", "epsilon"])
def test_twenty_losses_are_the_scripts(
    prediction_type: str,
    make_run: MakeRun,
    training_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = save_tiny_pipeline(tmp_path / "base", prediction_type)
    torch.manual_seed(0)
    ControlNetModel.from_unet(
        UNet2DConditionModel.from_pretrained(base, subfolder="unet"),
        conditioning_embedding_out_channels=(8, 8, 8, 16),
    ).save_pretrained(tmp_path / "controlnet")
    run = make_run(
        model_base=str(base),
        controlnet_init=str(tmp_path / "controlnet"),
        fast_start=False,
        learning_rate=LEARNING_RATE,
        lr_scheduler="constant",
        adam_beta2=0.999,
        loss_weighting="none",
        timestep_sampling="uniform",
        caption_dropout=0.0,
        max_train_steps=NUM_STEPS,
    )
    losses, draws = train_and_listen(run, monkeypatch)
    script = Script(base, tmp_path / "controlnet", training_set)
    before = {name: p.clone() for name, p in script.controlnet.named_parameters()}
    expected = [script.step(draw) for draw in draws]
    assert losses == pytest.approx(expected, abs=1e-5)
    assert len(set(losses)) == NUM_STEPS

    (checkpoint,) = (run.folder / "checkpoints").iterdir()  # without a moving average, one file for both
    stored = checkpoint / "state" / "model.safetensors"
    assert stored.samefile(checkpoint / "weights" / "diffusion_pytorch_model.safetensors")

    trained = ControlNetModel.from_pretrained(run.folder / "weights")
    for (name, ours), theirs in zip(trained.named_parameters(), script.controlnet.parameters(), strict=True):
        assert not torch.equal(theirs, before[name]) or not theirs.numel(), name
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2 * LEARNING_RATE, msg=name)
