"""The trainer's losses on SD3 are those of diffusers' train_controlnet_sd3.py, its step written out here.

As in test_exactness_reference.py the reference uses nothing of the trainer's own code but what was random.
One thing is not the script's: it shows the ControlNet the conditioning image in [0, 1], and draws its latents
from the VAE's distribution; diffusers' pipeline shows pictures in [-1, 1]. Here it is the pipeline's values,
and the mean of the latents.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    SD3ControlNetModel,
    SD3Transformer2DModel,
)
from diffusers.training_utils import compute_loss_weighting_for_sd3
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer, CLIPTextModelWithProjection, T5EncoderModel

from tests.tiny_models import save_tiny_sd3
from tests.training.conftest import MakeRun
from tests.training.test_exactness_reference import Draws, train_and_listen

pytestmark = pytest.mark.slow

NUM_STEPS = 20
LEARNING_RATE = 1e-3


class Script:
    """diffusers' examples/controlnet/train_controlnet_sd3.py: its models, its step, its optimizer."""

    def __init__(self, base: Path, controlnet: Path, dataset: Path) -> None:
        self.transformer = SD3Transformer2DModel.from_pretrained(base, subfolder="transformer")
        self.transformer.requires_grad_(False)
        self.vae = AutoencoderKL.from_pretrained(base, subfolder="vae").requires_grad_(False)
        self.noise_scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(base, subfolder="scheduler")
        self.tokenizers = [AutoTokenizer.from_pretrained(base / f"tokenizer{n}") for n in ("", "_2", "_3")]
        self.text_encoders = [
            CLIPTextModelWithProjection.from_pretrained(base / "text_encoder"),
            CLIPTextModelWithProjection.from_pretrained(base / "text_encoder_2"),
            T5EncoderModel.from_pretrained(base / "text_encoder_3"),
        ]
        self.controlnet = SD3ControlNetModel.from_pretrained(controlnet).train()
        self.optimizer = torch.optim.AdamW(
            self.controlnet.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8
        )
        self.dataset = dataset
        lines = (dataset / "train.jsonl").read_text(encoding="utf-8").splitlines()
        self.rows = {Path(row["image"]).with_suffix("").as_posix(): row for row in map(json.loads, lines)}

    def step(self, draws: Draws) -> float:
        """Make an optimizer step; return its loss."""
        rows = [self.rows[name] for name in draws.sample_ids]
        posterior = self.vae.encode(self._pixels(rows, "image")).latent_dist
        model_input = self._scaled(posterior.mean + posterior.std * draws.posterior_noise)
        indices = len(self.noise_scheduler.timesteps) - 1 - draws.timesteps  # the script counts from noise
        timesteps = self.noise_scheduler.timesteps[indices]
        sigmas = self._sigmas(timesteps)
        noisy_model_input = (1.0 - sigmas) * model_input + sigmas * draws.noise
        prompt_embeds, pooled = self._encode_prompt([row["text"] for row in rows])
        conditioning = self.vae.encode(self._pixels(rows, "conditioning_image")).latent_dist.mean
        shared = {
            "hidden_states": noisy_model_input,
            "timestep": timesteps,
            "encoder_hidden_states": prompt_embeds,
            "pooled_projections": pooled,
            "return_dict": False,
        }
        residuals = self.controlnet(controlnet_cond=self._scaled(conditioning), **shared)[0]
        model_pred = self.transformer(block_controlnet_hidden_states=residuals, **shared)[0]
        weighting = compute_loss_weighting_for_sd3("logit_normal", sigmas)
        target = draws.noise - model_input
        loss = (weighting * (model_pred - target) ** 2).reshape(len(rows), -1).mean(1).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.controlnet.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

    def _sigmas(self, timesteps: Tensor) -> Tensor:
        steps = [int((self.noise_scheduler.timesteps == t).nonzero()) for t in timesteps]
        return self.noise_scheduler.sigmas[steps].view(-1, 1, 1, 1)

    def _scaled(self, latents: Tensor) -> Tensor:
        return (latents - self.vae.config.shift_factor) * self.vae.config.scaling_factor

    def _pixels(self, rows: list[dict[str, str]], column: str) -> Tensor:
        pictures = [np.array(Image.open(self.dataset / row[column]).convert("RGB")) for row in rows]
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1

    @torch.no_grad()
    def _encode_prompt(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        hidden, pooled = [], []
        for tokenizer, text_encoder, length in zip(
            self.tokenizers, self.text_encoders, (77, 77, 256), strict=True
        ):
            ids = tokenizer(
                captions, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
            ).input_ids
            encoded = text_encoder(ids, output_hidden_states=True)
            is_clip = length == 77
            pooled += [encoded[0]] if is_clip else []
            hidden.append(encoded.hidden_states[-2] if is_clip else encoded[0])
        clip = torch.cat(hidden[:2], -1)
        clip = torch.nn.functional.pad(clip, (0, hidden[2].shape[-1] - clip.shape[-1]))
        return torch.cat([clip, hidden[2]], -2), torch.cat(pooled, -1)


def test_twenty_losses_are_the_scripts(
    make_run: MakeRun, training_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = save_tiny_sd3(tmp_path / "base")
    torch.manual_seed(0)
    transformer = SD3Transformer2DModel.from_pretrained(base, subfolder="transformer")
    controlnet = SD3ControlNetModel.from_transformer(
        transformer, num_layers=3, num_extra_conditioning_channels=0
    )
    controlnet.register_to_config(force_zeros_for_pooled_projection=False)  # as the script trains
    controlnet.save_pretrained(tmp_path / "controlnet")
    run = make_run(
        model_base=str(base),
        controlnet_init=str(tmp_path / "controlnet"),
        fast_start=False,
        learning_rate=LEARNING_RATE,
        lr_scheduler="constant",
        adam_beta2=0.999,
        loss_weighting="none",
        timestep_sampling="uniform",
        timestep_density="logit_normal",
        caption_dropout=0.0,
        max_train_steps=NUM_STEPS,
    )
    losses, draws = train_and_listen(run, monkeypatch)
    script = Script(base, tmp_path / "controlnet", training_set)
    before = {name: p.clone() for name, p in script.controlnet.named_parameters()}
    expected = [script.step(draw) for draw in draws]
    assert losses == pytest.approx(expected, abs=1e-5)
    assert len(set(losses)) == NUM_STEPS

    trained = SD3ControlNetModel.from_pretrained(run.folder / "weights")
    moved = 0
    for (name, ours), theirs in zip(trained.named_parameters(), script.controlnet.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2 * LEARNING_RATE, msg=name)
        moved += not torch.equal(theirs, before[name])
    assert moved > len(before) / 2
