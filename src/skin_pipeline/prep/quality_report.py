"""One self-contained HTML page of what was judged, what fell out and why.

For every limit: how its measure is spread, where the limit lies in it, and the skins nearest to it on either
side, so that a user can see whether it is where they would have put it. Pictures are embedded and nothing is
fetched; the same skins and limits give the same page, byte by byte. Its size does not grow with the number of
skins: each part shows so many and counts the rest.
"""

import base64
import hashlib
import heapq
import io
from array import array
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from skin_pipeline.errors import InputError
from skin_pipeline.items import Item, Items, PagePlan, json_digest, source_digest
from skin_pipeline.pages import page_environment
from skin_pipeline.prep.duplicates import LookAlikes, find_look_alikes, have_same_legends
from skin_pipeline.prep.pictures import RGBPicture, read_picture
from skin_pipeline.prep.quality import AtLeast, AtMost, Check, Measure
from skin_pipeline.prep.screen import ScreenParameters, screen_measures
from skin_pipeline.prep.select import (
    EDGE_SCORE,
    RepeatLimit,
    SelectionParameters,
    look_of,
    selection_measures,
)

_TEMPLATE = "quality_report.html.jinja2"
EXAMPLES = 6
"""Skins shown on each side of a limit."""
LISTED = 60
"""Left-out skins shown with their reasons."""
LOOKED_BEYOND = 4
"""Pairs are looked at whose colours are up to so many times the limit apart."""
PICTURE_PX = 240
PICTURE_QUALITY = 72
_BINS = 48
_PAIRS_HELD = 1000
_MAKERS = ("caption_quality", "duplicates", "pictures", "quality", "screen", "select")
"""Modules of this package whose source decides, beside this one's, what the page looks like."""
Measures = Mapping[str, Measure]
_CAPTION_CHECKS = {"caption_words", "caption_tokens", "repeated_words", "non_words", "banned_terms"}


@dataclass(frozen=True)
class QualitySources:
    """What is reported on."""

    screened_skins: Items
    resized_skins: Items
    edge_maps: Items
    captions: Items
    selected_skins: Items


@dataclass(frozen=True)
class Example:
    """A skin on the page."""

    skin: str
    value: str
    note: str
    picture: str
    """Name of its picture among the page's; empty if it has none."""
    edges: str = ""


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram, in percent of its width and height."""

    left: float
    width: float
    height: float
    beyond: bool
    label: str


@dataclass(frozen=True)
class Histogram:
    """How a measure is spread."""

    bars: tuple[Bar, ...]
    low: str
    """Where the axis begins."""
    high: str
    """Where it ends."""
    bound_left: float
    """Place of the limit, in percent."""
    bound: str
    lowest: str
    """Smallest value."""
    highest: str
    """Largest value."""


@dataclass(frozen=True)
class Section:
    """A limit on the page."""

    check: Check
    limit: AtLeast | AtMost
    num_judged: int
    num_beyond: int
    median: str
    histogram: Histogram | None
    """None where all values are equal."""
    good: tuple[Example, ...]
    beyond: tuple[Example, ...]


@dataclass(frozen=True)
class PairExample:
    """Two skins of one look on the page."""

    first: Example
    second: Example
    value: str


@dataclass(frozen=True)
class PairGroup:
    """Pairs with one verdict."""

    title: str
    num_pairs: int
    pairs: tuple[PairExample, ...]


@dataclass(frozen=True)
class RepeatSection:
    """The limit on repeats on the page."""

    limit: RepeatLimit
    num_repeats: int
    groups: tuple[PairGroup, ...]


@dataclass
class _Album:
    """The pictures of the page, each once, however often it is shown."""

    sources: QualitySources
    uris: dict[str, str] = field(default_factory=dict)
    _names: dict[tuple[str, str], str] = field(default_factory=dict)

    def skin(self, skin: str) -> str:
        """Return the name of a skin's picture; empty if it has none that can be shown."""
        return self._name("skin", skin)

    def edges(self, skin: str) -> str:
        """Return the name of a skin's edge map; empty if it has none."""
        return self._name("edges", skin) if skin in self.sources.edge_maps else ""

    def _name(self, kind: str, skin: str) -> str:
        if (kind, skin) not in self._names:
            pixels = self._skin_pixels(skin) if kind == "skin" else self._edge_pixels(skin)
            name = "" if pixels is None else f"p{len(self.uris)}"
            if pixels is not None:
                self.uris[name] = _webp_uri(_thumbnail(pixels, self._aspect(skin)), lossless=kind == "edges")
            self._names[kind, skin] = name
        return self._names[kind, skin]

    def _skin_pixels(self, skin: str) -> RGBPicture | None:
        """Read the resized skin where there is one: it is small."""
        if skin in self.sources.resized_skins:
            return self.sources.resized_skins[skin].load_image()
        item = self.sources.screened_skins.left_out.get(skin) or self.sources.screened_skins.get(skin)
        if item is None or item.path is None:
            return None
        try:
            return read_picture(item.path)
        except InputError:  # the file was changed since; the report is no place to stop for that
            return None

    def _edge_pixels(self, skin: str) -> RGBPicture:
        return np.repeat(self.sources.edge_maps[skin].load_image()[..., None], 3, axis=2)

    def _aspect(self, skin: str) -> float | None:
        """Return width over height of the raw skin if the resized one was stretched."""
        resized = self.sources.resized_skins.get(skin)
        if resized is None or resized.record.get("fit") != "stretch":
            return None
        width, height = resized.record["source_size_px"]
        return float(width / height)


def plan_report(
    sources: QualitySources, screen: ScreenParameters, selection: SelectionParameters
) -> PagePlan:
    """Plan the page; it is rendered anew only when something that it shows has changed.

    Args:
        sources: See :func:`render_report`.
        screen: The same.
        selection: The same.
    """
    contents = {name: items.full_digest for name, items in vars(sources).items()}
    limits = [
        parameters.model_dump(mode="json", exclude={"num_workers"}) for parameters in (screen, selection)
    ]
    makers = [__name__, page_environment.__module__, *(f"{__package__}.{name}" for name in _MAKERS)]
    modules = {module: source_digest(module) for module in makers}
    template = hashlib.sha256((Path(__file__).parent / _TEMPLATE).read_bytes()).hexdigest()
    key = json_digest([contents, limits, modules, template])
    return PagePlan(partial(render_report, sources, screen, selection), key)


def render_report(sources: QualitySources, screen: ScreenParameters, selection: SelectionParameters) -> str:
    """Render the page.

    Args:
        sources: Items of the stages, those that selections left out among them.
        screen: The limits of the screening.
        selection: The limits of the selection.

    Returns:
        HTML.
    """
    album = _Album(sources)
    measure_selected = partial(selection_measures, banned_terms=selection.banned_terms.terms)
    screened = _Measured(_judged(sources.screened_skins), screen_measures)
    selected = _Measured(_judged(sources.selected_skins), measure_selected)
    sections = [
        *(_section(*limit, screened, album) for limit in screen.limits().items()),
        *(_section(*limit, selected, album) for limit in selection.limits().items()),
    ]
    repeats = _repeat_section(selected.items, selection.repeats, album)
    left_out = _left_out(sources, album)
    return (
        page_environment(Path(__file__).parent)
        .get_template(_TEMPLATE)
        .render(
            num_raw=len(sources.screened_skins) + len(sources.screened_skins.rejected),
            num_selected=len(sources.selected_skins),
            num_left_out=sum(len(items.rejected) for items in _stages(sources)),
            sections=sections,
            repeats=repeats,
            left_out=left_out,
            uris=album.uris,
        )
    )


def _judged(items: Items) -> dict[str, Item]:
    """Return all items that were measured, those that were left out among them."""
    return {**items, **items.left_out}


def _stages(sources: QualitySources) -> list[Items]:
    return [
        sources.screened_skins,
        sources.resized_skins,
        sources.edge_maps,
        sources.captions,
        sources.selected_skins,
    ]


# --- limits -------------------------------------------------------------------------------------------


class _Measured:
    """The values of all skins as arrays; what more there is to say is measured again for those shown."""

    def __init__(self, items: Mapping[str, Item], measure: Callable[[Mapping[str, Any]], Measures]) -> None:
        self.items = items
        self.skins = list(items)
        self._measure = measure
        self._values: dict[str, array[float]] = defaultdict(lambda: array("d"))
        for item in items.values():
            for name, one in measure(item.record).items():
                self._values[name].append(one.value)

    def values(self, check: Check) -> NDArray[np.float64]:
        """Return the values of all skins, in their order."""
        return np.array(self._values[check.name], dtype=np.float64)

    def of(self, skin: str, check: Check) -> Measure:
        """Return the measure of one skin."""
        return self._measure(self.items[skin].record)[check.name]


def _section(check: Check, limit: AtLeast | AtMost, measured: _Measured, album: _Album) -> Section:
    values = measured.values(check)
    good = np.array([limit.admits(value) for value in values], dtype=bool)

    def examples(positions: NDArray[np.intp]) -> tuple[Example, ...]:
        distances = np.abs(values[positions] - limit.bound)
        nearest = positions[np.argsort(distances, kind="stable")[:EXAMPLES]]
        skins = [measured.skins[position] for position in nearest]
        return tuple(_example(check, skin, measured.of(skin, check), album) for skin in skins)

    varied = len(np.unique(values)) > 1
    shown = limit.action != "off" and (varied or not good.all())
    return Section(
        check=check,
        limit=limit,
        num_judged=len(values),
        num_beyond=int((~good).sum()),
        median=f"{np.median(values):.4g}" if len(values) else "–",
        histogram=_histogram(values, limit) if varied else None,
        good=examples(np.flatnonzero(good)) if shown else (),
        beyond=examples(np.flatnonzero(~good)) if shown else (),
    )


def _example(check: Check, skin: str, measure: Measure, album: _Album) -> Example:
    note = measure.detail
    if check.name in _CAPTION_CHECKS:
        note = str(album.sources.captions[skin].record["caption"])
    edges = album.edges(skin) if check == EDGE_SCORE else ""
    return Example(skin, f"{measure.value:.4g}", note, album.skin(skin), edges)


def _histogram(values: NDArray[np.float64], limit: AtLeast | AtMost) -> Histogram:
    """Count values in bins; one bin for each whole number where there are few of them."""
    low, high = min(values.min(), limit.bound), max(values.max(), limit.bound)
    num_bins, ends = _BINS, (f"{low:.4g}", f"{high:.4g}")
    if high - low < _BINS and (values == np.round(values)).all():
        low, high = np.floor(low) - 0.5, np.ceil(high) + 0.5
        num_bins = int(high - low)
    counts, edges = np.histogram(values, bins=num_bins, range=(low, high))
    bars = [
        Bar(
            left=round(100 * index / num_bins, 3),
            width=round(100 / num_bins, 3),
            height=round(100 * float(np.sqrt(count / counts.max())), 2),  # roots: single skins stay visible
            beyond=not limit.admits((edges[index] + edges[index + 1]) / 2),
            label=f"{count} at {(edges[index] + edges[index + 1]) / 2:.4g}",
        )
        for index, count in enumerate(counts)
        if count
    ]
    place = 100 * (limit.bound - low) / (high - low)
    return Histogram(
        tuple(bars),
        low=ends[0],
        high=ends[1],
        bound_left=round(place, 2),
        bound=f"{limit.bound:g}",
        lowest=f"{values.min():.4g}",
        highest=f"{values.max():.4g}",
    )


# --- repeats ------------------------------------------------------------------------------------------


def _repeat_section(judged: Mapping[str, Item], limit: RepeatLimit, album: _Album) -> RepeatSection | None:
    if limit.action == "off":
        return None
    looks = {skin: look_of(item.record) for skin, item in judged.items()}
    pairs = find_look_alikes(looks, limit.max_bits, LOOKED_BEYOND * max(1.0, limit.max_colour_distance))
    repeats, other_text, other_colours = (_Nearest(limit.max_colour_distance) for _ in range(3))
    for pair in pairs:
        if pair.colour_distance > limit.max_colour_distance:
            other_colours.add(pair)
        elif have_same_legends(looks[pair.first], looks[pair.second]):
            repeats.add(pair)
        else:
            other_text.add(pair)
    titled = {
        "Repeats, nearest to the limit first": repeats,
        "Kept: the colours are the same, the legends are not": other_text,
        "Kept: other colours, nearest to the limit first": other_colours,
    }
    groups = [
        PairGroup(title, some.count, tuple(_pair_example(pair, album) for pair in some.pairs()))
        for title, some in titled.items()
        if some.count
    ]
    return RepeatSection(limit, repeats.count, tuple(groups))


class _Nearest:
    """Of any number of pairs those whose colours are nearest to the limit."""

    def __init__(self, limit: float) -> None:
        self.count = 0
        self._limit = limit
        self._pairs: list[LookAlikes] = []

    def add(self, pair: LookAlikes) -> None:
        """Take a pair in."""
        self.count += 1
        self._pairs.append(pair)
        if len(self._pairs) > _PAIRS_HELD:
            self._pairs = self.pairs()

    def pairs(self) -> list[LookAlikes]:
        """Return the nearest, nearest first."""
        return heapq.nsmallest(EXAMPLES, self._pairs, key=self._rank)

    def _rank(self, pair: LookAlikes) -> tuple[float, str, str]:
        return abs(pair.colour_distance - self._limit), pair.first, pair.second


def _pair_example(pair: LookAlikes, album: _Album) -> PairExample:
    first, second = (Example(skin, "", "", album.skin(skin)) for skin in (pair.first, pair.second))
    return PairExample(first, second, f"{pair.bits} bits, colours {pair.colour_distance:.3g} apart")


def _left_out(sources: QualitySources, album: _Album) -> list[Example]:
    """Return the first skins that any stage left out, with their reasons."""
    rejected = (pair for items in _stages(sources) for pair in items.rejected.items())
    return [Example(skin, "", reason, album.skin(skin)) for skin, reason in islice(rejected, LISTED)]


# --- pictures -----------------------------------------------------------------------------------------


def _thumbnail(pixels: RGBPicture, aspect: float | None) -> RGBPicture:
    """Shrink a picture to :data:`PICTURE_PX` on its longer side, with the proportions that it had."""
    height, width = pixels.shape[:2]
    aspect = aspect or width / height
    size = (PICTURE_PX, PICTURE_PX / aspect) if aspect >= 1 else (PICTURE_PX * aspect, PICTURE_PX)
    target = (max(1, round(size[0])), max(1, round(size[1])))
    return np.asarray(cv2.resize(pixels, target, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _webp_uri(pixels: RGBPicture, *, lossless: bool) -> str:
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "WEBP", method=4, lossless=lossless, quality=PICTURE_QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(encoded.getvalue()).decode()}"
