"""The recogniser in PyTorch against the same file in onnxruntime, on legends of drawn skins."""

from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest
import torch
from torch import Tensor

from skin_pipeline.errors import MissingWeightsError
from skin_pipeline.recognition.recognizer_files import find_recognizer, open_session
from skin_pipeline.recognition.rectify import pad_crops, rectify
from skin_pipeline.recognition.torch_recognizer import BLANK, TorchRecognizer, load_recognizer
from skin_pipeline.recognition.weights import embedded_weights
from skin_pipeline.skins.drawn import draw_skin

EMBEDDED = "embedded"


@pytest.fixture(scope="module")
def recognizer() -> TorchRecognizer:
    return load_recognizer()


@pytest.fixture(scope="module")
def crops_and_texts() -> tuple[Tensor, list[str]]:
    skin = draw_skin(3, width_px=512, height_px=384, layout="9_key")
    picture = torch.from_numpy(skin.image).permute(2, 0, 1).float() / 127.5 - 1
    legends = [legend for legend in skin.legends if len(legend.text) > 1][:8]
    crops, _ = pad_crops([rectify(picture, legend.quad, False) for legend in legends], 320)
    return crops, [legend.text for legend in legends]


def test_it_reads_as_onnxruntime_does(
    recognizer: TorchRecognizer, crops_and_texts: tuple[Tensor, list[str]]
) -> None:
    crops, _ = crops_and_texts
    session = open_session(find_recognizer(EMBEDDED, "recognizer").path)
    expected = session.run(None, {"x": crops.flip(1).numpy()})[0]
    with torch.no_grad():
        reading = recognizer(crops)
    np.testing.assert_allclose(reading.logits.softmax(-1).numpy(), expected, atol=2e-5)
    assert reading.logits.shape == (len(crops), 320 // 8, len(recognizer.characters))
    torch.testing.assert_close(recognizer.network.head.head(reading.features), reading.logits)


def test_it_reads_legends(recognizer: TorchRecognizer, crops_and_texts: tuple[Tensor, list[str]]) -> None:
    crops, texts = crops_and_texts
    with torch.no_grad():
        read = recognizer.decode(recognizer(crops).logits)
    assert sum(found == text for found, text in zip(read, texts, strict=True)) >= len(texts) - 1


def test_its_characters_are_the_files(recognizer: TorchRecognizer) -> None:
    session = open_session(find_recognizer(EMBEDDED, "recognizer").path)
    named = session.get_modelmeta().custom_metadata_map["character"].splitlines()
    assert recognizer.characters == ("", *named, " ")
    assert BLANK == 0
    classes = recognizer.encode("前往")
    assert classes is not None
    assert [recognizer.characters[one] for one in classes] == ["前", "往"]
    assert recognizer.encode("") is None
    assert recognizer.encode("\U0010ffff") is None


def test_decoding_drops_repeats_and_blanks(recognizer: TorchRecognizer) -> None:
    one, other = recognizer.encode("ab") or ()
    places = torch.tensor([[one, one, BLANK, one, other, other, BLANK]])
    logits = torch.nn.functional.one_hot(places, len(recognizer.characters)).float()
    assert recognizer.decode(logits) == ["aab"]


def test_only_pixels_get_a_gradient(
    recognizer: TorchRecognizer, crops_and_texts: tuple[Tensor, list[str]]
) -> None:
    crops = crops_and_texts[0][:1, :, :, :96].clone().requires_grad_()
    recognizer.train()
    recognizer(crops).features.square().mean().backward()
    assert crops.grad is not None
    assert torch.isfinite(crops.grad).all()
    assert crops.grad.abs().max() > 0
    assert not any(module.training for module in recognizer.modules())
    assert all(p.grad is None and not p.requires_grad for p in recognizer.parameters())


def test_it_stays_in_fp32_under_autocast(
    recognizer: TorchRecognizer, crops_and_texts: tuple[Tensor, list[str]]
) -> None:
    crops = crops_and_texts[0][:1, :, :, :96]
    with torch.no_grad():
        plain = recognizer(crops)
        with torch.autocast("cpu", torch.bfloat16):
            short = recognizer(crops)
    assert torch.equal(plain.logits, short.logits)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return embedded_weights(tmp_path_factory.mktemp("weights")).recognition.path


def test_a_file_or_a_model_folder_is_as_good(model_folder: Path) -> None:
    embedded = find_recognizer(EMBEDDED, "recognizer")
    for source in (embedded.path, model_folder):
        found = find_recognizer(str(source), "recognizer")
        assert found.characters == embedded.characters
        assert found.digest == embedded.digest


def test_a_network_of_another_kind_is_refused(model_folder: Path, tmp_path: Path) -> None:
    copyfile(model_folder / "inference.yml", tmp_path / "inference.yml")
    copyfile(model_folder.parent / "detection" / "inference.onnx", tmp_path / "inference.onnx")
    with pytest.raises(MissingWeightsError, match=r"train\.text\.recognizer .* is not PP-OCRv6 small"):
        load_recognizer(str(tmp_path), "train.text.recognizer")


def test_what_is_missing_is_named(tmp_path: Path, model_folder: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"there is no inference\.onnx"):
        find_recognizer(str(tmp_path / "nowhere"), "train.text.recognizer")
    detection = model_folder.parent / "detection" / "inference.onnx"
    with pytest.raises(MissingWeightsError, match="does not list its characters"):
        find_recognizer(str(detection), "train.text.recognizer")
