"""Writes small packages for tests: one function a format, every file of which a test may replace."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

RED, GREEN, BLUE, GRAY, WHITE = (220, 30, 40), (30, 200, 60), (40, 70, 220), (120, 120, 120), (250, 250, 250)

Files = dict[str, bytes]


def png(*colours: tuple[int, ...], size: tuple[int, int] = (20, 20)) -> bytes:
    """Return a picture of squares of plain colours (RGB or RGBA), one below the other."""
    width, height = size
    pixels = np.zeros((height * len(colours), width, 4), np.uint8)
    for index, colour in enumerate(colours):
        pixels[index * height : (index + 1) * height] = (*colour, 255)[:4]
    return png_of(pixels)


def png_of(pixels: np.ndarray) -> bytes:
    """Encode pixels."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


def slices(count: int, size: tuple[int, int] = (20, 20), inner: str = "") -> bytes:
    """Return slices of a picture made by :func:`png`; ``inner`` is formatted with the slice's ``y``."""
    width, height = size
    parts = [f"[GLOBAL]\nTILE_NUM={count}\n"]
    for index in range(count):
        y = index * height
        parts.append(f"[IMG{index + 1}]\nSOURCE_RECT=0,{y},{width},{height}\n")
        if inner:
            parts.append(f"INNER_RECT={inner.format(y=y)}\n")
    return "\n".join(parts).encode()


GEN = """[PANEL]
SIZE=200,100
BACK_STYLE=1
[CAND]
VIEW_RECT=0,0,200,30
LAYOUT_NAME=cand
TYPE=4
[OFFSET1]above
POS=0,-10
[OFFSET2]
POS=20,10
"""
KEYS = """[PANEL]
KEY_NUM=3
[KEY1]
VIEW_RECT=10,10,60,80
BACK_STYLE=2
FORE_STYLE=3,4
POS_TYPE=1,2
CENTER=q
UP=1
HOLDSYM=12
STAT_STYLE=S1_1|S4_2
[KEY2]
VIEW_RECT=70,10,60,80
TOUCH_RECT=70,0,60,100
BACK_STYLE=2
CENTER=F36
[KEY3]
VIEW_RECT=130,10,60,80
BACK_STYLE=5
FORE_STYLE=6
CENTER=a
[TIP1]
FORE_STYLE=3
CENTER=Q
[TIP2]
BACK_STYLE=5
"""
CSS = """[GLOBAL]
STYLE_NUM=7
[STYLE1]
NM_COLOR=404040
[STYLE2]caps
NM_IMG=keys,1
HL_IMG=keys,2
[STYLE3]
NM_IMG=marks,1
[STYLE4]
HL_IMG=marks,2
[STYLE5]
NM_COLOR=802846dc
HL_COLOR=1ec83c
[STYLE6]
NM_COLOR=ffffff
FONT_SIZE=30
[STYLE7]
NM_IMG=keys,1
"""
CAND = """[CAND]
BACK_STYLE=7
FORE_STYLE=6
CELL_W=10
FIRST_GAP=5
[ICON1]
SIZE=20,20
ANCHOR_TYPE=6
POS=-20,-10
FORE_STYLE=3
KEY=F8
PERSIST=1
"""


def baidu_files(**replaced: bytes | str | None) -> Files:
    """Return the files of a Baidu skin with three keys on a 200x100 panel and a bar above it.

    Args:
        **replaced: Contents by path, with ``__`` for ``/`` and ``_dot_`` for ``.``; None removes a file.
    """
    files: dict[str, bytes | str | None] = {
        "Info.txt": "\ufeffName=Test skin\r\nAuthor=Nobody\r\nDescription=Three keys\r\n",
        "port/gen.ini": GEN,
        "port/py_26.ini": KEYS,
        "port/cand.cnd": CAND,
        "res/default.css": CSS,
        "res/keys.png": png(RED, GREEN),
        "res/keys.til": slices(2, inner="5,{y},10,20").replace(b",20\n\n[", b",20\n["),
        "res/marks.png": png(BLUE, WHITE, size=(10, 10)),
        "res/marks.til": slices(2, size=(10, 10)),
        "demo.png": png(GRAY, size=(40, 30)),
    }
    files |= {name.replace("_dot_", ".").replace("__", "/"): content for name, content in replaced.items()}
    return encoded(files)


def encoded(files: Mapping[str, bytes | str | None]) -> Files:
    """Encode texts as UTF-8 and drop what is None."""
    return {
        name: content.encode() if isinstance(content, str) else content
        for name, content in files.items()
        if content is not None
    }


HAMSTER_KEYS = """
preeditHeight: 20
toolbarHeight: 40
keyboardHeight: 200
keyboardStyle: {backgroundStyle: panel}
toolbarStyle: {backgroundStyle: bar}
preeditStyle: {backgroundStyle: bar}
toolbarLayout:
  - HStack: {subviews: [{Cell: menu}]}
keyboardLayout:
  - HStack: {subviews: [{Cell: q}, {Cell: back}]}
  - HStack: {style: low, subviews: [{Cell: space}]}
low: {size: {height: 1/4}}
_base: &cap {backgroundStyle: cap}
menu: {action: {shortcut: "#copy"}, backgroundStyle: plain}
q: {<<: *cap, size: {width: 130}, bounds: {width: 1/2, alignment: right}, action: {character: q},
    uppercasedStateForegroundStyle: upper, foregroundStyle: [letter, dot], swipeUpAction: {symbol: "1"}}
back: {<<: *cap, action: backspace}
space: {backgroundStyle: plain, action: space}
panel: {buttonStyleType: geometry, normalColor: "#202020"}
bar: {buttonStyleType: fileImage, normalImage: {file: keys, image: bar}}
plain: {buttonStyleType: geometry, normalColor: "#2846dc80", highlightColor: "#1ec83c", cornerRadius: 8}
cap: {buttonStyleType: fileImage, insets: {left: 2, top: 3},
      normalImage: {file: keys, image: cap}, highlightImage: {file: keys, image: down}}
letter: {buttonStyleType: text, text: q, fontSize: 22, normalColor: "#ffffff"}
upper: {buttonStyleType: text, text: Q, fontSize: 22, normalColor: "#ffffff"}
dot: {buttonStyleType: fileImage, contentMode: center, center: {y: 0.25},
      normalImage: {file: keys, image: dot}}
"""
HAMSTER_SHEET = """
cap: {rect: {x: 0, y: 0, width: 60, height: 60}, insets: {left: 15, top: 15, right: 15, bottom: 15}}
down: {rect: {x: 0, y: 60, width: 60, height: 60}}
bar: {rect: {x: 0, y: 120, width: 60, height: 60}}
dot: {rect: {x: 0, y: 180, width: 30, height: 30}}
"""


def hamster_files(**replaced: bytes | str | None) -> Files:
    """Return the files of a Hamster skin with four keys, light and dark."""
    files: dict[str, bytes | str | None] = {
        "Skin/config.yaml": "name: Test skin\nauthor: Nobody\npinyin: {iPhone: {portrait: keys}}\n",
        "Skin/demo.png": png(GRAY),
    }
    for theme, colour in (("light", RED), ("dark", BLUE)):
        files[f"Skin/{theme}/keys.yaml"] = HAMSTER_KEYS
        files[f"Skin/{theme}/resources/keys.png"] = png(colour, GREEN, GRAY, WHITE, size=(60, 60))
        files[f"Skin/{theme}/resources/keys.yaml"] = HAMSTER_SHEET
    files |= {name.replace("_dot_", ".").replace("__", "/"): content for name, content in replaced.items()}
    return encoded(files)


PICTURED = """
name: Test skin
themes:
  default:
    keyboards:
      - kind: pinyin_26
        size: [200, 100]
        background: panel
        bar: {rect: [0, -30, 200, 30], background: bar, text: letter}
        keys:
          - {id: q, rect: [10, 10, 60, 80], background: cap, function: letter, text: q, legend: letter,
             foregrounds: [{style: dot, offset: [0, -20]}]}
          - {id: back, rect: [70, 10, 60, 80], background: cap, function: backspace}
styles:
  panel: {normal: {colour: "#404040"}}
  bar: {normal: {picture: bar.png, fit: stretch}}
  cap:
    normal: {picture: keys.png, rect: [0, 0, 20, 20], fit: nine_patch, insets: [5, 5, 5, 5]}
    pressed: {picture: keys.png, rect: [0, 20, 20, 20], fit: nine_patch, insets: [5, 5, 5, 5]}
  dot: {normal: {picture: keys.png, rect: [0, 40, 10, 10]}}
texts:
  letter: {size: 30, colour: "#ffffff"}
"""


def pictured_files(**replaced: bytes | str | None) -> Files:
    """Return a folder of element pictures with two keys."""
    files: dict[str, bytes | str | None] = {
        "skin.yaml": PICTURED,
        "keys.png": png(RED, GREEN, BLUE),
        "bar.png": png(GRAY),
    }
    files |= {name.replace("_dot_", ".").replace("__", "/"): content for name, content in replaced.items()}
    return encoded(files)


# --- archives -------------------------------------------------------------------------------------------


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a zip of files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def raw_zip(entries: list[tuple[bytes, bytes]], *, flags: int = 0, attributes: int = 0) -> bytes:
    """Return a zip with names as bytes and with flags and attributes that ``zipfile`` would not write."""
    body, directory = b"", b""
    for name, content in entries:
        deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = deflater.compress(content) + deflater.flush()
        common = struct.pack(
            "<4H3I2H", flags, 8, 0, 0, zlib.crc32(content), len(packed), len(content), len(name), 0
        )
        directory += b"PK\x01\x02" + struct.pack("<2H", 20 | 3 << 8, 20) + common
        directory += struct.pack("<3H2I", 0, 0, 0, attributes, len(body)) + name
        body += b"PK\x03\x04" + struct.pack("<H", 20) + common + name + packed
    end = struct.pack("<4H2IH", 0, 0, len(entries), len(entries), len(directory), len(body), 0)
    return body + directory + b"PK\x05\x06" + end


def save(folder: Path, content: bytes, name: str = "skin.bds") -> Path:
    """Write an archive."""
    path = folder / name
    path.write_bytes(content)
    return path


def save_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files as a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
