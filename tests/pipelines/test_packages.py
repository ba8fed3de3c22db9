"""From drawn packages to sheets, and from sheets to packages again."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from skin_pipeline.datasets import ItemsDataset, PageDataset, RawSkinsDataset
from skin_pipeline.errors import ConfigurationError
from skin_pipeline.geometry import quads_of
from skin_pipeline.items import Folder, Item, Items, Output, Plan, Task, json_digest
from skin_pipeline.pipelines.demo_packages.nodes import DemoPackagesParameters, draw_demo_packages
from skin_pipeline.pipelines.export_skins import create_pipeline as create_export
from skin_pipeline.pipelines.import_packages import create_pipeline as create_import
from skin_pipeline.skins.export.stages import ExportParameters
from skin_pipeline.skins.packages import read_skin
from skin_pipeline.skins.sheets.compose import SheetRecord
from skin_pipeline.skins.sheets.keyboards import standard_keyboards
from skin_pipeline.skins.sheets.stages import SheetParameters
from skin_pipeline.skins.validators import validate_package

PACKAGES = {
    "baidu_packages": ".bds",
    "hamster_packages": ".cskin",
    "trime_packages": ".zip",
    "fcitx_packages": ".zip",
}
SIZE_PX = 256
WEIGHTS = "ab" * 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two drawn packages and one that is none, composed onto sheets of key elements."""
    folder = tmp_path_factory.mktemp("packages")
    raw = RawSkinsDataset(filepath=str(folder / "packages"), suffix=".bds", may_be_empty=True)
    raw.save(draw_demo_packages(DemoPackagesParameters(num_packages=2)))
    (folder / "packages" / "broken.bds").write_bytes(b"no zip")
    catalog = DataCatalog(
        {
            "raw_packages": raw,
            "params:sheets": MemoryDataset(SheetParameters(layout="key_elements", size_px=SIZE_PX)),
            "raw_skins": raw_skins(folder),
            "sheet_records": ItemsDataset(filepath=str(folder / "sheet_records")),
        }
    )
    SequentialRunner().run(create_import(), catalog)
    return folder


def raw_skins(folder: Path) -> RawSkinsDataset:
    return RawSkinsDataset(filepath=str(folder / "raw"))


def test_every_package_becomes_a_sheet_or_is_left_out_with_the_reason(folder):
    sheets = raw_skins(folder).load()
    assert list(sheets) == ["sheets/demo/skin_0000", "sheets/demo/skin_0001"]
    records = ItemsDataset(filepath=str(folder / "sheet_records")).load()
    assert list(records) == list(sheets)
    assert list(records.rejected) == ["sheets/broken"]
    for skin, record in records.items():
        picture = sheets[skin].load_image()
        assert SheetRecord.model_validate(dict(record.record)).size_px == picture.shape[1::-1]


# --- generated sheets -----------------------------------------------------------------------------------


def generated(folder: Path, conditioning: list[str], **record) -> ItemsDataset:
    """Return pictures as the inference pipeline leaves them; here they are real sheets."""
    more = record
    sheets = raw_skins(folder).load()

    def paint(tasks):
        record = {
            "prompt": "a <skin>",
            "weights_digest": WEIGHTS,
            "settings": {"size_px": [SIZE_PX, SIZE_PX]},
            **more,
        }
        return [
            Output({**record, "conditioning": task.id.rpartition("/")[0]}, task.inputs["sheet"].load_image())
            for task in tasks
        ]

    first = next(iter(sheets.values()))
    tasks = [Task(f"{skin}/1", {"sheet": sheets.get(skin, first)}) for skin in conditioning]
    dataset = ItemsDataset(filepath=str(folder / "generated"), suffix=".png")
    dataset.save(Plan.from_tasks("paint", tasks=tasks, make_worker=lambda: paint, parameters=more))
    return dataset


def export(
    folder: Path,
    target: Path,
    conditioning: list[str],
    *,
    run: str | None = "run_1",
    record: dict | None = None,
    control_images: Items | None = None,
    **parameters,
) -> DataCatalog:
    for split in ("train", "validation"):
        (folder / f"{split}.jsonl").touch()
    resized = {"matrix": [[1, 0, 0], [0, 1, 0]], "size_px": [SIZE_PX, SIZE_PX]}
    records = ItemsDataset(filepath=str(folder / "sheet_records"))
    catalog = DataCatalog(
        {
            "generated_skins": generated(folder, conditioning, **(record or {})),
            "controlnet_weights": MemoryDataset(Folder(folder, WEIGHTS, {}, source_run=run)),
            "train_dataset": MemoryDataset(Folder(folder, "", {})),
            "control_images": MemoryDataset(Items() if control_images is None else control_images),
            "sheet_records": records,
            "resized_skins": MemoryDataset(
                Items(Item(skin, resized, json_digest(resized)) for skin in records.load())
            ),
            "params:packages": MemoryDataset(ExportParameters(**parameters)),
            **{
                name: ItemsDataset(filepath=str(target / name), suffix=suffix)
                for name, suffix in {**PACKAGES, "trial_pages": ".html"}.items()
            },
            "skins_page": PageDataset(filepath=str(target / "skins.html")),
        }
    )
    SequentialRunner().run(create_export(), catalog)
    return catalog


@pytest.fixture(scope="module")
def exported(folder, tmp_path_factory):
    target = tmp_path_factory.mktemp("exported")
    return export(folder, target, ["sheets/demo/skin_0000", "mine"])


def test_a_picture_becomes_valid_packages_that_say_where_they_came_from(exported):
    for name in PACKAGES:
        items = exported[name].load()
        assert list(items) == ["sheets/demo/skin_0000/1"]
        [item] = items.values()
        assert validate_package(item.path) == []
        made_by = item.record["provenance"]
        assert (made_by["run_id"], made_by["weights_sha256"]) == ("run_1", WEIGHTS)
        assert made_by["item"] == "sheets/demo/skin_0000/1"


def test_the_run_is_named_in_the_packages_and_on_the_pages(exported):
    [package] = exported["baidu_packages"].load().values()
    with zipfile.ZipFile(package.path) as archive:
        assert "run run_1," in archive.read("Info.txt").decode("utf-8-sig")
        assert json.loads(archive.read("provenance.json"))["run_id"] == "run_1"
    [trial] = exported["trial_pages"].load().values()
    assert "run run_1," in trial.path.read_text(encoding="utf-8")
    assert "run run_1," in exported["skins_page"].load()


def test_the_run_is_not_guessed_for_pictures_of_other_weights(folder, tmp_path):
    catalog = export(folder, tmp_path, ["sheets/demo/skin_0000"], record={"weights_digest": "cd" * 32})
    [item] = catalog["trime_packages"].load().values()
    assert (item.record["provenance"]["run_id"], item.record["provenance"]["weights_sha256"]) == (
        "",
        "cd" * 32,
    )


@pytest.mark.parametrize("name", ["baidu_packages", "hamster_packages"])
def test_a_package_reads_back_with_the_keys_of_the_skin_it_was_conditioned_on(folder, exported, name):
    [item] = exported[name].load().values()
    board = read_skin(item.path).theme().keyboards[0]
    record = ItemsDataset(filepath=str(folder / "sheet_records")).load()["sheets/demo/skin_0000"].record
    geometry = SheetRecord.model_validate(dict(record)).keyboards["pinyin_26"]
    letters = {key.text for key in board.keys if key.function == "letter"}
    assert letters == {key.text for key in geometry.keys.values() if key.function == "letter"}


def test_a_picture_of_unknown_layout_is_left_out_with_what_to_do(exported):
    reason = exported["baidu_packages"].load().rejected["mine/1"]
    assert "Where the keys of 'mine' lie is not known" in reason
    assert "packages.layout" in reason


def test_a_layout_makes_up_for_an_unknown_one(folder, tmp_path):
    catalog = export(folder, tmp_path, ["mine"], layout="key_elements", legends="text")
    assert list(catalog["baidu_packages"].load()) == ["mine/1"]


def test_a_picture_on_shared_outlines_is_cut_up_by_their_layout(folder, tmp_path):
    outlines = {"outlines_of": "layout:key_elements"}
    catalog = export(folder, tmp_path, ["mine"], record=outlines)
    [item] = catalog["baidu_packages"].load().values()
    standard = standard_keyboards()["pinyin_26"]
    keys = {key.text: key.rect for key in read_skin(item.path).theme().keyboards[0].keys if key.text}
    assert keys["q"].width / keys["p"].x == pytest.approx(
        standard.keys["q"].rect[2] / standard.keys["p"].rect[0], rel=0.02
    )
    catalog = export(folder, tmp_path, ["sheets/demo/skin_0000"], record={"outlines_of": "picture:lines.png"})
    reason = catalog["baidu_packages"].load().rejected["sheets/demo/skin_0000/1"]
    assert "Where the keys of 'picture:lines.png' lie is not known" in reason


# --- exact legends --------------------------------------------------------------------------------------

SKIN, CONTROL = "sheets/demo/skin_0000", "cd" * 32


def drawn(folder: Path, *texts: str, sha256: str = CONTROL) -> Items:
    """Return a control image with legends on a key."""
    record = ItemsDataset(filepath=str(folder / "sheet_records")).load()[SKIN].record
    cell = next(cell for cell in SheetRecord.model_validate(dict(record)).cells.values() if cell.key)
    x, y = cell.rect[0] + cell.rect[2] / 2, cell.rect[1] + cell.rect[3] / 2
    quad = quads_of([[x - 8, y - 8, x + 8, y + 8]])[0].tolist()
    return Items([Item(SKIN, {"legends": [{"text": text, "quad": quad} for text in texts]}, sha256)])


def trial_page(catalog: DataCatalog) -> str:
    [item] = catalog["trial_pages"].load().values()
    return item.path.read_text(encoding="utf-8")


def test_legends_on_record_are_composited_at_export(folder, tmp_path):
    on_record = {"record": {"conditioning_sha256": CONTROL}, "control_images": drawn(folder, "W")}
    plain, composited = (
        export(folder, tmp_path / form, [SKIN], legends=form, **on_record)
        for form in ("pictures", "composited")
    )
    assert trial_page(plain) != trial_page(composited)
    for name in PACKAGES:
        [item] = composited[name].load().values()
        assert validate_package(item.path) == []


def test_what_was_composited_when_it_was_generated_is_left_as_it_is(folder, tmp_path):
    record = {
        "conditioning_sha256": CONTROL,
        "settings": {"size_px": [SIZE_PX, SIZE_PX], "legends": "composited"},
    }
    on_record = {"record": record, "control_images": drawn(folder, "W")}
    plain, composited = (
        export(folder, tmp_path / form, [SKIN], legends=form, **on_record)
        for form in ("pictures", "composited")
    )
    assert trial_page(plain) == trial_page(composited)


@pytest.mark.parametrize(("texts", "sha256"), [((), CONTROL), (("W",), "ef" * 32)])
def test_a_picture_without_legends_on_record_is_left_out_with_what_to_do(folder, tmp_path, texts, sha256):
    catalog = export(
        folder, tmp_path, [SKIN], legends="composited", record={"conditioning_sha256": CONTROL},
        control_images=drawn(folder, *texts, sha256=sha256),
    )  # fmt: skip
    reason = catalog["baidu_packages"].load().rejected[f"{SKIN}/1"]
    assert f"no legends on record for the conditioning image '{SKIN}'" in reason
    assert "Set packages.legends to pictures or text" in reason


def test_a_legend_that_cannot_be_written_is_named_with_the_option(folder, tmp_path):
    with pytest.raises(ConfigurationError, match=r"legend '☃' cannot be written.*packages.legend_font"):
        export(
            folder, tmp_path, [SKIN], legends="composited", record={"conditioning_sha256": CONTROL},
            control_images=drawn(folder, "☃"),
        )  # fmt: skip


def test_the_page_links_what_there_is(exported):
    page = exported["skins_page"].load()
    assert "a &lt;skin&gt;" in page
    assert "../07_model_output/baidu_packages/sheets/demo/skin_0000/1.bds" in page
    assert "../07_model_output/trial_pages/sheets/demo/skin_0000/1.html" in page
    assert "1 left out" in page


def test_nothing_is_exported_again(folder, exported, tmp_path_factory):
    target = Path(exported["baidu_packages"]._filepath).parent
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*.bds")}
    export(folder, target, ["sheets/demo/skin_0000", "mine"], run="run_2")
    assert {path: path.stat().st_mtime_ns for path in target.rglob("*.bds")} == before


def test_an_unknown_layout_is_refused_before_anything_runs():
    with pytest.raises(ConfigurationError, match="six_parts"):
        SheetParameters(layout="six_parts").preflight()
    with pytest.raises(ConfigurationError, match="six_parts"):
        ExportParameters(layout="six_parts").preflight()


def test_a_picture_is_what_its_package_shows(folder, exported):
    """The sheet's letter cap is the exported keyboard's."""
    from skin_pipeline.skins.rendering import render_key

    [item] = exported["baidu_packages"].load().values()
    sheet = raw_skins(folder).load()["sheets/demo/skin_0000"].load_image()
    record = ItemsDataset(filepath=str(folder / "sheet_records")).load()["sheets/demo/skin_0000"].record
    x, y, width, height = json.loads(json.dumps(record["cells"]["letter"]["rect"]))
    colour = sheet[y + height // 2, x + width // 2]
    key = next(key for key in read_skin(item.path).theme().keyboards[0].keys if key.text == "g")
    shown = render_key(key, width, height_px=height, foregrounds=False)[height // 2, width // 2, :3]
    assert np.abs(shown.astype(int) - colour).max() <= 12
