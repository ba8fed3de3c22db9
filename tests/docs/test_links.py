"""The documentation as it is read on a forge: every relative link leads somewhere."""

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

PROJECT = Path(__file__).parents[2]
GENERATED = {"parameters.md", "catalog.md", "pipelines.md"}
PAGES = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")]
PAGES = [page for page in PAGES if not (page.parent.name == "reference" and page.name in GENERATED)]


def targets(page: Path) -> list[str]:
    """Return where links and pictures of a page lead that are not on the network."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    inner = [child for token in tokens for child in token.children or ()]
    found = [str(token.attrs.get("href") or token.attrs.get("src") or "") for token in inner]
    return [target for target in found if target and not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """Return the names of a page's headings as forges and the site make them."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    headings = [
        tokens[index + 1].content for index, token in enumerate(tokens) if token.type == "heading_open"
    ]
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in targets(page):
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{target} is not there"
        assert path.is_relative_to(PROJECT), f"{target} leads out of the project"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{target}: no such heading"


def test_every_page_is_in_the_table_of_contents() -> None:
    index = (PROJECT / "docs/index.md").read_text(encoding="utf-8")
    listed = [
        line.strip()
        for block in re.findall(r"```\{toctree\}(.*?)```", index, re.S)
        for line in block.splitlines()
    ]
    patterns = [line for line in listed if line and not line.startswith(":") and line != "{toctree}"]
    docs = PROJECT / "docs"
    reached = {path for pattern in patterns for path in docs.glob(f"{pattern}.md")}
    assert set(docs.rglob("*.md")) - reached - {docs / "reference" / name for name in GENERATED} == {
        docs / "index.md"
    }


def test_pictures_of_the_pages_are_small() -> None:
    for picture in (PROJECT / "docs/images").iterdir():
        limit_kib = 600 if picture.name in {"gallery.png", "skins.png", "lineage.png"} else 150
        assert picture.stat().st_size <= limit_kib * 1024, picture.name
