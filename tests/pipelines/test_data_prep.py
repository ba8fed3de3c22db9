import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from datasets import load_dataset
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.runner import SequentialRunner
from PIL import Image, ImageDraw

from skin_pipeline.datasets import (
    FolderDataset,
    ItemsDataset,
    JSONLinesDataset,
    PageDataset,
    RawSkinsDataset,
)
from skin_pipeline.items import Items, Output, Task
from skin_pipeline.pipelines.data_prep import create_pipeline, nodes
from skin_pipeline.pipelines.data_prep.pipeline import STAGES
from skin_pipeline.prep.captions import CaptionParameters, make_captioner
from skin_pipeline.prep.edges import EdgeParameters
from skin_pipeline.prep.glyphs import GlyphParameters
from skin_pipeline.prep.publish import DatasetParameters
from skin_pipeline.prep.resize import ResizeParameters
from skin_pipeline.prep.screen import ScreenParameters
from skin_pipeline.prep.select import SelectionParameters
from skin_pipeline.prep.text import TextParameters
from skin_pipeline.skins.sheets.conditioning import draw_outlines, lay_out
from skin_pipeline.skins.sheets.layout import load_layout

PARAMETERS = {
    "screen": ScreenParameters(min_side_px=64),
    "resize": ResizeParameters(size_px=64),
    "edges": EdgeParameters(),
    "captions": CaptionParameters(),
    "text_boxes": TextParameters(),
    "glyphs": GlyphParameters(),
    "selection": SelectionParameters(),
    "dataset": DatasetParameters(validation_share=0.25),
}
NUM_SKINS = 8


def draw_skin(seed: int) -> Image.Image:
    generator = np.random.default_rng(seed)
    picture = Image.new("RGB", (160, 120), tuple(int(level) for level in generator.integers(0, 255, 3)))
    pen = ImageDraw.Draw(picture)
    for _ in range(10):
        x, y, width, height = (
            int(length) for length in generator.integers((0, 0, 10, 10), (140, 100, 40, 40))
        )
        pen.rectangle(
            (x, y, x + width, y + height), tuple(int(level) for level in generator.integers(0, 255, 3))
        )
    return picture


def read_go(tasks: Sequence[Task]) -> list[Output]:
    """Stand in for the recogniser, whose own tests are elsewhere: find 前往 in the middle of every skin."""
    quad = [[16, 24], [48, 24], [48, 40], [16, 40]]
    box = {"text": "前往", "confidence": 0.99, "quad": quad, "source_quad": quad}
    return [Output({"engine": "none", "model": "none", "boxes": [box]}) for _ in tasks]


def say_little(tasks: Sequence[Task]) -> list[Output]:
    """Stand in for the captioner, which takes a tenth of a second a skin."""
    record = {"caption": "a keyboard skin,iflyskin", "prefix": "a keyboard skin of", "suffix": ",iflyskin"}
    return [Output(record) for _ in tasks]


@pytest.fixture
def raw_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "01_raw"
    (folder / "mine").mkdir(parents=True)
    for seed in range(NUM_SKINS):
        draw_skin(seed).save(folder / "mine" / f"skin_{seed}.png")
    (folder / "page.jpg").write_bytes(b"<!DOCTYPE html>")
    (folder / "again.png").write_bytes((folder / "mine" / "skin_0.png").read_bytes())
    outside = tmp_path / "secret.png"
    draw_skin(99).save(outside)
    (folder / "link.png").symlink_to(outside)
    return folder


@pytest.fixture
def make_catalog(
    tmp_path: Path, raw_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., DataCatalog]:
    monkeypatch.setattr(nodes, "make_text_reader", lambda _: read_go)
    monkeypatch.setattr(nodes, "make_captioner", lambda _: say_little)
    pictures = {"resized_skins", "edge_maps", "glyph_maps"}

    def make(**changed: Any) -> DataCatalog:
        stages = {
            name: ItemsDataset(
                filepath=str(tmp_path / name),
                suffix=".png" if name in pictures else None,
                source_folder=str(raw_folder) if name == "screened_skins" else None,
            )
            for name in STAGES
        }
        return DataCatalog(
            {
                "raw_skins": RawSkinsDataset(filepath=str(raw_folder)),
                "train_dataset": FolderDataset(filepath=str(tmp_path / "train_dataset")),
                "rejected_skins": JSONLinesDataset(filepath=str(tmp_path / "rejected.jsonl")),
                "data_quality": PageDataset(filepath=str(tmp_path / "data_quality.html")),
                **stages,
                **{
                    f"params:{name}": MemoryDataset(value)
                    for name, value in {**PARAMETERS, **changed}.items()
                },
            }
        )

    return make


def rows_of(tmp_path: Path, split: str) -> list[dict[str, Any]]:
    lines = (tmp_path / "train_dataset" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    """Digest and time of each file, but for locks and summaries."""
    return {
        path.relative_to(folder).as_posix(): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in {".lock", ".summary.json"}
    }


def test_raw_skins_become_a_training_set(
    make_catalog: Callable[..., DataCatalog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = make_catalog()
    monkeypatch.setattr(nodes, "make_captioner", make_captioner)
    SequentialRunner().run(create_pipeline(), catalog)
    # again.png comes before mine/skin_0.png, and is the one that stays.
    expected = {"again", *(f"mine/skin_{seed}" for seed in range(1, NUM_SKINS))}
    rows = {row["skin"]: row for split in ("train", "validation") for row in rows_of(tmp_path, split)}
    assert set(rows) == expected
    assert len(rows_of(tmp_path, "validation")) == NUM_SKINS // 4
    for row in rows.values():
        assert row["text"].startswith("a keyboard skin of")
        assert row["text"].endswith(',iflyskin, writing "前往"')
        assert row["box"] == [[[16, 24], [48, 24], [48, 40], [16, 40]]]
    loaded = load_dataset(str(tmp_path / "train_dataset"), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"][0]["image"].size == loaded["train"][0]["conditioning_image"].size == (64, 64)


def test_every_raw_file_is_published_or_rejected(
    make_catalog: Callable[..., DataCatalog], tmp_path: Path
) -> None:
    catalog = make_catalog()
    SequentialRunner().run(create_pipeline(), catalog)
    rejected = {record["source"]: record for record in catalog["rejected_skins"].load()}
    assert set(rejected) == {"link.png", "mine/skin_0.png", "page.jpg"}
    assert {record["stage"] for record in rejected.values()} == {"screened_skins"}
    assert rejected["page.jpg"]["reason"] == (
        "page.jpg: expected one of PNG, JPEG, WEBP, BMP, TIFF, GIF, got an HTML page."
    )
    assert "leads out of the folder" in rejected["link.png"]["reason"]
    assert "the same pixels as 'again' (again.png), which is kept" in rejected["mine/skin_0.png"]["reason"]
    published = [row["skin"] for split in ("train", "validation") for row in rows_of(tmp_path, split)]
    assert len(published) + len(rejected) == len(catalog["raw_skins"].load())


def test_a_second_run_makes_nothing_and_a_threshold_only_what_follows(
    make_catalog: Callable[..., DataCatalog], tmp_path: Path
) -> None:
    SequentialRunner().run(create_pipeline(), make_catalog())
    first = {name: contents(tmp_path / name) for name in (*STAGES, "train_dataset")}
    SequentialRunner().run(create_pipeline(), make_catalog())
    assert {name: contents(tmp_path / name) for name in first} == first
    SequentialRunner().run(create_pipeline(), make_catalog(edges=EdgeParameters(low=10, high=20)))
    changed = {name for name in first if contents(tmp_path / name) != first[name]}
    assert changed == {"edge_maps", "glyph_maps", "selected_skins", "train_dataset"}


def test_another_limit_measures_nothing_again(
    make_catalog: Callable[..., DataCatalog], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    SequentialRunner().run(create_pipeline(), make_catalog())
    first = {name: contents(tmp_path / name) for name in STAGES}
    median = sorted(edge_scores(tmp_path))[NUM_SKINS // 2]
    limit = SelectionParameters(edge_score={"at_least": median, "action": "reject"})
    with caplog.at_level("INFO"):
        SequentialRunner().run(create_pipeline(), make_catalog(selection=limit))
    changed = {name for name in first if contents(tmp_path / name) != first[name]}
    assert changed == {"selected_skins"}
    assert f"selected_skins: {NUM_SKINS // 2} items, {NUM_SKINS} reused, 0 made" in caplog.text
    left_out = make_catalog()["selected_skins"].load()
    assert len(left_out.rejected) == len(left_out.left_out) == NUM_SKINS // 2
    published = [row["skin"] for split in ("train", "validation") for row in rows_of(tmp_path, split)]
    assert sorted(published) == list(left_out)
    page = (tmp_path / "data_quality.html").read_text(encoding="utf-8")
    assert f"{NUM_SKINS // 2} of {NUM_SKINS} skins are beyond and left out" in page


def test_when_no_skin_is_left_the_page_says_why(
    make_catalog: Callable[..., DataCatalog], tmp_path: Path
) -> None:
    nothing = SelectionParameters(legends={"at_least": 2, "action": "reject"})
    with pytest.raises(DatasetError, match="No skin came through all stages"):
        SequentialRunner().run(create_pipeline(), make_catalog(selection=nothing))
    page = (tmp_path / "data_quality.html").read_text(encoding="utf-8")
    assert page.count("no legends: legends 1, expected at least 2.") == NUM_SKINS


def edge_scores(tmp_path: Path) -> list[float]:
    selected = ItemsDataset(filepath=str(tmp_path / "selected_skins")).load()
    return [item.record["edges"]["score"] for item in selected.values()]


def test_a_skin_that_is_there_twice_in_other_encodings_is_published_once(
    make_catalog: Callable[..., DataCatalog], tmp_path: Path, raw_folder: Path
) -> None:
    draw_skin(3).save(raw_folder / "mine" / "skin_3_again.jpg", quality=95, subsampling=0)
    catalog = make_catalog()
    SequentialRunner().run(create_pipeline(), catalog)
    (record,) = [row for row in catalog["rejected_skins"].load() if row["stage"] == "selected_skins"]
    assert record["id"] == "mine/skin_3_again"
    assert record["reason"].startswith("repeats 'mine/skin_3', which is kept: the same legends")


def test_one_more_skin_leaves_the_others_as_they_are(
    make_catalog: Callable[..., DataCatalog], tmp_path: Path, raw_folder: Path
) -> None:
    SequentialRunner().run(create_pipeline(), make_catalog())
    first = contents(tmp_path / "glyph_maps")
    draw_skin(50).save(raw_folder / "new.png")
    SequentialRunner().run(create_pipeline(), make_catalog())
    second = contents(tmp_path / "glyph_maps")
    assert {name for name in second if second[name] != first.get(name)} == {"new.png", "_manifest.jsonl"}


@pytest.mark.parametrize("mode", ["shared", "per_skin", "glyph"])
def test_conditioning_modes(make_catalog: Callable[..., DataCatalog], tmp_path: Path, mode: str) -> None:
    catalog = make_catalog(
        dataset=DatasetParameters(conditioning=mode, validation_share=0.25),
        glyphs=GlyphParameters(background="shared"),
    )
    SequentialRunner().run(create_pipeline(), catalog)
    stage = catalog["glyph_maps" if mode == "glyph" else "edge_maps"].load()
    first_edges = catalog["edge_maps"].load()["again"].load_image()
    for row in rows_of(tmp_path, "train"):
        control = np.asarray(Image.open(tmp_path / "train_dataset" / row["conditioning_image"]))[..., 0]
        expected = first_edges if mode == "shared" else stage[row["skin"]].load_image()
        np.testing.assert_array_equal(control, expected)
        if mode == "glyph":  # outside the legend's quad: the first skin's edges, whatever the skin
            np.testing.assert_array_equal(control[:20], first_edges[:20])


@pytest.mark.parametrize("mode", ["shared", "glyph"])
def test_a_layout_is_shared_by_skins_and_by_backgrounds_of_glyphs(
    make_catalog: Callable[..., DataCatalog], tmp_path: Path, mode: str
) -> None:
    catalog = make_catalog(
        dataset=DatasetParameters(conditioning=mode, shared_image="four_parts", validation_share=0.25),
        glyphs=GlyphParameters(background="shared"),
    )
    SequentialRunner().run(create_pipeline(), catalog)
    for row in rows_of(tmp_path, "train"):
        assert row["outlines_of"] == "layout:four_parts"
        control = np.asarray(Image.open(tmp_path / "train_dataset" / row["conditioning_image"]))[..., 0]
        outlines = draw_outlines(lay_out(load_layout("four_parts"), control.shape[::-1], name="four_parts"))
        shown = np.s_[:20] if mode == "glyph" else np.s_[:]  # outside the legend's quad
        np.testing.assert_array_equal(control[shown], outlines[shown])


@pytest.mark.parametrize("mode", ["shared", "per_skin", "glyph"])
def test_skins_keep_their_shapes(
    make_catalog: Callable[..., DataCatalog], raw_folder: Path, tmp_path: Path, mode: str
) -> None:
    draw_skin(77).transpose(Image.Transpose.ROTATE_90).save(raw_folder / "mine" / "turned.png")
    catalog = make_catalog(
        resize=ResizeParameters(size_px=128, fit="bucket", bucket_step_px=32),
        dataset=DatasetParameters(conditioning=mode, validation_share=0.25),
        glyphs=GlyphParameters(background="shared"),
    )
    SequentialRunner().run(create_pipeline(), catalog)
    rows = {row["skin"]: row for split in ("train", "validation") for row in rows_of(tmp_path, split)}
    assert len(rows) == NUM_SKINS + 1
    for skin, row in rows.items():
        size = (96, 160) if skin == "mine/turned" else (160, 96)
        for column in ("image", "conditioning_image"):
            with Image.open(tmp_path / "train_dataset" / row[column]) as picture:
                assert picture.size == size
        assert row["original_size_px"] == ([120, 160] if skin == "mine/turned" else [160, 120])
        assert row["crop_px"] == ([12, 0] if skin == "mine/turned" else [0, 12])


def test_an_unknown_reference_skin_stops_the_run(make_catalog: Callable[..., DataCatalog]) -> None:
    catalog = make_catalog(dataset=DatasetParameters(conditioning="shared", reference_skin="nobody"))
    with pytest.raises(DatasetError, match=r"dataset\.reference_skin is 'nobody', which is not among the 8"):
        SequentialRunner().run(create_pipeline(), catalog)


def test_a_stage_with_nothing_to_do_lists_nothing() -> None:
    assert nodes.list_rejections(Items(), screened_skins=Items()) == []


def test_nodes_are_named_after_their_functions() -> None:
    assert [node.name for node in create_pipeline().nodes if node.name != node.func.__name__] == []
    assert len(create_pipeline().nodes) == 10


@pytest.mark.parametrize("environment", ["base", "test"])
def test_the_parameters_in_conf_are_valid(environment: str) -> None:
    path = Path(__file__).parents[2] / "conf" / environment / "parameters_data_prep.yml"
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, values in written.items():
        type(PARAMETERS[name])(**values)
    if environment == "base":
        assert set(written) == set(PARAMETERS)
        assert DatasetParameters(**written["dataset"]) == DatasetParameters()
        assert EdgeParameters(**written["edges"]) == EdgeParameters()
        assert ScreenParameters(**written["screen"]) == ScreenParameters()
        assert SelectionParameters(**written["selection"]) == SelectionParameters()
