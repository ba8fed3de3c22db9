import json

import cv2
import pytest

from benchmarks.packages import main
from tests.skins.packages import save, zipped
from tests.skins.previewed import previewed_package


def test_it_measures_every_package_and_leaves_a_page(tmp_path, capsys):
    previewed_package(tmp_path)
    save(tmp_path, zipped({"readme.txt": b"not a skin"}), "broken.bds")
    main([str(tmp_path), "--quick", f"--out={tmp_path / 'page.png'}"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["packages"] == 2
    assert list(figures["refused"]) == ["broken.bds"]
    assert figures["drawn"]["pinyin_26"] == 1
    assert figures["import"]["median_ms"] > 0
    assert figures["demo"]["showing_a_keyboard"] == 1
    assert cv2.imread(str(tmp_path / "page.png")).shape[2] == 3


def test_a_folder_without_packages_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="holds no package"):
        main([str(tmp_path)])
