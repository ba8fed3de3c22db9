"""What a user can choose about generating skins. Loads no deep-learning library."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from skin_pipeline.base_models import family_of, resolve_base_model
from skin_pipeline.errors import InputError
from skin_pipeline.schemas import Parameters
from skin_pipeline.typefaces import load_font

Prompt = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]

_PICTURE_SETTINGS = (
    "num_inference_steps",
    "scheduler",
    "guidance_scale",
    "controlnet_conditioning_scale",
    "dtype",
    "variant",
    "legends",
)


class InferenceParameters(Parameters):
    """How skins are generated: a picture for every prompt, conditioning image and seed."""

    base_model: str = "embedded"
    """The model that the ControlNet steers, SDXL or SD3: ``embedded``, a folder written by
    ``save_pretrained`` or a hub id."""
    variant: str | None = None
    """Which files of the base model to load where it has several, such as ``fp16``; none: the plain ones."""
    prompts: Literal["captions"] | tuple[Prompt, ...] = "captions"
    """``captions``: each conditioning image with its own skin's text; or a list, each prompt with all of
    them."""
    prompt_embeds: Path | None = None
    """A safetensors file with ``prompt_embeds`` (N, L, D) and ``pooled_prompt_embeds`` (N, P), and if wanted
    ``negative_prompt_embeds`` and ``negative_pooled_prompt_embeds`` (1 or N, ...), used instead of the text
    encoders. N must be the number of ``prompts``, which then only name the pictures."""
    negative_prompt: str = ""
    """What the pictures should not show. Empty: the base model's own form of no prompt."""
    split: Literal["validation", "train"] = "validation"
    """The part of the published training set that conditioning images are taken from."""
    conditioning: tuple[str, ...] = ()
    """Ids of the skins whose conditioning images are used, such as ``demo/skin_0001``; none: the first
    ``num_conditioning`` of ``split``."""
    num_conditioning: Annotated[int, Field(ge=1)] = 8
    """How many conditioning images are used when ``conditioning`` names none; fewer if there are fewer."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    """One picture a seed. A picture depends on its own seed, never on what it was batched with."""
    num_inference_steps: Annotated[int, Field(ge=1, le=1000)] = 20
    """Steps of the sampler."""
    scheduler: Literal["unipc", "euler", "ddim"] = "unipc"
    """Sampler, configured by the base model's own noise schedule; ``ddim`` is not for SD3."""
    guidance_scale: Annotated[float, Field(ge=0, le=50)] = 5.0
    """Weight of classifier-free guidance; 1 or less switches it off and halves the work."""
    controlnet_conditioning_scale: Annotated[float, Field(ge=0, le=5)] = 1.0
    """Weight of the ControlNet's residuals; 0 generates without control."""
    legends: Literal["generated", "composited"] = "generated"
    """``generated``: as the model draws them. ``composited``: taken away, and set anew in the style that the
    picture has, each at a contrast of 4.5 or more: those that the training set's row, or the control image,
    has on record. A conditioning image without any is an error."""
    legend_font: Path | None = None
    """A .ttf or .otf file to composite legends with; by default the shipped typeface most like what the
    picture shows."""
    batch_size: Annotated[int, Field(ge=1)] = 4
    """Pictures sampled together."""
    num_workers: Annotated[int, Field(ge=1)] = 1
    """Processes that generate, each with the models loaded; more than one only pays on processors."""
    num_threads: Annotated[int, Field(ge=1)] | None = None
    """Processor threads of each worker; none: PyTorch's own choice."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the models run; ``auto``: cuda where there is a GPU, otherwise cpu."""
    dtype: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    """Number format of the weights; ``auto``: fp32 on processors; bf16, or else fp16, on GPUs."""
    attention: Literal["sdpa", "slicing"] = "sdpa"
    """``sdpa``: fused attention; ``slicing``: attention and autoencoder go picture by picture, slower and
    smaller; not for SD3."""
    offload: Literal["none", "model", "sequential"] = "none"
    """What waits in main memory until it is needed: nothing, whole models, or single layers (slow). GPUs
    only."""
    compile: bool = False
    """Compile denoiser and ControlNet: minutes at the start, then faster. On processors it needs a C++
    compiler."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse combinations that would name one picture twice or not at all."""
        if self.prompts != "captions":
            _refuse_repeats("prompts", self.prompts)
            if not self.prompts:
                raise ValueError("prompts is empty; give at least one, or 'captions'.")
        elif self.prompt_embeds is not None:
            raise ValueError("prompt_embeds needs a list of prompts to name its rows, got prompts: captions.")
        _refuse_repeats("seeds", self.seeds)
        _refuse_repeats("conditioning", self.conditioning)
        if self.offload != "none" and self.device == "cpu":
            raise ValueError(
                f"offload: {self.offload} moves models off a GPU, but device is cpu. Set offload: none."
            )
        if self.legend_font is not None and self.legends == "generated":
            raise ValueError("legend_font is for legends: composited, got legends: generated.")
        return self

    def settings(self) -> dict[str, Any]:
        """Return those parameters that, with prompt and seed, decide what a picture looks like; JSON."""
        return self.model_dump(mode="json", include=set(_PICTURE_SETTINGS))

    def preflight(self) -> None:
        """Check that the weights and embeddings named here are to be had.

        Raises:
            MissingWeightsError: The base model is not where ``base_model`` says.
            ConfigurationError: The base model is of no known family, or ``legend_font`` is not there or no
                font.
            InputError: There is no such file of embeddings.
        """
        if self.legend_font is not None:
            load_font(self.legend_font, 16)
        family_of(resolve_base_model(self.base_model, "inference.base_model"), "inference.base_model")
        if self.prompt_embeds is not None and not self.prompt_embeds.is_file():
            raise InputError(
                f"inference.prompt_embeds: there is no file '{self.prompt_embeds}'. Check the path."
            )


class GalleryParameters(Parameters):
    """How the gallery page shows generated skins."""

    title: str = "Generated keyboard skins"
    """Heading of the page."""
    display_aspect: Annotated[float, Field(gt=0.1, lt=10)] | None = None
    """Width over height at which pictures are shown, for skins that were stretched to a square; none: as they
    are."""
    max_pictures: Annotated[int, Field(ge=1)] = 240
    """The most pictures on the page, since it holds them all; the rest are counted."""
    picture_quality: Annotated[int, Field(ge=1, le=100)] = 90
    """WebP quality of the pictures; edges are always stored without loss."""


def _refuse_repeats(name: str, values: tuple[Any, ...]) -> None:
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"{name} holds {', '.join(repeated)} more than once; each must be given once.")
