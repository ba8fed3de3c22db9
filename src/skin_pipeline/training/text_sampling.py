"""Pictures that the model samples itself in the middle of training.

The sampler is inference's own: the same scheduler, number of steps and guidance.

Shapes: B pictures, C latent channels, h w latent cells.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from skin_pipeline.training.backend import Batch, ModelFamily, TextEmbeddings
from skin_pipeline.training.sampling import seed_of
from skin_pipeline.training.text_parameters import TextParameters

Autocast = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class State:
    """Where a sampler stands.

    Attributes:
        noisy_latents: (B, C, h, w), of its own making.
        timesteps: (B,), places in the noise schedule.
    """

    noisy_latents: Tensor
    timesteps: Tensor


Guided = Callable[[State], Tensor]


def states_in_sampling(
    backend: ModelFamily,
    controlnet: nn.Module,
    batch: Batch,
    no_text: TextEmbeddings,
    parameters: TextParameters,
    autocast: Autocast,
    steps: Sequence[int],
) -> tuple[list[State], Guided]:
    """Sample, without gradient, as far as the last of some of the sampler's steps.

    Args:
        backend: The frozen parts.
        controlnet: The trained one, perhaps wrapped.
        batch: What to sample; its legends' seeds decide the noise.
        no_text: For classifier-free guidance.
        parameters: Steps, guidance, and how much of the way the sampler goes itself.
        autocast: Makes the context of a forward pass.
        steps: The sampler's steps to stop before, counted from 0, rising.

    Returns:
        The state before each, without history, and the function that predicts from one, with gradient.
    """
    guided = _guided_prediction(backend, controlnet, batch, no_text, parameters.guidance_scale, autocast)
    sampler = _sampler(backend, batch, parameters.sampler_steps)
    first = min(steps[0], round((1 - parameters.sampler_start) * parameters.sampler_steps))
    states = []
    with torch.no_grad():
        latents = _start(backend, sampler, batch, first)
        for step, timestep in enumerate(sampler.timesteps[first : steps[-1] + 1], first):
            state = _state(backend, latents, timestep)
            if step in steps:
                states.append(state)
            if step < steps[-1]:
                latents = sampler.step(guided(state), timestep, latents, return_dict=False)[0]
    return states, guided


def sample_with_gradient(
    backend: ModelFamily,
    controlnet: nn.Module,
    batch: Batch,
    no_text: TextEmbeddings,
    parameters: TextParameters,
    autocast: Autocast,
) -> tuple[Tensor, Tensor]:
    """Sample from noise to the end with the gradient through every call.

    Returns:
        Clean latents (B, C, h, w), and timestep 0 for each (B,).
    """
    guided = _guided_prediction(backend, controlnet, batch, no_text, parameters.guidance_scale, autocast)
    sampler = _sampler(backend, batch, parameters.sampler_steps)
    latents = _start(backend, sampler, batch, 0)
    for timestep in sampler.timesteps:
        prediction = guided(_state(backend, latents, timestep))
        latents = sampler.step(prediction, timestep, latents, return_dict=False)[0]
    return latents, torch.zeros(len(latents), dtype=torch.int64, device=latents.device)


def _sampler(backend: ModelFamily, batch: Batch, steps: int) -> Any:
    sampler = backend.make_sampler()
    sampler.set_timesteps(steps, device=batch.latents.device)
    return sampler


def _start(backend: ModelFamily, sampler: Any, batch: Batch, first: int) -> Tensor:
    """Return the latents that a step starts from: noise, or the real ones under as much noise as it has."""
    noise = torch.cat(
        [
            torch.randn(one.shape, generator=torch.Generator().manual_seed(seed_of("start", legends.seed)))
            for one, legends in zip(batch.latents[:, None], batch.legends, strict=True)
        ]
    ).to(batch.latents)
    if first == 0:
        return noise * getattr(sampler, "init_noise_sigma", 1.0)
    sampler.set_begin_index(first)
    places = _state(backend, noise, sampler.timesteps[first]).timesteps
    return backend.add_noise(replace(batch, noise=noise, timesteps=places))


def _state(backend: ModelFamily, latents: Tensor, timestep: Tensor) -> State:
    """Return where a sampler stands; a flow's sampler counts in times, each taken as the nearest place."""
    if backend.prediction_type == "flow":
        count = backend.num_train_timesteps
        snr = backend.signal_to_noise(torch.arange(count, device=latents.device))
        timestep = (count / (1 + snr.sqrt()) - timestep).abs().argmin()
    return State(latents, timestep.to(torch.int64).expand(len(latents)))


def _guided_prediction(
    backend: ModelFamily,
    controlnet: nn.Module,
    batch: Batch,
    no_text: TextEmbeddings,
    guidance_scale: float,
    autocast: Autocast,
) -> Guided:
    """Return the function that predicts from a state as inference does, control and guidance included."""
    is_guided = guidance_scale > 1
    conditions = _with_no_text(batch, no_text) if is_guided else batch

    def predict(state: State) -> Tensor:
        repeats = 2 if is_guided else 1
        noisy_latents = state.noisy_latents.repeat(repeats, 1, 1, 1)
        turn = replace(conditions, timesteps=state.timesteps.repeat(repeats))
        with autocast():
            control = backend.control_forward(controlnet, noisy_latents, turn)
        prediction = backend.denoise_forward(noisy_latents, turn, control)
        if not is_guided:
            return prediction
        without, towards = prediction.chunk(2)
        return without + guidance_scale * (towards - without)

    return predict


def _with_no_text(batch: Batch, no_text: TextEmbeddings) -> Batch:
    """Return a batch twice, first without captions, then with them."""
    count = len(batch.latents)

    def both(empty: Tensor, given: Tensor) -> Tensor:
        return torch.cat([empty.to(given).expand(count, *given.shape[1:]), given])

    return replace(
        batch,
        conditioning_pixel_values=batch.conditioning_pixel_values.repeat(2, 1, 1, 1),
        prompt_embeds=both(no_text.prompt_embeds, batch.prompt_embeds),
        pooled_prompt_embeds=both(no_text.pooled_prompt_embeds, batch.pooled_prompt_embeds),
        sizes=batch.sizes.repeat(2, 1),
    )
