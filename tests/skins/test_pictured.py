import pytest

from skin_pipeline.errors import InputError
from skin_pipeline.skins.model import Function, Insets, KeyboardKind, Rect
from skin_pipeline.skins.packages import read_skin
from tests.skins.packages import PICTURED, pictured_files, save_folder


@pytest.fixture
def board(read):
    return read(pictured_files()).theme().keyboard(KeyboardKind.PINYIN_26)


def test_a_folder_is_read_like_a_zip(read, tmp_path):
    skin = read_skin(save_folder(tmp_path / "skin", pictured_files()))
    assert skin == read(pictured_files())
    assert (skin.name, skin.source, skin.findings) == ("Test skin", "folder", ())


def test_keys_are_as_the_layout_says(board):
    q, back = board.keys
    assert (q.rect, q.text, back.function) == (Rect(10, 10, 60, 80), "q", Function.BACKSPACE)
    dot, legend = q.foregrounds
    assert (dot.offset, legend.appearance.normal.text) == ((0, -20), "q")
    assert board.bar.rect == Rect(0, -30, 200, 30)


def test_styles_are_pictures_or_colours(board):
    cap = board.keys[0].background.appearance
    assert (cap.normal.fit, cap.normal.insets, cap.pressed.source) == (
        "nine_patch",
        Insets(5, 5, 5, 5),
        Rect(0, 20, 20, 20),
    )
    assert board.background.normal.colour == (0x40, 0x40, 0x40, 255)
    assert board.background.pressed == board.background.normal


def test_keys_of_one_id_are_numbered(read):
    skin = read(pictured_files(skin_dot_yaml=PICTURED.replace("id: back", "id: q")))
    assert [key.id for key in skin.theme().keyboards[0].keys] == ["q", "q#2"]


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("keys.png, rect: [0, 40", "none.png, rect: [0, 40", "there is no usable picture 'none.png'"),
        (
            "rect: [0, 40, 10, 10]",
            "rect: [0, 55, 10, 10]",
            "leaves the picture 'keys.png' or has no area (what lies",
        ),
        ("rect: [0, 40, 10, 10]", "rect: [0, 40, 0, 10]", "has no area (nothing is drawn for it)"),
        ("style: dot", "style: none", "there is no style 'none'"),
        ("legend: letter", "legend: none", "there is no text style 'none'"),
        (
            "[5, 5, 5, 5]",
            "[15, 5, 15, 5]",
            "its insets leave no middle (the picture is stretched as a whole)",
        ),
        ("id: back", "id: q", "several keys have the same id"),
    ],
)
def test_what_is_wrong_is_listed(read, old, new, finding):
    skin = read(pictured_files(skin_dot_yaml=PICTURED.replace(old, new)))
    assert any(finding in str(problem) for problem in skin.findings), [
        str(problem) for problem in skin.findings
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: pinyin_26", "kind: none", r"skin\.yaml:3: themes\.default\.keyboards\.0\.kind"),
        ("texts:", "sounds: {}\ntexts:", r"sounds: Extra inputs"),
        ("name: Test skin", "name: [", r"cannot be loaded"),
        ("size: [200, 100]", "size: [0, 100]", r"size\.0"),
        ("keys.png, rect", "keys.png, colours: 3, rect", r"colours"),
    ],
)
def test_a_form_that_is_not_valid_is_refused(read, old, new, message):
    with pytest.raises(InputError, match=message):
        read(pictured_files(skin_dot_yaml=PICTURED.replace(old, new)))
