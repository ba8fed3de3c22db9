"""The short way to a PNG's pixels gives what the careful way gives, or is not taken."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from skin_pipeline.errors import InputError
from skin_pipeline.prep import pictures
from skin_pipeline.prep.pictures import open_picture

from .conftest import draw_skin, encoded, flip_bit, png, png_chunk

Compare = Callable[[Path], bool]

XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)
EXIF_IN_TEXT = (
    "\nexif\n      40\n"
    + (b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0").hex()
    + "\n"
)


def text_chunk(keyword: str, text: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text(keyword, text)
    return info


def with_a_hole(picture: Image.Image) -> Image.Image:
    holed = picture.convert("RGBA")
    holed.putpixel((5, 5), (200, 10, 10, 77))
    return holed


def interlaced(side: int = 8) -> bytes:
    """Write a PNG in Adam7's seven passes, which Pillow reads and does not write."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    passes = (
        (0, 8, 0, 8),
        (0, 8, 4, 8),
        (4, 8, 0, 4),
        (0, 4, 2, 4),
        (2, 4, 0, 2),
        (0, 2, 1, 2),
        (1, 2, 0, 1),
    )
    rows = b"".join(
        b"\0" + row.tobytes() for y, dy, x, dx in passes for row in pixels[y::dy, x::dx] if row.size
    )
    plain = bytearray(png(side, side, 8, 2, rows))
    header = plain[16:28] + b"\x01"
    return bytes(plain[:8]) + png_chunk(b"IHDR", bytes(header)) + bytes(plain[33:])


def insert_before_the_end(content: bytes, chunk: bytes) -> bytes:
    return content[:-12] + chunk + content[-12:]


PLAIN = encoded(draw_skin(), "PNG")
EXIF_ORIENTATION_6 = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"

FILES: dict[str, tuple[bytes, bool]] = {
    "as Pillow writes it": (PLAIN, True),
    "opaque alpha": (encoded(draw_skin().convert("RGBA"), "PNG"), True),
    "a software tag": (encoded(draw_skin(), "PNG", pnginfo=text_chunk("Software", "a program")), True),
    "no compression": (encoded(draw_skin(), "PNG", compress_level=0), True),
    "one pixel": (encoded(Image.new("RGB", (1, 1), "teal"), "PNG"), True),
    "interlaced": (interlaced(), True),
    "gamma": (PLAIN[:33] + png_chunk(b"gAMA", (100_000).to_bytes(4)) + PLAIN[33:], True),
    "one transparent pixel": (encoded(with_a_hole(draw_skin()), "PNG"), False),
    "a transparent colour": (encoded(draw_skin(), "PNG", transparency=(0, 0, 0)), False),
    "a profile that is none": (encoded(draw_skin(), "PNG", icc_profile=b"no profile"), False),
    "EXIF as text": (
        encoded(draw_skin(), "PNG", pnginfo=text_chunk("Raw profile type exif", EXIF_IN_TEXT)),
        False,
    ),
    "XMP as text": (
        PLAIN[:33] + png_chunk(b"tEXt", b"XML:com.adobe.xmp\0" + XMP.encode()) + PLAIN[33:],
        False,
    ),
    "EXIF at the end": (insert_before_the_end(PLAIN, png_chunk(b"eXIf", EXIF_ORIENTATION_6)), False),
    "sixteen bits": (png(2, 1, 16, 2, b"\0" + bytes(range(12))), False),
    "rows that are missing": (png(8, 8, 8, 2, b"\0" * 50), False),
    "rows that are too many": (png(2, 2, 8, 2, b"\0" * 70), True),
    "a filter that does not exist": (png(1, 1, 8, 2, b"\x09abc"), False),
    "something after its end": (PLAIN + b"PK\x03\x04 a second file", False),
    "gray and alpha": (encoded(draw_skin().convert("LA"), "PNG"), False),
    "a palette": (encoded(draw_skin().quantize(16), "PNG"), False),
}


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch) -> Compare:
    """Assert that both ways give the same, and return whether the short one was taken."""
    plain_pixels = pictures._plain_pixels

    def compare(path: Path) -> bool:
        taken = []

        def noting(image: Image.Image, content: bytes) -> object:
            pixels = plain_pixels(image, content)
            taken.append(pixels is not None)
            return pixels

        with monkeypatch.context() as patch:
            patch.setattr(pictures, "_plain_pixels", noting)
            short = outcome(path)
            patch.setattr(pictures, "_plain_pixels", lambda *_: None)
            assert short == outcome(path), path.name
        return taken == [True]

    return compare


def outcome(path: Path) -> tuple[object, ...]:
    """Return all that comes of a file: its picture, or why it is refused."""
    try:
        picture = open_picture(path)
    except InputError as error:
        return (str(error),)
    return (picture.pixels.shape, picture.pixels.tobytes(), picture.format, picture.mode, picture.orientation)


@pytest.mark.parametrize("name", FILES)
def test_both_ways_agree(name: str, picture_file: Callable[[bytes], Path], compare: Compare) -> None:
    content, is_plain = FILES[name]
    assert compare(picture_file(content)) == is_plain


def test_an_orientation_in_any_place_is_undone(picture_file: Callable[[bytes], Path]) -> None:
    """The files above would not be worth comparing if the careful way overlooked what they say."""
    for name in ("EXIF as text", "XMP as text", "EXIF at the end"):
        assert open_picture(picture_file(FILES[name][0])).orientation == 6, name


def test_both_ways_agree_on_the_whole_zoo(zoo_folder: Path, compare: Compare) -> None:
    paths = [path for path in sorted(zoo_folder.rglob("*")) if path.is_file()]
    short = {path.name for path in paths if compare(path)}
    assert {"plain.png", "profile.png", "png_called.jpg", "skin.png"} <= short
    assert not {"sixteen_bit.png", "alpha.png", "palette.png", "exif_6.png", "plain.jpg"} & short


def test_both_ways_agree_on_damaged_files(picture_file: Callable[[bytes], Path], compare: Compare) -> None:
    content = encoded(draw_skin(0, (24, 16)), "PNG")
    positions = np.random.default_rng(0).integers(0, len(content), 150).tolist()
    for damaged in [flip_bit(content, position) for position in positions] + [
        content[:length] for length in range(0, len(content), 7)
    ]:
        compare(picture_file(damaged))


def test_both_ways_agree_on_damaged_pixels_with_right_check_sums(
    picture_file: Callable[[bytes], Path], compare: Compare
) -> None:
    content = encoded(draw_skin(0, (24, 16)), "PNG")
    start = content.index(b"IDAT") + 4
    length = int.from_bytes(content[start - 8 : start - 4])
    body, rest = content[start : start + length], content[start + length + 4 :]
    for position in np.random.default_rng(1).integers(0, length, 100).tolist():
        chunk = png_chunk(b"IDAT", flip_bit(body, position))
        compare(picture_file(content[: start - 8] + chunk + rest))


@pytest.mark.parametrize("seed", range(6))
def test_both_ways_agree_on_pictures_of_any_size(
    seed: int, picture_file: Callable[[bytes], Path], compare: Compare
) -> None:
    generator = np.random.default_rng(seed)
    height, width = generator.integers(1, 200, 2)
    noise = Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
    assert compare(picture_file(encoded(noise, "PNG", compress_level=int(generator.integers(0, 10)))))
