"""What packages say of themselves, read back from the files that the writers make."""

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from skin_pipeline.lineage.stamps import Stamp, read_stamp
from skin_pipeline.skins.export import Provenance, write_baidu, write_fcitx5, write_hamster, write_trime
from skin_pipeline.skins.model import Skin
from skin_pipeline.skins.trial.page import render_trial_page
from tests.lineage.small_skin import small_skin

SOURCE = Provenance(
    run_id="0123456789abcdef0123456789abcdef",
    weights_sha256="ce6cf11c8812be24" * 4,
    item="demo/skin_0010/e1da28c1-0",
    generator="skin_pipeline 0.1.0",
)


@pytest.fixture(scope="module")
def skin() -> Skin:
    return small_skin()


@pytest.mark.parametrize("write", [write_baidu, write_hamster, write_trime])
def test_packages_carry_their_whole_origin(skin: Skin, write, tmp_path: Path) -> None:
    write(skin, tmp_path / "moved elsewhere.zip", provenance=SOURCE)
    assert read_stamp(tmp_path / "moved elsewhere.zip") == Stamp(
        SOURCE.item, SOURCE.weights_sha256, SOURCE.run_id, SOURCE.generator
    )


@pytest.mark.parametrize("run_id", [SOURCE.run_id, ""])
def test_themes_and_trial_pages_say_it_in_a_sentence(skin: Skin, run_id: str, tmp_path: Path) -> None:
    source = replace(SOURCE, run_id=run_id)
    write_fcitx5(skin, tmp_path / "theme.zip", provenance=source)
    page = tmp_path / "page.html"
    page.write_text(render_trial_page(skin, {"Made by": source.sentence()}), encoding="utf-8")
    expected = Stamp(SOURCE.item, SOURCE.weights_sha256[:16], run_id, SOURCE.generator)
    assert read_stamp(tmp_path / "theme.zip") == expected
    assert read_stamp(page) == expected


def test_files_that_say_nothing_have_no_stamp(tmp_path: Path) -> None:
    picture, page, archive = tmp_path / "a.png", tmp_path / "a.html", tmp_path / "a.zip"
    picture.write_bytes(b"\x89PNG")
    page.write_text("<p>Made by hand.</p>")
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("provenance.json", '{"item": 1')
    assert [read_stamp(path) for path in (picture, page, archive)] == [None, None, None]
