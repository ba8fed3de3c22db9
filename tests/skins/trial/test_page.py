import re
from dataclasses import replace
from io import BytesIO
from shutil import which

import numpy as np
import pytest
from PIL import Image

from skin_pipeline.errors import InputError
from skin_pipeline.skins.model import Appearance, Fill, KeyboardKind, Skin, Theme
from skin_pipeline.skins.trial.page import render_trial_page

BROWSER = which("chromium") or which("chromium-browser") or which("google-chrome")


@pytest.fixture(scope="module")
def skin(theme):
    english = replace(theme.keyboards[0], kind=KeyboardKind.ENGLISH_26, name="english_26")
    boards = (*theme.keyboards, english)
    night = Appearance(Fill((20, 20, 30, 255)), Fill((20, 20, 30, 255)))
    dark = Theme("dark", tuple(replace(board, background=night) for board in boards))
    return Skin("粉色 <b>&", "", "", "folder", (Theme("light", boards), dark))


def test_page_is_the_same_each_time_and_fetches_nothing(skin):
    page = render_trial_page(skin, {"Run": "a&b"})
    assert page == render_trial_page(skin, {"Run": "a&b"})
    assert "粉色 &lt;b&gt;&amp;" in page
    assert "a&amp;b" in page
    assert not re.search(r"(src|href)=\"?https?:", page)


def test_a_skin_without_a_keyboard_to_try_is_refused():
    with pytest.raises(InputError, match="no portrait keyboard to try"):
        render_trial_page(Skin("empty", "", "", "folder", (Theme("default", ()),)))


# --- in a real browser ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if BROWSER is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture
def page(browser, skin, tmp_path):
    """The open page; the test fails if the browser complains about anything on it."""
    file = tmp_path / "trial.html"
    file.write_text(render_trial_page(skin), encoding="utf-8")
    opened = browser.new_page(viewport={"width": 430, "height": 760})
    complaints = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(file.as_uri())
    yield opened
    opened.close()
    assert complaints == []


def key(page, name):
    return page.locator(f"[data-key='{name}']")


def pixels(page):
    shot = page.locator("#keyboard").screenshot()
    return np.asarray(Image.open(BytesIO(shot)).convert("RGB")).astype(int)


def region(page, name):
    """Rows and columns of a key in the keyboard's screenshot."""
    whole, part = page.locator("#keyboard").bounding_box(), key(page, name).bounding_box()
    x, y = part["x"] - whole["x"], part["y"] - whole["y"]
    return slice(round(y) + 2, round(y + part["height"]) - 2), slice(
        round(x) + 2, round(x + part["width"]) - 2
    )


def test_keys_type(page):
    page.get_by_role("button", name="English").click()
    for name in ("h", "i", "space", "shift", "m", "backspace", "y"):
        key(page, name).click()
    assert page.locator("#typed").inner_text() == "hi y"


def test_a_held_key_alone_looks_pressed(page):
    idle = pixels(page)
    key(page, "g").hover()
    page.mouse.down()
    held = pixels(page)
    page.mouse.up()
    g, t = region(page, "g"), region(page, "t")
    assert np.abs(held[g] - idle[g]).mean() > 30
    assert (held[t] == idle[t]).all()
    page.evaluate("state.preedit = ''; write()")
    assert (pixels(page) == idle).all()


def test_letters_bring_candidates_and_one_is_chosen(page):
    for name in ("n", "i"):
        key(page, name).click()
    assert page.locator(".preedit").inner_text() == "ni"
    assert page.locator(".candidates button").count() >= 5
    page.locator(".candidates button").nth(1).click()
    assert page.locator("#typed").inner_text() == "皮肤"
    assert page.locator(".candidates").count() == 0


def test_switches_change_keyboard_and_theme(page):
    day = pixels(page)
    page.get_by_role("button", name="9键").click()
    nine = pixels(page)
    assert nine.shape == day.shape
    assert np.abs(nine - day).mean() > 3
    page.get_by_role("button", name="☾").click()
    night = pixels(page)
    assert night.mean() < nine.mean() - 10


def test_keys_work_without_a_pointer(page):
    page.get_by_role("button", name="English").click()
    key(page, "k").focus()
    page.keyboard.press("Enter")
    assert page.locator("#typed").inner_text() == "k"
