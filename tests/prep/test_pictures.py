from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from skin_pipeline.errors import InputError
from skin_pipeline.prep.pictures import open_picture, read_picture

from .conftest import Animal, draw_skin, encoded, sixteen_bit_rgb, stored_as

Write = Callable[[bytes], Path]


def test_pixels_come_back_as_they_are(picture_file: Write) -> None:
    picture = open_picture(picture_file(encoded(draw_skin(), "PNG")))
    np.testing.assert_array_equal(picture.pixels, np.asarray(draw_skin()))
    assert picture.pixels.dtype == np.uint8
    assert (picture.format, picture.mode, picture.orientation) == ("PNG", "RGB", 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(picture_file: Write, orientation: int) -> None:
    shown = draw_skin(1, (96, 80))
    picture = open_picture(picture_file(stored_as(shown, orientation)))
    np.testing.assert_array_equal(picture.pixels, np.asarray(shown))
    assert picture.orientation == orientation


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_without_meaning_is_upright(picture_file: Write, orientation: int) -> None:
    assert open_picture(picture_file(stored_as(draw_skin(), orientation))).orientation == 1


def test_broken_exif_is_ignored_with_a_warning(picture_file: Write, caplog: pytest.LogCaptureFixture) -> None:
    content = encoded(draw_skin(), "JPEG", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x05\x00")
    assert open_picture(picture_file(content)).orientation == 1
    assert "EXIF" in caplog.text


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(picture_file: Write, mode: str) -> None:
    picture = Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert(mode)
    assert (read_picture(picture_file(encoded(picture, "PNG"))) == 255).all()


def test_half_transparency_is_mixed_with_white(picture_file: Write) -> None:
    picture = Image.new("RGBA", (4, 4), (200, 0, 100, 51))  # a fifth of the colour, four fifths of white
    assert read_picture(picture_file(encoded(picture, "PNG")))[0, 0].tolist() == [244, 204, 224]


def test_palette_with_a_transparent_colour(picture_file: Write) -> None:
    picture = Image.new("P", (4, 4), 0)
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putpixel((0, 0), 1)
    pixels = read_picture(picture_file(encoded(picture, "PNG", transparency=0)))
    assert pixels[0, 0].tolist() == [0, 0, 255]
    assert pixels[1, 1].tolist() == [255, 255, 255]


def test_sixteen_bit_gray_uses_the_whole_range(picture_file: Write) -> None:
    levels = np.array([[0, 128, 257, 32768, 65278, 65535]], dtype=np.uint16)
    pixels = read_picture(picture_file(encoded(Image.fromarray(levels), "PNG")))
    assert pixels[0, :, 0].tolist() == [0, 0, 1, 128, 254, 255]


def test_sixteen_bit_colour_is_scaled(picture_file: Write) -> None:
    pixels = read_picture(picture_file(sixteen_bit_rgb(draw_skin())))
    np.testing.assert_array_equal(pixels, np.asarray(draw_skin()))


def test_cmyk_becomes_the_colour_it_prints(picture_file: Write) -> None:
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    red, green, blue = read_picture(picture_file(encoded(cyan, "JPEG", quality=95)))[8, 8].tolist()
    assert red < 5
    assert green > 250
    assert blue > 250


def test_colours_of_another_profile_are_converted(picture_file: Write) -> None:
    linear = _linear_profile()
    gray = Image.new("RGB", (8, 8), (55, 55, 55))  # linear light 55/255 = 0.216 -> sRGB 128
    pixels = read_picture(picture_file(encoded(gray, "PNG", icc_profile=linear)))
    assert abs(int(pixels[0, 0, 0]) - 128) <= 2


def test_an_srgb_profile_changes_nothing(picture_file: Write) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = read_picture(picture_file(encoded(draw_skin(), "PNG", icc_profile=srgb)))
    np.testing.assert_array_equal(pixels, np.asarray(draw_skin()))


def test_a_broken_profile_is_ignored_with_a_warning(
    picture_file: Write, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = read_picture(picture_file(encoded(draw_skin(), "PNG", icc_profile=b"no profile")))
    np.testing.assert_array_equal(pixels, np.asarray(draw_skin()))
    assert "profile" in caplog.text


def test_pixels_are_counted_before_they_are_unpacked(zoo: dict[str, Animal], picture_file: Write) -> None:
    path = picture_file(zoo["large.png"].content)  # the header's 81 million pixels are not in the file
    with pytest.raises(InputError, match="9000x9000 pixels are too many, expected at most 50,000,000"):
        read_picture(path, max_pixels=50_000_000)
    with pytest.raises(InputError, match="damaged or cut short"):
        read_picture(path, max_pixels=100_000_000)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png: the file cannot be read \(No such file"):
        read_picture(tmp_path / "gone.png")
    with pytest.raises(InputError, match="cannot be read"):
        read_picture(tmp_path)


def _linear_profile() -> bytes:
    """Make an RGB profile with sRGB's primaries and no transfer curve: patch every curve of Pillow's sRGB."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    num_tags = int.from_bytes(profile[128:132], "big")
    for number in range(num_tags):
        entry = 132 + 12 * number
        if profile[entry : entry + 4] in (b"rTRC", b"gTRC", b"bTRC"):
            offset = int.from_bytes(profile[entry + 4 : entry + 8], "big")
            profile[offset : offset + 12] = b"curv" + bytes(8)  # a curve of no points is the identity
    return bytes(profile)
