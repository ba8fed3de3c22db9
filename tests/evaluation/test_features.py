import warnings

import numpy as np
import pytest
import torch

from skin_pipeline.errors import MissingWeightsError
from skin_pipeline.evaluation.features import (
    AutoencoderFeatures,
    ClipFeatures,
    InceptionFeatures,
    clip_scores,
    load_extractor,
    resized_bicubic,
)
from skin_pipeline.evaluation.parameters import EvaluationParameters
from tests.tiny_models import save_tiny_pipeline


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (8, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1) for _ in range(5)]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    """A tiny random CLIP model with a tokenizer of its own."""
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

    from skin_pipeline.embedded.architecture import build_tokenizer

    folder = tmp_path_factory.mktemp("clip")
    tokenizer = build_tokenizer(["a pink keyboard", "a blue keyboard"] * 8, 400)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    text = CLIPTextConfig(
        **size,
        vocab_size=len(tokenizer),
        max_position_embeddings=20,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = CLIPVisionConfig(**size, image_size=32, patch_size=8)
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8)
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def check_that_batches_change_nothing(extractor, pictures):
    together = extractor.pictures(pictures)
    alone = np.concatenate([extractor.pictures([picture]) for picture in pictures])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(extractor.pictures(pictures[::-1]), together[::-1])
    assert together.dtype == np.float32
    return together


def test_autoencoder_features_are_the_latents_of_coarse_cells(tmp_path, pictures):
    base = save_tiny_pipeline(tmp_path / "base")
    found = check_that_batches_change_nothing(AutoencoderFeatures(str(base)), pictures)
    assert found.shape == (5, 4 * 64)
    odd = AutoencoderFeatures(str(base)).pictures([pictures[0][:63, :61]])
    assert odd.shape == (1, 4 * 64)


def test_clip_embeddings_and_scores_are_those_of_the_model(clip_folder, pictures):
    from transformers import AutoTokenizer, CLIPModel

    extractor = ClipFeatures(str(clip_folder))
    found = check_that_batches_change_nothing(extractor, pictures)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    texts = ["a pink keyboard", "a blue keyboard and many words " * 9]
    said = extractor.texts(texts)

    model = CLIPModel.from_pretrained(clip_folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(clip_folder)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    pixels = torch.from_numpy(resized_bicubic(pictures[0], 32)).permute(2, 0, 1)
    with torch.no_grad():
        for index, text in enumerate(texts):
            tokens = tokenizer(text, truncation=True, max_length=20, return_tensors="pt")
            output = model(input_ids=tokens.input_ids, pixel_values=((pixels / 255 - mean) / std)[None])
            cosine = float(output.logits_per_image / model.logit_scale.exp())
            score = clip_scores(found[:1], said[index : index + 1])[0]
            assert score == pytest.approx(max(100 * cosine, 0), abs=1e-3)


def test_clip_scores_are_known_and_never_negative():
    along, across = np.array([[3.0, 0]], np.float32), np.array([[0, 2.0]], np.float32)
    assert clip_scores(along, along) == pytest.approx([100.0])
    assert clip_scores(along, across) == pytest.approx([0.0])
    assert clip_scores(along, -along) == pytest.approx([0.0])


def test_inception_gets_what_clean_fid_gives_it(tmp_path, pictures):
    """A stand-in of the same interface that returns the mean of each channel it is given."""

    class Layers(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(dim=(2, 3))

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = Layers()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layers(x)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is no longer written, only read
        torch.jit.script(Network()).save(str(tmp_path / "inception.pt"))
    found = check_that_batches_change_nothing(InceptionFeatures(tmp_path / "inception.pt"), pictures)
    for picture, features in zip(pictures, found, strict=True):
        np.testing.assert_allclose(
            features, (resized_bicubic(picture, 299).mean((0, 1)) - 128) / 128, atol=1e-4
        )


def test_resizing_neither_rounds_nor_leaves_the_range():
    step = np.zeros((16, 16, 3), np.uint8)
    step[:, 8:] = 255
    small = resized_bicubic(step, 5)
    assert small.shape == (5, 5, 3)
    assert (small.min(), small.max()) == (0.0, 255.0)
    assert len(np.unique(small)) > 2
    np.testing.assert_array_equal(resized_bicubic(step, 16), step)


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(MissingWeightsError, match=r"evaluation\.inception: there is no file"):
        load_extractor("inception", str(tmp_path / "none.pt"))
    with pytest.raises(MissingWeightsError, match=r"evaluation\.inception"):
        EvaluationParameters(inception=tmp_path / "none.pt").preflight()
    with pytest.raises(MissingWeightsError, match=r"evaluation\.clip"):
        EvaluationParameters(clip=str(tmp_path)).preflight()
    assert EvaluationParameters().feature_weights("embedded") == {"autoencoder": "embedded"}
