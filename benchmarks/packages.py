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
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from PIL import Image, ImageDraw

from skin_pipeline.errors import SkinPipelineError
from skin_pipeline.skins.export import write_baidu, write_hamster
from skin_pipeline.skins.model import Keyboard, KeyboardKind, Skin
from skin_pipeline.skins.packages import read_skin
from skin_pipeline.skins.rendering import on_colour
from skin_pipeline.skins.sheets.compose import compose_sheet, keyboard_of
from skin_pipeline.skins.sheets.layout import SHIPPED as LAYOUTS
from skin_pipeline.skins.sheets.layout import load_layout
from skin_pipeline.skins.sheets.previews import SHOWS_A_KEYBOARD, Match, draw, find_in_preview, gray, ssim
from skin_pipeline.skins.sheets.slicing import slice_sheet

SUFFIXES = (".bds", ".bdi", ".cskin", ".hskin", ".zip")
KINDS = (KeyboardKind.PINYIN_26, KeyboardKind.PINYIN_9, KeyboardKind.ENGLISH_26)
WIDTH_PX = 720
SHEET_PX = 1024
FORMATS = {"bds": (write_baidu, ".bds"), "cskin": (write_hamster, ".cskin")}
TILE_PX = 320
Result = TypeVar("Result")


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
    trips: tuple["RoundTrip", ...] = ()


@dataclass(frozen=True)
class RoundTrip:
    """A package on its way onto a sheet, cut up again, written, read and drawn."""

    layout: str
    refused: str | None = None
    """Why it does not fit the layout."""
    compose_seconds: float = 0.0
    slice_seconds: float = 0.0
    encode_seconds: float = 0.0
    """Of writing the sheet as PNG: what no composing can do without."""
    ssim: Mapping[str, float] | None = None
    """Of the least alike of its keyboards, by format."""
    export_seconds: Mapping[str, float] | None = None
    same_keys: Mapping[str, bool] | None = None
    """Whether all keys came back to their places, by format."""


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
        "round_trips": {name: round_trips(reports, name) for name in LAYOUTS},
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
        match=find_in_preview(skin.theme(), skin.preview),
        trips=tuple(travel(skin, name) for name in LAYOUTS),
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


# --- sheets and packages --------------------------------------------------------------------------------


def travel(skin: Skin, layout: str) -> RoundTrip:
    """Lay a skin out, cut the sheet up, write and read packages, and compare the keyboards."""
    try:
        sheet, compose_seconds = timed(
            lambda: compose_sheet(skin.theme(), load_layout(layout), SHEET_PX, name=layout)
        )
    except SkinPipelineError as exc:
        return RoundTrip(layout, refused=str(exc))
    encode_seconds = timed(lambda: cv2.imencode(".png", sheet.picture))[1]
    cut, slice_seconds = timed(lambda: slice_sheet(sheet.picture, sheet.record, name=skin.name))
    likeness: dict[str, float] = {}
    seconds: dict[str, float] = {}
    same: dict[str, bool] = {}
    for name, (write, suffix) in FORMATS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"skin{suffix}"
            seconds[name] = timed(lambda write=write, path=path: write(cut, path))[1]
            theme = read_skin(path).theme()
        missing = [kind for kind in sheet.record.keyboards if not theme.has(kind)]
        if missing:
            return RoundTrip(layout, refused=f"{name}: {', '.join(missing)} did not come back")
        pairs = [(keyboard_of(skin.theme(), kind), theme.keyboard(kind)) for kind in sheet.record.keyboards]
        likeness[name] = min(
            likeness_of(before, after, with_bar=layout == "whole_keyboard") for before, after in pairs
        )
        same[name] = all(same_places(before, after) for before, after in pairs)
    return RoundTrip(layout, None, compose_seconds, slice_seconds, encode_seconds, likeness, seconds, same)


def likeness_of(before: Keyboard, after: Keyboard, *, with_bar: bool) -> float:
    """Return the SSIM of two keyboards, drawn in the first one's proportions."""
    before, after = replace(before, preedit=None), replace(after, preedit=None)
    if not with_bar:
        before, after = replace(before, bar=None), replace(after, bar=None)
    expected = draw(before, WIDTH_PX)
    return ssim(gray(expected), gray(draw(after, WIDTH_PX, expected.shape[0])))


def same_places(before: Keyboard, after: Keyboard) -> bool:
    """Tell whether every key that does something lies within a two-hundredth of the panel of where it was."""
    places = [shares(board) for board in (before, after)]
    return all(
        any(max(abs(a - b) for a, b in zip(place, other, strict=True)) <= 0.005 for other in places[1])
        for place in places[0]
    )


def shares(board: Keyboard) -> list[tuple[float, ...]]:
    """Return the places of keys as shares of the panel."""
    width, height = board.size
    rects = [key.rect.intersection(board.panel) for key in board.keys if key.function]
    return [
        (rect.x / width, rect.y / height, rect.width / width, rect.height / height)
        for rect in rects
        if not rect.is_empty
    ]


def round_trips(reports: Sequence[Report], layout: str) -> dict[str, object]:
    """Return how the packages came through a layout."""
    trips = [trip for report in reports for trip in report.trips if trip.layout == layout]
    done = [trip for trip in trips if trip.refused is None]
    if not done:
        return {"composed": 0, "refused": [trip.refused for trip in trips]}
    formats = {}
    for name in FORMATS:
        values = sorted((trip.ssim or {})[name] for trip in done)
        formats[name] = {
            "at_least_0.95": sum(value >= 0.95 for value in values),
            "median_ssim": round(statistics.median(values), 3),
            "least_ssim": round(values[0], 3),
            "same_keys": sum((trip.same_keys or {})[name] for trip in done),
            "export_median_ms": milliseconds((trip.export_seconds or {})[name] for trip in done),
        }
    return {
        "composed": len(done),
        "refused": [trip.refused for trip in trips if trip.refused],
        "compose_median_ms": milliseconds(trip.compose_seconds for trip in done),
        "slice_median_ms": milliseconds(trip.slice_seconds for trip in done),
        "encode_floor_ms": milliseconds(trip.encode_seconds for trip in done),
        **formats,
    }


def milliseconds(seconds: Iterable[float]) -> float:
    """Return the median in milliseconds."""
    return round(1000 * statistics.median(seconds), 1)


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
        preview = Image.fromarray(on_colour(skin.preview.pixels, (0, 0, 0)))
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
