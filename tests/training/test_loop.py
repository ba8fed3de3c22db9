"""The loop in this process: what moves, what it equals, and that it resumes exactly."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDPMScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import load_file
from transformers import AutoTokenizer, CLIPTextModel, CLIPTextModelWithProjection

from skin_pipeline.errors import ConfigurationError, InputError, TrainingError
from skin_pipeline.training import cache as cache_module
from skin_pipeline.training import loop
from skin_pipeline.training.config import TrainingRun, TrainParameters
from skin_pipeline.training.data import read_pixels, read_training_set
from skin_pipeline.training.ending import read_outcome, train_to_an_end
from skin_pipeline.training.lifecycle import EXIT_STOPPED, StopRequest
from skin_pipeline.training.metrics import deterministic_rows, read_metrics
from skin_pipeline.training.sampling import SampleOrder, seed_of
from skin_pipeline.training.sdxl import SDXLFamily
from tests.tiny_models import save_tiny_pipeline, save_training_set
from tests.training.conftest import MakeRun, train_here


def _weights(run: TrainingRun) -> dict[str, torch.Tensor]:
    return load_file(run.folder / "weights" / "diffusion_pytorch_model.safetensors")


def _state(run: TrainingRun, step: int) -> dict[str, Any]:
    """Everything a checkpoint resumes with: weights, optimizer, moving average and pending losses."""
    folder = run.folder / "checkpoints" / f"step_{step:08d}" / "state"
    pickled = {path.name: torch.load(path) for path in sorted(folder.glob("*.bin"))}
    custom = {path.name: torch.load(path) for path in sorted(folder.glob("custom_checkpoint_*.pkl"))}
    return {"weights": load_file(folder / "model.safetensors"), **pickled, **custom}


def _assert_equal(a: Any, b: Any) -> None:
    """Compare nested states bit for bit."""
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            _assert_equal(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            _assert_equal(one, other)
    else:
        assert a == b


def _rows(run: TrainingRun) -> list[dict[str, Any]]:
    return deterministic_rows(read_metrics(run.folder))


def test_only_the_controlnet_moves(
    make_run: MakeRun, tiny_pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []

    class Recorded(SDXLFamily):
        def __init__(self, parameters: Any) -> None:
            super().__init__(parameters)
            self.initial = {name: p.clone() for name, p in self.controlnet.state_dict().items()}
            used.append(self)

    monkeypatch.setattr(loop, "load_family", Recorded)
    run = make_run(max_train_steps=2)
    assert train_here(run)
    (backend,) = used
    fresh = UNet2DConditionModel.from_pretrained(tiny_pipeline, subfolder="unet")
    _assert_equal(dict(backend.unet.state_dict()), dict(fresh.state_dict()))
    assert all(p.grad is None and not p.requires_grad for p in backend.unet.parameters())
    trained = _weights(run)
    assert trained.keys() == backend.initial.keys()
    assert not torch.equal(
        trained["controlnet_mid_block.weight"], backend.initial["controlnet_mid_block.weight"]
    )
    assert ControlNetModel.from_pretrained(run.folder / "weights").config.in_channels == 4
    record = json.loads((run.folder / "weights" / "training.json").read_text())
    assert record["step"] == 2
    assert record["images_seen"] == 8
    assert record["base_model"]["sha256"] == backend.base_digest


def _example_losses(run: TrainingRun) -> list[float]:
    """Train as diffusers' train_controlnet_sdxl.py does, written out: its encoders, step and optimizer."""
    p, folder = run.parameters, Path(run.parameters.model_base)
    torch.manual_seed(p.seed)
    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet").requires_grad_(False)
    vae = AutoencoderKL.from_pretrained(folder, subfolder="vae").requires_grad_(False)
    encoders = [
        CLIPTextModel.from_pretrained(folder / "text_encoder"),
        CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2"),
    ]
    tokenizers = [AutoTokenizer.from_pretrained(folder / name) for name in ("tokenizer", "tokenizer_2")]
    noise_scheduler = DDPMScheduler.from_pretrained(folder, subfolder="scheduler")
    torch.manual_seed(p.seed)
    controlnet = ControlNetModel.from_unet(
        unet, conditioning_embedding_out_channels=p.conditioning_embedding_out_channels
    ).train()
    optimizer = torch.optim.AdamW(
        controlnet.parameters(),
        lr=p.learning_rate,
        betas=(p.adam_beta1, p.adam_beta2),
        weight_decay=p.adam_weight_decay,
    )
    samples = read_training_set(run.dataset_folder, p).train
    losses = []
    for step in range(p.max_train_steps):
        draws = SampleOrder(len(samples), p.train_batch_size, p.seed).batch(step)
        rows = [samples[draw.index] for draw in draws]
        timesteps, posterior_noise, noise = [], [], []
        for row, draw in zip(rows, draws, strict=True):
            g = torch.Generator().manual_seed(seed_of("turn", p.seed, row.id, draw.epoch, draw.step))
            timesteps.append(int(torch.rand(2, generator=g, dtype=torch.float64)[0] * 1000))
            posterior_noise.append(torch.randn(4, 8, 8, generator=g))
            noise.append(torch.randn(4, 8, 8, generator=g))
        pixel_values = torch.stack([read_pixels(row.image) * 2 - 1 for row in rows])
        distribution = vae.encode(pixel_values).latent_dist
        latents = distribution.mean + distribution.std * torch.stack(posterior_noise)
        latents, noise = latents * vae.config.scaling_factor, torch.stack(noise)
        timesteps = torch.tensor(timesteps).long()
        noisy_latents = noise_scheduler.add_noise(latents, noise, timesteps)
        hidden = []
        for tokenizer, encoder in zip(tokenizers, encoders, strict=True):
            ids = tokenizer(
                [row.text for row in rows],
                padding="max_length",
                max_length=tokenizer.model_max_length,
                truncation=True,
                return_tensors="pt",
            ).input_ids
            with torch.no_grad():
                encoded = encoder(ids, output_hidden_states=True)
            hidden.append(encoded.hidden_states[-2])
        added = {"text_embeds": encoded[0], "time_ids": torch.tensor([[64, 64, 0, 0, 64, 64]] * len(rows))}
        down, mid = controlnet(
            noisy_latents,
            timesteps,
            encoder_hidden_states=torch.cat(hidden, -1),
            added_cond_kwargs=added,
            controlnet_cond=torch.stack([read_pixels(row.conditioning_image) for row in rows]),
            return_dict=False,
        )
        model_pred = unet(
            noisy_latents,
            timesteps,
            encoder_hidden_states=torch.cat(hidden, -1),
            added_cond_kwargs=added,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
            return_dict=False,
        )[0]
        if noise_scheduler.config.prediction_type == "epsilon":
            target = noise
        else:
            target = noise_scheduler.get_velocity(latents, noise, timesteps)
        loss = torch.nn.functional.mse_loss(model_pred.float(), target.float(), reduction="mean")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(controlnet.parameters(), p.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("prediction_type", ["v_prediction", "epsilon"])
def test_losses_are_the_diffusers_examples(prediction_type: str, make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(
        model_base=str(save_tiny_pipeline(tmp_path / "base", prediction_type)),
        fast_start=False,
        loss_weighting="none",
        timestep_sampling="uniform",
        caption_dropout=0.0,
        lr_scheduler="constant",
        learning_rate=1e-2,
        max_train_steps=5,
    )
    train_here(run)
    ours = [row["loss"] for row in _rows(run)]
    assert ours == pytest.approx(_example_losses(run), abs=1e-5)
    assert len(set(ours)) == 5


@pytest.mark.parametrize(
    ("first_part", "changes"),
    [
        (1, {}),
        (3, {"log_steps": 4, "ema_decay": 0.9, "num_validation_samples": 2, "validation_steps": 2}),
        (4, {"gradient_accumulation_steps": 4, "dataloader_num_workers": 0}),
        (7, {}),  # the end of an epoch: 4 pictures a step, 7 pictures
    ],
)
def test_interrupted_and_resumed_is_uninterrupted(
    first_part: int, changes: dict[str, Any], make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"max_train_steps": 9, "checkpointing_steps": 100, **changes}
    whole = make_run("whole", **settings)
    assert train_here(whole)

    broken = make_run("broken", **settings)
    report = loop._Training.step

    def step_then_ask(self: Any, step: int, *args: Any) -> Any:
        if step + 1 == first_part:
            self.stop.set("test")
        return report(self, step, *args)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Training, "step", step_then_ask)
        assert not train_here(broken)
    assert read_metrics(broken.folder)[-1]["step"] == first_part
    assert train_here(broken)
    _assert_equal(_weights(broken), _weights(whole))
    _assert_equal(_state(broken, 9), _state(whole, 9))
    assert _rows(broken) == _rows(whole)


def test_accumulation_gives_the_same_training(make_run: MakeRun) -> None:
    runs = [make_run(f"passes_{n}", gradient_accumulation_steps=n, max_train_steps=3) for n in (1, 4)]
    for run in runs:
        train_here(run)
    one, four = (_rows(run) for run in runs)
    assert [row["samples"] for row in one] == [row["samples"] for row in four]
    assert [row["loss"] for row in one] == pytest.approx([row["loss"] for row in four], rel=1e-5)


def test_a_finished_run_is_not_trained_again(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(max_train_steps=2)
    train_here(run)
    before = _weights(run)
    monkeypatch.setattr(loop._Training, "step", None)
    assert train_here(run)
    _assert_equal(_weights(run), before)


def test_encodings_are_made_once_for_all_runs(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    fill = cache_module.fill_cache

    def counted(*args: Any) -> tuple[int, int]:
        counts.append(fill(*args))
        return counts[-1]

    monkeypatch.setattr(loop, "fill_cache", counted)
    train_here(make_run("one", max_train_steps=1))
    monkeypatch.setattr(SDXLFamily, "encode_images", lambda *_: pytest.fail("a picture was encoded again"))
    train_here(make_run("two", max_train_steps=1, learning_rate=5e-4, seed=3, caption_dropout=0.0))
    assert counts == [(10, 4), (0, 0)]  # three captions and the form of no prompt


def test_another_dataset_does_not_resume(make_run: MakeRun, tmp_path: Path) -> None:
    data = save_training_set(tmp_path / "data")
    run = make_run(dataset=data, max_train_steps=2, checkpointing_steps=1)
    train_here(run)
    lines = (data / "train.jsonl").read_text().replace("pink", "gold")
    (data / "train.jsonl").write_text(lines)
    with pytest.raises(
        ConfigurationError, match=r"Run 'run' was begun with something else.*dataset: '\w+' -> "
    ):
        train_here(run)


def test_another_learning_rate_does_not_resume(make_run: MakeRun) -> None:
    train_here(make_run(max_train_steps=1))
    with pytest.raises(ConfigurationError, match=r"parameters.learning_rate: 0.001 -> 0.002"):
        train_here(make_run(max_train_steps=1, learning_rate=2e-3))


def test_a_diverging_run_names_step_pictures_and_checkpoint(make_run: MakeRun) -> None:
    run = make_run(learning_rate=1e30, max_train_steps=9, checkpointing_steps=1)
    with pytest.raises(
        TrainingError,
        match=r"stopped at step \d: .* not finite for images/demo__skin_\d{4}.*checkpoint: step_\d{8}\. Look",
    ):
        train_to_an_end(run)
    outcome = read_outcome(run.folder, run.attempt)
    assert outcome is not None
    assert outcome.status == "failed"
    assert "images/demo__skin" in outcome.message


def test_a_request_before_the_first_step_ends_at_once(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StopRequest, "__bool__", lambda _: True)
    run = make_run()
    assert train_to_an_end(run) == EXIT_STOPPED
    assert not (run.folder / "checkpoints").exists()


def test_pictures_and_held_out_loss_come_on_schedule(make_run: MakeRun) -> None:
    run = make_run(
        max_train_steps=5,
        validation_steps=2,
        num_validation_samples=2,
        num_validation_pictures=2,
        num_timestep_buckets=2,
        validation_inference_steps=2,
        mixed_precision="bf16",
    )
    train_here(run)
    rows = read_metrics(run.folder)
    held_out = [row for row in rows if row["kind"] == "validation"]
    assert [row["step"] for row in held_out] == [0, 2, 4, 5]
    assert held_out[0]["validation_loss"] == pytest.approx(
        (held_out[0]["validation_loss_t0000_0499"] + held_out[0]["validation_loss_t0500_0999"]) / 2
    )
    pictures = [row["path"] for row in rows if row["kind"] == "picture"]
    assert pictures == [f"pictures/step_{step:08d}.png" for step in (0, 2, 4, 5)]
    assert read_pixels(run.folder / pictures[0]).shape == (3, 2 * 64 + 4, 3 * 64 + 2 * 4)


def test_a_missing_picture_is_named(make_run: MakeRun, training_set: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(training_set, data)
    (data / "images" / "demo__skin_0001.png").unlink()
    with pytest.raises(InputError, match=r"train.jsonl, line 2 .* names '.*demo__skin_0001.png'"):
        train_here(make_run(dataset=data))


def test_batch_that_processes_cannot_share_is_refused(make_run: MakeRun) -> None:
    run = make_run().model_copy(update={"num_processes": 2})
    with pytest.raises(TrainingError, match="Expected 2 training processes, 1 run"):
        train_here(run)


def test_weights_stored_in_half_precision_are_used_in_full(tiny_pipeline: Path, tmp_path: Path) -> None:
    stored = tmp_path / "half"
    StableDiffusionXLPipeline.from_pretrained(tiny_pipeline, dtype=torch.float16).save_pretrained(stored)
    backend = SDXLFamily(
        TrainParameters(model_base=str(stored), conditioning_embedding_out_channels=(8, 8, 8, 16))
    )
    assert backend.unet.dtype == backend.controlnet.dtype == torch.float32
    text_encoders = backend._text_encoders()
    assert text_encoders.text_encoder.dtype == text_encoders.text_encoder_2.dtype == torch.float32
    assert backend.encode_text(["pink"]).prompt_embeds.dtype == torch.float32
    assert backend.encode_images(torch.zeros(1, 3, 64, 64)).mean.dtype == torch.float32
