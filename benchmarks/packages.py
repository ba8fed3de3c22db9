"""Do real skin packages import, and do their keyboards look as on the phone?

    python benchmarks/packages.py FOLDER            # every package in it, ten minutes for 46
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
    round trip  the package laid out on each sheet, cut up, written in each format, read and drawn again.
                What the sheet loses (package against cut-out skin) and what the format loses (cut-out skin
                against the one read back) are told apart; the whole way is both. Beside the similarity: how
                far the edges of keys, as they are seen and as they are touched, lie from where they were.

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
from skin_pipeline.skins.model import Key, Keyboard, KeyboardKind, Rect, Skin
from skin_pipeline.skins.packages import read_skin
from skin_pipeline.skins.rendering import on_colour, render_keyboard
from skin_pipeline.skins.sheets.compose import Sheet, compose_sheet, keyboard_of
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
SAME_PLACE_PX = 2.0
"""Farthest that a key may lie from where it was, of 720 px: what a finger and an eye do not notice."""
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
class FormatTrip:
    """A skin that was cut out of a sheet, written in a format, read and drawn again."""

    format_ssim: float
    """What the format keeps: the skin as it was written against the skin as it was read."""
    whole_ssim: float
    """What the whole way keeps: the package's own keyboard against the skin as it was read."""
    key_px: float
    """How far the edge of a key's picture lies from where it was, at most, at 720 px."""
    touch_px: float
    """The same of the places to touch."""
    export_seconds: float


@dataclass(frozen=True)
class RoundTrip:
    """A package on its way onto a sheet, cut up again, written, read and drawn.

    Similarities are of the least alike of the sheet's keyboards.
    """

    layout: str
    refused: str | None = None
    """Why it does not fit the layout."""
    compose_seconds: float = 0.0
    slice_seconds: float = 0.0
    encode_seconds: float = 0.0
    """Of writing the sheet as PNG: what no composing can do without."""
    sheet_ssim: float = 0.0
    """What the sheet keeps: the package's own keyboard against the one cut out of the sheet."""
    formats: Mapping[str, FormatTrip] | None = None


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
    kinds = tuple(sheet.record.keyboards)
    own = [keyboard_of(skin.theme(), kind) for kind in kinds]
    sheet_ssim = min(
        likeness_of(board, cut.theme().keyboard(kind), sheet.backdrop)
        for board, kind in zip(own, kinds, strict=True)
    )
    try:
        formats = {name: write_and_read(cut, name, own, sheet) for name in FORMATS}
    except SkinPipelineError as exc:
        return RoundTrip(layout, refused=f"what was written did not come back: {exc}")
    return RoundTrip(layout, None, compose_seconds, slice_seconds, encode_seconds, sheet_ssim, formats)


def write_and_read(skin: Skin, name: str, originals: Sequence[Keyboard], sheet: Sheet) -> FormatTrip:
    """Write a skin in a format, read it, and compare its keyboards with it and with their originals."""
    write, suffix = FORMATS[name]
    kinds = tuple(sheet.record.keyboards)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"skin{suffix}"
        seconds = timed(lambda: write(skin, path))[1]
        theme = read_skin(path).theme()
    written, read = ([each.keyboard(kind) for kind in kinds] for each in (skin.theme(), theme))
    pairs = list(zip(written, read, strict=True))
    return FormatTrip(
        format_ssim=min(likeness_of(*pair, sheet.backdrop) for pair in pairs),
        whole_ssim=min(likeness_of(*pair, sheet.backdrop) for pair in zip(originals, read, strict=True)),
        key_px=max(farthest_px(*pair, of=lambda key: key.rect) for pair in pairs),
        touch_px=max(farthest_px(*pair, of=lambda key: key.touch) for pair in pairs),
        export_seconds=seconds,
    )


def likeness_of(before: Keyboard, after: Keyboard, backdrop: tuple[int, int, int]) -> float:
    """Return the SSIM of two keyboards with their bars, drawn at one width, lower edge on lower edge.

    They are drawn on the sheet's backdrop: sheets have no alpha, so that is what transparent parts become.

    Nothing is pulled, so a keyboard of other proportions is unlike. What the second has above the first one's
    upper edge (a format's own strips) is not compared.
    """
    expected, drawn = (
        gray(on_colour(render_keyboard(replace(board, preedit=None), WIDTH_PX), backdrop))
        for board in (before, after)
    )
    height = expected.shape[0]
    framed = np.zeros_like(expected)
    shown = drawn[-height:]
    framed[height - shown.shape[0] :] = shown
    return ssim(expected, framed)


def farthest_px(before: Keyboard, after: Keyboard, *, of: Callable[[Key], Rect]) -> float:
    """Return how far the edges of a keyboard's keys lie from the nearest key's of another, at most.

    Keys that do something count, as far as they lie on the panel; distances are pixels of the drawn keyboard,
    counted from its lower left corner.
    """
    places = [edges_px(of(key), before) for key in before.keys if key.function]
    found = np.array([edges_px(of(key), after) for key in after.keys])
    seen = [place for place in places if place[2] - place[0] > 0 and place[3] - place[1] > 0]
    return max((float(np.abs(found - place).max(axis=1).min()) for place in seen), default=0.0)


def edges_px(rect: Rect, board: Keyboard) -> tuple[float, float, float, float]:
    """Return a rectangle's edges, cut off at the panel's (or the bar's), from the lower left corner."""
    scale, bottom = WIDTH_PX / board.size[0], board.size[1]
    inside = rect.intersection(replace(board, preedit=None).bounds_when(composing=True))
    top, low = inside.y - bottom, inside.bottom - bottom
    return inside.x * scale, top * scale, inside.right * scale, low * scale


def round_trips(reports: Sequence[Report], layout: str) -> dict[str, object]:
    """Return how the packages came through a layout."""
    trips = [trip for report in reports for trip in report.trips if trip.layout == layout]
    done = [trip for trip in trips if trip.refused is None]
    if not done:
        return {"composed": 0, "refused": [trip.refused for trip in trips]}
    formats = {}
    for name in FORMATS:
        passed = [(trip.formats or {})[name] for trip in done]
        formats[name] = {
            "format": similarities(trip.format_ssim for trip in passed),
            "whole_way": similarities(trip.whole_ssim for trip in passed),
            "same_keys": sum(trip.key_px <= SAME_PLACE_PX for trip in passed),
            "farthest_key_px": round(max(trip.key_px for trip in passed), 2),
            "same_touch": sum(trip.touch_px <= SAME_PLACE_PX for trip in passed),
            "farthest_touch_px": round(max(trip.touch_px for trip in passed), 2),
            "export_median_ms": milliseconds(trip.export_seconds for trip in passed),
        }
    return {
        "composed": len(done),
        "refused": [trip.refused for trip in trips if trip.refused],
        "compose_median_ms": milliseconds(trip.compose_seconds for trip in done),
        "slice_median_ms": milliseconds(trip.slice_seconds for trip in done),
        "encode_floor_ms": milliseconds(trip.encode_seconds for trip in done),
        "sheet": similarities(trip.sheet_ssim for trip in done),
        **formats,
    }


def similarities(values: Iterable[float]) -> dict[str, float]:
    """Return how many of the similarities are high, their median and the least."""
    ordered = sorted(values)
    return {
        "at_least_0.95": sum(value >= 0.95 for value in ordered),
        "median": round(statistics.median(ordered), 3),
        "least": round(ordered[0], 3),
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
