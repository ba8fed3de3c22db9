"""What a user can choose about training, and the file the trainer reads. Loads no deep-learning library."""

import importlib.util
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from skin_pipeline.base_models import (
    check_controlnet_fits,
    family_of,
    resolve_base_model,
    resolve_controlnet,
)
from skin_pipeline.errors import ConfigurationError
from skin_pipeline.items import json_digest
from skin_pipeline.recognition.recognizer_files import find_recognizer
from skin_pipeline.schemas import Parameters
from skin_pipeline.training.text_parameters import TextParameters

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Channels = Annotated[tuple[Positive, ...], Field(min_length=2)]
Beta = Annotated[float, Field(ge=0, lt=1)]

WITHOUT_EFFECT_ON_WEIGHTS = frozenset(
    {
        "accelerate_config",
        "cache_folder",
        "cache_limit_gib",
        "checkpointing_steps",
        "checkpoints_total_limit",
        "dataloader_num_workers",
        "ema_device",
        "gradient_checkpointing",
        "log_steps",
        "num_threads",
        "num_timestep_buckets",
        "num_validation_pictures",
        "num_validation_samples",
        "run_folder",
        "run_name",
        "validation_guidance_scale",
        "validation_inference_steps",
        "validation_steps",
    }
)
"""Parameters that may change between a run's start and its resumption."""


class TrainParameters(Parameters):
    """How a ControlNet is trained: the model, the optimisation, and what is kept on the way."""

    # --- the model -------------------------------------------------------------------------------------
    model_base: str = "embedded"
    """The frozen model: ``embedded``, a folder written by ``save_pretrained`` or a hub id."""
    model_variant: str | None = None
    """Which files of the base to load where it has several, such as ``fp16``; null: the plain ones."""
    controlnet_init: str | None = None
    """Weights to start from: ``embedded-canny``, a folder or a hub id; null: a copy of the UNet's encoder."""
    controlnet_kind: Literal["full", "lora"] = "full"
    """``full``: all weights of the ControlNet are trained. ``lora``: it shares the UNet's weights, or keeps
    those of ``controlnet_init``, and low-rank updates of them are trained beside its own layers: a fraction
    of the memory and less freedom. What is published is an ordinary ControlNet either way."""
    controlnet_lora_rank: Positive = 64
    """Rank of the updates of ``lora``."""
    conditioning_embedding_out_channels: Channels = (8, 16, 64, 128)
    """Channels of a new ControlNet's conditioning encoder, which halves the picture between each two. SDXL's
    own are (16, 32, 96, 256). SD3's ControlNets have no such encoder."""
    controlnet_num_layers: Positive | None = None
    """Transformer blocks of a new ControlNet for SD3, copied from the base's first; null: half of the base's.
    A ControlNet for SDXL is always the UNet's whole encoder."""
    fast_start: bool | Literal["auto"] = "auto"
    """Start a new ControlNet with an open conditioning encoder and a higher learning rate for the layers the
    UNet does not have. ``auto``: for the embedded base, not for others."""
    fast_start_lr_factor: Annotated[float, Field(gt=0, le=100)] = 5.0
    """Factor on the learning rate of those layers when the fast start is on."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time. What is frozen and needs no
    gradient, the UNet's encoder, is never computed twice."""
    mixed_precision: Literal["auto", "no", "fp16", "bf16"] = "auto"
    """Number format of the frozen parts and of the arithmetic; the trained weights stay fp32. ``auto``: bf16
    where the GPU, or the processor's AVX512 or AMX units, compute in it, else no."""

    # --- the data --------------------------------------------------------------------------------------
    resolution_px: Annotated[int, Field(ge=32, le=4096)] = 256
    """Side of a square training picture, in pixels; a multiple of 8."""
    bucket_step_px: Annotated[int, Field(ge=32, multiple_of=32)] | None = 64
    """Pictures of the training set may have any sizes. Each is trained in the shape nearest to its own (see
    :func:`skin_pipeline.geometry.bucket_sizes`): the resolution_px square, or sides that are multiples of
    this and hold no more pixels. Null: all become squares. Either way the picture is enlarged or shrunk to
    cover that shape and what sticks out is cut off evenly."""
    crop_px: Annotated[int, Field(ge=32, multiple_of=32)] | None = None
    """Side of a random crop that each turn of a picture trains on, told to the model by SDXL's crop
    coordinates; null: the whole picture. A crop of half the side costs a quarter."""
    original_size: Literal["resized", "source"] = "resized"
    """What the model is told as the picture's original size. ``source``: the raw skin's, and what the data's
    preparation cropped, as SDXL was trained; for bases that were. ``resized``: the training picture's own, as
    inference says; for the embedded base, which has seen nothing else. Training sets that do not state the
    source's size are trained as ``resized``."""
    caption_dropout: Share = 0.1
    """Share of captions replaced by the base model's form of no prompt, drawn anew in each epoch."""
    control_dropout: Share = 0.0
    """Share of turns whose conditioning image is blank (0), drawn anew in each epoch. The ControlNet then
    knows what to do without control, and inference can strengthen the control by guidance, as it does with
    the prompt."""
    dataloader_num_workers: Annotated[int, Field(ge=0)] = 0
    """Processes that read pictures for each training process; 0: the training process itself."""

    # --- the optimisation ------------------------------------------------------------------------------
    train_batch_size: Positive = 8
    """Pictures in one optimizer step, over all processes and accumulated passes together. Each pass of each
    process takes train_batch_size / (processes x gradient_accumulation_steps)."""
    gradient_accumulation_steps: Positive = 1
    """Forward and backward passes in one optimizer step."""
    max_train_steps: Positive = 400
    """Optimizer steps in all."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Highest learning rate."""
    optimizer: Literal["adamw", "adamw_8bit", "adamw_sharded"] = "adamw"
    """``adamw_sharded`` shares AdamW's two moments out among the processes, 8 bytes a weight divided by their
    number, with the same results to the last bit. ``adamw_8bit`` keeps them in 8 bits (Dettmers et al. 2022):
    2 bytes a weight. Needs bitsandbytes (``pip install skin_pipeline[8bit]``)."""
    lr_scheduler: Literal["constant", "linear", "cosine", "flat_then_linear"] = "flat_then_linear"
    """Course of the learning rate after warming up; ``flat_then_linear`` falls from ``lr_decay_start`` on."""
    lr_warmup_steps: Annotated[int, Field(ge=0)] = 30
    """Steps over which the learning rate rises linearly from 0."""
    lr_decay_start: Share = 0.6
    """Where ``flat_then_linear`` begins to fall, as a share of ``max_train_steps``."""
    adam_beta1: Beta = 0.9
    """AdamW's decay of the mean of gradients."""
    adam_beta2: Beta = 0.99
    """AdamW's decay of the mean of squared gradients."""
    adam_weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's decoupled weight decay."""
    adam_epsilon: Annotated[float, Field(gt=0)] = 1e-8
    """AdamW's term against division by zero."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Length to which longer gradients are clipped."""
    timestep_sampling: Literal["stratified", "uniform"] = "stratified"
    """``stratified``: each picture of a batch draws its timestep from its own stretch of the schedule (same
    mean, less noise); ``uniform``: from all of it."""
    timestep_density: Literal["uniform", "logit_normal"] = "uniform"
    """How often each stretch of the schedule is trained: all alike, or the middle most, as SD3 was (Esser et
    al. 2024, section 3.1)."""
    logit_mean: Annotated[float, Field(ge=-5, le=5)] = 0.0
    """Mean of the logit of a turn's place in the schedule with ``logit_normal``; above 0: more noise."""
    logit_std: Annotated[float, Field(gt=0, le=5)] = 1.0
    """Its standard deviation; larger: closer to uniform."""
    loss_weighting: Literal["none", "min_snr", "x0"] = "x0"
    """Weight of each timestep: all alike, as SD3's published trainings; min-SNR (Hang et al. 2023); or the
    error of the picture itself rather than of its velocity, for bases that predict velocity (v or flow)."""
    snr_gamma: Annotated[float, Field(gt=0)] = 5.0
    """Ceiling on the signal-to-noise ratio in ``min_snr``."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of a moving average of the weights, which then is what is validated and published; null: none."""
    ema_device: Literal["same", "cpu"] = "same"
    """Where the moving average is kept: on the training device, or in the processor's memory, which costs
    one copy of the trained weights from the device in each step. The numbers are the same."""
    legend_weight: Annotated[float, Field(ge=1)] = 1.0
    """Weight of latent cells with legends in the loss, against 1 elsewhere; a picture's mean stays 1."""
    text: TextParameters = TextParameters()
    """Supervision of legends by a recogniser."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Decides the initial weights, the order of pictures, noise, timesteps and dropped captions."""

    # --- what is kept and measured ---------------------------------------------------------------------
    checkpointing_steps: Positive = 100
    """Steps between two checkpoints; the last step always makes one."""
    checkpoints_total_limit: Positive | None = 2
    """Complete checkpoints kept; older ones go once a newer one is complete. Null: all."""
    validation_steps: Positive = 100
    """Steps between two validations; there is one before the first step and one after the last."""
    num_validation_samples: Annotated[int, Field(ge=0)] = 16
    """Pictures of the validation split that the held-out loss is taken over, beside as many that are trained
    on, in the same way (``learnt_loss``); 0: neither."""
    num_timestep_buckets: Positive = 4
    """Equal stretches of the noise schedule for which the held-out loss is reported."""
    num_validation_pictures: Annotated[int, Field(ge=0)] = 4
    """Pictures drawn at each validation; 0: none."""
    validation_inference_steps: Positive = 12
    """Sampler steps (UniPC) of a validation picture."""
    validation_guidance_scale: Annotated[float, Field(ge=0, le=50)] = 3.0
    """Classifier-free guidance of a validation picture; 1 or less: none."""
    log_steps: Positive = 10
    """Steps between two lines of training metrics."""

    # --- the machine -----------------------------------------------------------------------------------
    accelerate_config: str = "cpu"
    """Which machine trains: a file of conf/accelerate without its suffix, or the path of another."""
    num_threads: Positive | None = None
    """Processor threads of each process; null: the processors at hand but one, shared by the processes."""
    run_folder: str = "data/06_models/runs"
    """Where runs keep checkpoints, metrics and pictures; relative to the project."""
    run_name: str | None = None
    """Folder of this run under ``run_folder``; null: named by what it is trained on and how, so that the same
    command resumes and another one starts afresh."""
    cache_folder: str = "data/05_model_input/encodings"
    """Where encoded pictures and captions are kept for all runs; relative to the project."""
    cache_limit_gib: Annotated[float, Field(gt=0)] | None = None
    """What they may take together when a run begins: those used longest ago are removed, but for those of
    runs under way. Null: none are."""

    @field_validator("resolution_px")
    @classmethod
    def _is_whole_latent_cells(cls, value: int) -> int:
        if value % 8:
            raise ValueError(
                f"train.resolution_px must be a multiple of 8 (the VAE downsamples by 8), got {value}."
                f" Choose {value // 8 * 8} or {value // 8 * 8 + 8}."
            )
        return value

    @field_validator("run_name")
    @classmethod
    def _is_one_folder_name(cls, value: str | None) -> str | None:
        if value is not None and (not value or value.startswith(".") or "/" in value or "\\" in value):
            raise ValueError(f"train.run_name must be one plain folder name, got '{value}'.")
        return value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.crop_px is not None and self.crop_px > self.resolution_px:
            raise ValueError(
                f"train.crop_px ({self.crop_px}) must not exceed train.resolution_px ({self.resolution_px})."
            )
        if self.train_batch_size % self.gradient_accumulation_steps:
            raise ValueError(
                f"train.train_batch_size ({self.train_batch_size}) must be divisible by"
                f" train.gradient_accumulation_steps ({self.gradient_accumulation_steps})."
            )
        if self.fast_start is True and self.controlnet_init is not None:
            raise ValueError(
                "train.fast_start re-initialises layers of a new ControlNet, which train.controlnet_init"
                f" ('{self.controlnet_init}') would load. Set one of them only."
            )
        return self

    def preflight(self) -> None:
        """Raise where the base model's or the ControlNet's files, or a library, are not there or do not fit.

        Raises:
            MissingWeightsError: A name stands for nothing on this machine.
            ConfigurationError: The base model is of no known family, the ControlNet is of another one, or the
                optimizer's library is not installed.
        """
        if self.optimizer == "adamw_8bit" and importlib.util.find_spec("bitsandbytes") is None:
            raise ConfigurationError(
                "train.optimizer adamw_8bit needs bitsandbytes, which is not installed. Run `pip install"
                " 'skin_pipeline[8bit]'`, or set train.optimizer to adamw."
            )
        if self.text.is_on or self.text.measure:
            find_recognizer(self.text.recognizer, "train.text.recognizer")
        base = resolve_base_model(self.model_base, "train.model_base")
        family_of(base, "train.model_base")
        if self.controlnet_init is not None:
            controlnet = resolve_controlnet(self.controlnet_init, "train.controlnet_init")
            check_controlnet_fits(controlnet, "train.controlnet_init", base, "train.model_base")

    @property
    def is_fast_start(self) -> bool:
        """Whether the fast start is on, ``auto`` decided."""
        if self.fast_start == "auto":
            return self.model_base == "embedded" and self.controlnet_init is None
        return self.fast_start

    def identity(self) -> dict[str, Any]:
        """Return what decides the weights; two runs with equal identities on equal data are the same run.

        The number of steps is part of it only where the learning rate depends on it, so that a run with a
        constant learning rate can be prolonged.
        """
        left_out = set(WITHOUT_EFFECT_ON_WEIGHTS)
        if self.lr_scheduler == "constant":
            left_out.add("max_train_steps")
        return {
            **self.model_dump(mode="json", exclude=left_out),
            "text": self.text.identity(),
        }


class TrainingRun(Parameters):
    """The file that the trainer is started with: the parameters and where everything lies."""

    parameters: TrainParameters
    """How to train."""
    dataset_folder: Path
    """The published training set: train.jsonl, validation.jsonl and the pictures they name."""
    dataset_digest: str | None = None
    """The training set's digest in the catalog, recorded beside the weights for lineage."""
    folder: Path
    """This run's folder."""
    cache_folder: Path
    """Where encoded pictures and captions are kept."""
    num_processes: Positive = 1
    """Training processes that were asked for; checked against those that run."""
    attempt: str = "direct"
    """Which start of the run this is; the first line of its metrics file says the same."""


def run_name(parameters: TrainParameters, dataset_digest: str) -> str:
    """Return the folder name of a run: as asked for, or the first digits of what decides its weights."""
    if parameters.run_name is not None:
        return parameters.run_name
    return json_digest({"parameters": parameters.identity(), "dataset": dataset_digest})[:16]


def save_run(run: TrainingRun, path: Path) -> None:
    """Write the trainer's file."""
    path.write_text(run.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_run(path: Path) -> TrainingRun:
    """Read the trainer's file.

    Raises:
        ConfigurationError: It is not there, not JSON or not valid.
    """
    try:
        return TrainingRun.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError, ValidationError) as exc:
        raise ConfigurationError(
            f"The trainer cannot use '{path}': {exc}. Expected a file as the launcher writes it"
            " (parameters, dataset_folder, folder, cache_folder)."
        ) from exc
