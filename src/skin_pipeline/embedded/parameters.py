"""Parameters of the base model's recipe; loads no torch."""

from typing import Annotated

from pydantic import Field

from skin_pipeline.schemas import Parameters

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class DrawingParameters(Parameters):
    """What the model is trained on: skins, and sheets of keys with any legends."""

    num_skins: Count = 4000
    """Number of drawn skins."""
    num_legend_sheets: Annotated[int, Field(ge=0)] = 3000
    """Number of drawn sheets of keys with legends by lot. Skins repeat the same few legends, and strokes that
    a model never drew it cannot be conditioned to draw either."""
    sheet_legends_px: tuple[float, float] = (14.0, 34.0)
    """Least and greatest height of a sheet's capitals and ideographs, in pixels."""
    seed: int = 1_000_000
    """Seed of the first skin, and of the first sheet; the others count up. Far from the demo's seeds, so that
    those stay unseen."""
    resolution_px: Annotated[int, Field(ge=128, multiple_of=64)] = 512
    """Side of the square training pictures in pixels."""
    drawn_size_px: tuple[Count, Count] = (768, 576)
    """Width and height at which a skin is drawn before it is stretched to the square, in pixels."""
    canny_low: Annotated[int, Field(ge=0, le=255)] = 50
    canny_high: Annotated[int, Field(ge=0, le=255)] = 80
    """Thresholds of the Canny edges that the ControlNet is trained on."""
    num_workers: Count = 2
    """Processes that draw."""

    @property
    def num_drawings(self) -> int:
        """Skins and sheets."""
        return self.num_skins + self.num_legend_sheets


class AutoencoderParameters(Parameters):
    """The autoencoder: an encoder in closed form and a trained decoder."""

    latent_channels: Annotated[int, Field(ge=4, le=24)] = 16
    """Channels of a latent cell of 8x8 pixels."""
    block_out_channels: tuple[int, int, int, int] = (32, 48, 64, 64)
    """Channels of the four levels, from full resolution down."""
    legend_weight: Annotated[float, Field(ge=0)] = 3.0
    """Extra weight of patches with legends when the encoder's basis is chosen."""
    whitening: Share = 0.5
    """0: latents keep the variances of their principal components; 1: all have variance one."""
    decoder_steps: Count = 6000
    """Optimizer steps of the decoder, on crops of 64 pixels, 16 a batch."""
    decoder_learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    latent_noise: Annotated[float, Field(ge=0)] = 0.6
    """Largest standard deviation of the noise added to latents while the decoder learns, in units of theirs;
    it makes the decoder forgive what a sampler leaves behind."""
    seed: int = 0


class DenoiserParameters(Parameters):
    """UNet, text encoders and ControlNet, trained together: first on crops, then on whole pictures."""

    block_out_channels: tuple[int, ...] = (64, 96, 128)
    """Channels of the UNet's levels."""
    text_hidden_sizes: tuple[int, int] = (32, 64)
    """Hidden sizes of the two text encoders; their sum is the cross-attention dimension."""
    vocabulary_size: Annotated[int, Field(ge=400)] = 1200
    """Tokens of the byte-level BPE tokenizer."""
    text_pretraining_steps: Annotated[int, Field(ge=0)] = 3000
    """Steps in which the text encoders alone learn to predict coarse pictures, before everything else."""
    crop_px: Annotated[int, Field(ge=64, multiple_of=64)] = 256
    """Side of the crops of the first phase in pixels; SDXL's crop coordinates tell where they lie."""
    crop_steps: Count = 3000
    """Optimizer steps on crops."""
    crop_batch_size: Count = 8
    whole_steps: Count = 1200
    """Optimizer steps on whole pictures."""
    whole_batch_size: Count = 3
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    warmup_steps: Count = 50
    decay_steps: Count = 1200
    """Steps at the end over which the learning rate falls to 2 %."""
    timestep_shift: Annotated[float, Field(ge=1)] = 2.5
    """How far timesteps are drawn towards noise, u -> s u / (1 + (s - 1) u) (Esser et al. 2024): a large
    picture shows its colours through noise that hides its strokes, so they must be learned at more of it."""
    uniform_steps: Annotated[int, Field(ge=0)] = 600
    """Steps at the end that draw timesteps evenly."""
    x0_loss_steps: Annotated[int, Field(ge=0)] = 2000
    """Steps at the beginning in which the loss is weighted by 1 - alpha_bar, the weight of an error in x0;
    after them it is the plain v-loss."""
    ema_decay: Share = 0.998
    caption_dropout: Share = 0.1
    control_dropout: Share = 0.15
    """Share of samples that see no conditioning image, so that the UNet also draws alone."""
    legend_weight: Annotated[float, Field(ge=0)] = 2.0
    """Extra weight of latent cells with legends in the loss."""
    snapshot_steps: Count = 200
    """Steps between snapshots, from which the same command resumes."""
    num_threads: Count = 1
    """Processor threads; more than one only where the cores are idle."""
    seed: int = 0

    @property
    def num_steps(self) -> int:
        """Optimizer steps of both phases."""
        return self.crop_steps + self.whole_steps


class BaseModelParameters(Parameters):
    """All stages of the recipe."""

    drawings: DrawingParameters = DrawingParameters()
    autoencoder: AutoencoderParameters = AutoencoderParameters()
    denoiser: DenoiserParameters = DenoiserParameters()
    work_folder: str = "data/06_models/base_model_work"
    """Where the snapshots of an unfinished training lie; relative to the project."""
