"""Mutated packages for fuzzing: what a careless author, a broken download or an attacker could send."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import cache

from tests.skins.packages import (
    CAND,
    CSS,
    GEN,
    KEYS,
    Files,
    baidu_files,
    hamster_files,
    pictured_files,
    raw_zip,
    zipped,
)

_NUMBERS = (
    b"0",
    b"-1",
    b"1",
    b"65536",
    b"99999999999999999999",
    b"1e9",
    b"nan",
    b"0x10",
    b".5",
    b"",
    b"\xef\xbc\x91",
)
_WORDS = (
    b"=",
    b"[",
    b"]",
    b"[KEY1]",
    b",",
    b"|",
    b"&a [*a]",
    b"*a",
    b"<<: *b",
    b"{",
    b"- ",
    b"!!python/name:os.system ",
    b"\x00",
    b"\xff\xfe",
    b"#",
)
_PATHS = (
    "../../x.ini",
    "/etc/x.ini",
    "port/../../x.ini",
    "C:\\x.ini",
    "PORT/GEN.INI",
    "a" * 300 + ".ini",
    "port",
    "\n.ini",
)

_RICH_GEN = (
    GEN
    + "[LIST]\nPOS=0,0\nCELL_SIZE=20,25\nLIST_NUM=4\nFORE_STYLE=6\nNAMES=a b\nVALUES=a F36\n"
    + "[MORE]\nGRID=2,4\n"
)
_RICH_KEYS = KEYS + "[LIST]\n[HINT]\nLAYOUT_NAME=hint\n[KEY9]\nVIEW_RECT=0,0,200,100\nCENTER=F55\n"
_RICH_POP = "[HINT]\nBACK_ICON=1\n[ICON1]\nSIZE=40,30\nPOS=0,-5\nBACK_STYLE=2\nFORE_STYLE=6\n"


def mutated_package(seed: int) -> bytes:
    """Return an archive that depends on the seed alone."""
    lots = random.Random(seed)  # noqa: S311  (mutations, not secrets)
    files = dict(lots.choice(_originals()))
    for _ in range(lots.choice((1, 1, 2, 3, 8))):
        lots.choice(_MUTATIONS)(lots, files)
    content = _packed(lots, files)
    return _damaged(lots, content) if lots.random() < 0.15 else content


@cache
def _originals() -> tuple[Files, ...]:
    return _rich_baidu(), hamster_files(), pictured_files()


def _rich_baidu() -> Files:
    return baidu_files(
        **{
            "port/gen.ini": _RICH_GEN,
            "port/py_26.ini": _RICH_KEYS,
            "port/hint.pop": _RICH_POP,
            "land/gen.ini": _RICH_GEN,
            "land/cand.cnd": CAND,
            "land/en_26.ini": _RICH_KEYS,
            "720/res/default.css": CSS,
        }
    )


def _packed(lots: random.Random, files: Files) -> bytes:
    if lots.random() < 0.2:
        kind = lots.choice((0, 0o100644, 0o120777, 0o020644, 0o040755))
        entries = [
            (name.encode(lots.choice(("utf-8", "gbk")), "replace"), content)
            for name, content in files.items()
        ]
        entries += [lots.choice(entries)] if entries else []
        return raw_zip(entries, flags=lots.choice((0, 1, 0x800, 0x900, 0x41)), attributes=kind << 16)
    return zipped(files)


def _damaged(lots: random.Random, content: bytes) -> bytes:
    """Flip bytes of an archive, or cut it."""
    if lots.random() < 0.3:
        return content[: lots.randrange(len(content))]
    data = bytearray(content)
    for _ in range(lots.choice((1, 2, 10, 100))):
        data[lots.randrange(len(data))] = lots.randrange(256)
    return bytes(data)


# --- mutations of files ---------------------------------------------------------------------------------


def _one(lots: random.Random, files: Files) -> str:
    return lots.choice(sorted(files)) if files else "none.ini"


def _change_number(lots: random.Random, files: Files) -> None:
    name = _one(lots, files)
    content = files.get(name, b"")
    numbers = list(re.finditer(rb"-?\d+", content))
    if numbers:
        number = lots.choice(numbers)
        files[name] = content[: number.start()] + lots.choice(_NUMBERS) + content[number.end() :]


def _insert_word(lots: random.Random, files: Files) -> None:
    name = _one(lots, files)
    content = files.get(name, b"")
    at = lots.randrange(len(content) + 1)
    files[name] = content[:at] + lots.choice(_WORDS) * lots.choice((1, 1, 50)) + content[at:]


def _flip_bytes(lots: random.Random, files: Files) -> None:
    name = _one(lots, files)
    data = bytearray(files.get(name, b""))
    for _ in range(lots.choice((1, 3, 20)) if data else 0):
        data[lots.randrange(len(data))] = lots.randrange(256)
    files[name] = bytes(data)


def _cut(lots: random.Random, files: Files) -> None:
    name = _one(lots, files)
    content = files.get(name, b"")
    files[name] = content[: lots.randrange(len(content) + 1)]


def _shuffle_lines(lots: random.Random, files: Files) -> None:
    name = _one(lots, files)
    lines = files.get(name, b"").split(b"\n")
    action = lots.randrange(3)
    at = lots.randrange(len(lines))
    if action == 0:
        del lines[at]
    elif action == 1:
        lines.insert(at, lots.choice(lines))
    else:
        lots.shuffle(lines)
    files[name] = b"\n".join(lines)


def _repeat(lots: random.Random, files: Files) -> None:
    name = _one(lots, files)
    files[name] = files.get(name, b"") * lots.choice((2, 20))


def _swap_files(lots: random.Random, files: Files) -> None:
    one, other = _one(lots, files), _one(lots, files)
    if files:
        files[one], files[other] = files[other], files[one]


def _remove(lots: random.Random, files: Files) -> None:
    files.pop(_one(lots, files), None)


def _rename(lots: random.Random, files: Files) -> None:
    if files:
        files[lots.choice(_PATHS)] = files.pop(_one(lots, files))


def _recode(lots: random.Random, files: Files) -> None:
    name = _one(lots, files)
    text = files.get(name, b"").decode("utf-8", "replace")
    files[name] = text.encode(lots.choice(("utf-16", "utf-16-be", "gbk", "utf-7", "utf-8-sig")), "replace")


def _grow_picture(lots: random.Random, files: Files) -> None:
    """Let a picture claim another size."""
    pictures = [name for name in sorted(files) if name.endswith(".png") and len(files[name]) > 24]
    if pictures:
        name = lots.choice(pictures)
        size = lots.choice((0, 1, 30_000, 2**31 - 1)).to_bytes(4)
        files[name] = files[name][:16] + size * 2 + files[name][24:]


_MUTATIONS: tuple[Callable[[random.Random, Files], None], ...] = (
    *(_change_number, _change_number, _insert_word, _flip_bytes, _cut, _shuffle_lines),
    *(_repeat, _swap_files, _remove, _rename, _recode, _grow_picture),
)
