"""Read any picture a user may bring as 8-bit RGB, or say why not.

What a file claims is not trusted: the format is found from its content, its size is checked before its pixels
are unpacked, and a file that is damaged or cut short is refused rather than shown in part.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

from skin_pipeline.errors import InputError

os.environ.setdefault("VIPS_CONCURRENCY", "1")  # read once, when libvips starts; the engine owns the cores
import pyvips

pyvips.cache_set_max(0)  # no picture is opened twice in a row; memory stays that of one picture
logging.getLogger("pyvips").setLevel(logging.ERROR)  # what it dislikes, the careful way names with its file

logger = logging.getLogger(__name__)

RGBPicture = NDArray[np.uint8]
"""Pixels of shape (H, W, 3), 0 to 255, in sRGB."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
"""Formats that are read. Pillow knows many more; each is code that an untrusted file would reach."""

HIGHEST_MAX_PIXELS = 178_956_970
"""Pictures with more pixels are refused by Pillow itself (twice its ``MAX_IMAGE_PIXELS``)."""

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation; 1 is upright."""

_SIXTEEN_BIT_GRAY = ("I;16", "I;16L", "I;16B", "I;16N")
_EIGHT_BIT = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PLAIN_CHUNKS = frozenset(
    (b"IHDR", b"IDAT", b"IEND", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"pHYs", b"sBIT", b"tIME", b"tEXt")
)
"""Chunks that leave pixels as they are stored: gamma and primaries are not applied anywhere."""
_TEXT_WITH_ORIENTATION = (b"Raw profile type", b"XML:com.adobe.xmp")

_BEGINNINGS = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML file (an SVG drawing, perhaps)"),
    (b"%pdf", "a PDF"),
    (b"simple  =", "a FITS file"),
    (b"pk\x03\x04", "a ZIP archive"),
    (b"\x89png", "a damaged PNG"),
    (b"\xff\xd8\xff", "a damaged JPEG"),
    (b"gif8", "a damaged GIF"),
)
"""How files begin that turn up among pictures without being one (in lower case)."""


@dataclass(frozen=True)
class Picture:
    """A picture as it is meant to be seen, and what its file said.

    Attributes:
        pixels: uint8 RGB, (H, W, 3), upright, on white where the file is transparent.
        format: Format found in the file (``PNG``), whatever its name says.
        mode: Pillow's name for the stored pixels (``RGBA``, ``P``, ``CMYK``, ``I;16`` …).
        orientation: EXIF orientation, 1 to 8, already undone in ``pixels``.
    """

    pixels: RGBPicture
    format: str
    mode: str
    orientation: int


def read_picture(path: Path, max_pixels: int = HIGHEST_MAX_PIXELS) -> RGBPicture:
    """Read a picture's pixels; see :func:`open_picture`.

    Returns:
        uint8 RGB, (H, W, 3).
    """
    return open_picture(path, max_pixels).pixels


def open_picture(path: Path, max_pixels: int = HIGHEST_MAX_PIXELS) -> Picture:
    """Read a picture file.

    EXIF orientation is undone, transparency is laid on white, palettes are looked up, 16 bits are scaled to
    8, and colours are converted from an embedded profile to sRGB.

    Args:
        path: The file. Its suffix does not matter.
        max_pixels: Largest width times height to unpack. Checked on the header.

    Returns:
        The picture.

    Raises:
        InputError: Not a picture of one of :data:`FORMATS`, damaged, cut short, animated, too large, or of a
            pixel type that has no certain meaning as RGB.
    """
    content = _read_bytes(path)
    with _logging_warnings(path), _open(path, content, max_pixels) as image:
        _refuse_several_frames(path, image)
        if image.mode not in (*_EIGHT_BIT, *_SIXTEEN_BIT_GRAY):
            raise InputError(
                f"{path.name}: pixels of type '{image.mode}' are not supported. Save it as 8-bit RGB."
            )
        _check_sums(path, image, content)
        pixels = _plain_pixels(image, content)
        if pixels is not None:
            return Picture(pixels, "PNG", image.mode, 1)
        _decode(path, image)
        orientation = _orientation(path, image)
        upright = _to_rgb(path, image)
        if orientation in _UPRIGHT:
            upright = upright.transpose(_UPRIGHT[orientation])
        return Picture(np.asarray(upright), str(image.format), image.mode, orientation)


@contextmanager
def _logging_warnings(path: Path) -> Iterator[None]:
    """Log what Pillow warns of (odd metadata, mostly) beside the file's name."""
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        # Pillow warns of large pictures at a limit of its own; ours is checked by _open.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield
    for warning in noted:
        logger.warning("%s: %s", path.name, warning.message)


def _read_bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise InputError(f"{path.name}: the file cannot be read ({exc.strerror or exc}).") from exc
    if not content:
        raise InputError(f"{path.name}: the file is empty.")
    return content


def _open(path: Path, content: bytes, max_pixels: int) -> Image.Image:
    """Read the header only, and check the size it states."""
    try:
        image = Image.open(BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError as exc:
        raise InputError(
            f"{path.name}: a decompression bomb: its header states more than {HIGHEST_MAX_PIXELS:,} pixels."
        ) from exc
    except UnidentifiedImageError as exc:
        raise InputError(
            f"{path.name}: expected one of {', '.join(FORMATS)}, got {_looks_like(content)}."
        ) from exc
    except Exception as exc:  # Pillow's plugins raise whatever their parsing met.
        raise InputError(f"{path.name}: its header is damaged ({exc}).") from exc
    if image.width * image.height > max_pixels:
        size = f"{image.width}x{image.height}"
        raise InputError(f"{path.name}: {size} pixels are too many, expected at most {max_pixels:,} in all.")
    return image


def _looks_like(content: bytes) -> str:
    head = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginning, name in _BEGINNINGS:
        if head.startswith(beginning):
            return name
    return f"a file that begins with {content[:12]!r}"


def _refuse_several_frames(path: Path, image: Image.Image) -> None:
    """Refuse animations and multi-page files: which frame would be the skin?

    A JPEG of several pictures (Pillow calls it MPO; phones write them) has a main one, and that comes first.
    """
    try:
        several = image.format != "MPO" and getattr(image, "is_animated", False)
    except Exception as exc:  # looking for a second frame parses a damaged GIF or TIFF further
        raise InputError(f"{path.name}: its frames cannot be read ({exc}).") from exc
    if several:
        raise InputError(f"{path.name}: animated or of several pages, expected a single still picture.")


def _check_sums(path: Path, image: Image.Image, content: bytes) -> None:
    """Refuse a PNG whose end is missing or whose check sums are wrong; the other formats have none.

    Decoding does not compare the check sums of pixel data; flipped bits would pass as pixels.
    """
    if image.format != "PNG":
        return
    try:
        with Image.open(BytesIO(content), formats=("PNG",)) as unchecked:
            unchecked.verify()
    except Exception as exc:
        raise _damaged(path, image, exc) from exc


def _decode(path: Path, image: Image.Image) -> None:
    """Unpack the pixels; refuse a file whose end is missing."""
    try:
        image.load()
    except Exception as exc:  # OSError, SyntaxError, ValueError, struct.error …, by format
        raise _damaged(path, image, exc) from exc


def _damaged(path: Path, image: Image.Image, exc: Exception) -> InputError:
    return InputError(f"{path.name}: the {image.format} is damaged or cut short ({exc}).")


# --- the short way: a PNG that needs no conversion --------------------------------------------------------


def _plain_pixels(image: Image.Image, content: bytes) -> RGBPicture | None:
    """Decode a PNG whose stored bytes are its RGB pixels, in half the time that Pillow needs.

    Screenshots and exports of drawing programs are such files. Whatever would have to be converted, and
    whatever libvips does not like in the least, takes the careful way.

    Args:
        image: The file's header.
        content: The whole file, whose check sums are right.

    Returns:
        uint8, (H, W, 3), equal to what the careful way gives; None where that must be taken.
    """
    if image.format != "PNG" or image.mode not in ("RGB", "RGBA") or not _is_plain(content):
        return None
    profile = image.info.get("icc_profile")
    if profile and not _is_srgb(profile):
        return None
    try:
        decoded = pyvips.Image.new_from_buffer(content, "", access="sequential", fail_on="warning")
        pixels: NDArray[np.uint8] = decoded.numpy()
    except pyvips.Error:
        return None
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        return None
    if pixels.shape[2] == 3:
        return pixels
    # Colours under no transparency at all are the picture; any other mixture with white is Pillow's work.
    return pixels[..., :3].copy() if pixels[..., 3].min() == 255 else None


def _is_plain(content: bytes) -> bool:
    """Tell whether a PNG has 8 bits a channel and no chunk that changes how its pixels are meant."""
    if content[12:16] != b"IHDR" or content[24] != 8:
        return False
    start = len(_PNG_SIGNATURE)
    while start < len(content):
        kind = content[start + 4 : start + 8]
        if kind not in _PLAIN_CHUNKS:
            return False
        if kind == b"tEXt" and content.startswith(_TEXT_WITH_ORIENTATION, start + 8):
            return False
        start += 12 + int.from_bytes(content[start : start + 4])
    return True


def _is_srgb(profile: bytes) -> bool:
    """Tell whether colours of an embedded profile are sRGB already."""
    try:
        return _transform_to_srgb(profile, "RGB") is None
    except (ImageCms.PyCMSError, OSError, ValueError):
        return False


def _orientation(path: Path, image: Image.Image) -> int:
    """Return the EXIF orientation; 1 where there is none, or none that means anything."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception as exc:  # a broken EXIF block says nothing about the pixels
        logger.warning("%s: its EXIF block was not used (%s); taken as upright.", path.name, exc)
        return 1
    return value if value in _UPRIGHT else 1


def _to_rgb(path: Path, image: Image.Image) -> Image.Image:
    """Convert decoded pixels of any readable mode to RGB."""
    if image.mode in _SIXTEEN_BIT_GRAY:
        # 0..65535 -> 0..255, rounded; Pillow's own conversion clips at 255.
        wide = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    profile = image.info.get("icc_profile")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        colours = _to_srgb(path, layered.convert("RGB"), profile)
        white = Image.new("RGB", image.size, "white")
        white.paste(colours, mask=layered.getchannel("A"))
        return white
    return _to_srgb(path, image, profile)


def _to_srgb(path: Path, image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert colours from an embedded profile to sRGB; without one they are taken as sRGB."""
    if image.mode not in ("RGB", "CMYK", "L"):
        image = image.convert("RGB")
    if not profile:
        return image.convert("RGB")
    try:
        transform = _transform_to_srgb(profile, image.mode)
    except (ImageCms.PyCMSError, OSError, ValueError) as exc:
        # Common and harmless: a profile of a palette's or a grey picture's colours that are RGB by now.
        logger.warning("%s: its colour profile was not used (%s).", path.name, exc)
        return image.convert("RGB")
    converted = image if transform is None else ImageCms.applyTransform(image, transform)
    assert converted is not None
    return converted.convert("RGB")


@lru_cache(maxsize=16)
def _transform_to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Build the way from a profile to sRGB, or None where it would change nothing (most files say sRGB)."""
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    if mode != "RGB":
        return transform
    levels = np.linspace(0, 255, 18, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(18, -1, 3)
    converted = np.asarray(ImageCms.applyTransform(Image.fromarray(grid), transform))
    changes_nothing = np.abs(converted.astype(int) - grid.astype(int)).max() <= 1
    return None if changes_nothing else transform
