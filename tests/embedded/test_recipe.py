"""The base model's recipe, run small: every stage makes what the next one, and a user, can load."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    StableDiffusionXLControlNetPipeline,
    UniPCMultistepScheduler,
)

from skin_pipeline.embedded.analytic_encoder import linearise
from skin_pipeline.embedded.architecture import build_tokenizer
from skin_pipeline.embedded.assembly import assemble
from skin_pipeline.embedded.autoencoder import load_pictures, make_encoder, train_decoder
from skin_pipeline.embedded.denoiser import draw_batch, load_training_set, make_tokenizer, train_denoiser
from skin_pipeline.embedded.drawings import draw_training_sheet, draw_training_skin, draw_training_skins
from skin_pipeline.embedded.parameters import AutoencoderParameters, DenoiserParameters, DrawingParameters

DRAWINGS = DrawingParameters(
    num_skins=30, num_legend_sheets=6, resolution_px=128, drawn_size_px=(192, 144), num_workers=1
)
AUTOENCODER = AutoencoderParameters(block_out_channels=(16, 48, 48, 48), decoder_steps=30)
DENOISER = DenoiserParameters(
    block_out_channels=(32, 32),
    text_pretraining_steps=3,
    crop_px=64,
    crop_steps=2,
    crop_batch_size=2,
    whole_steps=2,
    whole_batch_size=2,
    snapshot_steps=2,
)


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawings")
    draw_training_skins(DRAWINGS, folder)
    return folder


@pytest.fixture(scope="module")
def encoder(drawings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    make_encoder(drawings, AUTOENCODER, folder)
    return folder


def test_drawings_on_disk_are_those_of_their_seeds(drawings: Path) -> None:
    skin = draw_training_skin(DRAWINGS.seed + 5, DRAWINGS)
    sheet = draw_training_sheet(DRAWINGS.seed + 4, DRAWINGS)
    for row, one in ((5, skin), (DRAWINGS.num_skins + 4, sheet)):
        assert np.array_equal(np.load(drawings / "pictures.npy")[row], one.picture)
        assert np.array_equal(np.load(drawings / "edges.npy")[row], one.edges)
        assert one.legend_cells.max() > 0


def test_encoder_is_linear_and_keeps_more_than_plain_averages(drawings: Path, encoder: Path) -> None:
    autoencoder = AutoencoderKL.from_pretrained(encoder)
    pictures = load_pictures(drawings, slice(0, 8))
    encode = linearise(autoencoder, pictures)
    unseen = load_pictures(drawings, slice(30, 34))
    with torch.no_grad():
        latents = autoencoder.encode(unseen).latent_dist.mean
    assert torch.allclose(encode(unseen), latents, atol=0.05)
    # The best linear decoder of these latents must beat cells of one colour each by far.
    cells = torch.nn.functional.pixel_unshuffle(unseen, 8).permute(0, 2, 3, 1).reshape(-1, 192)
    rows = latents.permute(0, 2, 3, 1).reshape(len(cells), -1)
    design = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
    residual = cells - design @ torch.linalg.lstsq(design, cells).solution
    flat = cells.view(-1, 3, 64)
    assert residual.square().mean() < 0.35 * (flat - flat.mean(dim=2, keepdim=True)).square().mean()


def test_tokenizer_knows_every_string_and_gives_it_back() -> None:
    tokenizer = build_tokenizer(["a pink keyboard skin", "粉色键盘皮肤，圆角按键"], 600)
    for text in ("a pink keyboard skin", "粉色键盘", "ÿ þ 🙂 前往"):
        ids = tokenizer(text).input_ids
        assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == text.replace(" ", "")
    assert tokenizer.bos_token_id == 0
    assert tokenizer.eos_token_id == 1


def test_batches_depend_on_seed_and_step_alone(drawings: Path, encoder: Path) -> None:
    data = load_training_set(drawings, encoder, make_tokenizer(drawings, DENOISER), DENOISER)
    first, again, other = (draw_batch(data, step, DENOISER) for step in (1, 1, 0))
    assert torch.equal(first.noise, again.noise)
    assert torch.equal(first.latents, again.latents)
    assert not torch.equal(first.noise, other.noise)
    whole = draw_batch(data, DENOISER.crop_steps, DENOISER)
    assert whole.latents.shape[-2:] == (16, 16)
    assert first.latents.shape[-2:] == (8, 8)
    assert torch.equal(whole.time_ids[:, 2:], torch.tensor([[0.0, 0, 128, 128]] * 2))


def test_crops_of_pictures_edges_and_weights_are_of_one_place(drawings: Path, encoder: Path) -> None:
    data = load_training_set(drawings, encoder, make_tokenizer(drawings, DENOISER), DENOISER)
    parameters = DENOISER.model_copy(update={"control_dropout": 0.0})
    batch = draw_batch(data, 0, parameters)
    top, left = (int(value) for value in batch.time_ids[0, 2:4])
    row = next(
        index
        for index in range(DRAWINGS.num_skins)
        if torch.equal(_edges(data.edges[index])[top : top + 64, left : left + 64], batch.control[0, 0])
    )
    picture = torch.from_numpy(data.pictures[row].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    latents = data.scaling_factor * data.encode(picture)
    assert torch.allclose(
        latents[0, :, top // 8 : top // 8 + 8, left // 8 : left // 8 + 8], batch.latents[0], atol=1e-4
    )


def _edges(packed: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.unpackbits(packed, axis=-1)).float()


def test_interrupted_training_ends_where_the_uninterrupted_one_does(
    drawings: Path, encoder: Path, tmp_path: Path
) -> None:
    train_denoiser(drawings, encoder, DENOISER, tmp_path / "work", tmp_path / "whole")
    _train_until(DENOISER, 2, drawings, encoder, tmp_path)
    train_denoiser(drawings, encoder, DENOISER, tmp_path / "work2", tmp_path / "resumed")
    for part in ("unet", "controlnet", "text_encoder_2"):
        name = "model.safetensors" if part.startswith("text") else "diffusion_pytorch_model.safetensors"
        assert (tmp_path / "whole" / part / name).read_bytes() == (
            tmp_path / "resumed" / part / name
        ).read_bytes()


def _train_until(
    parameters: DenoiserParameters, step: int, drawings: Path, encoder: Path, tmp_path: Path
) -> None:
    """Stop a training right after the snapshot of ``step``, as a kill would."""
    from skin_pipeline.embedded import denoiser

    class KilledError(Exception):
        pass

    real = denoiser.save_snapshot

    def save_and_die(path: Path, at: int, *rest: object) -> None:
        real(path, at, *rest)  # type: ignore[arg-type]
        if at == step:
            raise KilledError

    denoiser.save_snapshot = save_and_die
    try:
        with pytest.raises(KilledError):
            train_denoiser(drawings, encoder, parameters, tmp_path / "work2", tmp_path / "never")
    finally:
        denoiser.save_snapshot = real


def test_recipe_ends_in_a_pipeline_that_draws(drawings: Path, encoder: Path, tmp_path: Path) -> None:
    fidelity = train_decoder(drawings, encoder, AUTOENCODER, tmp_path / "work", tmp_path / "autoencoder")
    assert fidelity["psnr_db"] > 12
    train_denoiser(drawings, encoder, DENOISER, tmp_path / "work", tmp_path / "denoiser")
    assemble(tmp_path / "autoencoder", tmp_path / "denoiser", tmp_path / "model")
    controlnet = ControlNetModel.from_pretrained(tmp_path / "model/controlnet_canny", dtype=torch.float32)
    pipeline = StableDiffusionXLControlNetPipeline.from_pretrained(
        tmp_path / "model/sdxl_micro", controlnet=controlnet, dtype=torch.float32
    )
    pipeline.scheduler = UniPCMultistepScheduler.from_config(pipeline.scheduler.config)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert pipeline.scheduler.config.rescale_betas_zero_snr
    pipeline.set_progress_bar_config(disable=True)
    control = torch.zeros(1, 3, 64, 64)
    picture = pipeline("粉色键盘", image=control, num_inference_steps=2, output_type="np").images[0]
    assert picture.shape == (64, 64, 3)
    assert np.isfinite(picture).all()
