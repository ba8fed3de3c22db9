"""The whole of data_prep on a folder of bad and odd files: each comes out, or is left out with a reason."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .conftest import Animal, draw_skin, encoded

MEMORY_CAP_MIB = 350
"""Of the process that prepares the zoo, all libraries included (220 MiB of it); the bomb would take 2,600."""

PREPARE = """
import json, sys
from pathlib import Path
from tests import preparing

class Patch:
    setattr = staticmethod(setattr)

preparing.use_stand_ins(Patch)
preparing.run_data_prep(Path(sys.argv[1]))
# ru_maxrss would count the parent's, too
[peak] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps(int(peak.split()[1]) / 1024))
"""


@dataclass(frozen=True)
class Prepared:
    """What came of the zoo."""

    animals: dict[str, Animal]
    published: set[str]
    rejected: dict[str, str]
    peak_mib: float


def odd_names() -> dict[str, Animal]:
    """Names that other systems reserve or that a script would trip over; their pictures are good."""
    accent = "é"
    names = (
        "CON.png", "nul.png", "dot at the end..png", "two\nlines.png", "a space .png", "-rf.png", "'\".png",
        f"nfc_{unicodedata.normalize('NFC', accent)}.png", f"nfd_{unicodedata.normalize('NFD', accent)}.png",
        f"{unicodedata.normalize('NFC', accent)}.png", f"{unicodedata.normalize('NFD', accent)}.png",
        "twin.png", "twin.bmp", "twin.png.webp", "no_suffix", "🦓.png", "%s%n.png", "$HOME.png", "a\\b.png",
    )  # fmt: skip
    formats = {".bmp": "BMP", ".webp": "WEBP"}
    return {
        name: Animal(encoded(draw_skin(500 + seed), formats.get(Path(name).suffix, "PNG")), None)
        for seed, name in enumerate(names)
    } | {f"{'x' * 245}.png": Animal(encoded(draw_skin(600), "PNG"), "a name of more than 240 bytes")}


def add_what_is_no_file(folder: Path) -> dict[str, str]:
    """Put links and pipes into the raw folder; return the reason for which each is left out, by name."""
    outside = folder.parent / "secret.png"
    outside.write_bytes(encoded(draw_skin(700), "PNG"))
    (folder / "link_out.png").symlink_to(outside)
    (folder / "link_to_folder").symlink_to(folder.parent)
    (folder / "link_to_nothing.png").symlink_to("gone.png")
    os.mkfifo(folder / "pipe.png")
    (Path(os.fsdecode(os.fsencode(str(folder)) + b"/latin_\xe9.png"))).write_bytes(b"")
    return {
        "link_out.png": "leads out of the folder",
        "link_to_folder": "leads out of the folder",
        "link_to_nothing.png": "a link to a file that does not exist",
        "pipe.png": "not a regular file",
        "latin_\\xe9.png": "a name that is not UTF-8",
    }


@pytest.fixture(scope="module")
def prepared(zoo: dict[str, Animal], tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Prepare the zoo in a process of its own."""
    data = tmp_path_factory.mktemp("zoo") / "data"
    folder = data / "01_raw"
    animals = zoo | odd_names()
    for name, animal in animals.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(animal.content)
    no_files = add_what_is_no_file(folder)
    animals |= {name: Animal(b"", reason) for name, reason in no_files.items()}
    script = data.parent / "prepare.py"
    script.write_text(PREPARE)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, script, data], env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    raw = {
        item["id"]: item["source"] for item in lines(data / "02_intermediate/screened_skins/_manifest.jsonl")
    }
    rows = [row for split in ("train", "validation") for row in lines(published_rows(data, split))]
    rejected = {line["source"]: line["reason"] for line in lines(data / "08_reporting/rejected.jsonl")}
    return Prepared(
        animals, {raw[row["skin"]] for row in rows}, rejected, float(done.stdout.splitlines()[-1])
    )


def published_rows(data: Path, split: str) -> Path:
    return data / "05_model_input" / "train_dataset" / f"{split}.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    """Read records; those of a list of items by their ``source``."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return [{"source": record.get("record", {}).get("source"), **record} for record in records]


def test_in_is_out_and_rejected(prepared: Prepared) -> None:
    assert len(prepared.animals) >= 70
    assert prepared.published.isdisjoint(prepared.rejected)
    assert prepared.published | prepared.rejected.keys() == prepared.animals.keys()


def test_every_bad_file_is_named_with_its_reason(prepared: Prepared) -> None:
    bad = {name: animal.refused for name, animal in prepared.animals.items() if animal.refused}
    assert len(bad) >= 30
    assert prepared.rejected.keys() == bad.keys()
    for name, pattern in bad.items():
        reason = pattern.replace("'plain'", "'plain.png'")  # which has a twin here
        assert re.search(reason, prepared.rejected[name]), (name, prepared.rejected[name])


def test_a_bomb_is_not_unpacked(prepared: Prepared) -> None:
    assert prepared.peak_mib < MEMORY_CAP_MIB
