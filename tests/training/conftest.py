from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState

from skin_pipeline.training.backend import Batch
from skin_pipeline.training.config import TrainingRun, TrainParameters
from skin_pipeline.training.loop import train
from skin_pipeline.training.sdxl import SDXLFamily
from tests.tiny_models import save_tiny_pipeline, save_training_set

MakeRun = Callable[..., TrainingRun]


@pytest.fixture(scope="session")
def tiny_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def training_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_training_set(tmp_path_factory.mktemp("data") / "train_dataset")


@pytest.fixture(autouse=True)
def _fresh_accelerator() -> Iterator[None]:
    """accelerate keeps one state per process; each training here is one of its own."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def random_batch(family: SDXLFamily, count: int = 2, side_px: int = 64) -> Batch:
    """Return noise that fits a model, the same each time."""
    generator, config = torch.Generator().manual_seed(0), family.unet.config
    pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
    latents = (count, config.in_channels, side_px // 8, side_px // 8)
    return Batch(
        sample_ids=tuple(map(str, range(count))),
        latents=torch.randn(latents, generator=generator),
        noise=torch.randn(latents, generator=generator),
        timesteps=torch.randint(0, 1000, (count,), generator=generator),
        conditioning_pixel_values=torch.rand(count, 3, side_px, side_px, generator=generator),
        prompt_embeds=torch.randn(count, 77, config.cross_attention_dim, generator=generator),
        pooled_prompt_embeds=torch.randn(count, pooled, generator=generator),
        sizes=torch.tensor([[side_px, side_px, 0, 0, side_px, side_px]] * count),
    )


def train_here(run: TrainingRun) -> bool:
    """Train in this process, leaving nothing behind for the next training."""
    try:
        return train(run)
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def make_run(tiny_pipeline: Path, training_set: Path, tmp_path: Path) -> MakeRun:
    """Return a maker of small runs: 6 steps of 4 pictures at 64 px in fp32, nothing else unless asked for."""

    def make(name: str = "run", dataset: Path = training_set, **changes: Any) -> TrainingRun:
        settings = {
            "model_base": str(tiny_pipeline),
            "fast_start": True,
            "conditioning_embedding_out_channels": (8, 8, 8, 16),
            "resolution_px": 64,
            "train_batch_size": 4,
            "max_train_steps": 6,
            "lr_warmup_steps": 0,
            "mixed_precision": "no",
            "caption_dropout": 0.3,
            "num_validation_samples": 0,
            "num_validation_pictures": 0,
            "log_steps": 1,
            "num_threads": 1,
        }
        parameters = TrainParameters(**{**settings, **changes})
        folder, cache = tmp_path / name, tmp_path / "encodings"
        return TrainingRun(parameters=parameters, dataset_folder=dataset, folder=folder, cache_folder=cache)

    return make
