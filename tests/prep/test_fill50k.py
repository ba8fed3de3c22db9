"""The circles: drawn the same each time, published like any training set, or taken from a folder."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from skin_pipeline.errors import ConfigurationError, InputError
from skin_pipeline.prep.fill50k import (
    Fill50kParameters,
    caption_colours,
    draw_circle,
    palette_colours,
    plan_fill50k,
    write_fill50k,
)

SMALL = Fill50kParameters(num_pictures=5, size_px=64, validation_share=0.2)


@pytest.fixture
def original(tmp_path):
    """A folder as the data set is published: jpegs allowed, three columns."""
    folder = tmp_path / "original"
    for name in ("images", "conditioning_images"):
        (folder / name).mkdir(parents=True)
    rows = []
    for number in range(3):
        circle = draw_circle(number, SMALL)
        image, outline = f"images/{number}.jpg", f"conditioning_images/{number}.png"
        Image.fromarray(circle.image).save(folder / image, quality=95)
        Image.fromarray(circle.conditioning).save(folder / outline)
        rows.append({"text": circle.text, "image": image, "conditioning_image": outline})
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def rows_of(folder, split):
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text().splitlines()]


def test_a_circle_has_its_two_colours_inside_and_outside_its_outline():
    circle = draw_circle(3, Fill50kParameters(size_px=256))
    inside_colour, ground = caption_colours(circle.text, "css")
    mask = np.zeros((258, 258), np.uint8)
    filled = circle.conditioning.copy()
    cv2.floodFill(filled, mask, (0, 0), 255)
    inside = filled == 0
    outside = (filled == 255) & (cv2.dilate(circle.conditioning, np.ones((5, 5))) == 0)
    assert inside.sum() > 500
    assert (circle.image[inside] == inside_colour).all()
    assert (circle.image[outside] == ground).all()


def test_circles_are_the_same_each_time_and_differ_from_each_other():
    first, again, other = (draw_circle(number, SMALL) for number in (1, 1, 2))
    assert first.text == again.text
    assert (first.image == again.image).all()
    assert (first.image != other.image).any()


def test_every_name_of_the_palettes_is_a_colour_and_none_stands_twice():
    css = palette_colours("css")
    assert len(css) == 139
    assert len(set(css.values())) == 139
    assert css["pale golden rod"] == (238, 232, 170)
    assert css["old lace"] == (253, 245, 230)


def test_the_published_caption_of_the_original_is_understood():
    colours = caption_colours("pale golden rod circle with old lace background", "css")
    assert colours == ((238, 232, 170), (253, 245, 230))


@pytest.mark.parametrize("text", ["a skin", "octarine circle with old lace background"])
def test_another_caption_is_refused(text):
    with pytest.raises(InputError, match="expected '<colour> circle with <colour> background'"):
        caption_colours(text, "css")


def test_drawn_circles_are_published_with_their_columns(tmp_path):
    write_fill50k(tmp_path, SMALL)
    train, held_out = (rows_of(tmp_path, split) for split in ("train", "validation"))
    assert (len(train), len(held_out)) == (4, 1)
    row = train[0]
    assert row["text"] == draw_circle(0, SMALL).text
    with (
        Image.open(tmp_path / row["image"]) as image,
        Image.open(tmp_path / row["conditioning_image"]) as lines,
    ):
        assert (image.mode, lines.mode) == ("RGB", "RGB")
        assert (np.asarray(image) == draw_circle(0, SMALL).image).all()
    assert len(list((tmp_path / "images").iterdir())) == 5


def test_the_published_folder_is_read_by_the_datasets_library(tmp_path):
    datasets = pytest.importorskip("datasets")
    (tmp_path / "circles").mkdir()
    write_fill50k(tmp_path / "circles", SMALL)
    loaded = datasets.load_dataset(str(tmp_path / "circles"), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"].num_rows == 4
    assert loaded["train"][0]["conditioning_image"].size == (64, 64)


def test_the_original_folder_is_taken_as_it_is(tmp_path, original):
    published = tmp_path / "published"
    published.mkdir()
    write_fill50k(published, Fill50kParameters(source=original, num_pictures=2))
    (train,), (held_out,) = (rows_of(published, split) for split in ("train", "validation"))
    assert [train["text"], held_out["text"]] == [draw_circle(number, SMALL).text for number in (0, 1)]
    with Image.open(published / train["image"]) as image, Image.open(original / "images/0.jpg") as given:
        assert image.format == "PNG"
        assert (np.asarray(image) == np.asarray(given.convert("RGB"))).all()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "red circle with blue background"}', "row 1: expected an object with text, image"),
        ('{"text": "a", "image": "x.png", "conditioning_image": "x.png"}', "names no two colours"),
        (
            '{"text": "red circle with blue background", "image": "x.png", "conditioning_image": "x.png"}',
            "row 1: 'x.png' is missing or no picture",
        ),
        (
            '{"text": "red circle with blue background", "image": "../x", "conditioning_image": "../x"}',
            "lies outside the folder",
        ),
        ("", "found 0"),
    ],
)
def test_a_bad_row_of_the_original_is_named(tmp_path, original, line, message):
    (original / "train.jsonl").write_text(line + "\n")
    published = tmp_path / "published"
    published.mkdir()
    with pytest.raises(InputError, match=message):
        write_fill50k(published, Fill50kParameters(source=original))


def test_a_source_without_a_manifest_is_refused_before_the_run(tmp_path):
    with pytest.raises(ConfigurationError, match=r"holds no train\.jsonl"):
        plan_fill50k(Fill50kParameters(source=tmp_path))


def test_the_plan_has_another_key_when_something_changes(original):
    keys = [plan_fill50k(SMALL).key, plan_fill50k(SMALL.model_copy(update={"seed": 1})).key]
    taken = Fill50kParameters(source=original)
    keys.append(plan_fill50k(taken).key)
    Image.new("RGB", (64, 64)).save(original / "images/1.jpg")
    keys.append(plan_fill50k(taken).key)
    rows = (original / "train.jsonl").read_text()
    (original / "train.jsonl").write_text(rows.replace("circle", "small circle", 1))
    keys.append(plan_fill50k(taken).key)
    assert len(set(keys)) == 5


def test_a_source_that_was_moved_has_the_same_key(original):
    before = plan_fill50k(Fill50kParameters(source=original)).key
    moved = original.rename(original.with_name("moved"))
    assert plan_fill50k(Fill50kParameters(source=moved)).key == before
