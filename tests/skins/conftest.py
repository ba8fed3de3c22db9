"""What the tests of skins share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from skin_pipeline.skins.model import Skin
from skin_pipeline.skins.packages import read_skin
from tests.skins.packages import Files, save, zipped


@pytest.fixture
def read(tmp_path: Path) -> Callable[[Files], Skin]:
    """Zip files and read them as a skin."""
    return lambda files: read_skin(save(tmp_path, zipped(files)))
