"""Items, plans and keys."""

from __future__ import annotations

import functools
import hashlib
import sys

import cv2
import numpy as np
import pytest

from skin_pipeline.errors import InputError
from skin_pipeline.items import (
    Item,
    Items,
    Plan,
    Task,
    encode_png,
    item_key,
    json_digest,
    source_digest,
)
from tests import workers


def plan_of(items, worker=None, **fields):
    make_worker = functools.partial(workers.give, worker or workers.Thresholder())
    return Plan("threshold", make_worker, sources={"skin": items}, **fields)


def key_of(plan, item_id="a"):
    return item_key(plan, next(task for task in plan.tasks() if task.id == item_id))


# --- pictures


@pytest.mark.parametrize("shape", [(8, 12), (8, 12, 3)])
def test_picture_survives_png(tmp_path, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / "picture.png"
    path.write_bytes(encode_png(image))
    np.testing.assert_array_equal(Item("a", {}, "", path).load_image(), image)


@pytest.mark.parametrize("fill", ["both", "black", "white"])
def test_black_and_white_picture_takes_one_bit_a_pixel(tmp_path, fill):
    image = np.full((9, 13), 255 if fill == "white" else 0, np.uint8)
    if fill == "both":
        image[::2, 1::3] = 255
    content = encode_png(image)
    bit_depth = content[24]  # PNG: 8 bytes signature, IHDR length and name 8, width and height 8
    assert bit_depth == 1
    path = tmp_path / "edges.png"
    path.write_bytes(content)
    np.testing.assert_array_equal(Item("a", {}, "", path).load_image(), image)


def test_grey_picture_keeps_eight_bits():
    image = np.array([[0, 255, 254]], np.uint8)
    assert encode_png(image)[24] == 8


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "undecodable"), (b"<html>", "undecodable"), (None, "cannot be read")]
)
def test_unreadable_picture_is_named(tmp_path, content, message):
    path = tmp_path / "picture.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"'kb_1'.*{message}"):
        Item("kb_1", {}, "", path).load_image()


def test_picture_with_alpha_is_not_read_as_if_it_had_none(tmp_path):
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(InputError, match=r"shape \(4, 4, 4\)"):
        Item("kb_1", {}, "", path).load_image()


# --- items


def test_items_are_sorted_and_their_digest_ignores_order_and_place(tmp_path):
    first, second = Item("a", {"x": 1}, "11", tmp_path / "a"), Item("b/c", {"x": 2}, "22", tmp_path / "b")
    items = Items([second, first], {"z": "torn"})
    assert list(items) == ["a", "b/c"]
    assert items.rejected == {"z": "torn"}
    assert items.digest == Items([Item("a", {"x": 1}, "11"), Item("b/c", {"x": 2}, "22")]).digest


@pytest.mark.parametrize(
    "other", [Item("a", {"x": 2}, "11"), Item("a", {"x": 1}, "12"), Item("b", {"x": 1}, "11")]
)
def test_digest_tells_contents_apart(other):
    assert Items([Item("a", {"x": 1}, "11")]).digest != Items([other]).digest


def test_json_digest_is_that_of_the_canonical_form():
    assert (
        json_digest({"b": [1, 2.5], "a": "前"})
        == hashlib.sha256('{"a":"前","b":[1,2.5]}'.encode()).hexdigest()
    )
    with pytest.raises(ValueError, match="JSON"):
        json_digest({"a": float("nan")})


# --- plans and keys


def test_tasks_are_the_ids_that_all_sources_have(make_items):
    plan = Plan("join", workers.Namer, sources={"skin": make_items("b", "a"), "text": make_items("a", "c")})
    assert [task.id for task in plan.tasks()] == ["a"]
    assert set(plan.tasks()[0].inputs) == {"skin", "text"}


def test_tasks_can_be_given():
    plan = Plan.from_tasks("draw", tasks=[Task("b"), Task("a")], make_worker=workers.Namer)
    assert [task.id for task in plan.tasks()] == ["a", "b"]


def test_key_depends_on_what_makes_the_item_and_on_nothing_else(make_items):
    items = make_items("a", "b")
    base = key_of(plan_of(items, parameters={"low": 50}))
    assert key_of(plan_of(items, parameters={"low": 50}, batch_size=7, num_workers=3)) == base
    assert key_of(plan_of(make_items("a", "c"), parameters={"low": 50})) == base
    others = [
        key_of(plan_of(items, parameters={"low": 51})),
        key_of(plan_of(items, parameters={"low": 50}, shared={"reference": "11"})),
        key_of(plan_of(items, parameters={"low": 50}, modules=("skin_pipeline.errors",))),
        key_of(plan_of(Items([Item("a", {}, "99")]), parameters={"low": 50})),
        key_of(plan_of(Items([Item("a", {"matrix": 1}, items["a"].sha256)]), parameters={"low": 50})),
    ]
    assert len({base, *others}) == len(others) + 1


def test_source_digest_follows_the_source_text(tmp_path, monkeypatch):
    package = tmp_path / "drawing_for_test"
    (package / "deep").mkdir(parents=True)
    for name in ("__init__.py", "pen.py", "deep/__init__.py"):
        (package / name).write_text("")
    monkeypatch.syspath_prepend(tmp_path)

    def digests():
        source_digest.cache_clear()
        return source_digest("drawing_for_test"), source_digest("drawing_for_test.pen")

    package_before, module_before = digests()
    (package / "deep" / "__init__.py").write_text("WIDTH = 2")
    package_after, module_after = digests()
    assert package_before != package_after
    assert module_before == module_after
    (package / "pen.py").write_text("WIDTH = 3")
    assert digests()[1] != module_after
    assert "drawing_for_test.pen" not in sys.modules


def test_source_digest_follows_templates_and_data_beside_the_code(tmp_path, monkeypatch):
    package = tmp_path / "paging_for_test"
    package.mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("__init__.py", "page.py", "page.html.jinja2", "other.yml"):
        (package / name).write_text("")

    def digests():
        source_digest.cache_clear()
        return source_digest("paging_for_test"), source_digest("paging_for_test.page")

    before = digests()
    (package / "notes.txt").write_text("no source")
    assert digests() == before
    (package / "other.yml").write_text("changed")
    whole, page = digests()
    assert whole != before[0]
    assert page == before[1]
    (package / "page.html.jinja2").write_text("changed")
    assert digests()[1] != page
