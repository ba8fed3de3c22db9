"""Importers meet packages that nobody would make on purpose, and some that somebody would."""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from skin_pipeline.errors import SkinPipelineError
from skin_pipeline.skins.packages import read_skin
from skin_pipeline.skins.rendering import render_keyboard
from tests.skins.mutations import mutated_package

_MAX_GROWTH_BYTES = 512 << 20
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = (
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.link",
    "os.symlink",
    "os.truncate",
    "shutil.",
    "subprocess.",
    "os.system",
)
_watched: list[str] | None = None


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    """Note what changes files while somebody watches; an audit hook cannot be removed."""
    if _watched is None:
        return
    if event == "open":
        _, mode, flags = arguments
        if (isinstance(mode, str) and set(mode) & set("wax+")) or (
            isinstance(flags, int) and flags & _WRITES
        ):
            _watched.append(f"{event} {arguments}")
    elif event.startswith(_CHANGES):
        _watched.append(f"{event} {arguments}")


sys.addaudithook(_watch)


@contextmanager
def nothing_is_written() -> Iterator[None]:
    global _watched  # noqa: PLW0603 - the one thing that an audit hook can look at
    _watched = []
    try:
        yield
        assert _watched == []
    finally:
        _watched = None


def outcome(path: Path, seed: int) -> str:
    """Read and draw a mutated package; anything but a skin or a stated error is a bug."""
    path.write_bytes(mutated_package(seed))
    try:
        with nothing_is_written():
            skin = read_skin(path)
            for theme in skin.themes:
                for board in theme.keyboards[:2]:
                    render_keyboard(
                        board, 120, pressed=[key.id for key in board.keys[:2]], candidates=["你好"]
                    )
    except SkinPipelineError:
        return "refused"
    except BaseException as exc:
        raise AssertionError(f"seed {seed}: {type(exc).__name__}: {exc}") from exc
    return "with findings" if skin.findings else "clean"


def fuzz(path: Path, seeds: range) -> dict[str, int]:
    outcome(path, 0)  # fonts and codecs are loaded once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes = [outcome(path, seed) for seed in seeds]
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < _MAX_GROWTH_BYTES, f"memory grew by {grown >> 20} MiB"
    return {name: outcomes.count(name) for name in sorted(set(outcomes))}


def test_mutated_packages_are_read_or_refused(tmp_path):
    outcomes = fuzz(tmp_path / "skin.bds", range(1, 160))
    # Mutations that only ever break a package, or never do, would prove little.
    assert min(outcomes.get(name, 0) for name in ("clean", "refused", "with findings")) > 4, outcomes


def test_the_watch_sees_writing(tmp_path):
    with pytest.raises(AssertionError), nothing_is_written():
        (tmp_path / "new.txt").write_text("x")


@pytest.mark.slow
def test_twenty_thousand_mutated_packages_are_read_or_refused(tmp_path):
    outcomes = fuzz(tmp_path / "skin.bds", range(160, 20_160))
    assert sum(outcomes.values()) == 20_000
