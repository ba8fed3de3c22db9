"""Do real skin packages import, and do their keyboards look as on the phone?

    python benchmarks/packages.py FOLDER            # every package in it, a minute or two
    python benchmarks/packages.py FOLDER --quick    # the first six

For every package (``.bds``, ``.bdi``, ``.cskin``, ``.hskin`` or a zip) of the folder:

    import      processor time, findings, and its share of the floor: unzipping and decoding its pictures,
                which every importer must do
    rendering   processor time of a keyboard, and its share of encoding the picture as PNG; every portrait
                keyboard is drawn, 26-key, 9-key and English ones are counted
    demo        the rendered keyboard against the package's own preview. Previews frame a keyboard in many
                ways, so each of these three keyboards is registered: the size (in width and in height, as
                phones stretch keyboards) and position are searched at which it correlates best. SSIM of the
                most similar one there, with the share of the preview that it covers. Where that correlates by
                0.6 or less, the preview does not show a keyboard (a title card).

Prints a line a package, and all figures as one line of JSON at the end; saves a page of renderings beside the
previews to --out.
"""

import argparse
import io
import json
import statistics
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from PIL import Image, ImageDraw

from skin_pipeline.errors import SkinPipelineError
from skin_pipeline.skins.model import Keyboard, KeyboardKind, Skin
from skin_pipeline.skins.packages import read_skin
from skin_pipeline.skins.rendering import on_colour, render_keyboard

SUFFIXES = (".bds", ".bdi", ".cskin", ".hskin", ".zip")
KINDS = (KeyboardKind.PINYIN_26, KeyboardKind.PINYIN_9, KeyboardKind.ENGLISH_26)
WIDTH_PX = 720
SHOWS_A_KEYBOARD = 0.6
"""Correlation of a registered keyboard with a preview from which on the preview shows that keyboard."""
WIDTH_SHARES = tuple(np.linspace(0.7, 1.0, 13))
STRETCHES = tuple(np.linspace(0.8, 1.5, 29))
SEARCH_WIDTH_PX = 120
TILE_PX = 320
BACKDROP = (0, 0, 0)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Match:
    """A keyboard found in a preview."""

    kind: str
    correlation: float
    ssim: float
    coverage: float
    """Share of the preview that the keyboard covers."""
    box: tuple[int, int, int, int]
    """x, y, width, height in the preview."""


@dataclass(frozen=True)
class Report:
    """What was found out about one package."""

    package: str
    findings: int
    keyboards: int
    drawn: tuple[str, ...]
    """Those of the three kinds that were drawn."""
    import_seconds: float
    decode_seconds: float
    render_seconds: float
    """Of one keyboard."""
    encode_seconds: float
    match: Match | None
    """None if the package has no preview."""


def main(arguments: Sequence[str] | None = None) -> dict[str, object]:
    """Run the benchmark and return its figures."""
    options = parse(arguments)
    paths = sorted(path for path in options.folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise SystemExit(f"{options.folder} holds no package ({', '.join(SUFFIXES)}).")
    reports: list[Report] = []
    refused: dict[str, str] = {}
    rows: list[Image.Image] = []
    for path in paths[: 6 if options.quick else None]:
        try:
            report, row = examine(path)
        except SkinPipelineError as exc:
            refused[path.name] = str(exc)
            continue
        reports.append(report)
        rows.append(row)
        print(line(report))
    save_page(rows, options.out)
    figures: dict[str, object] = {
        "benchmark": "packages",
        "packages": len(reports) + len(refused),
        "refused": refused,
        "drawn": {kind: sum(kind in report.drawn for report in reports) for kind in KINDS},
        "keyboards": sum(report.keyboards for report in reports),
        "findings": sum(report.findings for report in reports),
        "import": speeds(reports, "import_seconds", "decode_seconds"),
        "render": speeds(reports, "render_seconds", "encode_seconds"),
        "demo": previews(reports),
        # Stages that follow (composing sheets, exporting) add figures here, and times to Report.
    }
    print(json.dumps(figures, ensure_ascii=False))
    return figures


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="the first 6 packages")
    parser.add_argument("--out", type=Path, default=Path("data/08_reporting/packages.png"))
    return parser.parse_args(arguments)


def examine(path: Path) -> tuple[Report, Image.Image]:
    """Import a package, draw its keyboards, look for them in its preview."""
    skin, import_seconds = timed(lambda: read_skin(path))
    decode_seconds = timed(lambda: decode_everything(path))[1]
    boards = [board for board in skin.theme().keyboards if board.orientation == "portrait"]
    pictures = {}
    render_seconds = encode_seconds = 0.0
    for board in boards:
        pictures[board.kind], seconds = timed(lambda board=board: draw(board, WIDTH_PX))
        render_seconds += seconds
        encode_seconds += timed(lambda board=board: cv2.imencode(".png", pictures[board.kind]))[1]
    report = Report(
        package=path.name,
        findings=len(skin.findings),
        keyboards=len(boards),
        drawn=tuple(kind for kind in KINDS if kind in pictures),
        import_seconds=import_seconds,
        decode_seconds=decode_seconds,
        render_seconds=render_seconds / max(1, len(boards)),
        encode_seconds=encode_seconds / max(1, len(boards)),
        match=find_in_preview(skin),
    )
    return report, page_row(skin, report, [pictures.get(kind) for kind in KINDS])


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """Return a result and the processor time it took."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def decode_everything(path: Path) -> None:
    """Unzip a package and decode its pictures: what no importer can do without."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            content = archive.read(info)
            if info.filename.lower().endswith(".png"):
                Image.open(io.BytesIO(content)).convert("RGBA").load()


def draw(board: Keyboard, width_px: int, height_px: int | None = None) -> np.ndarray:
    """Draw a keyboard on black, as RGB."""
    return on_colour(render_keyboard(board, width_px, height_px=height_px), BACKDROP)


# --- the preview ----------------------------------------------------------------------------------------


def find_in_preview(skin: Skin) -> Match | None:
    """Register the three keyboards with the preview; return the most similar one."""
    if skin.preview is None:
        return None
    preview = on_colour(skin.preview.pixels, BACKDROP)
    boards = [
        board for board in skin.theme().keyboards if board.kind in KINDS and board.orientation == "portrait"
    ]
    found = [match for board in boards if (match := register(board, preview)) is not None]
    return max(found, key=lambda match: match.ssim, default=None)


def register(board: Keyboard, preview: np.ndarray) -> Match | None:
    """Find the size and the place at which a keyboard correlates best with a preview.

    The search resizes one drawing; the sizes around its best one are drawn anew.
    """
    drawing, fine = gray(draw(board, min(WIDTH_PX, max(SEARCH_WIDTH_PX, preview.shape[1])))), gray(preview)
    area, small = preview.shape[0] * preview.shape[1], SEARCH_WIDTH_PX / preview.shape[1]

    def merit(template: np.ndarray, picture: np.ndarray, width: int, height: int) -> tuple[float, int, int]:
        # A small piece correlates by chance more easily than a whole keyboard.
        return correlate(template, picture)[0] * (width * height / area) ** 0.25, width, height

    coarse = cv2.resize(fine, None, fx=small, fy=small, interpolation=cv2.INTER_AREA)
    guesses = (
        merit(resized(drawing, round(width * small), round(height * small)), coarse, width, height)
        for width, height in sizes(board, preview.shape[1])
    )
    _, width, height = max(guesses)
    near = [(width + dx, height + dy) for dx in range(-6, 7, 2) for dy in range(-9, 10, 3)]
    _, width, height = max(merit(resized(drawing, *size), fine, *size) for size in near)
    near = [(width + dx, height + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if min(width, height) > 1]
    anew = [(*correlate(gray(draw(board, *size)), fine), *size) for size in near]
    correlation, (x, y), width, height = max(anew, default=(-1.0, (0, 0), 0, 0))
    if correlation <= -1:
        return None
    shown = preview[y : y + height, x : x + width]
    similarity = ssim(gray(draw(board, width, height)), gray(shown))
    return Match(
        str(board.kind), float(correlation), similarity, width * height / area, (x, y, width, height)
    )


def sizes(board: Keyboard, width_px: int) -> Iterator[tuple[int, int]]:
    """Yield sizes at which a keyboard may be shown in a preview of a width."""
    for share in WIDTH_SHARES:
        for stretch in STRETCHES:
            width = width_px * share
            yield round(width), round(width * board.bounds.height / board.bounds.width * stretch)


def resized(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize a picture; to one pixel where a side would vanish."""
    return cv2.resize(picture, (max(1, width), max(1, height)), interpolation=cv2.INTER_AREA)


def correlate(template: np.ndarray, picture: np.ndarray) -> tuple[float, tuple[int, int]]:
    """Return the best correlation of a template with a picture, and its place; -1 if it does not fit."""
    height, width = template.shape
    if not (8 <= width <= picture.shape[1] and 8 <= height <= picture.shape[0]) or template.std() < 1:
        return -1.0, (0, 0)
    scores = cv2.matchTemplate(picture, template, cv2.TM_CCOEFF_NORMED)
    _, best, _, place = cv2.minMaxLoc(np.nan_to_num(scores, nan=-1.0, posinf=-1.0, neginf=-1.0))
    return best, (place[0], place[1])


def gray(picture: np.ndarray) -> np.ndarray:
    """Return the luma of an RGB picture."""
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


def ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Return the structural similarity of two gray pictures (Wang et al. 2004: Gaussian window of 1.5 px)."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return float((luminance * (2 * covariance + c2) / (var_a + var_b + c2)).mean())


def blur(picture: np.ndarray) -> np.ndarray:
    """Return local means."""
    return cv2.GaussianBlur(picture, (11, 11), 1.5)


# --- figures and page -----------------------------------------------------------------------------------


def speeds(reports: Sequence[Report], of: str, floor: str) -> dict[str, float]:
    """Return the median processor time of something, and its ratio to its floor."""
    pairs = [(getattr(report, of), getattr(report, floor)) for report in reports]
    return {
        "median_ms": round(1000 * statistics.median(value for value, _ in pairs), 2),
        "floor_median_ms": round(1000 * statistics.median(least for _, least in pairs), 2),
        "ratio_to_floor": round(
            sum(value for value, _ in pairs) / max(1e-9, sum(least for _, least in pairs)), 2
        ),
    }


def previews(reports: Sequence[Report]) -> dict[str, object]:
    """Return how keyboards agree with previews, and all matches from the worst on."""
    matches = sorted(
        ((report.package, report.match) for report in reports if report.match), key=lambda pair: pair[1].ssim
    )
    shown = [match for _, match in matches if match.correlation > SHOWS_A_KEYBOARD]
    return {
        "with_preview": len(matches),
        "showing_a_keyboard": len(shown),
        "ssim_of_these": [round(match.ssim, 3) for match in shown],
        "worst_first": [{"package": package, **rounded(match)} for package, match in matches],
    }


def rounded(match: Match) -> dict[str, object]:
    """Return a match for JSON."""
    return {
        key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(match).items()
    }


def line(report: Report) -> str:
    """Return one line about a package."""
    match = report.match
    seen = "no preview" if match is None else f"{match.kind} r={match.correlation:.2f} ssim={match.ssim:.3f}"
    floors = report.import_seconds / max(1e-9, report.decode_seconds)
    return (
        f"{report.package}: {report.keyboards} keyboards, {report.findings} findings, "
        f"import {1000 * report.import_seconds:.0f} ms ({floors:.1f} floors), "
        f"render {1000 * report.render_seconds:.0f} ms; {seen}"
    )


def page_row(skin: Skin, report: Report, pictures: Sequence[np.ndarray | None]) -> Image.Image:
    """Lay a package's keyboards side by side, then its preview, then the keyboard found in it."""
    tiles = [Image.fromarray(picture) if picture is not None else None for picture in pictures]
    match = report.match
    if skin.preview is not None:
        preview = Image.fromarray(on_colour(skin.preview.pixels, BACKDROP))
        tiles.append(preview)
        if match is not None:
            x, y, width, height = match.box
            board = skin.theme().keyboard(KeyboardKind(match.kind))
            found = preview.copy()
            found.paste(Image.fromarray(draw(board, width, height)), (x, y))
            tiles.append(found)
    row = Image.new("RGB", (5 * (TILE_PX + 8), TILE_PX + 14), (110, 110, 110))
    ImageDraw.Draw(row).text((4, 1), line(report).encode("ascii", "replace").decode(), fill=(255, 255, 255))
    for index, tile in enumerate(tiles):
        if tile is not None:
            scale = min(TILE_PX / tile.width, TILE_PX / tile.height)
            size = (round(tile.width * scale), round(tile.height * scale))
            row.paste(tile.resize(size), (4 + index * (TILE_PX + 8), 14))
    return row


def save_page(rows: Sequence[Image.Image], path: Path) -> None:
    """Save all rows as one picture."""
    page = Image.new("RGB", (5 * (TILE_PX + 8), sum(row.height for row in rows) or 1))
    top = 0
    for row in rows:
        page.paste(row, (0, top))
        top += row.height
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path)


if __name__ == "__main__":
    main()
