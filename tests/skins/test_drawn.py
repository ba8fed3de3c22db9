import hashlib
import random

import cv2
import numpy as np
import pytest

from skin_pipeline.colours import colours_in, contrast_ratio, dominant_colours, name_colour
from skin_pipeline.errors import ConfigurationError
from skin_pipeline.skins.drawn import LAYOUT_NAMES, NUM_VARIANTS, describe_style, draw_skin, vocabulary
from skin_pipeline.skins.drawn.captions import _BACKGROUNDS_EN
from skin_pipeline.skins.drawn.icons import icon_mask
from skin_pipeline.skins.drawn.keys import KeyLook, corner_radii, key_sprite
from skin_pipeline.skins.drawn.layouts import ICONS, keyboard_characters, keyboard_words, place_keyboard
from skin_pipeline.skins.drawn.palettes import MIN_KEY_STEP, MIN_LEGEND_CONTRAST, choose_style, mix
from skin_pipeline.typefaces import font_path, missing_glyphs

SEEDS = range(40)
MANY_SEEDS = range(400)
CALM = {"plain", "dots", "hearts", "flowers", "bubbles", "snow", "paws", "cats", "leaves", "grid", "memphis"}


def lots(seed):
    return random.Random(seed)  # noqa: S311


def small(seed, **options):
    return draw_skin(seed, width_px=512, height_px=384, **options)


@pytest.fixture(scope="module")
def skins():
    return [small(seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def styles():
    return [choose_style(lots(seed), LAYOUT_NAMES[seed % 2]) for seed in MANY_SEEDS]


def digest(skin):
    legends = [(legend.text, legend.kind, legend.quad.tobytes()) for legend in skin.legends]
    content = (skin.image.tobytes(), skin.key_boxes.tobytes(), legends, skin.style)
    return hashlib.sha256(repr(content).encode()).hexdigest()


def panel_mask(skin):
    """Return where the panel shows: below the bar, off the keys and their shadows."""
    mask = np.ones(skin.image.shape[:2], bool)
    mask[: max(0, int(skin.key_boxes[:, 1].min()) - 6)] = False
    for x0, y0, x1, y1 in skin.key_boxes.astype(int):
        mask[max(y0 - 4, 0) : y1 + 8, max(x0 - 3, 0) : x1 + 3] = False
    return mask


# --- draw_skin -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_the_same_seed_gives_the_same_bytes(seed):
    first = digest(small(seed))
    small(seed + 100)
    assert digest(small(seed)) == first


def test_seeds_differ(skins):
    assert len({digest(skin) for skin in skins}) == len(skins)


@pytest.mark.parametrize("seed", range(12))
def test_a_seed_is_the_same_design_at_every_size(seed):
    size, large = small(seed), draw_skin(seed, width_px=1024, height_px=768)
    assert size.style == large.style
    assert size.key_boxes * 2 == pytest.approx(large.key_boxes, abs=2.5)
    assert [legend.text for legend in size.legends] == [legend.text for legend in large.legends]
    for little, big in zip(size.legends, large.legends, strict=True):
        assert little.quad * 2 == pytest.approx(big.quad, abs=4)
    shrunk = cv2.resize(large.image, (512, 384), interpolation=cv2.INTER_AREA)
    # Key edges are snapped to whole pixels at each size, which leaves a difference along them.
    assert np.abs(shrunk.astype(int) - size.image).mean() < 6
    assert np.abs(small(seed + 1).image.astype(int) - size.image).mean() > 12


def test_the_layout_can_be_asked_for_and_otherwise_both_occur(skins):
    assert {skin.layout for skin in skins} == set(LAYOUT_NAMES)
    for layout in LAYOUT_NAMES:
        assert small(1, layout=layout).layout == layout


def test_impossible_requests_are_refused():
    with pytest.raises(ConfigurationError, match="at least 64 px a side, got 40x300"):
        draw_skin(0, width_px=40, height_px=300)
    with pytest.raises(ConfigurationError, match="26_key, 9_key, got 'qwerty'"):
        small(0, layout="qwerty")


def test_keys_lie_in_the_picture_and_do_not_overlap(skins):
    for skin in skins:
        boxes = skin.key_boxes
        assert boxes.min() >= 0
        assert (boxes[:, 2] <= 512).all()
        assert (boxes[:, 3] <= 384).all()
        for index, box in enumerate(boxes):
            others = np.delete(boxes, index, axis=0)
            apart = (others[:, 2] <= box[0]) | (others[:, 0] >= box[2])
            apart |= (others[:, 3] <= box[1]) | (others[:, 1] >= box[3])
            assert apart.all()


def test_geometry_differs_from_seed_to_seed():
    tops = [small(seed, layout="26_key").key_boxes[0] for seed in range(12)]
    differences = [np.abs(a - b).max() for i, a in enumerate(tops) for b in tops[:i]]
    assert np.median(differences) > 8


def test_legends_lie_inside_their_key_or_the_bar(skins):
    for skin in skins:
        bar_bottom = skin.key_boxes[:, 1].min()
        for legend in skin.legends:
            left, top, right, bottom = (*legend.quad.min(axis=0), *legend.quad.max(axis=0))
            assert left >= 0
            assert top >= 0
            x0, y0, x1, y1 = skin.key_boxes.T
            on_key = (x0 <= left) & (right <= x1) & (y0 <= top) & (bottom <= y1)
            assert on_key.any() or bottom <= bar_bottom, legend


def test_legend_quads_hold_the_ink(skins):
    """Where a legend lies on a flat key, all that is not the key's colour is within the quad."""
    checked = 0
    for skin in skins:
        if skin.style.key_finish != "flat":
            continue
        for legend in skin.legends:
            x0, y0, x1, y1 = (*legend.quad.min(axis=0), *legend.quad.max(axis=0))
            inside = skin.image[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))].astype(int)
            frame = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
            spread = np.abs(frame - np.median(frame, axis=0)).max(axis=1)
            assert (spread > 90).mean() < 0.15, (skin.style.background, legend.text)
            assert np.abs(inside - np.median(frame, axis=0)).max() > 60
            checked += 1
    assert checked > 50


def test_legends_are_letters_or_words_and_never_bare_marks(skins):
    for skin in skins:
        for legend in skin.legends:
            assert legend.kind == ("letter" if len(legend.text) == 1 else "word")
            assert any(character.isalnum() for character in legend.text)
            assert legend.quad.shape == (4, 2)


def test_letters_are_big(skins):
    for skin in skins:
        heights = [np.ptp(legend.quad[:, 1]) for legend in skin.legends if legend.text in "EHTFLZ"]
        if heights:
            letters = np.median(skin.key_boxes[:, 3] - skin.key_boxes[:, 1])
            assert max(heights) >= 0.25 * letters


# --- style ---------------------------------------------------------------------------------------------


def test_paints_have_the_names_they_say(styles):
    for style in styles:
        paints = [value for value in vars(style).values() if hasattr(value, "rgb")]
        assert len(paints) >= 8
        for paint in paints:
            assert name_colour(paint.rgb).english == paint.name


def test_legends_can_be_read(styles):
    for style in styles:
        grounds = [ground for ground in (style.panel, style.second) if ground is not None]
        pairs = [(style.accent_legend.rgb, [style.accent.rgb])]
        if style.key_alpha == 1.0:
            pairs += [
                (style.legend.rgb, [style.key.rgb]),
                (style.function_legend.rgb, [style.function_key.rgb]),
            ]
        else:
            behind = [mix(ground.rgb, style.key.rgb, style.key_alpha) for ground in grounds]
            pairs += [(style.legend.rgb, behind)]
        if style.bar is not None:
            pairs += [(style.bar_legend.rgb, [style.bar.rgb])]
        for ink, behind in pairs:
            assert min(contrast_ratio(ink, colour) for colour in behind) >= MIN_LEGEND_CONTRAST


def test_solid_keys_stand_out_in_gray(styles):
    for style in styles:
        if style.key_alpha < 1.0 or style.key_border is not None:
            continue
        grounds = [ground for ground in (style.panel, style.second) if ground is not None]
        assert min(abs(style.key.gray - ground.gray) for ground in grounds) >= MIN_KEY_STEP


def test_the_panel_shows_the_colour_of_its_name(skins):
    checked = 0
    for skin in skins:
        if skin.style.background in CALM:
            (rgb, share), *_ = dominant_colours(skin.image, panel_mask(skin))
            assert name_colour(rgb).english == skin.style.panel.name
            assert share > 0.4
            checked += 1
    assert checked >= 10


def test_all_backgrounds_shapes_and_finishes_occur(styles):
    assert {style.background for style in styles} == set(_BACKGROUNDS_EN)
    assert {style.key_shape for style in styles} == {"square", "rounded", "pill", "circle", "leaf"}
    assert len({style.key_finish for style in styles}) == 7
    assert {style.brightness for style in styles} == {"light", "dark"}


# --- layouts -------------------------------------------------------------------------------------------


def texts_of(layout, language, seeds=MANY_SEEDS):
    keyboards = [place_keyboard(lots(seed), layout, language) for seed in seeds]
    return [[key.text for key in keyboard.keys] for keyboard in keyboards]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_26_key_keyboard_has_all_letters_once(language):
    for texts in texts_of("26_key", language):
        letters = [text.upper() for text in texts if len(text) == 1 and text.isascii() and text.isalpha()]
        assert sorted(letters) == list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_9_key_keyboard_has_the_eight_groups(language):
    for texts in texts_of("9_key", language):
        assert {"ABC", "DEF", "GHI", "JKL", "MNO", "PQRS", "TUV", "WXYZ"} <= set(texts)


@pytest.mark.parametrize(
    ("layout", "language", "words"),
    [
        ("26_key", "en", "Space Enter Go Send Search 123 ?123 Shift"),
        ("26_key", "zh", "空格 换行 前往 发送 搜索 符 符号 中/英 123 分词"),
        ("9_key", "en", "Space Enter Go Send 123 Sym Del"),
        ("9_key", "zh", "分词 重输 返回 符号 中/英 空格 换行 123 删除 前往"),
    ],
)
def test_the_words_of_real_keyboards_occur(layout, language, words):
    seen = {text for texts in texts_of(layout, language) for text in texts}
    assert set(words.split()) <= seen


@pytest.mark.parametrize("layout", LAYOUT_NAMES)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_keyboard_words_are_complete(layout, language):
    known = set(keyboard_words(language))
    for seed in MANY_SEEDS:
        keyboard = place_keyboard(lots(seed), layout, language)
        texts = [
            *(key.text for key in keyboard.keys if key.role != "list"),
            *(t for t, _ in keyboard.bar_items),
        ]
        for text in texts:
            assert len(text) == 1 or text in known or (text[0] == "@" and text[1:] in ICONS)
            if text[1:] not in ICONS:
                assert set(text) <= set(keyboard_characters())


def test_no_legend_lacks_a_glyph(skins):
    for skin in skins:
        for legend in skin.legends:
            chinese = any(ord(character) >= 0x2E80 for character in legend.text)
            name = skin.style.chinese_typeface if chinese else skin.style.latin_typeface
            assert missing_glyphs(legend.text, font_path(name)) == set()


# --- keys and icons ------------------------------------------------------------------------------------


def test_a_key_sprite_is_opaque_inside_its_outline_and_clear_outside():
    look = KeyLook("rounded", "flat", (10, 200, 30), 1.0, None, 0.25, 40.0)
    sprite = key_sprite(look, 40, 60)
    canvas = np.full((100, 100, 3), 255, np.uint8)
    sprite.lay_on(canvas, 20, 30)
    assert tuple(canvas[60, 40]) == (10, 200, 30)
    assert tuple(canvas[30, 40]) == (10, 200, 30)
    assert tuple(canvas[30, 20]) == (255, 255, 255)
    assert tuple(canvas[29, 40]) == (255, 255, 255)


def test_the_area_of_a_circle_key_is_that_of_a_circle():
    sprite = key_sprite(KeyLook("circle", "flat", (0, 0, 0), 1.0, None, 0.0, 50.0), 50, 50)
    assert sprite.opacity.sum() == pytest.approx(np.pi * 25**2, rel=0.002)


def test_sprites_may_reach_over_the_edge():
    canvas = np.zeros((50, 50, 3), np.uint8)
    key_sprite(KeyLook("pill", "shadow", (255, 255, 255), 1.0, None, 0.2, 30.0), 30, 30).lay_on(
        canvas, -10, 35
    )
    assert canvas[45, 5].tolist() == [255, 255, 255]


def test_leaf_keys_have_two_sharp_corners():
    top_left, top_right, bottom_right, bottom_left = corner_radii("leaf", 40, 60, 0.2)
    assert top_left == bottom_right > top_right == bottom_left


@pytest.mark.parametrize("name", sorted(ICONS))
def test_every_icon_paints_something_inside_its_square(name):
    mask = icon_mask(name, 32)
    assert mask.shape == (32, 32)
    assert 0.03 < mask.mean() < 0.6


# --- captions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
def test_captions_name_the_panel_and_no_colour_that_is_not_there(styles, language):
    for style in styles[:100]:
        present = {value.name for value in vars(style).values() if hasattr(value, "rgb")}
        captions = [describe_style(style, language, variant) for variant in range(NUM_VARIANTS)]
        assert len(set(captions)) == NUM_VARIANTS
        for caption in captions:
            named = [colour.english for colour in colours_in(caption)]
            assert style.panel.name in named
            assert set(named) <= present


def test_a_caption_reads_like_a_prompt(styles):
    style = next(s for s in styles if s.background == "plain" and s.key_finish == "flat")
    caption = describe_style(style, "en", 0)
    shape = {"pill": "pill", "leaf": "leaf shaped", "circle": "round"}.get(style.key_shape, style.key_shape)
    keys = f"{style.key.name} {shape} keys"
    assert caption == f"{style.panel.name} keyboard skin with {keys}, plain background, {style.brightness}"


def test_the_vocabulary_holds_every_word_of_every_caption(styles):
    corpus = "\n".join(vocabulary())
    words, characters = set(corpus.replace(",", " ").split()), set(corpus)
    for style in styles[:100]:
        for variant in range(NUM_VARIANTS):
            english = describe_style(style, "en", variant).replace(",", " ").split()
            assert set(english) <= words
            assert set(describe_style(style, "zh", variant)) <= characters
