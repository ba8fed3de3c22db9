"""Make the typefaces that ship with skin_pipeline from Debian's font packages.

Debian 12, no root needed::

    mkdir /tmp/debs && cd /tmp/debs
    apt-get download fonts-noto-cjk fonts-lxgw-wenkai fonts-lato fonts-roboto-unhinted \
        fonts-quicksand fonts-comfortaa fonts-dosis
    for deb in *.deb; do dpkg -x "$deb" .; done
    python tools/subset_fonts.py /tmp/debs

Every subset gets a family name of its own, so that none carries a Reserved Font Name (SIL OFL 1.1, clause
3); copyright and licence entries of the originals stay in the files, and FONTS.md lists them.
"""

import argparse
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

from skin_pipeline.skins.drawn.layouts import keyboard_characters
from skin_pipeline.typefaces import font_path

ASCII = "".join(map(chr, range(0x20, 0x7F)))
MARKS = "，。？！：；、·…—～￥“”‘’（）《》〈〉【】「」『』％＋－×÷＝｜／＠＃＆＊°℃←↑→↓↵⇧⌫⌘⌥⏎€£©®•"
GB2312_LEVEL_1_LEAD_BYTES = range(0xB0, 0xD8)

_FAMILY, _STYLE, _UNIQUE, _FULL, _POSTSCRIPT, _TRADEMARK = 1, 2, 3, 4, 6, 7
_TYPOGRAPHIC_FAMILY, _TYPOGRAPHIC_STYLE = 16, 17

FONTS_MD = """# Typefaces

Subsets of the fonts below, made by `tools/subset_fonts.py` and renamed as the SIL Open Font License asks of
modified versions. They stay under their original licences: `OFL.txt` and `LICENSE-APACHE.txt` here.

| file | original | Debian package | copyright | licence |
|---|---|---|---|---|
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """An original font.

    Attributes:
        typeface: Its name in :mod:`skin_pipeline.typefaces`.
        package: Debian package it comes from.
        file: Its file, relative to ``usr/share/fonts``.
        index: Index of the font in a collection.
        holder: Copyright line of the original, with its reserved names.
        licence: SPDX identifier.
    """

    typeface: str
    package: str
    file: str
    index: int
    holder: str
    licence: str


_ADOBE = "2014-2021 Adobe (http://www.adobe.com/); Noto is a trademark of Google Inc."
SOURCES = (
    Source(
        "sans_sc_regular", "fonts-noto-cjk", "opentype/noto/NotoSansCJK-Regular.ttc", 2, _ADOBE, "OFL-1.1"
    ),
    Source("sans_sc_bold", "fonts-noto-cjk", "opentype/noto/NotoSansCJK-Bold.ttc", 2, _ADOBE, "OFL-1.1"),
    Source(
        *("serif_sc", "fonts-noto-cjk", "opentype/noto/NotoSerifCJK-Bold.ttc", 2),
        *("2017-2022 Adobe (http://www.adobe.com/); Noto is a trademark of Google Inc.", "OFL-1.1"),
    ),
    Source(
        *("kai_sc", "fonts-lxgw-wenkai", "truetype/lxgw-wenkai/LXGWWenKai-Bold.ttf", 0),
        '2021-2023 LXGW (https://github.com/lxgw/LxgwWenKai), with Reserved Font Names "霞鹜" and "LXGW"; '
        "2020 The Klee Project Authors (https://github.com/fontworks-fonts/Klee)",
        "OFL-1.1",
    ),
    Source(
        *("grotesque", "fonts-roboto-unhinted", "truetype/roboto/unhinted/RobotoTTF/Roboto-Medium.ttf", 0),
        *("2011 Google Inc.; Roboto is a trademark of Google", "Apache-2.0"),
    ),
    Source(
        *("humanist", "fonts-lato", "truetype/lato/Lato-Bold.ttf", 0),
        *('2010-2014 tyPoland Lukasz Dziedzic, with Reserved Font Name "Lato"', "OFL-1.1"),
    ),
    Source(
        *("rounded", "fonts-quicksand", "truetype/quicksand/Quicksand-Bold.ttf", 0),
        "2011 The Quicksand Project Authors (https://github.com/andrew-paglinawan/QuicksandFamily), with "
        "Reserved Font Name “Quicksand”",
        "OFL-1.1",
    ),
    Source(
        *("geometric", "fonts-comfortaa", "truetype/comfortaa/Comfortaa-Bold.ttf", 0),
        *(
            '2011 The Comfortaa Project Authors (aajohan@gmail.com), with Reserved Font Name "Comfortaa"',
            "OFL-1.1",
        ),
    ),
    Source(
        *("narrow", "fonts-dosis", "opentype/dosis/Dosis-SemiBold.otf", 0),
        "2011 Edgar Tolentino and Pablo Impallari (www.impallari.com), 2011 Igino Marini (www.ikern.com), "
        'with Reserved Font Name "Dosis"',
        "OFL-1.1",
    ),
)


def gb2312_level_1() -> str:
    """Return the 3755 most used simplified characters (GB 2312-80, rows 16 to 55)."""
    codes = (bytes((lead, trail)) for lead in GB2312_LEVEL_1_LEAD_BYTES for trail in range(0xA1, 0xFF))
    return "".join(code.decode("gb2312", errors="ignore") for code in codes)


def characters_of(typeface: str) -> str:
    """Return what a typeface shall be able to write."""
    if typeface.startswith("sans_sc"):
        return ASCII + MARKS + gb2312_level_1()
    if typeface.endswith("_sc"):
        return ASCII + MARKS + keyboard_characters()
    return ASCII


def subset_font(source: Source, folder: Path) -> None:
    """Write the subset of an original into the package."""
    original = folder / "usr/share/fonts" / source.file
    options = subset.Options(
        layout_features=["kern"], hinting=False, notdef_outline=True, drop_tables=["DSIG", "BASE"]
    )
    options.name_IDs = ["*"]
    options.name_languages = [0x409]
    options.font_number = source.index
    font = subset.load_font(str(original), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=characters_of(source.typeface))
    subsetter.subset(font)
    rename(font, f"SkinPipeline {source.typeface.replace('_', ' ').title()}")
    target = font_path(source.typeface)
    target.parent.mkdir(exist_ok=True)
    subset.save_font(font, str(target), options)
    logger.info("%s: %d bytes", target.name, target.stat().st_size)


def rename(font: TTFont, family: str) -> None:
    """Give a font another family name everywhere it is recorded."""
    names = font["name"]
    version = names.getDebugName(5)
    postscript = family.replace(" ", "")
    entries = {_FAMILY: family, _STYLE: "Regular", _UNIQUE: f"{postscript};{version}", _FULL: family}
    entries[_POSTSCRIPT] = postscript
    for name_id in (_TRADEMARK, _TYPOGRAPHIC_FAMILY, _TYPOGRAPHIC_STYLE, *entries):
        names.removeNames(nameID=name_id)
    for name_id, text in entries.items():
        names.setName(text, name_id, 3, 1, 0x409)
    if "CFF " in font:
        cff = font["CFF "].cff
        cff.fontNames = [postscript]
        top = cff.topDictIndex[0]
        top.FamilyName = top.FullName = family
        top.rawDict.pop("Weight", None)


def describe(sources: Iterable[Source]) -> str:
    """Return FONTS.md."""
    rows = [
        (
            font_path(source.typeface).name,
            Path(source.file).name,
            source.package,
            f"© {source.holder}",
            source.licence,
        )
        for source in sources
    ]
    return FONTS_MD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main() -> None:
    """Subset every source."""
    parser = argparse.ArgumentParser(description="Make the typefaces that ship with skin_pipeline.")
    parser.add_argument("folder", type=Path, help="where the Debian packages were unpacked")
    folder: Path = parser.parse_args().folder
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for source in SOURCES:
        subset_font(source, folder)
    (font_path(SOURCES[0].typeface).parent / "FONTS.md").write_text(describe(SOURCES), encoding="utf-8")


if __name__ == "__main__":
    main()
