"""Where the text weights come from, and what is said when they are not there."""

import importlib.util
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from skin_pipeline.errors import MissingWeightsError, StorageError
from skin_pipeline.recognition.weights import TextWeights, embedded_weights, weights_in_folders


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def weights(cache_folder: Path) -> TextWeights:
    return embedded_weights(cache_folder)


def test_embedded_weights_are_two_model_folders_and_nothing_else(
    weights: TextWeights, cache_folder: Path
) -> None:
    files = {path.relative_to(cache_folder).as_posix() for path in cache_folder.rglob("*") if path.is_file()}
    folder = weights.detection.path.parent.name
    assert files == {
        f"{folder}/{model}/{name}"
        for model in ("detection", "recognition")
        for name in ("inference.onnx", "inference.yml")
    }
    assert weights.name == "PP-OCRv6_small_det + PP-OCRv6_small_rec"


def test_the_recogniser_lists_all_its_characters(weights: TextWeights) -> None:
    text = (weights.recognition.path / "inference.yml").read_text(encoding="utf-8")
    characters = yaml.load(text, Loader=yaml.CSafeLoader)["PostProcess"]["character_dict"]
    assert len(characters) == 18_708  # and blank and space: the 18,710 classes of the network
    assert {"前", "往", "Q", "符", "，", "\u3000", "~", "y"} <= set(characters)
    assert all(isinstance(character, str) and len(character) == 1 for character in characters)


def test_a_second_call_writes_nothing(weights: TextWeights, cache_folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in cache_folder.rglob("*")}
    again = embedded_weights(cache_folder)
    assert {path: path.stat().st_mtime_ns for path in cache_folder.rglob("*")} == before
    assert again.digest == weights.digest


def test_the_digest_follows_the_content(weights: TextWeights, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(weights.detection.path, tmp_path / "detection"))
    assert weights_in_folders(copy, weights.recognition.path).digest == weights.digest
    with (copy / "inference.yml").open("a") as file:
        file.write("# changed\n")
    assert weights_in_folders(copy, weights.recognition.path).digest != weights.digest


def test_a_missing_file_is_named(weights: TextWeights, tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"nowhere has no inference\.yml"):
        weights_in_folders(tmp_path / "nowhere", weights.recognition.path)


def test_swapped_folders_are_noticed(weights: TextWeights) -> None:
    with pytest.raises(MissingWeightsError, match="swapped"):
        weights_in_folders(weights.recognition.path, weights.detection.path)


@pytest.mark.parametrize("description", ["- a list", "Global: {}", "{", "PostProcess: 1"])
def test_an_unusable_description_is_named(weights: TextWeights, tmp_path: Path, description: str) -> None:
    (tmp_path / "inference.onnx").touch()
    (tmp_path / "inference.yml").write_text(description)
    with pytest.raises(MissingWeightsError, match="not the description of a paddleocr model"):
        weights_in_folders(tmp_path, weights.recognition.path)


def test_without_rapidocr_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingWeightsError, match="rapidocr package, which is not installed"):
        embedded_weights(tmp_path)


def test_a_rapidocr_without_models_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = SimpleNamespace(origin=str(tmp_path / "rapidocr" / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    with pytest.raises(MissingWeightsError, match=r"PP-OCRv6_det_small\.onnx is not there"):
        embedded_weights(tmp_path)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(StorageError, match=r"text_boxes\.cache_folder"):
        embedded_weights(blocked / "cache")
