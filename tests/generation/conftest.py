import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from skin_pipeline.items import Folder, json_digest

SIDE_PX = 64


def draw_skin(path: Path, seed: int) -> np.ndarray:
    """Draw a panel with three keys and save it; return it, (H, W, 3)."""
    rng = np.random.default_rng(seed)
    skin = np.full((SIDE_PX, SIDE_PX, 3), rng.integers(0, 256, 3), np.uint8)
    for column in range(3):
        colour = [int(level) for level in rng.integers(0, 256, 3)]
        cv2.rectangle(skin, (4 + 20 * column, 20), (18 + 20 * column, 44), colour, -1)
    Image.fromarray(skin).save(path)
    return skin


def as_folder(path: Path) -> Folder:
    files = {
        file.relative_to(path).as_posix(): json_digest(file.read_bytes().hex())
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }
    return Folder(path, json_digest(files), files)


@pytest.fixture
def published(tmp_path: Path) -> Folder:
    """A training set with four skins, all held out, of which the second is called by a name to be escaped."""
    path = tmp_path / "train_dataset"
    rows = []
    for folder in ("images", "conditioning_images"):
        (path / folder).mkdir(parents=True)
    for number, skin_id in enumerate(["demo/a", "demo/b<&>", "demo/c", "demo/d"]):
        image, control = f"images/{number}.png", f"conditioning_images/{number}.png"
        skin = draw_skin(path / image, number)
        edges = cv2.Canny(cv2.cvtColor(skin, cv2.COLOR_RGB2GRAY), 50, 80)
        Image.fromarray(np.dstack([edges] * 3)).save(path / control)
        text = f"a keyboard skin of kind {number}"
        rows.append([text, image, control, [], skin_id, "per_skin"])
    names = ("text", "image", "conditioning_image", "box", "skin", "conditioning")
    lines = [json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows]
    (path / "validation.jsonl").write_text("".join(lines))
    (path / "train.jsonl").write_text("")
    return as_folder(path)


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random SDXL pipeline folder: v-prediction, zero terminal SNR."""
    from tests.tiny_models import save_tiny_pipeline

    return save_tiny_pipeline(tmp_path_factory.mktemp("base") / "sdxl")


@pytest.fixture(scope="session")
def controlnet(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A random ControlNet for that model, which does steer it."""
    from diffusers import UNet2DConditionModel

    from skin_pipeline.embedded.architecture import build_controlnet

    folder = tmp_path_factory.mktemp("weights") / "controlnet"
    unet = UNet2DConditionModel.from_pretrained(base_model, subfolder="unet")
    build_controlnet(unet).save_pretrained(folder)
    return as_folder(folder)
