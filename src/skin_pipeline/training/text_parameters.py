"""What a user can choose about training on legends. Loads no deep-learning library."""

from typing import Annotated, Any, Literal

from pydantic import Field

from skin_pipeline.schemas import Parameters

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Weight = Annotated[float, Field(ge=0)]

TextMode = Literal["none", "one_step", "last_steps", "both", "sampled"]

_ONE_STEP = frozenset({"timestep_limit"})
_SAMPLED = frozenset({"sampler_steps", "guidance_scale", "sampled_share"})
_LAST_STEPS = _SAMPLED | {"last_steps", "sampler_start", "sampled_states"}
_OF_MODES = {
    "one_step": _ONE_STEP,
    "last_steps": _LAST_STEPS,
    "both": _ONE_STEP | _LAST_STEPS,
    "sampled": _SAMPLED,
}


class TextParameters(Parameters):
    """How legends are supervised: a frozen recogniser reads crops of what the model makes of a picture."""

    mode: TextMode = "none"
    """``none``. ``one_step``: read the estimate of the clean picture at the timestep that the step trains
    anyway. ``last_steps``: let the model sample a picture by itself up to one of the last sampler steps, and
    read its estimate there; the gradient goes through that one call only. ``both``. ``sampled``: sample whole
    pictures from noise with the gradient through every call, and read those by CTC alone; slow and large, for
    comparison."""
    measure: bool = False
    """Measure the text loss on held-out skins also with mode ``none``."""
    recognizer: str = "embedded"
    """What reads: ``embedded`` (PP-OCRv6 small), an ONNX file that lists its characters, or a paddleocr model
    folder; of PP-OCRv6 small's architecture."""
    feature_weight: Weight = 0.3
    """Weight of the distance between the recogniser's features of the estimate and of the real picture."""
    ctc_weight: Weight = 0.02
    """Weight of the CTC loss of the legend's string, for each place of the text."""
    latent_weight: Weight = 0.0
    """Weight of the squared distance between the latents of the estimate and of the real picture, where
    legends are; latents have a variance of about 1. An estimate in the model's own sampling is off there by
    what the denoising loss never sees."""
    timestep_weighting: Literal["signal", "none"] = "signal"
    """``signal``: the text loss at a timestep is weighted by its share of signal, as by AnyText, whose model
    must find the strokes. ``none``: all timesteps alike, for conditioning images that show the strokes
    themselves: an estimate from much noise can have them as well, and a sampler begins with such."""
    timestep_limit: Positive = 600
    """One-step estimates are read below this timestep of the noise schedule; above, they show no strokes."""
    start_step: Annotated[int, Field(ge=0)] = 0
    """Optimizer steps before legends are supervised at all."""
    every_steps: Positive = 1
    """Legends are supervised in one of so many steps."""
    max_boxes: Positive = 4
    """Legends of a picture that are read in a step, drawn anew each time."""
    min_height_px: Annotated[float, Field(ge=4)] = 12.0
    """Legends lower than this, in pixels of the training picture, are never read."""
    crop_margin: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Room around a legend's quad in its crop, in heights of the quad."""
    crop_shift_px: Weight = 1.0
    """Crops are shifted by up to so many pixels of the picture; estimate and real picture alike, as with all
    of these: a stroke must be read wherever and however it is looked at, or pixels that only please the
    recogniser would do."""
    crop_scale: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    """Crops are widened and heightened by up to this share, or narrowed."""
    crop_blur_px: Weight = 0.7
    """Largest standard deviation of a blur, in pixels of a crop 48 high."""
    crop_noise: Weight = 0.03
    """Largest standard deviation of noise, where black is -1 and white 1."""
    sampler_steps: Annotated[int, Field(ge=2, le=1000)] = 20
    """Steps of the sampler; as at inference."""
    guidance_scale: Annotated[float, Field(ge=0, le=50)] = 3.0
    """Classifier-free guidance while sampling; as at inference. 1 or less: none, at half the cost."""
    last_steps: Positive = 3
    """The step that is read is drawn from this many last ones of the sampler."""
    sampler_start: Share = 0.5
    """Share of the sampler's steps that the model makes itself. 1: from noise alone. Less: from the real
    picture under as much noise as that step starts with, which is cheaper, and keeps what is drawn
    comparable with the real picture."""
    sampled_share: Share = 0.25
    """Share of a step's pictures that the model samples."""
    sampled_states: Positive = 1
    """Steps of a picture's sampling that are read, each drawn from another part of the ``last_steps``: they
    share the price of sampling, but memory grows with each."""

    @property
    def is_on(self) -> bool:
        """Whether legends are supervised at all."""
        return self.mode != "none"

    @property
    def is_reading(self) -> bool:
        """Whether legends are read at all, be it to measure how well."""
        return self.is_on or self.measure

    @property
    def is_one_step(self) -> bool:
        """Whether the estimate of the trained timestep is read."""
        return self.mode in ("one_step", "both")

    @property
    def is_sampling(self) -> bool:
        """Whether the model samples pictures in training."""
        return self.mode in ("last_steps", "both", "sampled")

    def is_due(self, step: int) -> bool:
        """Whether legends are supervised in an optimizer step, counted from 0."""
        return self.is_on and step >= self.start_step and (step - self.start_step) % self.every_steps == 0

    def identity(self) -> dict[str, Any]:
        """Return what decides the weights: of what belongs to other modes than this, nothing."""
        if not self.is_on:
            return {"mode": "none"}
        left_out = (_ONE_STEP | _LAST_STEPS) - _OF_MODES[self.mode] | {"measure"}
        if self.mode == "sampled":
            left_out |= {"feature_weight", "latent_weight"}
        return self.model_dump(mode="json", exclude=set(left_out))
