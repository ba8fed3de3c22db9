import pytest

from skin_pipeline.errors import ConfigurationError
from skin_pipeline.skins.drawn.layouts import keyboard_characters
from skin_pipeline.typefaces import (
    CHINESE_TYPEFACES,
    DISPLAY_TYPEFACES,
    LATIN_TYPEFACES,
    TYPEFACES,
    font_path,
    load_font,
    missing_glyphs,
)

ASCII = "".join(map(chr, range(0x20, 0x7F)))


@pytest.mark.parametrize("name", TYPEFACES)
def test_every_typeface_writes_ascii(name):
    assert missing_glyphs(ASCII, font_path(name)) == set()


@pytest.mark.parametrize("name", CHINESE_TYPEFACES + DISPLAY_TYPEFACES)
def test_chinese_typefaces_write_all_keyboards(name):
    assert missing_glyphs(keyboard_characters(), font_path(name)) == set()


@pytest.mark.parametrize("name", CHINESE_TYPEFACES)
def test_sans_writes_gb2312_level_1(name):
    codes = (bytes((lead, trail)) for lead in range(0xB0, 0xD8) for trail in range(0xA1, 0xFF))
    level_1 = "".join(code.decode("gb2312", errors="ignore") for code in codes)
    assert len(level_1) == 3755
    assert missing_glyphs(level_1, font_path(name)) == set()


def test_missing_glyphs_names_each_character_once_and_no_white_space():
    assert missing_glyphs("空 A\n格空", font_path(LATIN_TYPEFACES[0])) == {"空", "格"}


def test_the_same_font_is_opened_once():
    assert load_font(font_path("rounded"), 20) is load_font(font_path("rounded"), 20)


def test_unknown_typefaces_and_files_are_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"No typeface 'comic'.*rounded"):
        font_path("comic")
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    with pytest.raises(ConfigurationError, match=r"broken\.ttf"):
        load_font(tmp_path / "broken.ttf", 20)
    with pytest.raises(ConfigurationError, match=r"absent\.ttf"):
        missing_glyphs("a", tmp_path / "absent.ttf")


def test_licences_ship_with_the_fonts_and_all_stay_small():
    folder = font_path("rounded").parent
    notice = (folder / "FONTS.md").read_text(encoding="utf-8")
    assert all(font_path(name).name in notice for name in TYPEFACES)
    assert "SIL OPEN FONT LICENSE Version 1.1" in (folder / "OFL.txt").read_text(encoding="utf-8")
    assert "Apache License" in (folder / "LICENSE-APACHE.txt").read_text(encoding="utf-8")
    assert sum(font_path(name).stat().st_size for name in TYPEFACES) < 4 * 2**20


@pytest.mark.parametrize("name", TYPEFACES)
def test_no_subset_carries_a_reserved_name(name):
    family, _ = load_font(font_path(name), 12).getname()
    assert family is not None
    assert family.startswith("SkinPipeline ")
