import json

import pytest
from diffusers import UNet2DConditionModel
from PIL import Image

from benchmarks.control_adherence import main
from skin_pipeline.datasets import FolderDataset
from skin_pipeline.embedded.architecture import build_controlnet
from skin_pipeline.items import FolderPlan
from tests.tiny_models import save_tiny_pipeline, save_training_set


def fill(path):
    for entry in save_training_set(path / "set").iterdir():
        entry.rename(path / entry.name)
    (path / "set").rmdir()


@pytest.fixture
def options(tmp_path):
    base = save_tiny_pipeline(tmp_path / "base")
    build_controlnet(UNet2DConditionModel.from_pretrained(base, subfolder="unet")).save_pretrained(
        tmp_path / "controlnet"
    )
    FolderDataset(filepath=str(tmp_path / "dataset")).save(FolderPlan(fill))
    paths = {"base": base, "weights": tmp_path / "controlnet", "dataset": tmp_path / "dataset"}
    return [f"--{name}={path}" for name, path in paths.items()] + [f"--out={tmp_path / 'sheet.png'}"]


def test_it_measures_all_systems_and_leaves_a_sheet(options, tmp_path, capsys):
    main([*options, "--quick", "--threads=1"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    systems = figures["systems"]
    assert set(systems) == {"trained", "shuffled", "untrained", "none", "real"}
    assert systems["untrained"] == systems["none"]  # zero convolutions: a fresh ControlNet says nothing
    assert systems["trained"] != systems["none"]
    assert figures["num_skins"] == systems["trained"]["f1"]["num_samples"] == 3
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (6 * 64, 3 * 64 + 22)


def test_one_skin_cannot_be_shuffled(options):
    with pytest.raises(SystemExit, match="shuffling needs 2"):
        main([*options, "--num=1"])
