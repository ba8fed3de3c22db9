import pytest

from skin_pipeline.errors import InputError
from skin_pipeline.skins.model import (
    Action,
    Condition,
    Fill,
    Function,
    Gesture,
    Insets,
    KeyboardKind,
    Lettering,
    Rect,
)
from tests.skins.packages import BLUE, HAMSTER_KEYS, HAMSTER_SHEET, RED, hamster_files


@pytest.fixture
def skin(read):
    return read(hamster_files())


@pytest.fixture
def board(skin):
    return skin.theme("light").keyboard(KeyboardKind.PINYIN_9)


def keys(board):
    return {key.id: key for key in board.keys}


def test_both_themes_are_read(skin):
    assert (skin.name, skin.author, skin.source) == ("Test skin", "Nobody", "hamster")
    assert [theme.name for theme in skin.themes] == ["light", "dark"]
    colours = [
        tuple(keys(theme.keyboards[0])["back"].background.appearance.normal.crop()[0, 0, :3])
        for theme in skin.themes
    ]
    assert colours == [RED, BLUE]
    assert skin.findings == ()


def test_areas_are_stacked_above_the_panel(board):
    assert board.size == (390, 200)
    assert board.bar.rect == Rect(0, -40, 390, 40)
    assert board.preedit.rect == Rect(0, -60, 390, 20)
    assert board.bounds == Rect(0, -60, 390, 260)


def test_rows_and_cells_share_what_is_left(board):
    places = {name: key.touch for name, key in keys(board).items()}
    assert places == {
        "menu": Rect(0, -40, 390, 40),
        "q": Rect(0, 0, 130, 150),
        "back": Rect(130, 0, 260, 150),
        "space": Rect(0, 150, 390, 50),
    }


def test_columns_hold_rows(read):
    layout = """
keyboardLayout:
  - VStack: {style: low, subviews: [{Cell: q}, {Cell: back}]}
  - VStack:
      subviews: [{HStack: {subviews: [{Cell: space}, {Cell: space}]}}, {HStack: {subviews: [{Cell: q}]}}]
low: {size: {width: {percentage: 0.2}}}
"""
    start, end = HAMSTER_KEYS.index("keyboardLayout"), HAMSTER_KEYS.index("_base")
    text = HAMSTER_KEYS[:start] + layout.lstrip() + HAMSTER_KEYS[end:]
    board = read(hamster_files(Skin__light__keys_dot_yaml=text)).theme("light").keyboards[0]
    places = {name: key.touch for name, key in keys(board).items()}
    assert places["q"] == Rect(0, 0, 78, 100)
    assert places["back"] == Rect(0, 100, 78, 100)
    assert places["space"] == Rect(78, 0, 156, 100)
    assert places["space#2"] == Rect(234, 0, 156, 100)
    assert places["q#2"] == Rect(78, 100, 130, 100)


def test_what_is_seen_may_be_smaller_than_what_is_touched(board):
    q = keys(board)["q"]
    assert (q.rect, q.touch) == (Rect(65, 0, 65, 150), Rect(0, 0, 130, 150))


ONE_KEY = """
keyboardHeight: 100
keyboardStyle: {backgroundStyle: cap}
keyboardLayout: [{HStack: {subviews: [{Cell: key}, {Cell: gap}]}}]
key: {action: {character: q}, backgroundStyle: cap, foregroundStyle: dot}
gap: {size: {width: 190}}
cap: {buttonStyleType: geometry, insets: {left: 10, top: 20}, normalColor: "#ff0000"}
dot: {buttonStyleType: geometry, insets: {left: 100}, center: {x: 0.5, y: 0.75}, normalColor: "#00ff00"}
"""


def test_a_key_without_bounds_is_seen_within_the_margins_of_its_cap(read):
    (key,) = read(hamster_files(Skin__light__keys_dot_yaml=ONE_KEY)).themes[0].keyboards[0].keys
    assert (key.touch, key.rect) == (Rect(0, 0, 200, 100), Rect(10, 20, 190, 80))
    assert key.background.insets == Insets()
    (dot,) = key.foregrounds
    assert key.rect.inset(dot.insets).moved(*dot.offset) == Rect(50, 25, 100, 100)


def test_a_colour_that_is_all_transparent_is_nothing(read):
    text = ONE_KEY.replace("#ff0000", "#ff000000")
    (key,) = read(hamster_files(Skin__light__keys_dot_yaml=text)).themes[0].keyboards[0].keys
    assert key.background.appearance.is_empty
    assert key.rect == Rect(10, 20, 190, 80)


def test_actions_and_variants(board):
    q = keys(board)["q"]
    assert q.actions == {Gesture.TAP: Action(Function.LETTER, "q"), Gesture.UP: Action(Function.TEXT, "1")}
    assert keys(board)["menu"].function is Function.COPY
    assert keys(board)["back"].function is Function.BACKSPACE
    (upper,) = q.under([Condition.SHIFTED]).foregrounds
    assert upper.appearance.normal.text == "Q"


def test_pictures_have_insets_and_a_third_of_a_point_a_pixel(board):
    layer = keys(board)["q"].background
    normal, pressed = layer.appearance.normal, layer.appearance.pressed
    assert (normal.fit, normal.insets, normal.scale) == ("nine_patch", Insets(15, 15, 15, 15), 1 / 3)
    assert (pressed.fit, pressed.source) == ("stretch", Rect(0, 60, 60, 60))
    assert layer.insets == Insets(2, 3, 0, 0)


def test_a_pressed_state_that_is_not_given_shows_nothing(board):
    letter, dot = keys(board)["q"].foregrounds
    assert dot.appearance.pressed is None
    assert (dot.appearance.normal.fit, dot.offset) == ("centre", (0, -0.25 * 150))
    assert letter.appearance.normal == Lettering("q", 22, (255, 255, 255, 255))


def test_colours_have_their_alpha_last(board):
    assert keys(board)["space"].background.appearance.normal == Fill((0x28, 0x46, 0xDC, 0x80), radius=8)


@pytest.mark.parametrize(
    ("name", "text", "finding"),
    [
        (
            "keys.yaml",
            HAMSTER_KEYS.replace("backgroundStyle: plain, action", "backgroundStyle: none, action"),
            "no style 'none'",
        ),
        ("keys.yaml", HAMSTER_KEYS.replace("image: down", "image: none"), "has no picture 'none'"),
        (
            "keys.yaml",
            HAMSTER_KEYS.replace("file: keys, image: down", "file: x, image: y"),
            "no picture 'x.png'",
        ),
        ("keys.yaml", HAMSTER_KEYS.replace('"#202020"', "red"), "'red' is not #RRGGBB"),
        ("keys.yaml", HAMSTER_KEYS.replace('"#202020"', '["#202020", "#404040"]'), "gradients"),
        ("keys.yaml", HAMSTER_KEYS.replace("text: q,", "text: $rime,"), "known only"),
        (
            "keys.yaml",
            HAMSTER_KEYS.replace("[{Cell: space}]", "[{Cell: space}, {HStack: {}}]"),
            "not a mixture",
        ),
        (
            "keys.yaml",
            HAMSTER_KEYS.replace("toolbarHeight: 40", "toolbarHeight: tall"),
            "not a number of points",
        ),
        ("resources/keys.yaml", HAMSTER_SHEET.replace("y: 180", "y: 230"), "leaves its picture"),
        ("keys.yaml", HAMSTER_KEYS.replace("cornerRadius", "shadowRadius"), "'shadowRadius' has no meaning"),
        ("resources/keys.yaml", "[", "cannot be loaded"),
        ("resources/keys.yaml", "- a", "it is not a mapping"),
    ],
)
def test_what_is_wrong_is_listed(read, name, text, finding):
    skin = read(hamster_files(**{f"Skin/light/{name}": text}))
    assert any(
        finding in str(problem) and problem.file == f"Skin/light/{name}" for problem in skin.findings
    ), [str(problem) for problem in skin.findings]
    assert len(skin.themes) == 2


def test_findings_name_the_line_of_a_style(read):
    text = HAMSTER_KEYS.replace("image: down", "image: none")
    (finding,) = read(hamster_files(Skin__light__keys_dot_yaml=text)).findings
    assert text.splitlines()[finding.line - 1].startswith("cap:")


def test_a_theme_without_files_is_left_out(read):
    files = {name: content for name, content in hamster_files().items() if "/dark/" not in name}
    skin = read(files)
    assert [theme.name for theme in skin.themes] == ["light"]
    assert "Skin/dark/keys.yaml: it is missing (dark has no 'pinyin')" in [
        str(finding) for finding in skin.findings
    ]


@pytest.mark.parametrize("text", ["", "a: [", "keyboardHeight: 200", "keyboardHeight: .nan", "{}"])
def test_a_skin_of_which_nothing_can_be_drawn_is_refused(read, text):
    with pytest.raises(InputError, match="no keyboard that can be drawn"):
        read(hamster_files(Skin__light__keys_dot_yaml=text, Skin__dark__keys_dot_yaml=text))
