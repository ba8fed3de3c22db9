"""Every rule is broken once in a package that keeps all others; the validator must say so, and where."""

import io
import json
import zipfile

import numpy as np
import pytest
import yaml
from PIL import Image

from skin_pipeline.errors import InputError
from skin_pipeline.skins.export import write_baidu, write_fcitx5, write_hamster, write_trime
from skin_pipeline.skins.validators import validate_package
from tests.skins.skins_at_hand import complete_skin

WRITERS = {"bds": write_baidu, "cskin": write_hamster, "trime": write_trime, "fcitx5": write_fcitx5}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Return the files of a valid package of each format."""
    folder = tmp_path_factory.mktemp("valid")
    files = {}
    for name, write in WRITERS.items():
        with zipfile.ZipFile(write(complete_skin(), folder / f"{name}.zip").path) as archive:
            files[name] = {entry: archive.read(entry) for entry in archive.namelist()}
    return files


def violations(files, folder):
    path = folder / "package.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return validate_package(path)


def broken(files, end, change):
    """Return files with the first of a certain ending changed: bytes to bytes, or to None to remove it."""
    name = next(name for name in sorted(files) if name.endswith(end))
    content = change(files[name])
    return {**files, name: content} if content is not None else {k: v for k, v in files.items() if k != name}


def replaced(old, new, count=1):
    def change(content):
        assert old.encode() in content, old
        return content.replace(old.encode(), new.encode(), count)

    return change


def line_changed(start, new):
    """Return a change of the first line that starts in some way."""

    def change(content):
        lines = content.decode().splitlines()
        index = next(i for i, line in enumerate(lines) if line.startswith(start))
        return "\n".join([*lines[:index], new, *lines[index + 1 :]]).encode()

    return change


def gone(_):
    return None


def small_picture(_):
    stream = io.BytesIO()
    Image.new("RGBA", (2, 2)).save(stream, "png")
    return stream.getvalue()


def no_picture(_):
    return b"not a picture"


def _without_default(content):
    theme = yaml.safe_load(content)
    theme["preset_keyboards"]["other"] = theme["preset_keyboards"].pop("default")
    return yaml.safe_dump(theme, allow_unicode=True).encode()


BAIDU = {
    "info missing": ("Info.txt", gone, "info"),
    "no name": ("Info.txt", line_changed("Name=", "Title=x"), "info"),
    "preview missing": ("demo.png", gone, "preview"),
    "gen.ini without size": ("port/gen.ini", line_changed("SIZE=", "WIDE=1"), "panel"),
    "key leaves the panel": ("py_26.ini", line_changed("VIEW_RECT=2,2,", "VIEW_RECT=350,2,32,50"), "rect"),
    "touch leaves the panel": ("py_26.ini", line_changed("TOUCH_RECT=", "TOUCH_RECT=-1,0,36,54"), "rect"),
    "key without numbers": ("py_26.ini", line_changed("VIEW_RECT=2,2,", "VIEW_RECT=2,2,x,50"), "numbers"),
    "touched twice": (
        "py_26.ini",
        replaced("TOUCH_RECT=36,0,36,54", "TOUCH_RECT=0,0,36,54"),
        "duplicate-touch",
    ),
    "no style": ("py_26.ini", line_changed("BACK_STYLE=", "BACK_STYLE=999"), "style"),
    "no foreground style": ("py_26.ini", line_changed("FORE_STYLE=", "FORE_STYLE=3,999"), "style"),
    "no offset": ("py_26.ini", line_changed("POS_TYPE=", "POS_TYPE=0,99"), "offset"),
    "no tip": ("py_26.ini", line_changed("STAT_STYLE=", "STAT_STYLE=S1_99"), "tip"),
    "no panel section": ("py_26.ini", replaced("[PANEL]", "[PANE]"), "panel"),
    "no candidate layout": ("py_26.ini", line_changed("LAYOUT_NAME=cand", "LAYOUT_NAME=other"), "file"),
    "no keyboard to open": ("py_26.ini", line_changed("CENTER=F6", "CENTER=Z+gone"), "file"),
    "no bubble picture": ("hint1.pop", line_changed("BACK_ICON=", "BACK_ICON=9"), "icon"),
    "no bar style": (".cnd", line_changed("BACK_STYLE=", "BACK_STYLE=998"), "style"),
    "tiles miscounted": ("keys.til", line_changed("TILE_NUM=", "TILE_NUM=99"), "tile-num"),
    "slice leaves its sheet": (
        "keys.til",
        line_changed("SOURCE_RECT=", "SOURCE_RECT=0,0,9000,28"),
        "source-rect",
    ),
    "slice is empty": ("keys.til", line_changed("SOURCE_RECT=", "SOURCE_RECT=0,0,0,28"), "source-rect"),
    "inner leaves its slice": ("keys.til", line_changed("INNER_RECT=", "INNER_RECT=0,0,500,5"), "inner-rect"),
    "sheet missing": ("keys.png", gone, "sheet"),
    "sheet damaged": ("keys.png", no_picture, "picture"),
    "sheet too small": ("keys.png", small_picture, "source-rect"),
    "slices missing": ("res/keys.til", gone, "sheet"),
    "style sheet missing": ("default.css", gone, "style-sheet"),
    "styles miscounted": ("default.css", line_changed("STYLE_NUM=", "STYLE_NUM=1"), "style-num"),
    "no such slice": ("default.css", line_changed("NM_IMG=keys,", "NM_IMG=keys,77"), "slice"),
    "no such sheet": ("default.css", line_changed("NM_IMG=keys,", "NM_IMG=lost,1"), "sheet"),
    "colour": ("default.css", line_changed("NM_COLOR=", "NM_COLOR=red"), "colour"),
    "nonsense": ("py_26.ini", replaced("[CAND]", "what\n[CAND]"), "syntax"),
    "encoding": ("Info.txt", lambda content: content + "作者".encode("gbk"), "encoding"),
}
HAMSTER = {
    "pinyin missing": ("config.yaml", replaced("pinyin:", "pinyan:"), "pinyin"),
    "device missing": ("config.yaml", replaced("floating:", "flowing:"), "device"),
    "file named that is not there": (
        "config.yaml",
        replaced("pinyinPortrait", "gonePortrait"),
        "light-and-dark",
    ),
    "dark missing": ("dark/pinyinPortrait.yaml", gone, "light-and-dark"),
    "preview missing": ("demo.png", gone, "preview"),
    "YAML": ("light/pinyinPortrait.yaml", lambda content: content + b"\n{", "yaml"),
    "no height": (
        "light/pinyinPortrait.yaml",
        line_changed("keyboardHeight:", "keyboardHeight: tall"),
        "height",
    ),
    "no area": ("light/pinyinPortrait.yaml", replaced("keyboardStyle:", "keyStyle:"), "area"),
    "no style": (
        "light/pinyinPortrait.yaml",
        replaced("backgroundStyle: style", "backgroundStyle: stale"),
        "style",
    ),
    "layout mixed": (
        "light/pinyinPortrait.yaml",
        replaced("keyboardLayout:\n", "keyboardLayout:\n- Cell: key_KEY1\n"),
        "layout",
    ),
    "too wide": ("light/pinyinPortrait.yaml", replaced("width: 36/360", "width: 300/360"), "size"),
    "no share": ("light/pinyinPortrait.yaml", replaced("width: 36/360", "width: much"), "size"),
    "pressed state missing": (
        "light/pinyinPortrait.yaml",
        replaced("highlightImage:", "otherImage:"),
        "states",
    ),
    "no picture of the name": ("light/pinyinPortrait.yaml", replaced("image: t", "image: u"), "picture-name"),
    "no sheet": ("light/pinyinPortrait.yaml", replaced("file: tiles", "file: other"), "sheet"),
    "sheet missing": ("light/resources/tiles.png", gone, "sheet"),
    "sheet too small": ("light/resources/tiles.png", small_picture, "rect"),
    "rectangle leaves its sheet": ("light/resources/tiles.yaml", replaced("x: 0", "x: 99999"), "rect"),
    "insets": (
        "light/resources/tiles.yaml",
        replaced("  rect:", "  insets: {left: 9000}\n  rect:"),
        "insets",
    ),
    "colour": ("light/alphabeticPortrait.yaml", replaced("normalColor: '#", "normalColor: '!"), "colour"),
    "action": ("light/pinyinPortrait.yaml", replaced("action: space", "action: dance"), "action"),
    "shortcut": ("light/pinyinPortrait.yaml", replaced("#keyboardMenu", "#nothing"), "action"),
    "keyboard": (
        "light/pinyinPortrait.yaml",
        replaced("keyboardType: numeric", "keyboardType: gone"),
        "keyboard-type",
    ),
    "kind of style": (
        "light/pinyinPortrait.yaml",
        replaced("buttonStyleType: fileImage", "buttonStyleType: paint"),
        "value",
    ),
    "no entries": (
        "light/pinyin_9Portrait.yaml",
        replaced("dataSource: entries", "dataSource: others"),
        "data-source",
    ),
}
TRIME = {
    "part missing": (".trime.yaml", replaced("preset_color_schemes:", "schemes:"), "part"),
    "no default": (".trime.yaml", _without_default, "default"),
    "picture missing": (".9.png", gone, "picture"),
    "border damaged": (".9.png", lambda _: _bordered((9, 9, 9, 255)), "nine-patch"),
    "border says nothing": (".9.png", lambda _: _bordered((0, 0, 0, 0)), "nine-patch"),
    "no nine-patch at all": (".9.png", small_picture, "nine-patch"),
    "colour": (".trime.yaml", line_changed("    back_color:", "    back_color: 0x112233"), "colour"),
    "scheme": (".trime.yaml", line_changed("    dark_scheme:", "    dark_scheme: night"), "scheme"),
    "width": (".trime.yaml", replaced("- width: 10.", "- width: 910."), "width"),
    "row": (".trime.yaml", lambda content: b"- width: 1.0".join(content.rsplit(b"- width: 20.0", 1)), "row"),
    "slot": (".trime.yaml", replaced("key_back_color: default_KEY1\n", "key_back_color: gone\n"), "colour"),
    "keyboard": (".trime.yaml", replaced("select: number", "select: gone"), "keyboard"),
    "YAML": (".trime.yaml", lambda content: content + b"\n{", "yaml"),
}
FCITX5 = {
    "colour missing": (".json", replaced('"dividerColor"', '"otherColor"'), "colour"),
    "unknown entry": (".json", replaced('"isDark"', '"note": 1, "isDark"'), "unknown"),
    "colour unsigned": (".json", lambda content: _theme(content, keyTextColor=0xFF112233), "colour"),
    "name of the app's own": (".json", lambda content: _theme(content, name="Monokai"), "name"),
    "file has another name": (".json", lambda content: _theme(content, name="other"), "name"),
    "version": (".json", lambda content: _theme(content, version="9"), "version"),
    "not true or false": (".json", lambda content: _theme(content, isDark="no"), "is-dark"),
    "no JSON": (".json", no_picture, "json"),
    "picture missing": ("-cropped.png", gone, "picture"),
    "source missing": ("-src", gone, "picture"),
    "crop leaves the picture": ("-src", small_picture, "crop-rect"),
}


def _bordered(colour):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[0, 2:4] = pixels[2:4, 0] = colour
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


def _theme(content, **changes):
    return json.dumps(json.loads(content) | changes).encode()


CASES = [
    pytest.param(name, *case, id=f"{name}: {title}")
    for name, cases in (("bds", BAIDU), ("cskin", HAMSTER), ("trime", TRIME), ("fcitx5", FCITX5))
    for title, case in cases.items()
]


@pytest.mark.parametrize("name", WRITERS)
def test_the_packages_at_hand_keep_all_rules(name, packages, tmp_path):
    assert violations(packages[name], tmp_path) == []


@pytest.mark.parametrize(("name", "end", "change", "rule"), CASES)
def test_a_broken_rule_is_found(name, end, change, rule, packages, tmp_path):
    found = violations(broken(packages[name], end, change), tmp_path)
    assert rule in {violation.rule for violation in found}, [str(violation) for violation in found]


def test_a_violation_names_file_section_and_line(packages, tmp_path):
    found = violations(
        broken(packages["bds"], "py_26.ini", line_changed("FORE_STYLE=", "FORE_STYLE=999")), tmp_path
    )
    lines = packages["bds"]["port/py_26.ini"].decode().splitlines()
    line = next(i for i, text in enumerate(lines, start=1) if text.startswith("FORE_STYLE="))
    assert str(found[0]) == f"port/py_26.ini:{line} [KEY1] style: there is no style 999"


@pytest.mark.parametrize(
    ("name", "rule"),
    [("../Info.txt", "path"), ("/Info.txt", "path"), ("a\\b.ini", "path"), ("info.TXT", "duplicate")],
)
def test_entries_that_no_app_takes_are_found(name, rule, packages, tmp_path):
    found = violations({**packages["bds"], name: b""}, tmp_path)
    assert rule in {violation.rule for violation in found}


def test_what_is_no_package_is_an_error(tmp_path):
    (tmp_path / "x.bds").write_bytes(b"no zip")
    with pytest.raises(InputError, match="cannot be read as a zip"):
        validate_package(tmp_path / "x.bds")
    with pytest.raises(InputError, match="no known format"):
        violations({"a.txt": b""}, tmp_path)
