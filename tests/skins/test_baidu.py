import re

import pytest

from skin_pipeline.errors import InputError
from skin_pipeline.skins.model import (
    Action,
    Appearance,
    Condition,
    Fill,
    Function,
    Gesture,
    Insets,
    KeyboardKind,
    Lettering,
    Rect,
    Tile,
)
from tests.skins.packages import (
    BLUE,
    CAND,
    CSS,
    GEN,
    KEYS,
    RED,
    WHITE,
    baidu_files,
    png,
    slices,
)


def board_of(skin, kind=KeyboardKind.PINYIN_26):
    return skin.theme().keyboard(kind)


def problems(skin):
    return [str(finding) for finding in skin.findings]


@pytest.fixture
def board(read):
    return board_of(read(baidu_files()))


def test_the_skin_says_who_made_it(read):
    skin = read(baidu_files())
    assert (skin.name, skin.author, skin.description) == ("Test skin", "Nobody", "Three keys")
    assert skin.source == "baidu"
    assert skin.preview.size == (40, 30)
    assert skin.findings == ()


def test_a_skin_without_info_is_named_after_its_file(read):
    skin = read(baidu_files(Info_dot_txt=None))
    assert skin.name == "skin"
    assert problems(skin) == ["Info.txt: it is missing (the skin is named after its file)"]


def test_keys_have_places_actions_and_codes(board):
    q, back, _ = board.keys
    assert (q.rect, q.touch) == (Rect(10, 10, 60, 80), Rect(10, 10, 60, 80))
    assert back.touch == Rect(70, 0, 60, 100)
    assert q.actions == {Gesture.TAP: Action(Function.LETTER, "q"), Gesture.UP: Action(Function.TEXT, "1")}
    assert back.actions == {Gesture.TAP: Action(Function.BACKSPACE, "F36")}
    assert (q.held_characters, q.text, back.text) == ("12", "q", "")


def test_foregrounds_are_stacked_each_with_its_offset(board):
    first, second = board.keys[0].foregrounds
    assert (first.offset, second.offset) == ((0, -10), (20, 10))
    assert tuple(first.appearance.normal.crop()[0, 0]) == (*BLUE, 255)


def test_a_layer_with_only_a_pressed_picture_is_shown_only_then(board):
    hidden = board.keys[0].foregrounds[1].appearance
    assert hidden.normal is None
    assert tuple(hidden.pressed.crop()[0, 0]) == (*WHITE, 255)


def test_a_style_without_a_pressed_state_looks_the_same(board):
    assert board.background == Appearance(Fill((0x40, 0x40, 0x40, 255)), Fill((0x40, 0x40, 0x40, 255)))


def test_colours_have_their_alpha_first(board):
    assert board.keys[2].background.appearance.normal == Fill((0x28, 0x46, 0xDC, 0x80))


def test_a_foreground_without_picture_writes_the_text_of_the_key(board):
    assert board.keys[2].foregrounds[0].appearance.normal == Lettering("a", 30, (255, 255, 255, 255))


def test_a_style_may_write_a_text_of_its_own(read):
    skin = read(baidu_files(res__default_dot_css=CSS.replace("FONT_SIZE=30", "FONT_SIZE=30\nSHOW=换")))
    assert board_of(skin).keys[2].foregrounds[0].appearance.normal.text == "换"


def test_nine_patches_have_their_inner_rectangle_in_the_atlas(board):
    normal = board.keys[0].background.appearance.normal
    pressed = board.keys[0].background.appearance.pressed
    assert (normal.fit, normal.source, normal.insets) == (
        "nine_patch",
        Rect(0, 0, 20, 20),
        Insets(5, 0, 5, 0),
    )
    assert (pressed.source, pressed.insets) == (Rect(0, 20, 20, 20), Insets(5, 0, 5, 0))


@pytest.mark.parametrize(
    ("inner", "fit"),
    [("", "centre"), ("3,{y},0,4", "centre"), ("0,{y},20,20", "stretch"), ("5,{y},10,20", "nine_patch")],
)
def test_the_inner_rectangle_says_how_a_slice_stretches(read, inner, fit):
    skin = read(baidu_files(res__keys_dot_til=slices(2, inner=inner)))
    assert board_of(skin).keys[0].background.appearance.normal.fit == fit


def test_variants_replace_what_their_patch_states(board):
    key = board.keys[0]
    assert key.under([Condition.SHIFTED]).text == "Q"
    assert len(key.under([Condition.SHIFTED]).foregrounds) == 1
    assert key.under([Condition.SHIFTED]).background == key.background
    composing = key.under([Condition.COMPOSING])
    assert composing.foregrounds == key.foregrounds
    assert composing.background == board.keys[2].background
    assert key.under([]) is key


@pytest.mark.parametrize(
    ("kind", "y", "always"), [(0, 0, True), (1, 0, False), (2, -30, True), (3, -30, False), (4, -30, True)]
)
def test_the_bar_lies_on_or_above_the_panel(read, kind, y, always):
    bar = board_of(read(baidu_files(port__gen_dot_ini=GEN.replace("TYPE=4", f"TYPE={kind}")))).bar
    assert (bar.rect, bar.always_shown) == (Rect(0, y, 200, 30), always)


@pytest.mark.parametrize(("anchor", "corner"), [(1, (0, -30)), (5, (100, -15)), (9, (200, 0))])
def test_icons_are_placed_from_one_of_nine_points(read, anchor, corner):
    skin = read(baidu_files(port__cand_dot_cnd=CAND.replace("ANCHOR_TYPE=6", f"ANCHOR_TYPE={anchor}")))
    (icon,) = board_of(skin).bar.icons
    assert (icon.key.rect, icon.shown) == (Rect(corner[0] - 20, corner[1] - 10, 20, 20), "idle")
    assert icon.key.function is Function.HIDE


def test_lists_take_from_gen_ini_what_they_leave_out(read):
    gen = GEN + "[LIST]\nPOS=0,0\nCELL_SIZE=20,25\nLIST_NUM=4\nFORE_STYLE=6\nNAMES=， 。\nVALUES=， F36\n"
    keys = KEYS + "[LIST]\nCELL_SIZE=30,20\n"
    (strip,) = board_of(read(baidu_files(port__gen_dot_ini=gen, port__py_26_dot_ini=keys))).lists
    assert (strip.rect, strip.entries) == (Rect(0, 0, 30, 80), ("，", "。"))
    assert [action.function for action in strip.values] == [Function.TEXT, Function.BACKSPACE]
    assert strip.cells()[1] == Rect(0, 20, 30, 20)
    assert board_of(read(baidu_files(port__gen_dot_ini=gen))).lists == ()


@pytest.mark.parametrize(("names", "shown"), [("NAMES=a b", True), ("", False)])
def test_a_list_that_comes_and_goes_is_there_if_it_has_entries(read, names, shown):
    keys = KEYS + f"[LIST]\nPOS=0,0\nCELL_SIZE=20,25\nLIST_NUM=4\nTYPE=1\n{names}\n"
    (strip,) = board_of(read(baidu_files(port__py_26_dot_ini=keys))).lists
    assert strip.always_shown is shown


def test_panels_of_candidates_have_a_grid(read):
    gen = GEN + "[MORE]\nGRID=2,4\nLAYOUT_NAME=more\nFORE_STYLE=6\nCELL_STYLE=2\n"
    more = (
        "[KEY1]\nVIEW_RECT=0,0,160,100\nCENTER=F55\n[KEY2]\nVIEW_RECT=160,0,40,100\nBACK_STYLE=2\nCENTER=F4\n"
    )
    skin = read(baidu_files(port__gen_dot_ini=gen, port__more_dot_ini=more))
    grid = next(board for board in skin.theme().keyboards if board.name == "more").grid
    assert (grid.rect, grid.rows, grid.columns) == (Rect(0, 0, 160, 100), 2, 4)


def test_popups_hang_over_the_key(read):
    keys = KEYS + "[HINT]\nLAYOUT_NAME=hint\n"
    pop = "[HINT]\nBACK_ICON=1\n[ICON1]\nSIZE=40,30\nPOS=0,-5\nBACK_STYLE=2\nFORE_STYLE=6\n"
    (popup,) = board_of(read(baidu_files(port__py_26_dot_ini=keys, port__hint_dot_pop=pop))).popups
    assert (popup.kind, popup.rect) == ("hint", Rect(-20, -35, 40, 30))


def test_keyboards_that_others_open_are_read(read):
    keys = KEYS.replace("UP=1", "UP=Z+tools")
    skin = read(baidu_files(port__py_26_dot_ini=keys, port__tools_dot_ini=KEYS, port__old_dot_ini=KEYS))
    assert sorted(board.name for board in skin.theme().keyboards) == ["py_26", "tools"]


# --- where files lie ------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["res/", "port/res/", "720/res/", "720/port/res/", "", "port/"])
def test_the_style_sheet_may_lie_in_many_places(read, place):
    skin = read(baidu_files(**{"res__default_dot_css": None, f"{place}default.css": CSS}))
    assert len(board_of(skin).keys) == 3


def test_stronger_places_override_weaker_ones(read):
    def colour(**files):
        return board_of(read(baidu_files(**files))).background.normal.colour[:3]

    sheet = "[STYLE1]\nNM_COLOR={}\n"
    files = {"port__res__default_dot_css": sheet.format("000001")}
    assert colour(**files) == (0, 0, 1)
    files["720__res__default_dot_css"] = sheet.format("000002")
    assert colour(**files) == (0, 0, 2)
    files["720__port__res__default_dot_css"] = sheet.format("000003")
    assert colour(**files) == (0, 0, 3)
    files["1080__res__default_dot_css"] = sheet.format("000004")
    assert colour(**files) == (0, 0, 4)  # the largest bucket is the sharpest; others are not looked at


def test_the_rest_of_a_weaker_sheet_remains(read):
    skin = read(baidu_files(port__res__default_dot_css="[STYLE1]\nNM_COLOR=000001\n"))
    assert board_of(skin).keys[0].background.appearance.normal.fit == "nine_patch"


def test_pictures_are_scaled_from_the_screen_they_are_made_for(read):
    plain = board_of(read(baidu_files()))
    sheet = board_of(read(baidu_files(res__default_dot_css=CSS.replace("STYLE_NUM=7", "FOR=400"))))
    bucket = {"800__res__keys_dot_png": png(RED, RED), "800__res__keys_dot_til": slices(2)}
    boards = (plain, sheet, board_of(read(baidu_files(**bucket))))
    marks = [board.keys[0].foregrounds[0].appearance.normal for board in boards]
    caps = [board.keys[0].background.appearance.normal for board in boards]
    assert [tile.scale for tile in marks] == [1.0, 0.5, 1.0]
    assert [tile.scale for tile in caps] == [1.0, 1.0, 0.25]  # FOR does not scale the edges of nine-patches
    assert sheet.keys[2].foregrounds[0].appearance.normal.size == 15


def test_bdi_packages_lie_under_skin(read):
    files = {f"skin/{name}": content for name, content in baidu_files().items()}
    assert read(files).themes == read(baidu_files()).themes


def test_dark_mode_packages_have_two_themes(read):
    light = {f"light/skin/{name}": content for name, content in baidu_files().items()}
    night = baidu_files(res__default_dot_css=CSS.replace("404040", "000000"))
    dark = {f"dark/skin/{name}": content for name, content in night.items()}
    skin = read(light | dark)
    assert [theme.name for theme in skin.themes] == ["light", "dark"]
    assert skin.theme("dark").keyboard(KeyboardKind.PINYIN_26).background.normal.colour == (0, 0, 0, 255)
    assert skin.name == "Test skin"


def test_both_orientations_are_read(read):
    files = baidu_files()
    wide = {name.replace("port/", "land/"): content for name, content in files.items()}
    wide["land/gen.ini"] = GEN.replace("200,100", "400,100").encode()
    skin = read(files | wide)
    assert skin.theme().keyboard(KeyboardKind.PINYIN_26, "landscape").size == (400, 100)
    assert board_of(skin).size == (200, 100)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "utf-16"])
def test_text_files_are_in_any_encoding(read, encoding):
    keys = KEYS.replace("CENTER=q", "CENTER=。").encode(encoding)
    skin = read(baidu_files(port__py_26_dot_ini=keys))
    assert board_of(skin).keys[0].text == "。"
    assert skin.findings == ()


# --- what is wrong is listed, and the rest is drawn -----------------------------------------------------


@pytest.mark.parametrize(
    ("files", "finding"),
    [
        (
            {"res__keys_dot_til": slices(2).replace(b"NUM=2", b"NUM=9")},
            r"keys\.til:2: TILE_NUM is 9, but there are 2",
        ),
        (
            {"res__keys_dot_png": png(RED, size=(20, 30))},
            r"keys\.til:\d+: .*leaves the 20x30 picture \(what lies inside",
        ),
        ({"res__keys_dot_png": png(RED)}, r"keys\.til:\d+: .*leaves the 20x20 picture \(nothing is drawn"),
        ({"res__keys_dot_png": None}, r"default\.css:\d+: there is no picture 'keys'"),
        ({"res__keys_dot_png": b"\x89PNG\r\n\x1a\nbroken"}, r"keys\.png: the picture cannot be used"),
        ({"res__keys_dot_png": png(RED)[:60]}, r"keys\.png: the picture cannot be used"),
        ({"res__keys_dot_til": None}, r"keys\.png: there is no 'keys\.til'"),
        ({"res__keys_dot_til": b"[IMG1]\nSOURCE_RECT=0,0,0,20\n"}, r"keys\.til:2: the slice has no area"),
        (
            {"res__keys_dot_til": b"[IMG1]\nSOURCE_RECT=a,b,c,d\n"},
            r"keys\.til:2: SOURCE_RECT=a,b,c,d: 4 whole numbers",
        ),
        (
            {"res__keys_dot_til": slices(2, inner="90,90,4,4")},
            r"keys\.til:\d+: it lies outside of SOURCE_RECT",
        ),
        (
            {"port__py_26_dot_ini": KEYS.replace("POS_TYPE=1,2", "POS_TYPE=1,77")},
            r"py_26\.ini:7: there is no offset 77",
        ),
        (
            {"port__py_26_dot_ini": KEYS.replace("BACK_STYLE=2", "BACK_STYLE=99")},
            r"py_26\.ini:5: there is no style 99",
        ),
        ({"port__py_26_dot_ini": KEYS.replace("S4_2", "S4_9")}, r"py_26\.ini:11: there is no TIP9"),
        (
            {"port__py_26_dot_ini": KEYS.replace("S4_2", "nonsense")},
            r"py_26\.ini:11: 'nonsense' is not S<state>_<tip>",
        ),
        (
            {"port__py_26_dot_ini": KEYS.replace("FORE_STYLE=3,4", "FORE_STYLE=3" + ",3" * 40)},
            r"py_26\.ini:6: there are 41 foregrounds \(the first 32 are drawn\)",
        ),
        ({"port__py_26_dot_ini": KEYS + "STAT_STYLE=S4_2"}, r"a patch cannot be patched in turn"),
        (
            {"port__py_26_dot_ini": KEYS.replace("10,10,60,80", "10,10,0,80")},
            r"py_26\.ini:4: key 1 has no area",
        ),
        (
            {"port__py_26_dot_ini": KEYS.replace("130,10,60,80", "190,10,60,80")},
            r"py_26\.ini:\d+: key 3 leaves the 200x100",
        ),
        ({"port__py_26_dot_ini": KEYS + "COLOUR=red"}, r"py_26\.ini:\d+: 'COLOUR' has no known meaning"),
        ({"port__py_26_dot_ini": KEYS + "[MAGIC]\n"}, r"the section \[MAGIC\] has no known meaning"),
        (
            {"port__py_26_dot_ini": KEYS + "stray words\n"},
            r"'stray words' is neither a section nor key=value",
        ),
        (
            {"port__gen_dot_ini": GEN.replace("200,100", "0,100")},
            r"SIZE=0,100 is no size of a panel \(480x310 is taken\)",
        ),
        ({"port__cand_dot_cnd": None}, r"gen\.ini:6: there is no 'cand\.cnd' \(the candidate bar is empty\)"),
        (
            {"res__default_dot_css": CSS.replace("404040", "4040")},
            r"default\.css:4: '4040' is not RRGGBB or AARRGGBB",
        ),
        (
            {"res__default_dot_css": CSS.replace("FONT_SIZE=30", "FONT_NAME=x.ttf")},
            r"there is no font 'x\.ttf'",
        ),
    ],
)
def test_what_is_wrong_is_listed_by_file_and_line(read, files, finding):
    skin = read(baidu_files(**files))
    assert skin.theme().keyboards
    assert any(re.search(finding, problem) for problem in problems(skin)), problems(skin)


@pytest.mark.parametrize(
    "files",
    [
        {"port__py_26_dot_ini": "[KEY1]\n"},
        {"port__py_26_dot_ini": None},
        {"res__default_dot_css": None},
        {"res__default_dot_css": "[STYLE1]\n"},
    ],
)
def test_a_package_of_which_nothing_can_be_drawn_is_refused(read, files):
    with pytest.raises(InputError, match="no keyboard that can be drawn"):
        read(baidu_files(**files))


def test_what_is_no_skin_is_refused(read):
    with pytest.raises(InputError, match="no skin of a known format"):
        read({"readme.txt": b"hello"})


def test_notes_of_authors_do_not_disturb(read):
    keys = "# made by hand\n-tool 3.0-\n" + KEYS.replace("10,10,60,80", "10,10,60,80 #new").replace(
        "[KEY1]", "[KEY 1] q"
    )
    skin = read(baidu_files(port__py_26_dot_ini=keys))
    assert board_of(skin).keys[0].rect == Rect(10, 10, 60, 80)


def test_an_empty_place_in_a_list_of_numbers_is_zero(read):
    gen = GEN.replace("POS=0,-10", "POS=,-10")
    keys = KEYS.replace("POS_TYPE=1,2", "POS_TYPE=,1")
    first, second = (
        board_of(read(baidu_files(port__gen_dot_ini=gen, port__py_26_dot_ini=keys))).keys[0].foregrounds
    )
    assert (first.offset, second.offset) == ((0, 0), (0, -10))


def test_equal_pictures_make_equal_skins(read):
    renamed = baidu_files(res__default_dot_css=CSS.replace("keys,", "caps,"))
    renamed |= {"res/caps.png": renamed.pop("res/keys.png"), "res/caps.til": renamed.pop("res/keys.til")}
    one, other = board_of(read(baidu_files())), board_of(read(renamed))
    assert one == other
    assert one.keys[0].background.appearance.normal.atlas.name == "res/keys.png"
    changed = board_of(read(baidu_files(res__keys_dot_png=png(RED, BLUE))))
    assert one != changed


def test_atlases_cannot_be_painted_on(board):
    tile = board.keys[0].background.appearance.normal
    assert isinstance(tile, Tile)
    with pytest.raises(ValueError, match="read-only"):
        tile.crop()[:] = 0
