import shutil

import pytest

from skin_pipeline.errors import MissingWeightsError
from skin_pipeline.generation.weights import folder_digest, locate_base_model


def test_the_digest_is_of_names_and_contents(base_model, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(base_model, copy)
    (copy / "README.md").write_text("A card is no part of the weights.")
    assert folder_digest(copy) == folder_digest(base_model)
    (copy / "unet/config.json").rename(copy / "unet/other.json")
    assert folder_digest(copy) != folder_digest(base_model)


def test_a_hub_id_is_pinned_to_its_cached_commit(tmp_path, monkeypatch):
    snapshot = tmp_path / "models--someone--sdxl/snapshots/abc123"
    snapshot.mkdir(parents=True)
    (snapshot / "model_index.json").write_text("{}")
    refs = tmp_path / "models--someone--sdxl/refs"
    refs.mkdir()
    (refs / "main").write_text("abc123")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    source = locate_base_model("someone/sdxl")
    assert (source.location, source.revision) == ("someone/sdxl", "abc123")
    assert len(source.digest) == 64


def test_what_is_not_there_is_named_by_its_option(tmp_path):
    with pytest.raises(MissingWeightsError, match=r"inference\.base_model is"):
        locate_base_model(str(tmp_path / "nowhere"))
