"""What holds for every writer, and reading one's own export."""

import json
import zipfile
from dataclasses import astuple, replace

import numpy as np
import pytest

from skin_pipeline.errors import InputError, StorageError
from skin_pipeline.skins.export import (
    Provenance,
    in_short,
    write_baidu,
    write_fcitx5,
    write_hamster,
    write_trime,
)
from skin_pipeline.skins.export.packages import Losses, encode_png, safe_name
from skin_pipeline.skins.model import (
    NOTHING,
    Action,
    Appearance,
    Atlas,
    Condition,
    Fill,
    Function,
    Gesture,
    Insets,
    Key,
    KeyboardKind,
    Layer,
    Rect,
    Skin,
    Theme,
    Tile,
    Variant,
)
from skin_pipeline.skins.packages import read_skin
from skin_pipeline.skins.pictures import decode_picture
from skin_pipeline.skins.rendering import render_keyboard
from skin_pipeline.skins.validators import validate_package
from tests.skins.skins_at_hand import changed_key, complete_skin, lettering

WRITERS = {"bds": write_baidu, "cskin": write_hamster, "trime.zip": write_trime, "zip": write_fcitx5}
SOURCE = Provenance("0123456789abcdef", "ab" * 32, "skin_7", "skin_pipeline 1.0")
LOSSLESS = ("bds", "cskin")


@pytest.fixture(scope="module", params=[False, True], ids=["one theme", "light and dark"])
def skin(request):
    return complete_skin(two_themes=request.param)


@pytest.fixture(scope="module", params=WRITERS)
def suffix(request):
    return request.param


def write(skin, suffix, folder, **options):
    return WRITERS[suffix](skin, folder / f"skin.{suffix}", **options)


def boards(skin, read):
    """Yield each keyboard with the one that was read back, without a strip that a format has to add."""
    for theme in skin.themes:
        twin = next((other for other in read.themes if other.name == theme.name), read.themes[0])
        for board in theme.keyboards:
            yield board, replace(twin.keyboard(board.kind), preedit=None)


def assert_same(board, other, width, *, pressed=False, within=0):
    """Compare renderings; ``within`` is the difference allowed, in levels of 255."""
    ids = [[key.id for key in each.keys if key.rect.y >= 0] if pressed else [] for each in (board, other)]
    one, two = render_keyboard(board, width, pressed=ids[0]), render_keyboard(other, width, pressed=ids[1])
    assert one.shape == two.shape
    assert np.abs(one.astype(int) - two).max() <= within, board.name


@pytest.fixture(scope="module")
def exports(skin, tmp_path_factory):
    """Write a skin in each format, once."""
    folder = tmp_path_factory.mktemp("exports")
    return {suffix: write(skin, suffix, folder, provenance=SOURCE) for suffix in WRITERS}


# --- every writer ---------------------------------------------------------------------------------------


def test_the_package_is_valid(exports, suffix):
    assert [str(violation) for violation in validate_package(exports[suffix].path)] == []


def test_the_same_skin_gives_the_same_bytes(skin, exports, suffix, tmp_path):
    again = write(skin, suffix, tmp_path, provenance=SOURCE)
    assert again.path.read_bytes() == exports[suffix].path.read_bytes()
    assert again.losses == exports[suffix].losses


def test_nothing_but_the_package_is_left_behind(exports, suffix):
    folder = exports[suffix].path.parent
    assert {path.name for path in folder.iterdir()} == {f"skin.{name}" for name in WRITERS}
    with zipfile.ZipFile(exports[suffix].path) as archive:
        assert tuple(sorted(archive.namelist())) == exports[suffix].files


def test_the_source_run_is_named(exports, suffix):
    export = exports[suffix]
    with zipfile.ZipFile(export.path) as archive:
        texts = [archive.read(name) for name in export.files if not name.endswith(".png")]
        records = [archive.read(name) for name in export.files if name.endswith("provenance.json")]
    assert any(SOURCE.sentence().encode() in text for text in texts)
    assert [Provenance.parse(record) for record in records] == ([] if suffix == "zip" else [SOURCE])


def test_the_preview_given_is_the_one_shown(suffix, tmp_path):
    picture = np.full((20, 30, 3), 77, np.uint8)
    export = write(complete_skin(), suffix, tmp_path, preview=picture)
    name = next(name for name in export.files if name.endswith(("demo.png", "preview.png")))
    with zipfile.ZipFile(export.path) as archive:
        assert np.array_equal(decode_picture(archive.read(name))[..., :3], picture)


def test_a_target_that_cannot_be_written_is_an_error(suffix, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="Cannot write the package"):
        write(complete_skin(), suffix, tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --- reading one's own export ---------------------------------------------------------------------------


@pytest.mark.parametrize("width", [360, 720, 1080])
@pytest.mark.parametrize("suffix", LOSSLESS)
def test_what_is_read_back_renders_the_same(skin, exports, suffix, width):
    read = read_skin(exports[suffix].path)
    assert read.findings == ()
    # Thirds of points are no finite decimals, which can turn a rounding of a blend.
    within = 1 if suffix == "cskin" and width == 1080 else 0
    for board, other in boards(skin, read):
        assert_same(board, other, width, within=within)
        assert_same(board, other, width, pressed=True, within=within)


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_what_is_read_back_does_the_same(skin, exports, suffix):
    for board, other in boards(skin, read_skin(exports[suffix].path)):
        unit = other.size[0] / board.size[0]
        places = {tuple(round(v / unit, 4) for v in astuple(key.rect)): key for key in other.keys}
        for key in board.keys:
            twin = places[tuple(float(v) for v in astuple(key.rect))]
            assert twin.function in (key.function, Function.TEXT if key.code else key.function)
            assert twin.text == (key.code if key.code and suffix == "cskin" else key.text)
            if suffix == "bds":
                assert twin.touch == key.touch


def test_a_baidu_package_loses_nothing(tmp_path):
    skin = complete_skin()
    export = write_baidu(skin, tmp_path / "skin.bds")
    read = read_skin(export.path)
    assert export.losses == ()
    for board, other in boards(skin, read):
        assert (board.size, len(board.lists), len(board.popups)) == (
            other.size,
            len(other.lists),
            len(other.popups),
        )
        assert [key.actions for key in board.keys] == [key.actions for key in other.keys]
        assert [key.held_characters for key in board.keys] == [key.held_characters for key in other.keys]
        assert [key.variants.keys() for key in board.keys] == [key.variants.keys() for key in other.keys]
        assert [icon.shown for icon in board.bar.icons] == [icon.shown for icon in other.bar.icons]
    shifted = [
        render_keyboard(each.themes[0].keyboards[0], 360, conditions=list(key.variants))
        for each in (skin, read)
        for key in each.themes[0].keyboards[0].keys[:1]
    ]
    assert np.array_equal(*shifted)


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize(
    "change",
    {
        "no pressed state": {"background": Layer(Appearance(Fill((200, 0, 0, 255)), None))},
        "pressed only": {"foregrounds": (Layer(Appearance(None, lettering("!").appearance.normal)),)},
        "colour and picture": {
            "background": Layer(
                Appearance(
                    Fill((9, 9, 200, 255)),
                    Tile(Atlas("", np.full((3, 3, 4), 99, np.uint8)), Rect(0, 0, 3, 3), "stretch"),
                )
            )
        },
        "round corners": {"background": Layer(Appearance(*[Fill((9, 90, 20, 255), 8)] * 2))},
        "nothing": {"background": Layer(NOTHING), "foregrounds": ()},
        "text moved": {"foregrounds": (replace(lettering("Q", size=20), offset=(6, -8)),)},
        "within margins": {
            "background": Layer(Appearance(*[Fill((9, 90, 20, 255))] * 2), insets=Insets(4, 6, 8, 2))
        },
        "texts of two sizes": {
            "foregrounds": (
                Layer(
                    Appearance(lettering("a").appearance.normal, lettering("a", size=24).appearance.normal)
                ),
            )
        },
    }.items(),
    ids=lambda change: change[0],
)
def test_every_look_of_a_key_survives(suffix, change, tmp_path):
    skin = changed_key(complete_skin(), "KEY5", **change[1])
    read = read_skin(write(skin, suffix, tmp_path).path)
    board, other = next(boards(skin, read))
    # The corner's radius in points is no finite decimal: its antialiasing may differ.
    within = 64 if change[0] == "round corners" else 0
    assert_same(board, other, 360, within=within)
    assert_same(board, other, 360, pressed=True, within=within)


@pytest.mark.parametrize(
    "cap",
    {
        "over all of the key": Layer(Appearance(Fill((9, 90, 20, 255)), Fill((90, 9, 20, 255)))),
        "none": Layer(NOTHING),
        "of its own size": Layer(lettering("o").appearance),
        "only when pressed": Layer(Appearance(None, Fill((90, 9, 20, 255)))),
        "of two kinds": Layer(Appearance(Fill((9, 90, 20, 255)), lettering("o").appearance.normal)),
    }.items(),
    ids=lambda cap: cap[0],
)
@pytest.mark.parametrize(
    "rect",
    [Rect(149, 3, 26, 44), Rect(146, 1, 30, 48), Rect(150, 5, 20, 40), Rect(144, -2, 38, 60)],
    ids=["nowhere by name", "at an edge", "small", "larger than what is touched"],
)
def test_a_key_of_a_cskin_keeps_what_is_seen_and_what_is_touched(cap, rect, tmp_path):
    touch = Rect(146, 1, 34, 53)
    upper = Variant(foregrounds=(lettering("Q"),))
    skin = changed_key(
        complete_skin(),
        "KEY5",
        rect=rect,
        touch=touch,
        background=cap[1],
        variants={Condition.SHIFTED: upper},
    )
    export = write_hamster(skin, tmp_path / "skin.cskin")
    assert [str(violation) for violation in validate_package(export.path)] == []
    board, other = next(boards(skin, read_skin(export.path)))
    key = next(key for key in other.keys if key.id == "key_KEY5")
    unit = other.size[0] / board.size[0]
    assert astuple(key.rect) == pytest.approx([side * unit for side in astuple(rect)])
    assert astuple(key.touch) == pytest.approx([side * unit for side in astuple(touch)])
    assert_same(board, other, 360)
    assert_same(board, other, 360, pressed=True)
    shifted = [render_keyboard(each, 360, conditions=[Condition.SHIFTED]) for each in (board, other)]
    assert np.array_equal(*shifted)


def test_a_key_over_the_edge_of_its_panel_is_cut_there(tmp_path):
    skin = complete_skin()
    board = skin.themes[0].keyboards[0]
    lowest = board.keys[-1]
    over = replace(lowest, rect=replace(lowest.rect, height=90), touch=replace(lowest.touch, height=90))
    beyond = replace(lowest, id="beyond", rect=lowest.rect.moved(0, 200), touch=lowest.touch.moved(0, 200))
    skin = replace(skin, themes=(Theme("default", (replace(board, keys=(*board.keys[:-1], over, beyond)),)),))
    export = write_baidu(skin, tmp_path / "skin.bds")
    assert validate_package(export.path) == []
    assert [loss.place for loss in export.losses] == ["portrait py_26, beyond"]
    board, other = next(boards(skin, read_skin(export.path)))
    assert_same(board, other, 360)
    assert_same(replace(board, keys=board.keys[:-1]), other, 360, pressed=True)


def test_a_list_that_writes_nothing_stays_mute(tmp_path):
    skin = complete_skin()
    board = skin.themes[0].keyboards[1]
    board = replace(board, lists=(replace(board.lists[0], text=None),))
    skin = replace(skin, themes=(Theme("default", (board,)),))
    read = read_skin(write_hamster(skin, tmp_path / "skin.cskin").path)
    assert read.themes[0].keyboards[0].lists[0].text is None


def test_a_decoration_under_keys_is_drawn_into_the_panel(tmp_path):
    skin = complete_skin()
    board = skin.themes[0].keyboards[0]
    plate = Key(
        "plate", Rect(0, 0, 360, 60), Rect(0, 0, 360, 60), Layer(Appearance(*[Fill((250, 80, 0, 90))] * 2))
    )
    theme = Theme("default", (replace(board, keys=(plate, *board.keys)),))
    skin = replace(skin, themes=(theme,))
    read = read_skin(write_hamster(skin, tmp_path / "skin.cskin").path)
    assert_same(theme.keyboards[0], replace(read.themes[0].keyboards[0], preedit=None), 360)


@pytest.mark.parametrize("shown", [True, False])
def test_a_bar_on_the_panel_becomes_the_toolbar(shown, tmp_path):
    skin = complete_skin()
    board = skin.themes[0].keyboards[0]
    keys = tuple(replace(key, rect=key.rect.moved(0, 40), touch=key.touch.moved(0, 40)) for key in board.keys)
    bar = replace(board.bar, rect=board.bar.rect.moved(0, 40), icons=(), always_shown=shown)
    board = replace(board, keys=keys, bar=bar, size=(360, 256), popups=())
    skin = replace(skin, themes=(Theme("default", (board,)),))
    read = read_skin(write_hamster(skin, tmp_path / "skin.cskin").path)
    other = replace(read.themes[0].keyboards[0], preedit=None)
    assert other.size[1] / other.bounds.height == pytest.approx(216 / 256)
    assert_same(board, other, 360)


def test_geometry_between_pixels_is_rounded_and_reported(tmp_path):
    skin = complete_skin()
    board = skin.themes[0].keyboards[3]
    keys = tuple(replace(key, rect=replace(key.rect, x=key.rect.x + 0.3)) for key in board.keys)
    skin = replace(skin, themes=(Theme("default", (replace(board, keys=keys, kind=KeyboardKind.PINYIN_9),)),))
    export = write_baidu(skin, tmp_path / "skin.bds")
    assert any("between whole pixels" in loss.what for loss in export.losses)
    assert validate_package(export.path) == []


def test_what_a_format_cannot_say_is_listed(tmp_path):
    actions = {Gesture.TAP: Action(Function.OTHER, "dance"), Gesture.LEFT: Action(Function.COPY)}
    skin = changed_key(complete_skin(), "KEY5", actions=actions)
    losses = [str(loss) for loss in write_baidu(skin, tmp_path / "skin.bds").losses]
    assert losses == ["portrait py_26, KEY5: what a tap does, other 'dance' (nothing happens)"]
    lost = {loss.what for loss in write_hamster(skin, tmp_path / "skin.cskin").losses}
    assert {
        "what a swipe to the left does",
        "bubbles over keys",
        "pictures for dark and for light surroundings",
    } <= lost


def test_losses_of_a_kind_are_one_line_in_short():
    losses = Losses()
    for board in ("py_26", "py_9", "en_26", "num"):
        losses.add_gesture(f"{board}, KEY1", Gesture.LEFT, Action(Function.COPY))
    losses.add("py_26", "bubbles over keys", "none are shown")
    assert in_short(losses.all()) == (
        "what a swipe to the left does: nothing happens (4 times: py_26, py_9, en_26 and 1 more)",
        "bubbles over keys: none are shown (once: py_26)",
    )


def test_a_skin_without_keyboards_is_refused(tmp_path):
    empty = Skin("empty", "", "", "baidu", (Theme("default", ()),))
    with pytest.raises(InputError, match="no keyboard"):
        write_baidu(empty, tmp_path / "skin.bds")
    with pytest.raises(InputError, match="no pinyin keyboard"):
        write_hamster(empty, tmp_path / "skin.cskin", preview=np.zeros((2, 2, 3), np.uint8))
    assert not list(tmp_path.iterdir())


# --- parts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a/b\\c:d", "a_b_c_d"),
        ("..", "skin"),
        ("", "skin"),
        ("黑瓷·五韵", "黑瓷·五韵"),
        ("x" * 200, "x" * 80),
    ],
)
def test_names_are_made_safe(name, safe):
    assert safe_name(name) == safe


def test_an_opaque_picture_has_no_alpha_channel():
    opaque, glass = np.full((2, 2, 4), 255, np.uint8), np.full((2, 2, 4), 5, np.uint8)
    assert encode_png(opaque)[25] == 2
    assert encode_png(glass)[25] == 6
    assert np.array_equal(decode_picture(encode_png(glass)), glass)


def test_a_provenance_that_is_none_is_an_error():
    with pytest.raises(InputError, match="not a record"):
        Provenance.parse(json.dumps({"run_id": "x"}).encode())
