import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Image as ImageFeature
from datasets import load_dataset
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from skin_pipeline.errors import ConfigurationError, IncompleteDatasetError, InputError
from skin_pipeline.geometry import quads_of
from skin_pipeline.items import Item, Items, encode_png
from skin_pipeline.prep.caption_quality import count_tokens
from skin_pipeline.prep.edges import trace_edges
from skin_pipeline.prep.positions import show_positions
from skin_pipeline.prep.publish import (
    DatasetParameters,
    DatasetSources,
    check_dataset,
    choose_validation,
    join_legends,
    legends_of,
    plan_dataset,
    split_legends,
    write_dataset,
)
from skin_pipeline.skins.sheets.conditioning import draw_outlines, lay_out
from skin_pipeline.skins.sheets.layout import load_layout

from .conftest import draw_skin

SIDE = 64
QUAD = [[10, 10], [30, 10], [30, 22], [10, 22]]
CAPTION = "a keyboard skin of blue keys,iflyskin"


def legend(text: str, confidence: float = 0.99, quad: list[list[float]] = QUAD) -> dict[str, Any]:
    return {"text": text, "confidence": confidence, "quad": quad}


@pytest.fixture
def make_sources(tmp_path: Path) -> Callable[..., DatasetSources]:
    """Make the items of all stages for some skins, far apart by their hashes unless told."""

    def make(
        ids: list[str],
        boxes: list[dict[str, Any]] | None = None,
        hashes: dict[str, str] | None = None,
        sizes: dict[str, tuple[int, int]] | None = None,
    ) -> DatasetSources:
        generator = np.random.default_rng(7)
        stages: dict[str, list[Item]] = {name: [] for name in DatasetSources.__annotations__}
        for number, item_id in enumerate(ids):
            width, height = (sizes or {}).get(item_id, (SIDE, SIDE))
            pixels = np.asarray(draw_skin(number, (width, height)))
            phash = (hashes or {}).get(item_id, generator.bytes(8).hex())
            read = boxes if boxes is not None else [legend("前往")]
            rendered = [{"text": box["text"], "quad": box["quad"]} for box in read]
            records: dict[str, tuple[dict[str, Any], np.ndarray | None]] = {
                "selected_skins": ({"phash": phash}, None),
                "resized_skins": (
                    {
                        "size_px": [width, height],
                        "source_size_px": [2 * width + 20, 2 * height],
                        "matrix": [[0.5, 0, -5.0], [0, 0.5, 0]],  # half the size, 10 raw pixels off each side
                    },
                    pixels,
                ),
                "edge_maps": ({"size_px": [width, height]}, trace_edges(pixels)),
                "captions": ({"caption": CAPTION}, None),
                "text_boxes": ({"boxes": read}, None),
                "glyph_maps": ({"rendered": rendered, "skipped": []}, trace_edges(pixels) // 2),
            }
            for stage, (record, image) in records.items():
                path = None
                if image is not None:
                    path = tmp_path / stage / f"{item_id}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(encode_png(image))
                stages[stage].append(Item(item_id, record, "", path))
        return DatasetSources(**{name: Items(items) for name, items in stages.items()})

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "train_dataset"
    path.mkdir()
    return path


IDS = [f"demo/skin_{number}" for number in range(8)]


def rows_of(folder: Path, split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


def all_rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["skin"]: row for split in ("train", "validation") for row in rows_of(folder, split)}


def test_a_row_is_the_published_one(make_sources: Callable[..., DatasetSources], folder: Path) -> None:
    write_dataset(folder, make_sources(IDS), DatasetParameters())
    row = all_rows(folder)["demo/skin_3"]
    assert row == {
        "text": CAPTION + ', writing "前往"',
        "image": "images/demo__skin_3.png",
        "conditioning_image": "conditioning_images/demo__skin_3.png",
        "box": [[[10.0, 10.0], [30.0, 10.0], [30.0, 22.0], [10.0, 22.0]]],
        "skin": "demo/skin_3",
        "conditioning": "per_skin",
        "original_size_px": [148, 128],
        "crop_px": [5, 0],
        "outlines_of": None,
        "legends": ["前往"],
    }
    assert 'writing \\"前往\\"' in (folder / "train.jsonl").read_text(encoding="utf-8")


def test_pictures_are_the_skins_and_their_edges_in_rgb(
    make_sources: Callable[..., DatasetSources], folder: Path
) -> None:
    sources = make_sources(IDS)
    write_dataset(folder, sources, DatasetParameters())
    for row in all_rows(folder).values():
        skin = np.asarray(Image.open(folder / row["image"]))
        np.testing.assert_array_equal(skin, sources.resized_skins[row["skin"]].load_image())
        control = Image.open(folder / row["conditioning_image"])
        assert control.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(control)[..., 1], trace_edges(skin))


@pytest.mark.parametrize(
    ("boxes", "held_out"),
    [
        ([legend("前往"), legend("q", quad=[[1.25, 2], [8, 2.5], [8, 9], [1.25, 9]])], 1),
        ([], 1),
        ([legend("a")], 0),
    ],
    ids=["legends", "no legends", "no validation"],
)
def test_the_library_loads_the_folder_alone(
    make_sources: Callable[..., DatasetSources], folder: Path, tmp_path: Path, boxes: list, held_out: int
) -> None:
    write_dataset(folder, make_sources(IDS[:3], boxes), DatasetParameters(validation_share=held_out / 3))
    loaded = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 3 - held_out} | (
        {"validation": held_out} if held_out else {}
    )
    published = all_rows(folder)
    for rows in loaded.values():
        assert {name for name, kind in rows.features.items() if isinstance(kind, ImageFeature)} == {
            "image",
            "conditioning_image",
        }
        for row in rows:
            assert (row["text"], row["box"]) == (
                published[row["skin"]]["text"],
                published[row["skin"]]["box"],
            )
            expected = Image.open(folder / published[row["skin"]]["image"])
            np.testing.assert_array_equal(np.asarray(row["image"]), np.asarray(expected))
            assert row["conditioning_image"].size == row["image"].size == (SIDE, SIDE)


def test_boxes_on_one_side_of_the_split_only_still_load(
    make_sources: Callable[..., DatasetSources], folder: Path, tmp_path: Path
) -> None:
    sources = make_sources(IDS)
    hashes = {item_id: sources.selected_skins[item_id].record["phash"] for item_id in IDS}
    (held_out,) = choose_validation(hashes, DatasetParameters())
    wordless = [
        replace(item, record={"boxes": []}) if item.id == held_out else item
        for item in sources.text_boxes.values()
    ]
    write_dataset(folder, replace(sources, text_boxes=Items(wordless)), DatasetParameters())
    loaded = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert loaded["validation"][0]["box"] == []
    assert len(loaded["train"][0]["box"]) == 1


def test_shared_conditioning_is_one_picture(
    make_sources: Callable[..., DatasetSources], folder: Path
) -> None:
    parameters = DatasetParameters(conditioning="shared", reference_skin="demo/skin_2")
    write_dataset(folder, make_sources(IDS), parameters)
    assert {row["conditioning_image"] for row in all_rows(folder).values()} == {
        "conditioning_images/demo__skin_2.png"
    }
    assert {row["outlines_of"] for row in all_rows(folder).values()} == {"demo/skin_2"}
    assert len(list((folder / "conditioning_images").iterdir())) == 1


SIZES = {IDS[0]: (96, 48), IDS[3]: (96, 48), IDS[5]: (48, 96)}


def test_skins_of_several_sizes_are_published_as_they_are(
    make_sources: Callable[..., DatasetSources], folder: Path, tmp_path: Path
) -> None:
    write_dataset(folder, make_sources(IDS, sizes=SIZES), DatasetParameters())
    for skin, row in all_rows(folder).items():
        for column in ("image", "conditioning_image"):
            with Image.open(folder / row[column]) as picture:
                assert picture.size == SIZES.get(skin, (SIDE, SIDE))
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "1 of 48 x 96, 5 of 64 x 64, 2 of 96 x 48 pixels." in card
    loaded = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {row["image"].size for split in loaded.values() for row in split} == set(SIZES.values()) | {
        (SIDE, SIDE)
    }


def test_shared_conditioning_is_stretched_to_each_size(
    make_sources: Callable[..., DatasetSources], folder: Path
) -> None:
    sources = make_sources(IDS, sizes=SIZES)
    write_dataset(folder, sources, DatasetParameters(conditioning="shared"))
    files = {"demo__skin_0.png", "demo__skin_0_48x96.png", "demo__skin_0_64x64.png"}
    assert {path.name for path in (folder / "conditioning_images").iterdir()} == files
    lines = np.asarray(Image.open(folder / all_rows(folder)[IDS[1]]["conditioning_image"]))[..., 0]
    own = sources.edge_maps[IDS[0]].load_image()
    assert set(np.unique(lines)) == {0, 255}
    assert lines.shape == (SIDE, SIDE)
    rows = own.any(axis=1)[[int(48 * (y + 0.5) / SIDE) for y in range(SIDE)]]  # 48 rows became 64
    np.testing.assert_array_equal(lines.any(axis=1), rows)


def test_without_a_reference_the_first_skin_is_it(
    make_sources: Callable[..., DatasetSources], folder: Path
) -> None:
    write_dataset(folder, make_sources(IDS), DatasetParameters(conditioning="shared"))
    assert all_rows(folder)[IDS[5]]["conditioning_image"] == "conditioning_images/demo__skin_0.png"


def control_images(folder: Path) -> dict[str, np.ndarray]:
    return {
        path.name: np.asarray(Image.open(path))[..., 1] for path in (folder / "conditioning_images").iterdir()
    }


@pytest.mark.parametrize("layout", ["whole_keyboard", "four_parts", "key_elements", "mine"])
def test_the_outlines_of_a_layout_can_be_shared(
    make_sources: Callable[..., DatasetSources], folder: Path, tmp_path: Path, layout: str
) -> None:
    if layout == "mine":
        layout = str(tmp_path / "mine.yml")
        cells = {"bar": {"rect": [2, 2, 60, 20], "element": "bar", "keyboard": "pinyin_26"}}
        Path(layout).write_text(json.dumps({"size": 64, "cells": cells}), encoding="utf-8")
    parameters = DatasetParameters(conditioning="shared", shared_image=layout)
    parameters.preflight()
    sources = make_sources(IDS, sizes=SIZES)
    write_dataset(folder, replace(sources, edge_maps=Items()), parameters)  # no skin's edges are needed
    assert {row["outlines_of"] for row in all_rows(folder).values()} == {f"layout:{layout}"}
    name = Path(layout).stem
    drawn = control_images(folder)
    assert len(drawn) == 3
    for width, height in {*SIZES.values(), (SIDE, SIDE)}:
        suffix = "" if layout != name and (width, height) == (64, 64) else f"_{width}x{height}"
        expected = draw_outlines(lay_out(load_layout(layout), (width, height), name=layout))
        np.testing.assert_array_equal(drawn[f"shared__{name}{suffix}.png"], expected)
        assert expected.any()


def test_a_picture_can_be_shared(
    make_sources: Callable[..., DatasetSources], folder: Path, tmp_path: Path
) -> None:
    lines = trace_edges(np.asarray(draw_skin(3, (96, 96))))
    Image.fromarray(lines).save(tmp_path / "lines.png")
    parameters = DatasetParameters(conditioning="shared", shared_image=str(tmp_path / "lines.png"))
    write_dataset(folder, make_sources(IDS, sizes=dict.fromkeys(IDS, (96, 96))), parameters)
    assert {row["outlines_of"] for row in all_rows(folder).values()} == {"picture:lines.png"}
    [shared] = control_images(folder).values()
    np.testing.assert_array_equal(shared, lines)


@pytest.mark.parametrize("image", ["six_parts", "nowhere.png", "nowhere.yml"])
def test_a_shared_image_that_is_not_there_is_refused_before_anything_runs(image: str) -> None:
    with pytest.raises(ConfigurationError, match=image):
        DatasetParameters(shared_image=image).preflight()


def test_what_is_shared_decides_whether_the_set_is_written_anew(
    make_sources: Callable[..., DatasetSources], tmp_path: Path
) -> None:
    sources = make_sources(IDS)
    other_edges = replace(sources, edge_maps=Items(list(sources.edge_maps.values())[1:]))
    picture = tmp_path / "lines.png"
    Image.new("L", (SIDE, SIDE)).save(picture)
    of_layout, of_picture = (
        DatasetParameters(conditioning="shared", shared_image=image) for image in ("four_parts", str(picture))
    )
    key = plan_dataset(sources, of_picture).key
    assert plan_dataset(other_edges, of_picture).key == key
    assert plan_dataset(sources, of_layout).key == plan_dataset(other_edges, of_layout).key != key
    Image.new("L", (SIDE, SIDE), 255).save(picture)
    assert plan_dataset(sources, of_picture).key != key
    of_skin = DatasetParameters(conditioning="shared")
    assert plan_dataset(sources, of_skin).key != plan_dataset(other_edges, of_skin).key


def test_an_unknown_reference_is_named(make_sources: Callable[..., DatasetSources], folder: Path) -> None:
    parameters = DatasetParameters(conditioning="shared", reference_skin="nobody")
    with pytest.raises(ConfigurationError, match=r"'nobody', which is not among the 8 skins.*'demo/skin_0'"):
        write_dataset(folder, make_sources(IDS), parameters)


def test_glyph_rows_state_what_was_rendered(
    make_sources: Callable[..., DatasetSources], folder: Path
) -> None:
    write_dataset(folder, make_sources(IDS, [legend("空格", 0.5)]), DatasetParameters(conditioning="glyph"))
    assert all_rows(folder)[IDS[0]]["text"].endswith(', writing "空格"')


def test_positions_of_glyph_maps_are_published(
    make_sources: Callable[..., DatasetSources], folder: Path
) -> None:
    sources = make_sources(IDS)
    for item in sources.glyph_maps.values():
        assert item.path is not None
        shown = show_positions(item.load_image(), quads_of([(4.2, 4.2, 11.8, 8.8)]))
        item.path.write_bytes(encode_png(shown))
    write_dataset(folder, sources, DatasetParameters(conditioning="glyph"))
    row = all_rows(folder)[IDS[0]]
    with Image.open(folder / row["conditioning_image"]) as picture:
        published = np.asarray(picture)
    np.testing.assert_array_equal(published, sources.glyph_maps[IDS[0]].load_image())
    assert (published[4:9, 4:12, 2] == 255).all()


def test_legends_are_those_read_with_more_than_the_confidence(
    make_sources: Callable[..., DatasetSources], folder: Path
) -> None:
    boxes = [legend("a", 0.981), legend("b", 0.98), legend("c", 0.2)]
    write_dataset(folder, make_sources(IDS, boxes), DatasetParameters())
    assert split_legends(all_rows(folder)[IDS[0]]["text"]) == (CAPTION, ["a"])


def test_what_a_row_cannot_state_is_left_out_and_counted(
    make_sources: Callable[..., DatasetSources], folder: Path
) -> None:
    over_the_edge = [[-0.6, 10], [30, 10], [30, 22], [-0.6, 22]]
    cut_off = [[50, 10], [90, 10], [90, 22], [50, 22]]
    boxes = [legend("edge", quad=over_the_edge), legend("cut", quad=cut_off), legend('"'), legend(" ")]
    write_dataset(folder, make_sources(IDS, boxes), DatasetParameters())
    row = all_rows(folder)[IDS[0]]
    assert row["text"].endswith('writing "edge"')
    assert row["box"] == [[[0.0, 10.0], [30.0, 10.0], [30.0, 22.0], [0.0, 22.0]]]
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "8 cut off by the frame, 8 empty, 8 with a quotation mark" in card


@given(st.text(), st.lists(st.text(min_size=1).filter(lambda text: '"' not in text), min_size=1))
def test_legends_come_back_out_of_the_text(caption: str, legends: list[str]) -> None:
    if not split_legends(caption + ", writing")[1]:
        found_caption, found = split_legends(join_legends(caption, legends))
        assert found[-len(legends) :] == legends
        assert found_caption == caption or caption.endswith('"')


MANY = [legend(f"key {x}", quad=[[x, 1], [x + 1, 1], [x + 1, 9], [x, 9]]) for x in range(40)]


def test_captions_quote_as_many_legends_as_the_text_encoder_takes(
    make_sources: Callable[..., DatasetSources], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        write_dataset(folder, make_sources(IDS, MANY), DatasetParameters())
    row = all_rows(folder)[IDS[0]]
    caption, quoted = split_legends(row["text"])
    assert caption == CAPTION
    assert 5 < len(quoted) < 40
    assert row["legends"] == legends_of(row["text"], row["legends"]) == [box["text"] for box in MANY]
    assert quoted == row["legends"][: len(quoted)]
    assert len(row["box"]) == 40
    one_more = join_legends(caption, row["legends"][: len(quoted) + 1])
    assert count_tokens(row["text"]) <= 77 < count_tokens(one_more)
    assert (
        f"8 of 8 captions do not quote all their legends, to keep within 77 tokens ({8 * len(quoted)} of 320"
        in (caplog.text)
    )
    assert "the first legends, as many as CLIP takes" in (folder / "README.md").read_text(encoding="utf-8")
    skin = load_dataset(str(folder), split="train", cache_dir=str(folder.parent / "cache"))[0]
    assert skin["legends"] == row["legends"]


@pytest.mark.parametrize("quoted", ["all", "none"])
def test_captions_quote_all_legends_or_none_if_asked_to(
    quoted: str, make_sources: Callable[..., DatasetSources], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_dataset(folder, make_sources(IDS, MANY), DatasetParameters(quoted_legends=quoted))
    row = all_rows(folder)[IDS[0]]
    assert row["legends"] == [box["text"] for box in MANY]
    assert row["text"] == (join_legends(CAPTION, row["legends"]) if quoted == "all" else CAPTION)
    warning = "8 of 8 captions have more than the 77 tokens that CLIP's text encoder takes"
    assert (warning in caplog.text) == (quoted == "all")


def test_a_caption_that_is_too_long_by_itself_quotes_nothing_and_is_told_of(
    make_sources: Callable[..., DatasetSources], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sources = make_sources(IDS)
    long = Items(Item(item_id, {"caption": "very " * 80 + "long"}, "") for item_id in IDS)
    write_dataset(folder, replace(sources, captions=long), DatasetParameters())
    assert split_legends(all_rows(folder)[IDS[0]]["text"])[1] == []
    assert "cuts off the rest: shorten captions.prefix" in caplog.text


def test_older_training_sets_quote_what_is_written_on_them() -> None:
    assert legends_of('a skin, writing "q", "w"', None) == ["q", "w"]
    assert legends_of('a skin, writing "q"', ["q", "w"]) == ["q", "w"]
    assert legends_of("a skin", []) == []


def test_skins_that_did_not_come_through_are_not_published(
    make_sources: Callable[..., DatasetSources], folder: Path
) -> None:
    sources = make_sources(IDS)
    captions = Items([item for item in sources.captions.values() if item.id != IDS[0]])
    write_dataset(folder, replace(sources, captions=captions), DatasetParameters())
    assert set(all_rows(folder)) == set(IDS[1:])
    with pytest.raises(IncompleteDatasetError, match=r"nothing to publish. rejected.jsonl says why"):
        write_dataset(folder, replace(sources, captions=Items()), DatasetParameters())


def test_ids_that_would_share_a_file_are_refused(
    make_sources: Callable[..., DatasetSources], folder: Path
) -> None:
    with pytest.raises(InputError, match=r"'a/b' and 'a__b' would both be a__b.png"):
        write_dataset(folder, make_sources(["a/b", "a__b", "c"]), DatasetParameters())


# --- split --------------------------------------------------------------------------------------------

FAR = {f"skin_{number:03}": f"{number * 0x0123456789ABCDEF % 2**64:016x}" for number in range(200)}


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.99])
def test_the_share_is_held_out(share: float) -> None:
    held_out = choose_validation(FAR, DatasetParameters(validation_share=share, near_duplicate_bits=0))
    assert len(held_out) == (max(1, round(share * 200)) if share else 0)
    assert held_out < set(FAR)


def test_the_seed_chooses_and_one_skin_more_moves_few() -> None:
    parameters = DatasetParameters(near_duplicate_bits=0)
    first = choose_validation(FAR, parameters)
    assert first == choose_validation(dict(reversed(FAR.items())), parameters)
    assert first != choose_validation(FAR, DatasetParameters(near_duplicate_bits=0, seed=1))
    assert len(first ^ choose_validation(FAR | {"skin_new": "f" * 16}, parameters)) <= 2


hash_lists = st.lists(
    st.sampled_from([0b0, 0b1, 0b1110, 0xFF00, 0xFF01, 2**63, 2**40 - 1]), min_size=1, max_size=20
)


@given(hash_lists, st.floats(0.01, 0.9), st.integers(0, 5))
def test_near_duplicates_stay_together(values: list[int], share: float, seed: int) -> None:
    hashes = {f"skin_{number}": f"{value:016x}" for number, value in enumerate(values)}
    parameters = DatasetParameters(validation_share=share, seed=seed)
    try:
        held_out = choose_validation(hashes, parameters)
    except ConfigurationError:
        assert all((a ^ b).bit_count() <= 6 for a in values for b in values)  # one chain
        return
    assert 0 < len(held_out) < len(hashes)
    kept = set(hashes) - held_out
    assert all((int(hashes[a], 16) ^ int(hashes[b], 16)).bit_count() > 3 for a in held_out for b in kept)


def test_nothing_to_hold_out_is_an_error() -> None:
    with pytest.raises(
        ConfigurationError, match=r"validation_share is 0.1, but nothing can be held out: the 2 skins"
    ):
        choose_validation({"a": "0" * 16, "b": "0" * 16}, DatasetParameters())


# --- check --------------------------------------------------------------------------------------------


def _edit_row(folder: Path, **changes: object) -> None:
    first, *others = (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()
    lines = [json.dumps(json.loads(first) | changes), *others]
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _shrink(folder: Path) -> None:
    path = folder / rows_of(folder, "train")[0]["conditioning_image"]
    Image.new("RGB", (32, 32)).save(path)


def _make_gray(folder: Path) -> None:
    Image.new("L", (SIDE, SIDE)).save(folder / rows_of(folder, "train")[0]["image"])


DAMAGES: dict[str, Callable[[Path], object]] = {
    r"images/.*png is missing": lambda folder: (folder / rows_of(folder, "train")[0]["image"]).unlink(),
    r"is missing or no PNG": lambda folder: (folder / rows_of(folder, "train")[0]["image"]).write_bytes(b"x"),
    r"picture is \(64, 64\) pixels and its conditioning image \(32, 32\)": _shrink,
    r"expected RGB, got L": _make_gray,
    r"quad of \"前往\" lies outside": lambda folder: _edit_row(
        folder, box=[[[0, 0], [90, 0], [90, 9], [0, 9]]]
    ),
    r"1 legends and 0 quads": lambda folder: _edit_row(folder, box=[]),
    r"Quads must have the shape": lambda folder: _edit_row(folder, box=[[[0, 0], [9, 9]]]),
    r"No row lists images/stray.png": lambda folder: (folder / "images" / "stray.png").write_bytes(b""),
    r"train.jsonl has no rows": lambda folder: (folder / "train.jsonl").write_text(""),
}


@pytest.mark.parametrize(("message", "damage"), DAMAGES.items(), ids=list(DAMAGES))
def test_a_damaged_folder_is_not_published(
    make_sources: Callable[..., DatasetSources], folder: Path, message: str, damage: Callable[[Path], object]
) -> None:
    sources = make_sources(IDS)
    write_dataset(folder, sources, DatasetParameters())
    hashes = {item_id: sources.selected_skins[item_id].record["phash"] for item_id in IDS}
    check_dataset(folder, hashes, 3)
    damage(folder)
    with pytest.raises(IncompleteDatasetError, match=message):
        check_dataset(folder, hashes, 3)


def test_what_is_written_is_checked(make_sources: Callable[..., DatasetSources], folder: Path) -> None:
    sources = make_sources(IDS)
    path = sources.edge_maps[IDS[4]].path
    assert path is not None
    path.write_bytes(encode_png(np.zeros((32, 32), np.uint8)))
    with pytest.raises(IncompleteDatasetError, match=r"'demo/skin_4'.*\(64, 64\).*\(32, 32\)"):
        write_dataset(folder, sources, DatasetParameters())


def test_near_duplicates_across_the_split_are_found(
    make_sources: Callable[..., DatasetSources], folder: Path
) -> None:
    write_dataset(folder, make_sources(IDS), DatasetParameters())
    with pytest.raises(IncompleteDatasetError, match="both sides of the split: 'demo/skin_0', 'demo/skin_1'"):
        check_dataset(folder, dict.fromkeys(IDS, "0" * 16), 3)


@pytest.mark.parametrize("wrong", [{"conditioning": "canny"}, {"validation_share": 1}, {"share": 0.1}])
def test_wrong_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DatasetParameters(**wrong)
