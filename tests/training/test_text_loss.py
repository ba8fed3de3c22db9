"""The text loss of one step: what it equals, and where its gradient goes."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from skin_pipeline.geometry import quads_of
from skin_pipeline.training.backend import Batch, TextEmbeddings
from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.data import random_crop, without_control
from skin_pipeline.training.families import load_family
from skin_pipeline.training.objective import predict, squared_errors
from skin_pipeline.training.sdxl import SDXLFamily
from skin_pipeline.training.text_legends import PictureLegends
from skin_pipeline.training.text_loss import TextLoss, cell_weights, latent_distances, select
from skin_pipeline.training.text_sampling import sample_with_gradient, states_in_sampling
from tests.tiny_models import save_tiny_pipeline, save_tiny_sd3
from tests.training.conftest import random_batch
from tests.training.text_sets import LEGENDS, tiny_recognizer

TEXTS = tuple(text for text, _ in LEGENDS)
QUADS = np.asarray([quad for _, quad in LEGENDS], dtype=float)


def _parameters(folder: Path | str, mode: str = "one_step", **text: Any) -> TrainParameters:
    return TrainParameters(
        model_base=str(folder),
        fast_start=True,
        resolution_px=64,
        conditioning_embedding_out_channels=(8, 8, 8, 16),
        text={"mode": mode, "sampler_steps": 4, "last_steps": 2, "sampled_share": 1.0, **text},
    )


def _family(folder: Path, parameters: TrainParameters) -> SDXLFamily:
    family = SDXLFamily(parameters)
    with torch.no_grad():  # as after some steps: the control has an effect
        for parameter in family.controlnet.parameters():
            parameter.add_(0.02)
    return family


def _batch(family: SDXLFamily, count: int = 2) -> Batch:
    batch = random_batch(family, count)
    legends = tuple(PictureLegends(TEXTS, QUADS, 11 + i, is_sampled=True) for i in range(count))
    pixel_values = torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return replace(
        batch, legends=legends, pixel_values=pixel_values, timesteps=torch.tensor([50, 400][:count])
    )


def _no_text(batch: Batch) -> TextEmbeddings:
    return TextEmbeddings(
        torch.zeros_like(batch.prompt_embeds[:1]), torch.zeros_like(batch.pooled_prompt_embeds[:1])
    )


def _text_loss(family: Any, parameters: TrainParameters, batch: Batch) -> TextLoss:
    return TextLoss(family, parameters, tiny_recognizer(), _no_text(batch))


@pytest.fixture(scope="module")
def epsilon_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_pipeline(tmp_path_factory.mktemp("models") / "epsilon", "epsilon")


class _Mirror:
    """Decodes latents to three of their channels, each cell as a square of 8 pixels."""

    def decode_latents(self, latents: Tensor) -> Tensor:
        return F.interpolate(latents[:, :3], scale_factor=8, mode="nearest")

    def signal_to_noise(self, timesteps: Tensor) -> Tensor:
        return torch.full(timesteps.shape, 3.0)


def _mirrored(tiny_pipeline: Path, **text: Any) -> tuple[TextLoss, Batch]:
    """Return a loss that decodes exactly, and a batch whose latents are its pictures."""
    p = _parameters(tiny_pipeline, **text)
    batch = _batch(SDXLFamily(p))
    batch = replace(batch, pixel_values=F.interpolate(batch.latents[:, :3], scale_factor=8, mode="nearest"))
    return _text_loss(_Mirror(), p, batch), batch


def test_a_right_estimate_has_no_distance_and_a_wrong_one_has(tiny_pipeline: Path) -> None:
    loss, batch = _mirrored(tiny_pipeline)
    right = loss.distances(batch.latents, batch)
    wrong = loss.distances(batch.latents.flip(0), batch)
    assert right.feature.tolist() == [0, 0]
    assert (wrong.feature > 0.1).all()
    assert (right.ctc > 0).all()
    assert right.has_legends.tolist() == [True, True]
    # a window shows the recogniser what the whole picture would
    whole = loss.distances(batch.latents, batch, whole=True)
    torch.testing.assert_close(whole.ctc, right.ctc, rtol=1e-4, atol=1e-5)


def test_a_picture_is_judged_alike_in_every_company(tiny_pipeline: Path) -> None:
    loss, batch = _mirrored(tiny_pipeline)
    estimates = batch.latents + 0.3
    together = loss.distances(estimates, batch)
    alone = loss.distances(estimates[1:], select(batch, [1]))
    torch.testing.assert_close(alone.feature, together.feature[1:])
    torch.testing.assert_close(alone.ctc, together.ctc[1:])


def test_pictures_without_legends_cost_nothing(tiny_pipeline: Path) -> None:
    loss, batch = _mirrored(tiny_pipeline)
    batch = replace(batch, legends=(PictureLegends(), batch.legends[1]))
    distances = loss.distances(batch.latents + 1, batch)
    assert distances.has_legends.tolist() == [False, True]
    assert distances.feature[0] == distances.ctc[0] == 0


def test_strings_that_cannot_be_read_have_no_ctc_loss(tiny_pipeline: Path) -> None:
    loss, batch = _mirrored(tiny_pipeline)
    unknown = tuple(replace(legends, gt_text=("?", "空格")) for legends in batch.legends)
    known = tuple(replace(legends, gt_text=("", "空格")) for legends in batch.legends)
    one = loss.distances(batch.latents, replace(batch, legends=unknown))
    other = loss.distances(batch.latents, replace(batch, legends=known))
    assert torch.equal(one.ctc, other.ctc)
    assert (one.ctc > 0).all()


def test_the_ctc_loss_is_torchs_for_each_place(tiny_pipeline: Path) -> None:
    loss, _ = _mirrored(tiny_pipeline)
    reading = tiny_recognizer()(torch.rand(1, 3, 48, 64))
    found = loss._ctc(reading, ["AB"], torch.tensor([60]))
    log_probs = reading.logits.log_softmax(-1)[0]
    expected = F.ctc_loss(log_probs[:, None], torch.tensor([[1, 2]]), [8], [2], reduction="sum") / 8
    torch.testing.assert_close(found, expected[None])


@pytest.mark.parametrize("kind", ["v_prediction", "epsilon"])
def test_the_weighted_loss_is_the_formula(kind: str, tiny_pipeline: Path, epsilon_pipeline: Path) -> None:
    folder = tiny_pipeline if kind == "v_prediction" else epsilon_pipeline
    p = _parameters(folder, feature_weight=0.5, ctc_weight=0.25, timestep_limit=300)
    family = _family(folder, p)
    batch = _batch(family)
    loss = _text_loss(family, p, batch)
    prediction = family.target(batch)  # a right one: the estimate is the latents
    found = loss(family.controlnet, batch, prediction, contextlib.nullcontext, 0)
    distances = loss.distances(batch.latents, batch)
    abar = family.scheduler.alphas_cumprod[50]
    expected = abar * (0.5 * distances.feature[0] + 0.25 * distances.ctc[0])
    torch.testing.assert_close(found[0], expected, rtol=2e-3, atol=1e-5)
    assert found[1] == 0  # above the timestep limit


def test_unweighted_timesteps_count_alike(tiny_pipeline: Path) -> None:
    p = _parameters(tiny_pipeline, timestep_weighting="none", timestep_limit=1000)
    family = _family(tiny_pipeline, p)
    batch = _batch(family)
    loss = _text_loss(family, p, batch)
    found = loss(family.controlnet, batch, family.target(batch), contextlib.nullcontext, 0)
    distances = loss.distances(batch.latents, batch)
    expected = p.text.feature_weight * distances.feature + p.text.ctc_weight * distances.ctc
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("mode", ["one_step", "last_steps", "both", "sampled"])
def test_the_gradient_reaches_the_controlnet_alone(mode: str, tiny_pipeline: Path) -> None:
    p = _parameters(tiny_pipeline, mode)
    family = _family(tiny_pipeline, p)
    batch = _batch(family)
    loss = _text_loss(family, p, batch)
    prediction, target = predict(family, family.controlnet, batch, contextlib.nullcontext())
    text = loss(family.controlnet, batch, prediction, contextlib.nullcontext, 0)
    assert (text > 0).any()
    text.mean().backward()
    gradients = [q.grad for q in family.controlnet.parameters() if q.grad is not None]
    assert gradients
    assert max(float(gradient.abs().max()) for gradient in gradients) > 0
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
    frozen = [*family.unet.parameters(), *family._kept_vae().parameters(), *loss._recognizer.parameters()]
    assert all(q.grad is None and not q.requires_grad for q in frozen)
    assert squared_errors(prediction, target).isfinite().all()


@pytest.mark.parametrize("mode", ["both", "sampled"])
def test_flows_are_supervised_too(mode: str, tmp_path: Path) -> None:
    p = _parameters(save_tiny_sd3(tmp_path / "sd3"), mode, sampler_start=0.5)
    family = load_family(p)
    batch = family.empty_batch(2, 64)
    generator = torch.Generator().manual_seed(0)
    filled = {
        name: torch.randn(value.shape, generator=generator)
        for name, value in vars(batch).items()
        if isinstance(value, Tensor) and value.is_floating_point()
    }
    legends = tuple(PictureLegends(TEXTS, QUADS, 11 + i, is_sampled=True) for i in range(2))
    pixel_values = torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1
    batch = replace(
        batch, **filled, timesteps=torch.tensor([50, 400]), legends=legends, pixel_values=pixel_values
    )
    prediction, _ = predict(family, family.controlnet, batch, contextlib.nullcontext())
    loss = _text_loss(family, p, batch)(family.controlnet, batch, prediction, contextlib.nullcontext, 0)
    assert loss.isfinite().all()
    assert (loss > 0).all()
    loss.mean().backward()
    gradients = [q.grad for q in family.controlnet.parameters() if q.grad is not None]
    assert max(float(gradient.abs().max()) for gradient in gradients) > 0
    assert all(q.grad is None for part in family.frozen_parts.values() for q in part.parameters())


def test_the_sampler_is_inferences(tiny_pipeline: Path) -> None:
    p = _parameters(tiny_pipeline, "sampled", guidance_scale=3.0)
    family = _family(tiny_pipeline, p)
    batch = _batch(family)
    pipeline, starts = family.build_pipeline(family.controlnet), []

    def keep(_: Any, step: int, timestep: Tensor, values: dict[str, Tensor]) -> dict[str, Tensor]:
        starts.append(values["latents"])
        return values

    with torch.no_grad():
        found, _ = sample_with_gradient(
            family, family.controlnet, batch, _no_text(batch), p.text, contextlib.nullcontext
        )
        noise = torch.cat([_noise_of(batch, index) for index in range(2)])
        expected = pipeline(
            image=batch.conditioning_pixel_values,
            prompt_embeds=batch.prompt_embeds,
            pooled_prompt_embeds=batch.pooled_prompt_embeds,
            negative_prompt_embeds=torch.zeros_like(batch.prompt_embeds),
            negative_pooled_prompt_embeds=torch.zeros_like(batch.pooled_prompt_embeds),
            latents=noise,
            height=64,
            width=64,
            num_inference_steps=4,
            guidance_scale=3.0,
            output_type="latent",
            callback_on_step_end=keep,
        ).images
        states, _ = states_in_sampling(
            family,
            family.controlnet,
            batch,
            _no_text(batch),
            whole_way(p).text,
            contextlib.nullcontext,
            [1, 3],
        )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    assert len(states) == 2
    for state, before in zip(states, (starts[0], starts[2]), strict=True):
        torch.testing.assert_close(state.noisy_latents, before, rtol=1e-3, atol=1e-3)


def whole_way(p: TrainParameters) -> TrainParameters:
    return p.model_copy(update={"text": p.text.model_copy(update={"sampler_start": 1.0})})


def _noise_of(batch: Batch, index: int) -> Tensor:
    from skin_pipeline.training.sampling import seed_of

    generator = torch.Generator().manual_seed(seed_of("start", batch.legends[index].seed))
    return torch.randn(batch.latents[:1].shape, generator=generator)


def test_a_short_way_starts_from_the_real_picture(tiny_pipeline: Path) -> None:
    p = _parameters(tiny_pipeline, "last_steps", sampler_start=0.5)
    family = _family(tiny_pipeline, p)
    batch = _batch(family)
    (state,), _ = states_in_sampling(
        family, family.controlnet, batch, _no_text(batch), p.text, contextlib.nullcontext, [2]
    )
    sampler = family.make_sampler()
    sampler.set_timesteps(4)
    noise = torch.cat([_noise_of(batch, index) for index in range(2)])
    expected = family.scheduler.add_noise(batch.latents, noise, state.timesteps)
    assert state.timesteps.tolist() == [int(sampler.timesteps[2])] * 2
    torch.testing.assert_close(state.noisy_latents, expected, rtol=1e-3, atol=1e-3)


def test_states_come_from_all_parts_of_the_last_steps(tiny_pipeline: Path) -> None:
    settings = {"sampler_steps": 20, "last_steps": 10, "sampled_states": 3}
    p = _parameters(tiny_pipeline, "last_steps", **settings)
    loss = _text_loss(_Mirror(), p, _batch(SDXLFamily(p)))
    drawn = [loss._steps_to_read(step) for step in range(200)]
    assert [set(part) for part in zip(*drawn, strict=True)] == [{10, 11, 12}, {13, 14, 15, 16}, {17, 18, 19}]
    few = _parameters(tiny_pipeline, "last_steps", sampler_steps=4, last_steps=2, sampled_states=3)
    assert _text_loss(_Mirror(), few, _batch(SDXLFamily(few)))._steps_to_read(0) == [2, 3]


def test_several_states_count_as_their_mean(tiny_pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    p = _parameters(tiny_pipeline, "last_steps", sampled_states=2)
    family = _family(tiny_pipeline, p)
    batch = _batch(family)
    loss = _text_loss(family, p, batch)

    def of(steps: list[int]) -> Tensor:
        monkeypatch.setattr(loss, "_steps_to_read", lambda _step: steps)
        return loss(family.controlnet, batch, batch.latents, contextlib.nullcontext, 0)

    torch.testing.assert_close(of([2, 3]), (of([2]) + of([3])) / 2, rtol=1e-4, atol=1e-6)


def test_latents_are_compared_where_legends_are(tiny_pipeline: Path) -> None:
    batch = _batch(SDXLFamily(_parameters(tiny_pipeline)))
    batch = replace(batch, boxes=(quads_of([8, 8, 24, 16]), ()))  # two cells of the first picture
    estimate = batch.latents.clone()
    estimate[0, :, 1, 1] += 2.0
    estimate[0, :, 5, 5] += 9.0
    estimate[1] += 9.0
    torch.testing.assert_close(latent_distances(estimate, batch), torch.tensor([2.0, 0.0]))


def test_the_distance_of_latents_is_weighed_in(tiny_pipeline: Path) -> None:
    found = []
    for weight in (0.0, 0.5):
        p = _parameters(tiny_pipeline, timestep_limit=1000, timestep_weighting="none", latent_weight=weight)
        family = _family(tiny_pipeline, p)
        batch = replace(_batch(family), boxes=(QUADS, QUADS))
        loss = _text_loss(family, p, batch)
        found.append(loss(family.controlnet, batch, batch.latents, contextlib.nullcontext, 0))
    estimate = family.predict_clean_latents(batch.latents, family.add_noise(batch), batch.timesteps)
    torch.testing.assert_close(found[1] - found[0], 0.5 * latent_distances(estimate, batch))


def test_a_crop_keeps_strings_and_picture_with_their_quads(tiny_pipeline: Path) -> None:
    batch = select(_batch(SDXLFamily(_parameters(tiny_pipeline))), [0])
    quads = quads_of([[8, 8, 20, 20], [40, 40, 60, 56]])
    batch = replace(batch, boxes=(quads.tolist(),), texts=(("left", "right"),))
    assert batch.pixel_values is not None
    seen = set()
    for seed in range(20):
        crop = random_crop(batch, 48, torch.Generator().manual_seed(seed))
        top, left = crop.sizes[0, 2:4].tolist()
        assert crop.pixel_values is not None
        expected = batch.pixel_values[..., top : top + 48, left : left + 48]
        assert torch.equal(crop.pixel_values, expected)
        assert len(crop.texts[0]) == len(crop.boxes[0])
        for text, quad in zip(crop.texts[0], crop.boxes[0], strict=True):
            whole = quads[("left", "right").index(text)]
            np.testing.assert_allclose(np.add(quad, (left, top)), whole)
            seen.add(text)
    assert seen == {"left", "right"}
    assert without_control(batch).texts == ((),)


def test_cells_under_legends_weigh_more(tiny_pipeline: Path) -> None:
    batch = replace(_batch(SDXLFamily(_parameters(tiny_pipeline))), boxes=(quads_of([8, 8, 20, 16]), ()))
    weights = cell_weights(batch, 3.0)
    assert weights.shape == (2, 1, 8, 8)
    torch.testing.assert_close(weights.mean((1, 2, 3)), torch.ones(2))
    ratios = weights[0, 0] / weights[0, 0, 0, 0]
    assert ratios[1, :4].tolist() == pytest.approx([1, 3, 2, 1])
    assert weights[1].eq(1).all()
