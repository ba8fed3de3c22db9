from pathlib import Path

import pytest
import yaml
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.runner import SequentialRunner

from skin_pipeline.datasets import FolderDataset, ItemsDataset, PageDataset
from skin_pipeline.generation.parameters import GalleryParameters, InferenceParameters
from skin_pipeline.items import FolderPlan
from skin_pipeline.pipelines.inference import create_pipeline
from skin_pipeline.prep.control_images import ControlImageParameters
from tests.tiny_models import save_tiny_pipeline, save_training_set


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A tiny base model, a ControlNet for it and a training set of which three skins are held out."""
    from diffusers import UNet2DConditionModel

    from skin_pipeline.embedded.architecture import build_controlnet

    folder = tmp_path_factory.mktemp("inputs")
    base = save_tiny_pipeline(folder / "base")
    controlnet = build_controlnet(UNet2DConditionModel.from_pretrained(base, subfolder="unet"))
    FolderDataset(filepath=str(folder / "controlnet")).save(FolderPlan(controlnet.save_pretrained))
    FolderDataset(filepath=str(folder / "train_dataset")).save(FolderPlan(fill_with_training_set))
    return folder


def fill_with_training_set(path: Path) -> None:
    for entry in save_training_set(path / "set").iterdir():
        entry.rename(path / entry.name)
    (path / "set").rmdir()


def run(inputs, folder, control_images=None, **parameters):
    """Run the pipeline; return when each picture was written last."""
    settings = {
        "base_model": str(inputs / "base"),
        "seeds": (0, 1),
        "num_conditioning": 2,
        "num_inference_steps": 2,
        "num_threads": 1,
        **parameters,
    }
    catalog = DataCatalog(
        {
            "controlnet_weights": FolderDataset(filepath=str(inputs / "controlnet")),
            "train_dataset": FolderDataset(filepath=str(inputs / "train_dataset")),
            "params:inference": MemoryDataset(InferenceParameters(**settings)),
            "params:gallery": MemoryDataset(GalleryParameters()),
            "params:control_images": MemoryDataset(control_images or ControlImageParameters()),
            "control_images": ItemsDataset(filepath=str(folder / "control_images"), suffix=".png"),
            "generated_skins": ItemsDataset(filepath=str(folder / "generated_skins"), suffix=".png"),
            "gallery": PageDataset(filepath=str(folder / "gallery.html")),
        }
    )
    SequentialRunner().run(create_pipeline(), catalog)
    items = catalog.load("generated_skins")
    return {(item.record["prompt"], item.id): item.path.stat().st_mtime_ns for item in items.values()}


def test_it_leaves_pictures_and_a_page_that_shows_them(inputs, tmp_path):
    made = run(inputs, tmp_path)
    assert len(made) == 4
    page = (tmp_path / "gallery.html").read_text(encoding="utf-8")
    assert page.count('class="frame" type="button"') == 4
    for _, item_id in made:
        assert item_id in page


def test_only_what_is_missing_or_changed_is_generated(inputs, tmp_path):
    first = run(inputs, tmp_path)
    page = (tmp_path / "gallery.html").read_bytes()
    assert run(inputs, tmp_path) == first
    assert (tmp_path / "gallery.html").read_bytes() == page

    more_seeds = run(inputs, tmp_path, seeds=(0, 1, 2), batch_size=1)
    assert len(more_seeds) == 6
    assert first.items() < more_seeds.items()

    other_steps = run(inputs, tmp_path, num_inference_steps=3)
    assert other_steps.keys() == first.keys()
    assert not set(other_steps.values()) & set(first.values())


def test_a_run_that_was_stopped_goes_on(inputs, tmp_path, monkeypatch):
    """The second batch fails; the first one's pictures are kept and not made again."""
    from skin_pipeline.generation.worker import Generator

    sample, calls = Generator.sample, []

    def fail_at_second(self, controls, requests):
        calls.append(len(requests))
        if len(calls) == 2:
            raise RuntimeError("stopped")
        return sample(self, controls, requests)

    monkeypatch.setattr(Generator, "sample", fail_at_second)
    with pytest.raises(Exception, match="stopped"):
        run(inputs, tmp_path, batch_size=2)
    with pytest.raises(DatasetError, match="was interrupted"):
        ItemsDataset(filepath=str(tmp_path / "generated_skins"), suffix=".png").load()

    run(inputs, tmp_path, batch_size=2)
    assert calls == [2, 2, 2]  # one batch made, one stopped, one made in the second run


@pytest.mark.parametrize("environment", ["base", "test", "sdxl", "sd3"])
def test_the_configured_parameters_are_valid(environment):
    conf = Path(__file__).parents[2] / "conf"
    merged = yaml.safe_load((conf / "base/parameters_inference.yml").read_text())
    for name, values in yaml.safe_load((conf / environment / "parameters_inference.yml").read_text()).items():
        merged[name] |= values
    assert set(merged) == {"inference", "gallery", "control_images"}
    assert set(merged["inference"]) == set(InferenceParameters.model_fields)  # every key is shown in base
    InferenceParameters(**merged["inference"])
    GalleryParameters(**merged["gallery"])


def test_nodes_are_named_after_their_functions():
    assert [node.name for node in create_pipeline().nodes] == [
        "draw_control_images",
        "generate_skins",
        "render_gallery",
    ]


def test_skins_are_generated_on_a_layout_with_the_users_legends(inputs, tmp_path):
    drawn = ControlImageParameters(layouts=("whole_keyboard",), legends={"enter": "发射"}, size_px=64)
    run(inputs, tmp_path, drawn, prompts=("a red skin",), seeds=(0,))
    items = ItemsDataset(filepath=str(tmp_path / "generated_skins"), suffix=".png").load()
    (record,) = (item.record for item in items.values())
    assert record["outlines_of"] == "layout:whole_keyboard"
    assert record["conditioning"].startswith("whole_keyboard_")
    assert record["settings"]["size_px"] == [64, 64]
    assert "data:image/webp" in (tmp_path / "gallery.html").read_text()
