"""Names of weights: shipped, in a folder, on a hub, or an error that says which of them was meant."""

from pathlib import Path

import pytest

from skin_pipeline.base_models import resolve_base_model, resolve_controlnet
from skin_pipeline.errors import MissingWeightsError


def test_folder_is_resolved_to_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model_index.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert resolve_base_model("model") == str((tmp_path / "model").resolve())


def test_folder_without_a_model_names_the_missing_file(tmp_path: Path) -> None:
    with pytest.raises(
        MissingWeightsError, match=r"train\.controlnet_init is the folder .* has no config\.json"
    ):
        resolve_controlnet(str(tmp_path), "train.controlnet_init")


@pytest.mark.parametrize("name", ["no-such-folder", "./a/b", "/not/here", "a/b/c", ""])
def test_what_is_neither_folder_nor_id_is_refused(name: str) -> None:
    with pytest.raises(MissingWeightsError, match=r"no folder here and no hub id|has no model_index"):
        resolve_base_model(name)


def test_hub_id_that_is_not_cached_is_refused_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingWeightsError, match="not in the local cache"):
        resolve_base_model("nobody/no-such-model")


def test_hub_id_is_kept_online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert (
        resolve_base_model("stabilityai/stable-diffusion-xl-base-1.0")
        == "stabilityai/stable-diffusion-xl-base-1.0"
    )


@pytest.mark.parametrize(
    ("resolve", "name"), [(resolve_base_model, "embedded"), (resolve_controlnet, "embedded-canny")]
)
def test_shipped_weights_are_there(resolve: object, name: str) -> None:
    assert Path(resolve(name)).is_dir()  # type: ignore[operator]
