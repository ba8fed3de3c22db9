import html.parser
import re
from dataclasses import replace

import pytest

from skin_pipeline.generation.gallery import render_page
from skin_pipeline.generation.parameters import GalleryParameters
from skin_pipeline.generation.plan import read_rows
from skin_pipeline.items import Item, json_digest

HOSTILE = "<script>alert(1)</script> & \"keys\" 'x' 键盘"


class Page(html.parser.HTMLParser):
    """Collects tags, their addresses and all text but scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.addresses, self.text, self.captions = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [
            value for name, value in attrs if name in {"src", "href", "srcset", "action", "data"}
        ]
        self.captions += [value for name, value in attrs if name == "alt"]

    def handle_data(self, data):
        if self.tags[-1:] != ["script"] and self.tags[-1:] != ["style"]:
            self.text.append(data)


def picture(published, skin, prompt, seed):
    number = "ab".find(skin[5])  # demo/gone has none
    record = {
        "prompt": prompt,
        "negative_prompt": "",
        "seed": seed,
        "conditioning": skin,
        "conditioning_sha256": published.files.get(f"conditioning_images/{number}.png", "c" * 64),
        "weights_digest": "0123456789abcdef",
        "base_model": "embedded",
        "base_model_digest": "b" * 64,
        "settings": {"num_inference_steps": 20, "variant": None, "size_px": [64, 64]},
    }
    digest = json_digest(record)
    return Item(f"{skin}/{digest[:8]}-{seed}", record, digest, published.path / "images/0.png")


@pytest.fixture
def pictures(published):
    return [
        picture(published, skin, prompt, seed)
        for skin in ("demo/a", "demo/b<&>")
        for prompt in ("red keys", HOSTILE)
        for seed in (0, 1, 2)
    ]


def render(pictures, published, **parameters):
    rows = {row.skin: row for row in read_rows(published, "validation")}
    return render_page(pictures, rows, published, GalleryParameters(**parameters))


def test_the_page_refers_to_nothing_outside_itself(pictures, published):
    page = render(pictures, published)
    parsed = Page(page)
    assert len([tag for tag in parsed.tags if tag == "img"]) == 12 + 2 * 2 + 2  # generated, sources, viewer
    assert all(address.startswith("data:image/webp;base64,") for address in parsed.addresses)
    assert not {"link", "iframe", "object", "embed", "base"} & set(parsed.tags)
    assert all(url.startswith("data:image/webp;base64,") for url in re.findall(r"url\(([^)]*)\)", page))
    assert not re.search(r"https?://|@import|fetch\(|XMLHttpRequest|import\(", page)
    assert "default-src 'none'" in page


def test_text_stays_text(pictures, published):
    parsed = Page(render(pictures, published, title="Skins <b>of</b> today"))
    assert parsed.tags.count("script") == 1
    assert "b" not in parsed.tags
    text = "".join(parsed.text)
    assert HOSTILE in text
    assert "demo/b<&>" in text
    assert "Skins <b>of</b> today" in text
    assert f"Generated: {HOSTILE}" in parsed.captions


def test_the_order_of_the_pictures_changes_nothing(pictures, published):
    assert render(pictures, published) == render(pictures[::-1], published)


def test_every_picture_is_shown_with_its_record(pictures, published):
    text = " ".join("".join(Page(render(pictures, published)).text).split())
    assert text.count("seed 0") == 4
    for item in pictures:
        assert item.id in text
    assert "0123456789ab" in text
    assert "64 × 64" in text
    assert "Variant" not in text


def test_a_page_that_would_be_too_large_says_what_it_leaves_out(pictures, published):
    page = render(pictures, published, max_pictures=5)
    assert page.count('class="frame" type="button"') == 5
    assert "Showing 5 of 12 pictures" in page


def test_the_display_aspect_is_applied(pictures, published):
    assert "aspect-ratio: 1.3333" in render(pictures, published, display_aspect=1.3333)
    assert "aspect-ratio" not in render(pictures, published)


def test_a_conditioning_image_that_is_gone_is_said(published):
    page = render([picture(published, "demo/gone", "red keys", 0)], published)
    assert "no longer there" in page
    assert 'class="overlay"' not in page


def test_a_conditioning_image_that_was_replaced_is_not_shown(published):
    files = {**published.files, "conditioning_images/0.png": "f" * 64}
    page = render([picture(published, "demo/a", "red keys", 0)], replace(published, files=files))
    assert "no longer there, or another one" in page
    assert not any(caption.startswith("Conditioning image") for caption in Page(page).captions)


def test_drawn_layouts_are_shown_as_what_pictures_were_conditioned_on(published):
    made = picture(published, "four_parts", "red keys", 0)
    layout = Item("four_parts", {}, made.record["conditioning_sha256"], published.path / "images/0.png")

    def show(control_images):
        return render_page([made], {}, published, GalleryParameters(), control_images)

    page = show({"four_parts": layout})
    assert "drawn layout as conditioning" in page
    assert 'alt="Conditioning image of four_parts"' in page
    assert not any(caption.startswith("Real skin") for caption in Page(page).captions)
    changed = Item("four_parts", {}, "d" * 64, layout.path)
    assert "no longer there" in show({"four_parts": changed})


def test_no_pictures_make_an_empty_page(published):
    assert "No pictures to show." in "".join(Page(render([], published)).text)
