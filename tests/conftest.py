"""What tests of several packages share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from skin_pipeline.items import Item, Items

# Before anything loads torch: on few or busy cores, threads that wait for each other take most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def make_items(tmp_path: Path) -> Callable[..., Items]:
    """Write small RGB pictures that differ, one an id, and return them as items."""

    def make(*ids: str, size_px: tuple[int, int] = (12, 8), folder: str = "source") -> Items:
        return Items(
            _write_picture(tmp_path / folder / f"{item_id}.png", item_id, size_px) for item_id in ids
        )

    return make


def _write_picture(path: Path, item_id: str, size_px: tuple[int, int]) -> Item:
    width, height = size_px
    seed = int.from_bytes(hashlib.sha256(item_id.encode()).digest()[:4])
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return Item(item_id, {}, hashlib.sha256(path.read_bytes()).hexdigest(), path)
