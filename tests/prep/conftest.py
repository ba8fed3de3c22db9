"""Pictures of every kind, good and bad, drawn on the spot."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw

SIDE = 96


def draw_skin(seed: int = 0, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    """Draw a panel with keys whose places and colours follow from the seed."""
    generator = np.random.default_rng(seed)
    picture = Image.new("RGB", size, tuple(int(level) for level in generator.integers(30, 225, 3)))
    pen = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y = generator.integers(0, size[0] - 12), generator.integers(0, size[1] - 12)
        width, height = generator.integers(8, 40, 2)
        pen.rectangle(
            (x, y, x + width, y + height), tuple(int(level) for level in generator.integers(0, 255, 3))
        )
    return picture


def encoded(picture: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes) -> bytes:
    """Write a PNG by hand: rows carry their filter bytes."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def sixteen_bit_rgb(picture: Image.Image) -> bytes:
    wide = np.asarray(picture).astype(">u2") * 257
    rows = b"".join(b"\x00" + row.tobytes() for row in wide)
    return png(*picture.size, 16, 2, rows)


def stored_as(picture: Image.Image, orientation: int) -> bytes:
    """Encode a picture so that a viewer that obeys EXIF shows it as it is here."""
    way_there = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = picture.transpose(way_there[orientation]) if orientation in way_there else picture
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(stored, "PNG", exif=exif.tobytes())


def flip_bit(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 0x10]) + content[position + 1 :]


@dataclass(frozen=True)
class Animal:
    """A file of the zoo, and why it is refused (a pattern), or None if it goes on."""

    content: bytes
    refused: str | None


def _good() -> dict[str, bytes]:
    skin = draw_skin
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    transparent = skin(20).convert("RGBA")
    transparent.putalpha(Image.linear_gradient("L").resize((SIDE, SIDE)))
    palette = skin(21).quantize(32)
    return {
        "plain.png": encoded(skin(1), "PNG"),
        "plain.jpg": encoded(skin(2), "JPEG"),
        "plain.webp": encoded(skin(3), "WEBP"),
        "plain.bmp": encoded(skin(4), "BMP"),
        "plain.tiff": encoded(skin(5), "TIFF"),
        "still.gif": encoded(skin(6), "GIF"),
        "gray.png": encoded(skin(7).convert("L"), "PNG"),
        "one_bit.png": encoded(skin(8).convert("1"), "PNG"),
        "cmyk.jpg": encoded(skin(9).convert("CMYK"), "JPEG"),
        "sixteen_bit.png": sixteen_bit_rgb(skin(10)),
        "sixteen_bit_gray.png": encoded(
            Image.fromarray(np.asarray(skin(11).convert("L")).astype(np.uint16) * 257), "PNG"
        ),
        "alpha.png": encoded(transparent, "PNG"),
        "gray_alpha.png": encoded(transparent.rotate(90).convert("LA"), "PNG"),
        "palette.png": encoded(palette, "PNG"),
        "palette_alpha.png": encoded(skin(22).quantize(16), "PNG", transparency=bytes(range(0, 256, 16))),
        "progressive.jpg": encoded(skin(12), "JPEG", progressive=True),
        "profile.png": encoded(skin(13), "PNG", icc_profile=srgb),
        "png_called.jpg": encoded(skin(14), "PNG"),
        "前往.png": encoded(skin(15), "PNG"),
        "nested/deep/skin.png": encoded(skin(16), "PNG"),
        **{f"exif_{number}.png": stored_as(skin(100 + number, (SIDE, 80)), number) for number in range(1, 9)},
    }


def _bad() -> dict[str, Animal]:
    whole_png, whole_jpeg = encoded(draw_skin(30), "PNG"), encoded(draw_skin(31), "JPEG")
    frames = [draw_skin(32), draw_skin(33)]
    animated = {"save_all": True, "append_images": frames[1:]}
    pixels = whole_png.index(b"IDAT") + 40
    return {
        "empty.png": Animal(b"", "the file is empty"),
        "cut.png": Animal(whole_png[: len(whole_png) // 2], "damaged or cut short"),
        "cut_at_end.png": Animal(whole_png[:-20], "damaged or cut short"),
        "cut.jpg": Animal(whole_jpeg[: len(whole_jpeg) // 2], "damaged or cut short"),
        "header_only.png": Animal(whole_png[:20], "a damaged PNG|header is damaged|cut short"),
        "bit_rot.png": Animal(flip_bit(whole_png, pixels), "damaged or cut short"),
        "page.jpg": Animal(b"<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
        "drawing.svg": Animal(b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        "xml_drawing.svg": Animal(b'\xef\xbb\xbf<?xml version="1.0"?><svg/>', "an XML file"),
        "paper.png": Animal(b"%PDF-1.7\n", "a PDF"),
        "stars.fits": Animal(b"SIMPLE  =                    T", "a FITS file"),
        "package.png": Animal(b"PK\x03\x04rest", "a ZIP archive"),
        "notes.txt": Animal(b"not a picture at all", "begins with b'not a pictur"),
        "animated.gif": Animal(encoded(frames[0], "GIF", **animated), "animated or of several pages"),
        "animated.webp": Animal(encoded(frames[0], "WEBP", **animated), "animated or of several pages"),
        "animated.png": Animal(encoded(frames[0], "PNG", **animated), "animated or of several pages"),
        "pages.tiff": Animal(encoded(frames[0], "TIFF", **animated), "animated or of several pages"),
        "bomb.png": Animal(png(30_000, 30_000, 8, 2, b"\x00"), "decompression bomb"),
        "large.png": Animal(png(9_000, 9_000, 8, 2, b"\x00"), "9000x9000 pixels are too many"),
        "float.tiff": Animal(encoded(Image.new("F", (SIDE, SIDE)), "TIFF"), "pixels of type 'F'"),
        "integer.tiff": Animal(encoded(Image.new("I", (SIDE, SIDE)), "TIFF"), "pixels of type 'I'"),
        "blank.png": Animal(encoded(Image.new("RGB", (SIDE, SIDE), "teal"), "PNG"), "blank: contrast 0,"),
        "clear.png": Animal(encoded(Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0)), "PNG"), "blank"),
        "tiny.png": Animal(encoded(draw_skin(34, (20, 40)), "PNG"), "too small: shorter side 20 "),
        "one_pixel_high.png": Animal(encoded(draw_skin(35).resize((SIDE, 1)), "PNG"), "too small"),
        "zz_same_file.png": Animal(
            encoded(draw_skin(1), "PNG"), r"same pixels as 'plain' \(plain.png\), which is kept"
        ),
        "zz_same_pixels.bmp": Animal(encoded(draw_skin(4), "BMP"), "same pixels as"),
        "zz_same_pixels_as_webp.tiff": Animal(encoded(draw_skin(5), "PNG"), "same pixels as"),
    }


@pytest.fixture(scope="session")
def zoo() -> dict[str, Animal]:
    """All animals, by path below the raw folder."""
    return {name: Animal(content, None) for name, content in _good().items()} | _bad()


@pytest.fixture(scope="session")
def zoo_folder(zoo: dict[str, Animal], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zoo on disk."""
    folder = tmp_path_factory.mktemp("zoo")
    for name, animal in zoo.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(animal.content)
    return folder


@pytest.fixture
def picture_file(tmp_path: Path) -> Callable[[bytes], Path]:
    """Write bytes to a file named picture."""

    def write(content: bytes) -> Path:
        path = tmp_path / "picture"
        path.write_bytes(content)
        return path

    return write
