"""What training minimises."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from skin_pipeline.errors import ConfigurationError
from skin_pipeline.training.backend import Batch, StepModel
from skin_pipeline.training.config import TrainParameters


def predict(
    backend: StepModel, controlnet: nn.Module, batch: Batch, autocast: AbstractContextManager[None]
) -> tuple[Tensor, Tensor]:
    """Return the prediction for a batch and what it should be, both (B, C, h, w) in fp32.

    Autocast is for the ControlNet, whose weights are fp32. The frozen parts are in their number format; under
    autocast a GPU would normalise in fp32 and have the backward pass keep that, and short copies of the
    ControlNet's weights would be kept for longer.
    """
    noisy_latents = backend.add_noise(batch)
    with autocast:
        control = backend.control_forward(controlnet, noisy_latents, batch)
    return backend.denoise_forward(noisy_latents, batch, control), backend.target(batch)


def squared_errors(prediction: Tensor, target: Tensor, cell_weights: Tensor | None = None) -> Tensor:
    """Return each picture's mean squared error (B,), weighted by cell (B, 1, h, w) if at all."""
    squared = (prediction - target).square()
    return (squared if cell_weights is None else squared * cell_weights).flatten(1).mean(1)


class LossWeights:
    """The weight of each timestep in the loss, tabulated."""

    def __init__(self, backend: StepModel, parameters: TrainParameters) -> None:
        """Tabulate the weights of a base model's schedule.

        With s the signal-to-noise ratio and abar its share of the variance, s = abar / (1 - abar):

        - ``min_snr`` (Hang et al. 2023, equations 4 and 7): min(s, gamma) / s for epsilon-prediction,
          min(s, gamma) / (s + 1) for v-prediction, and in the same way min(s, gamma) sigma^2 for flow.
        - ``x0``: (1 - abar), as the error of the picture is (1 - abar) times that of its velocity, or sigma^2
          for flow; divided by its mean over the schedule so that learning rates keep their meaning.

        A flow's noise has the share sigma of the amplitude, so sigma = 1 / (1 + sqrt(s)).

        Raises:
            ConfigurationError: The weighting makes no sense for the base model's prediction type.
        """
        snr = backend.signal_to_noise(torch.arange(backend.num_train_timesteps)).double()
        epsilon = backend.prediction_type == "epsilon"
        is_flow = backend.prediction_type == "flow"
        velocity_to_picture = 1 / (1 + snr.sqrt()) ** 2 if is_flow else 1 / (snr + 1)
        match parameters.loss_weighting:
            case "none":
                weights = torch.ones_like(snr)
            case "min_snr":
                if epsilon and not bool((snr > 0).all()):
                    raise ConfigurationError(
                        f"train.model_base '{parameters.model_base}' predicts noise on a schedule that ends"
                        " at zero signal, where min-SNR is undefined. Set train.loss_weighting to none."
                    )
                weights = snr.clamp(max=parameters.snr_gamma) * (1 / snr if epsilon else velocity_to_picture)
            case "x0":
                if epsilon:
                    raise ConfigurationError(
                        "train.loss_weighting x0 is for bases that predict velocity; train.model_base"
                        f" '{parameters.model_base}' predicts epsilon. Choose min_snr or none."
                    )
                weights = velocity_to_picture / velocity_to_picture.mean()
        self._weights = weights.float()

    def __call__(self, timesteps: Tensor) -> Tensor:
        """Return the weights of timesteps (B,)."""
        self._weights = self._weights.to(timesteps.device)
        return self._weights[timesteps]
