"""One page of all exported skins: how each looks, a link to try it, and its packages to install.

Pictures are embedded; packages and trial pages are linked where the catalog keeps them.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from skin_pipeline.items import Item, Items
from skin_pipeline.pages import page_environment, webp_uri
from skin_pipeline.skins.export.packages import Provenance

_TEMPLATE = "showcase.html.jinja2"
_PREVIEW = "demo.png"
_WIDTH_PX = 640


@dataclass(frozen=True)
class Download:
    """A link to a package.

    Attributes:
        name: The apps it is for.
        href: Where it lies, as seen from the page.
        size_kib: Its size.
        losses: What the format could not say.
    """

    name: str
    href: str
    size_kib: int
    losses: tuple[str, ...]


@dataclass(frozen=True)
class Card:
    """A skin on the page.

    Attributes:
        id: The generated picture's id.
        prompt: What it was generated from.
        preview: The keyboard, as a data URI.
        trial: Where its trial page lies, if there is one.
        downloads: Its packages.
        made_by: Its provenance.
    """

    id: str
    prompt: str
    preview: str
    trial: str | None
    downloads: tuple[Download, ...]
    made_by: str


APPS: Mapping[str, str] = {
    "baidu_packages": "Baidu (.bds)",
    "hamster_packages": "Hamster, Yuanshu (.cskin)",
    "trime_packages": "Trime (.zip)",
    "fcitx_packages": "fcitx5-android (.zip)",
}
"""Who takes the packages of a dataset."""


def render_showcase(
    generated_skins: Items, trial_pages: Items, packages: Mapping[str, Items], outputs: str
) -> str:
    """Return the page.

    Args:
        generated_skins: Pictures, for their prompts.
        trial_pages: Pages to try skins on.
        packages: Packages by the name of their dataset; previews are those of ``baidu_packages``.
        outputs: The folder of the datasets, as seen from the page.

    Returns:
        HTML.
    """
    shown = packages["baidu_packages"]
    cards = [_card(item, generated_skins, trial_pages, packages, outputs) for item in shown.values()]
    left_out = {item_id: reason for items in packages.values() for item_id, reason in items.rejected.items()}
    return (
        page_environment(Path(__file__).parent)
        .get_template(_TEMPLATE)
        .render(cards=cards, left_out=sorted(left_out.items()))
    )


def _card(
    item: Item, generated_skins: Items, trial_pages: Items, packages: Mapping[str, Items], outputs: str
) -> Card:
    downloads = tuple(
        _download(dataset, items[item.id], outputs) for dataset, items in packages.items() if item.id in items
    )
    trial = _href(outputs, "trial_pages", trial_pages[item.id]) if item.id in trial_pages else None
    made_by = Provenance(**item.record["provenance"])
    run = f"run {made_by.run_id}, " if made_by.run_id else ""
    return Card(
        id=item.id,
        prompt=generated_skins[item.id].record["prompt"] if item.id in generated_skins else "",
        preview=_preview(item),
        trial=trial,
        downloads=downloads,
        made_by=f"{made_by.generator}, {run}weights {made_by.weights_sha256[:12]}",
    )


def _download(dataset: str, item: Item, outputs: str) -> Download:
    assert item.path is not None, "packages are files"
    return Download(
        name=APPS[dataset],
        href=_href(outputs, dataset, item),
        size_kib=round(item.path.stat().st_size / 1024),
        losses=tuple(item.record["losses"]),
    )


def _href(outputs: str, dataset: str, item: Item) -> str:
    assert item.path is not None, "packages and pages are files"
    return quote(f"{outputs}/{dataset}/{item.id}{item.path.suffix}")


def _preview(item: Item) -> str:
    """Return a package's own preview as a data URI."""
    assert item.path is not None, "packages are files"
    with zipfile.ZipFile(item.path) as package, Image.open(io.BytesIO(package.read(_PREVIEW))) as picture:
        return webp_uri(np.asarray(picture.convert("RGB")), _WIDTH_PX, quality=90)
