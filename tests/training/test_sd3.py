"""The SD3 family: what its steps compute, what moves, what is kept, and what it refuses."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import SD3ControlNetModel, SD3Transformer2DModel, StableDiffusion3Pipeline
from safetensors.torch import load_file
from torch import Tensor, nn

from skin_pipeline.errors import ConfigurationError
from skin_pipeline.training.backend import Batch
from skin_pipeline.training.config import TrainingRun, TrainParameters
from skin_pipeline.training.estimate import build_empty, describe, estimate_memory
from skin_pipeline.training.families import load_family
from skin_pipeline.training.metrics import read_metrics
from skin_pipeline.training.objective import LossWeights, predict, squared_errors
from skin_pipeline.training.sd3 import NEW_LAYERS, SD3Family
from tests.tiny_models import save_tiny_sd3
from tests.training.conftest import MakeRun, train_here


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_sd3(tmp_path_factory.mktemp("models") / "sd3")


@pytest.fixture
def make_sd3(make_run: MakeRun, base: Path) -> MakeRun:
    """Return a maker of small runs on SD3, as SD3 is trained."""

    def make(name: str = "run", **changes: Any) -> TrainingRun:
        settings = {
            "model_base": str(base),
            "loss_weighting": "none",
            "timestep_density": "logit_normal",
            "learning_rate": 1e-3,
        }
        return make_run(name, **{**settings, **changes})

    return make


def _parameters(base: Path, **changes: Any) -> TrainParameters:
    return TrainParameters(**{"model_base": str(base), "resolution_px": 64, "fast_start": True, **changes})


def _load(base: Path, **changes: Any) -> SD3Family:
    family = load_family(_parameters(base, **changes))
    assert isinstance(family, SD3Family)
    return family


def _batch(family: SD3Family, count: int = 2) -> Batch:
    """Return noise that fits a model, the same each time."""
    generator, empty = torch.Generator().manual_seed(0), family.empty_batch(count, 64)

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator)

    return Batch(
        sample_ids=tuple(map(str, range(count))),
        latents=noise(empty.latents),
        noise=noise(empty.noise),
        timesteps=torch.randint(0, 1000, (count,), generator=generator),
        conditioning_pixel_values=torch.rand(empty.conditioning_pixel_values.shape, generator=generator),
        prompt_embeds=noise(empty.prompt_embeds),
        pooled_prompt_embeds=noise(empty.pooled_prompt_embeds),
        sizes=torch.zeros(count, 6, dtype=torch.int64),
    )


def _prediction(family: SD3Family, controlnet: nn.Module, batch: Batch) -> Tensor:
    with torch.no_grad():
        return predict(family, controlnet, batch, torch.autocast("cpu", enabled=False))[0]


def _move(family: SD3Family) -> None:
    """Change all that is trained, as training would."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for group in family.parameter_groups():
            for parameter in group["params"]:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def _weights(run: TrainingRun) -> dict[str, Tensor]:
    return load_file(run.folder / "weights" / "diffusion_pytorch_model.safetensors")


# --- steps -------------------------------------------------------------------------------------------------


def test_noise_target_and_estimate_are_those_of_straight_paths(base: Path) -> None:
    family = _load(base)
    batch = _batch(family)
    sigmas = family.scheduler.sigmas.sort().values[batch.timesteps].view(-1, 1, 1, 1)
    noisy = family.add_noise(batch)
    torch.testing.assert_close(noisy, batch.latents + sigmas * (batch.noise - batch.latents))
    clean = family.predict_clean_latents(family.target(batch), noisy, batch.timesteps)
    torch.testing.assert_close(clean, batch.latents, rtol=1e-5, atol=1e-5)
    ends = family.signal_to_noise(torch.tensor([0, 999]))
    assert ends[0] > 1e4
    assert ends[1] == 0


def test_weightings_are_defined_for_flow(base: Path) -> None:
    family = _load(base)
    timesteps = torch.arange(1000)
    sigmas = family.scheduler.sigmas.sort().values
    x0 = LossWeights(family, _parameters(base, loss_weighting="x0"))(timesteps)
    torch.testing.assert_close(x0, sigmas**2 / (sigmas**2).mean(), rtol=1e-4, atol=1e-7)
    batch = _batch(family)
    noisy, wrong = family.add_noise(batch), family.target(batch) + 0.5
    picture = family.predict_clean_latents(wrong, noisy, batch.timesteps)
    ratio = squared_errors(picture, batch.latents) / squared_errors(wrong, family.target(batch))
    torch.testing.assert_close(x0[batch.timesteps] * (sigmas**2).mean(), ratio, rtol=1e-3, atol=1e-6)
    min_snr = LossWeights(family, _parameters(base, loss_weighting="min_snr", snr_gamma=5.0))(timesteps)
    snr = ((1 - sigmas) / sigmas) ** 2
    torch.testing.assert_close(min_snr, snr.clamp(max=5) * sigmas**2, rtol=1e-4, atol=1e-6)


def test_first_prediction_is_the_bases_and_the_base_never_moves(base: Path) -> None:
    family = _load(base)
    batch = _batch(family)
    alone = family.denoise_forward(family.add_noise(batch), batch, None)
    assert torch.equal(_prediction(family, family.controlnet, batch), alone)
    _move(family)
    assert not torch.equal(_prediction(family, family.controlnet, batch), alone)
    fresh = SD3Transformer2DModel.from_pretrained(base, subfolder="transformer")
    assert family.transformer.config.num_layers == fresh.config.num_layers == 4
    for name, tensor in fresh.state_dict().items():
        assert torch.equal(family.transformer.state_dict()[name], tensor), name
    assert not any(p.requires_grad for part in family.frozen_parts.values() for p in part.parameters())


@pytest.mark.parametrize("kind", ["full", "lora"])
@pytest.mark.parametrize("config", [{}, {"qk_norm": "rms_norm", "dual_attention_layers": (0, 1)}])
def test_all_that_is_trained_has_a_gradient(kind: str, config: dict[str, Any], tmp_path: Path) -> None:
    """Processes that share gradients would wait for one that never comes; also for SD3.5's kind of blocks."""
    base = save_tiny_sd3(tmp_path, **config)
    family = _load(base, controlnet_kind=kind, controlnet_lora_rank=2, gradient_checkpointing=True)
    _move(family)
    prediction, target = predict(
        family, family.controlnet, _batch(family), torch.autocast("cpu", enabled=False)
    )
    squared_errors(prediction, target).mean().backward()
    trained = {name: p for name, p in family.controlnet.named_parameters() if p.requires_grad}
    assert all(p.grad is not None and bool(p.grad.any()) for p in trained.values())
    frozen = {name for name, _ in family.controlnet.named_parameters()} - trained.keys()
    if kind == "full":
        assert frozen
        assert all(name.startswith("transformer_blocks.1.") for name in frozen)


def test_recomputing_changes_no_gradient(base: Path) -> None:
    gradients = []
    for is_recomputing in (False, True):
        family = _load(base, gradient_checkpointing=is_recomputing)
        _move(family)
        errors = squared_errors(
            *predict(family, family.controlnet, _batch(family), torch.autocast("cpu", enabled=False))
        )
        errors.mean().backward()
        gradients.append([p.grad for group in family.parameter_groups() for p in group["params"]])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_fast_start_opens_where_the_control_enters(base: Path) -> None:
    slow, fast = (_load(base, fast_start=is_fast).controlnet for is_fast in (False, True))
    assert not slow.pos_embed_input.proj.weight.any()
    assert torch.equal(fast.pos_embed_input.proj.weight, fast.pos_embed.proj.weight)
    assert not any(p.any() for p in fast.controlnet_blocks.parameters())


@pytest.mark.parametrize("is_plain", [False, True])
def test_control_is_seen_as_inference_shows_it(base: Path, tmp_path: Path, is_plain: bool) -> None:
    """diffusers' pipeline itself calls the ControlNet with what a training step does."""
    family = _load(base)
    family.controlnet.register_to_config(force_zeros_for_pooled_projection=is_plain)
    family.save_weights(family.controlnet, tmp_path)
    given = _load(base, controlnet_init=str(tmp_path), fast_start=False)
    seen: list[dict[str, Tensor]] = []
    given.controlnet.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs), with_kwargs=True
    )
    batch = _batch(given, 1)
    given.control_forward(given.controlnet, given.add_noise(batch), batch)
    text = given.encode_no_text()
    given.draw_pictures(given.build_pipeline(given.controlnet), batch, text, [0], steps=1, guidance=1.0)
    trained, inferred = seen
    assert torch.equal(trained["controlnet_cond"], inferred["controlnet_cond"])
    assert torch.equal(trained["pooled_projections"], inferred["pooled_projections"])
    assert bool(trained["pooled_projections"].any()) is not is_plain


# --- encodings ---------------------------------------------------------------------------------------------


def test_captions_are_encoded_as_the_pipeline_does(base: Path) -> None:
    family = _load(base)
    pipeline = StableDiffusion3Pipeline.from_pretrained(base)
    encoded = family.encode_text(["pink keys"])
    embeds, negative, pooled, negative_pooled = pipeline.encode_prompt("pink keys", None, None)
    assert encoded.prompt_embeds.shape == (1, 77 + 256, 128)
    torch.testing.assert_close(encoded.prompt_embeds, embeds)
    torch.testing.assert_close(encoded.pooled_prompt_embeds, pooled)
    none = family.encode_no_text()
    torch.testing.assert_close(none.prompt_embeds, negative)
    torch.testing.assert_close(none.pooled_prompt_embeds, negative_pooled)


def test_latents_are_shifted_and_scaled_and_come_back(base: Path) -> None:
    family = _load(base)
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1
    encoded = family.encode_images(pixels)
    plain = family.vae.encode_posterior(pixels)
    torch.testing.assert_close(encoded.mean, (plain.mean - 0.0609) * 1.5305)
    torch.testing.assert_close(encoded.std, plain.std * 1.5305)
    latents = encoded.mean.clone().requires_grad_()
    pictures = family.decode_latents(latents)
    torch.testing.assert_close(pictures, family.vae.decode(plain.mean).sample, rtol=1e-4, atol=1e-5)
    pictures.sum().backward()
    assert latents.grad is not None
    assert latents.grad.any()


def test_t5_may_be_absent(tmp_path: Path) -> None:
    family = _load(save_tiny_sd3(tmp_path / "base", has_t5=False))
    encoded = family.encode_text(["pink keys"])
    assert encoded.prompt_embeds.shape == (1, 77 + 256, 128)
    assert encoded.prompt_embeds[:, :77].any()
    assert not encoded.prompt_embeds[:, 77:].any()


# --- the light ControlNet ----------------------------------------------------------------------------------


def test_light_controlnet_shares_weights_and_saves_an_ordinary_one(base: Path, tmp_path: Path) -> None:
    family = _load(base, controlnet_kind="lora", controlnet_lora_rank=2)
    block = family.controlnet.transformer_blocks[0]
    assert block.attn.to_q.base_layer.weight is family.transformer.transformer_blocks[0].attn.to_q.weight
    trained = {name for name, p in family.controlnet.named_parameters() if p.requires_grad}
    assert all(name.startswith(NEW_LAYERS) or ".lora_" in name for name in trained)
    batch = _batch(family)
    alone = family.denoise_forward(family.add_noise(batch), batch, None)
    assert torch.equal(_prediction(family, family.controlnet, batch), alone)
    _move(family)
    family.save_weights(family.controlnet, tmp_path)
    plain = SD3ControlNetModel.from_pretrained(tmp_path)
    expected = _prediction(family, family.controlnet, batch)
    torch.testing.assert_close(_prediction(family, plain, batch), expected, rtol=1e-4, atol=1e-5)


# --- runs --------------------------------------------------------------------------------------------------


def test_a_run_leaves_losses_by_stretch_pictures_and_weights(make_sd3: MakeRun) -> None:
    run = make_sd3(
        max_train_steps=3,
        mixed_precision="bf16",
        validation_steps=3,
        num_validation_samples=2,
        num_validation_pictures=1,
        validation_inference_steps=2,
        gradient_accumulation_steps=2,
        control_dropout=0.5,
        crop_px=32,
        ema_decay=0.9,
    )
    assert train_here(run)
    rows = read_metrics(run.folder)
    validation = [row for row in rows if row["kind"] == "validation"]
    assert len(validation) == 2
    assert {name for name in validation[0] if name.startswith("validation_loss_t")} == {
        *("validation_loss_t0000_0249", "validation_loss_t0250_0499"),
        *("validation_loss_t0500_0749", "validation_loss_t0750_0999"),
    }
    assert validation[0]["validation_loss"] != validation[1]["validation_loss"]
    assert (run.folder / "pictures" / "step_00000003.png").is_file()
    trained = SD3ControlNetModel.from_pretrained(run.folder / "weights")
    assert trained.dtype == torch.float32
    assert trained.config.num_layers == 2
    assert trained.config.force_zeros_for_pooled_projection is False


def test_estimate_counts_transformer_vae_and_controlnet(base: Path, make_sd3: MakeRun) -> None:
    p = _parameters(base, mixed_precision="bf16", train_batch_size=2)
    memory = estimate_memory(build_empty(p), p, "bf16", "cpu", 2)
    family = _load(base)
    trained = sum(p.numel() for group in family.parameter_groups() for p in group["params"])
    frozen = sum(t.numel() for t in (*family.transformer.parameters(), *family.transformer.buffers()))
    assert memory.parts["transformer"] == 2 * frozen
    assert memory.parts["vae"] == 4 * sum(t.numel() for t in family.vae.parameters())
    assert memory.parts["gradients"] == 4 * trained < memory.parts["controlnet"]
    recomputing = p.model_copy(update={"gradient_checkpointing": True})
    less = estimate_memory(build_empty(recomputing), recomputing, "bf16", "cpu", 2)
    assert less.parts["activations"] < memory.parts["activations"]


@pytest.mark.slow
def test_dry_run_names_the_parts(make_sd3: MakeRun) -> None:
    summary = json.loads(describe(make_sd3()))
    assert {"transformer_frozen", "vae_frozen", "controlnet_trained"} == summary["num_parameters"].keys()
    assert {"transformer", "vae", "controlnet"} < summary["memory_gib"].keys()


@pytest.mark.slow
def test_held_out_loss_falls_and_the_control_is_heeded(make_sd3: MakeRun, base: Path) -> None:
    run = make_sd3(max_train_steps=80, validation_steps=40, num_validation_samples=3, caption_dropout=0.0)
    assert train_here(run)
    losses = [row["validation_loss"] for row in read_metrics(run.folder) if row["kind"] == "validation"]
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] < 0.9 * losses[0]
    trained = _load(base, controlnet_init=str(run.folder / "weights"), fast_start=False)
    batch = _batch(trained)
    swapped = replace(batch, conditioning_pixel_values=batch.conditioning_pixel_values.flip(0))
    alone = trained.denoise_forward(trained.add_noise(batch), batch, None)
    own, other = (_prediction(trained, trained.controlnet, some) for some in (batch, swapped))
    by_control, by_swap = squared_errors(own, alone), squared_errors(own, other)
    assert (by_control > 0.01 * alone.var()).all()
    assert (by_swap > 1e-5).all()  # an untrained VAE shows little of the control


@pytest.mark.slow
@pytest.mark.parametrize("first_steps", [1, 3])
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_interrupted_and_resumed_is_uninterrupted(
    kind: str, first_steps: int, make_sd3: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skin_pipeline.training import loop

    settings = {
        "controlnet_kind": kind,
        "controlnet_lora_rank": 2,
        "max_train_steps": 6,
        "ema_decay": 0.9,
        "control_dropout": 0.3,
        "gradient_accumulation_steps": 2,
        "mixed_precision": "bf16",
        "num_validation_samples": 2,
        "validation_steps": 2,
    }
    whole, broken = make_sd3("whole", **settings), make_sd3("broken", **settings)
    assert train_here(whole)
    step = loop._Training.step

    def step_then_ask(self: Any, number: int, *args: Any) -> Any:
        if number == first_steps - 1:
            self.stop.set("test")
        return step(self, number, *args)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Training, "step", step_then_ask)
        assert not train_here(broken)
    assert train_here(broken)
    files = [
        "weights/diffusion_pytorch_model.safetensors",
        "checkpoints/step_00000006/state/model.safetensors",
    ]
    for file in files:
        one, other = (load_file(run.folder / file) for run in (whole, broken))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one), file
    losses = [
        [(row["step"], row["loss"]) for row in read_metrics(run.folder) if row["kind"] == "train"]
        for run in (whole, broken)
    ]
    assert dict(losses[0]) == dict(losses[1])
    state = load_file(whole.folder / files[1])
    is_light = all(name.startswith(NEW_LAYERS) or ".lora_" in name or ".pos_embed" in name for name in state)
    assert is_light is (kind == "lora")


# --- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution_px": 72}, r"resolution_px must be a multiple of 16 up to 192 .* got 72"),
        ({"resolution_px": 208}, r"resolution_px must be a multiple of 16 up to 192 .* got 208"),
        ({"controlnet_num_layers": 4}, r"controlnet_num_layers must be less than the 4 blocks"),
    ],
)
def test_what_does_not_fit_is_named(base: Path, changes: dict[str, Any], message: str) -> None:
    p = _parameters(base, **changes)
    for load in (load_family, build_empty):
        with pytest.raises(ConfigurationError, match=message):
            load(p)


def test_a_schedule_that_moves_is_refused(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "base")
    config = tmp_path / "base/scheduler/scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "use_dynamic_shifting": True}))
    with pytest.raises(ConfigurationError, match="use_dynamic_shifting"):
        load_family(_parameters(tmp_path / "base"))


@pytest.fixture
def controlnets(base: Path, tmp_path: Path) -> dict[str, Path]:
    """An SD3 ControlNet of another width, and a folder that calls itself an SDXL ControlNet."""
    narrow, sdxl = tmp_path / "narrow", tmp_path / "sdxl"
    SD3ControlNetModel(
        num_layers=1, num_attention_heads=1, sample_size=8, pos_embed_max_size=12
    ).save_pretrained(narrow)
    shutil.copytree(narrow, sdxl)
    config = json.loads((sdxl / "config.json").read_text())
    (sdxl / "config.json").write_text(json.dumps({**config, "_class_name": "ControlNetModel"}))
    return {"narrow": narrow, "sdxl": sdxl}


def test_a_controlnet_of_another_width_is_refused(base: Path, controlnets: dict[str, Path]) -> None:
    with pytest.raises(ConfigurationError, match=r"does not fit .* expected attention_head_dim 16, got 64"):
        load_family(_parameters(base, controlnet_init=str(controlnets["narrow"]), fast_start=False))


@pytest.mark.parametrize("ask", [TrainParameters.preflight, load_family, build_empty])
@pytest.mark.parametrize("is_sd3", [True, False])
def test_a_controlnet_of_another_family_is_refused(
    ask: Any, is_sd3: bool, base: Path, tiny_pipeline: Path, controlnets: dict[str, Path]
) -> None:
    model, given = (base, controlnets["sdxl"]) if is_sd3 else (tiny_pipeline, controlnets["narrow"])
    takes = "SD3ControlNetModel" if is_sd3 else "ControlNetModel"
    with pytest.raises(
        ConfigurationError, match=rf"controlnet_init '{given}' is of .* takes class {takes}\."
    ):
        ask(_parameters(model, controlnet_init=str(given), fast_start=False))


def test_a_unet_has_no_number_of_layers(tiny_pipeline: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"controlnet_num_layers .* is for transformers"):
        load_family(_parameters(tiny_pipeline, controlnet_num_layers=2))
