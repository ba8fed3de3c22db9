"""How well are the legends of real keyboards read, whose layout is known?

    python benchmarks/reading.py FOLDER            # minutes on a processor
    python benchmarks/reading.py FOLDER --quick    # 3 pictures

FOLDER holds the pictures that benchmarks/reading_labels.yml names (previews of AkosPaha/Rboard-ColorsTheme);
those that are missing are left out. Each label has a text and a place. A reading that data_prep would keep
(confidence above the gate) is right if a label of its text, case included, lies where it is, and no other
reading has taken that label.

    precision   right ones among the kept
    recall      labels that were read, among letters, words, and hints (small digits beside letters)
    alone       what the recogniser says, before the keyboard's other legends are heard
    case        the same, but letters follow the case of the others
    agreed      what data_prep records

Marks (, . /) and symbols beside letters count as right where they are read, and are not asked for. Sorts of
bullet and spaces are taken as equal.

Prints a table by gate, and all figures as one line of JSON at the end.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from skin_pipeline.recognition.agreement import settle_case
from skin_pipeline.recognition.read_text import ReadText
from skin_pipeline.recognition.reader import TextReader
from skin_pipeline.recognition.weights import embedded_weights

LABELS = Path(__file__).with_name("reading_labels.yml")
GATES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
DEFAULT_GATE = 0.98
ROWS = {True: (0.255, 0.893), False: (0.115, 0.875)}
"""Centres of the first and the fourth row in heights of the picture, with a toolbar and without."""
STAGGER = (0.5, 1.0, 2.0)
"""Centre of a row's first letter in tenths of the width."""
BAR_ROW = 0.1
TOLERANCE = (0.05, 0.10)
"""How far a reading's centre may lie from its label's, in widths and heights of the picture: half a key."""
WORD_TOLERANCE = (0.08, 0.10)
_BULLETS = str.maketrans("·∙●", "•••", " ")


KINDS = ("letter", "word", "hint", "mark")
SYSTEMS = ("alone", "case", "agreed")

Placed = tuple[str, tuple[float, float]]
"""A text and its centre, in widths and heights of the picture."""
Reading = tuple[ReadText, tuple[float, float]]


@dataclass(frozen=True)
class Label:
    """A legend of a picture."""

    text: str
    centre: tuple[float, float]
    """x and y, in widths and heights of the picture."""
    kind: str
    """letter, word, hint or mark"""

    def is_at(self, x: float, y: float) -> bool:
        """Say whether a reading with this centre can be this legend."""
        across, down = WORD_TOLERANCE if self.kind == "word" else TOLERANCE
        return abs(x - self.centre[0]) <= across and abs(y - self.centre[1]) <= down


@dataclass(frozen=True)
class Counts:
    """How readings of one picture compare with its labels, at one gate."""

    kept: int
    right: int
    found: Mapping[str, int]
    wanted: Mapping[str, int]


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark and return its figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="3 pictures")
    options = parser.parse_args(arguments)
    labels = {name: labels_ for name, labels_ in read_labels() if (options.folder / name).is_file()}
    if not labels:
        raise SystemExit(f"{options.folder} has none of the pictures that {LABELS.name} names.")
    names = list(labels)[:3] if options.quick else list(labels)
    reader = TextReader(embedded_weights())
    readings = {name: read_picture(reader, options.folder / name) for name in names}
    figures = {
        "benchmark": "reading",
        "num_pictures": len(names),
        "num_labels": {kind: count_labels(labels, names, kind) for kind in KINDS},
        "default_gate": DEFAULT_GATE,
        "systems": {system: sweep(labels, readings, system) for system in SYSTEMS},
        "wrong": wrong_readings(labels, readings),
    }
    report(figures)
    return figures


def count_labels(labels: Mapping[str, list[Label]], names: Sequence[str], kind: str) -> int:
    """Return how many legends of a kind the named pictures have."""
    return sum(label.kind == kind for name in names for label in labels[name])


def read_labels() -> Iterator[tuple[str, list[Label]]]:
    """Yield each picture's name and legends."""
    document = yaml.safe_load(LABELS.read_text(encoding="utf-8"))
    for name, skin in document["skins"].items():
        yield name, list(labels_of(skin, document["layouts"][skin["layout"]]))


def labels_of(skin: Mapping[str, Any], rows: Sequence[str]) -> Iterator[Label]:
    """Yield the legends of a picture with their places."""
    first, last = ROWS[skin["bar"]]
    heights = np.linspace(first, last, 4)
    hints = skin.get("hints", ["1234567890"])
    for number, letters in enumerate(rows):
        for column, letter in enumerate(letters):
            centre = ((column + STAGGER[number]) / 10, float(heights[number]))
            yield Label(letter.upper() if skin["case"] == "upper" else letter, centre, "letter")
            if number < len(hints):
                hint = hints[number][column]
                yield Label(hint, centre, "hint" if hint.isdigit() else "mark")
    bottom = float(heights[3])
    yield Label("?123", (0.078, bottom), "word")
    yield Label(skin["space"], (0.55, bottom), "word")
    yield Label(skin.get("mark", ","), (0.2, bottom), "mark")
    yield Label(".", (0.8, bottom), "mark")
    for word, x in skin.get("words", {}).items():
        yield Label(word, (x, BAR_ROW), "word")


def read_picture(reader: TextReader, path: Path) -> list[tuple[ReadText, tuple[float, float]]]:
    """Read a picture; return each text with its centre in widths and heights of the picture."""
    picture = np.asarray(Image.open(path).convert("RGB"))
    height, width = picture.shape[:2]
    centres = [(text, text.quad.mean(axis=0) / (width, height)) for text in reader.read(picture)]
    return [(text, (float(x), float(y))) for text, (x, y) in centres]


def sweep(
    labels: Mapping[str, list[Label]], readings: Mapping[str, list[Reading]], system: str
) -> list[dict[str, float]]:
    """Return precision and recall at each gate."""
    rows = []
    for gate in GATES:
        counts = [count(labels[name], kept(found, gate, system)) for name, found in readings.items()]
        letters_and_words = [share(counts, kind) for kind in ("letter", "word")]
        rows.append(
            {
                "gate": gate,
                "kept": sum(one.kept for one in counts),
                "precision": ratio(sum(one.right for one in counts), sum(one.kept for one in counts)),
                "recall_letters": ratio(*letters_and_words[0]),
                "recall_words": ratio(*letters_and_words[1]),
                "recall_letters_and_words": ratio(*np.sum(letters_and_words, axis=0)),
                "recall_hints": ratio(*share(counts, "hint")),
            }
        )
    return rows


def kept(found: Sequence[Reading], gate: float, system: str) -> list[Placed]:
    """Return texts above the gate with their centres, as one of :data:`SYSTEMS` has them."""
    pairs = [(text.text, text.confidence) if system == "agreed" else text.alone for text, _ in found]
    texts, confidences = [text for text, _ in pairs], [confidence for _, confidence in pairs]
    if system == "case":
        texts = settle_case(texts, confidences)
    said = zip(texts, confidences, (centre for _, centre in found), strict=True)
    return [(text, centre) for text, confidence, centre in said if text and confidence > gate]


def count(labels: Sequence[Label], texts: Sequence[Placed]) -> Counts:
    """Compare the kept texts of one picture with its labels."""
    free = list(labels)
    for text, centre in texts:
        label = next((one for one in free if same(one.text, text) and one.is_at(*centre)), None)
        if label:
            free.remove(label)
    taken = [label for label in labels if label not in free]
    return Counts(
        kept=len(texts),
        right=len(taken),
        found={kind: sum(label.kind == kind for label in taken) for kind in KINDS},
        wanted={kind: sum(label.kind == kind for label in labels) for kind in KINDS},
    )


def same(one: str, other: str) -> bool:
    """Say whether two texts are the same but for spaces and the sort of bullet."""
    return one.translate(_BULLETS).replace(" ", "") == other.translate(_BULLETS).replace(" ", "")


def share(counts: Sequence[Counts], kind: str) -> tuple[int, int]:
    """Return found and wanted labels of a kind."""
    return sum(one.found[kind] for one in counts), sum(one.wanted[kind] for one in counts)


def ratio(part: float, whole: float) -> float:
    """Return a share, 0 of nothing."""
    return float(part / whole) if whole else 0.0


def wrong_readings(
    labels: Mapping[str, list[Label]], readings: Mapping[str, list[Reading]]
) -> dict[str, list[str]]:
    """Return what is kept at the default gate and is no label's text, by picture."""
    wrong = {}
    for name, found in readings.items():
        texts = kept(found, DEFAULT_GATE, "agreed")
        wrong[name] = [one[0] for one in texts if count(labels[name], [one]).right == 0]
    return {name: texts for name, texts in wrong.items() if texts}


def report(figures: Mapping[str, Any]) -> None:
    """Print a table, then everything as one line of JSON."""
    columns = ("precision", "recall_letters", "recall_words", "recall_hints")
    titles = "".join(f"{name.removeprefix('recall_'):>12}" for name in columns)
    print(f"{'':8}{'gate':>6}{'kept':>6}{titles}")
    for system, rows in figures["systems"].items():
        for row in rows:
            shares = "".join(f"{row[name]:12.3f}" for name in columns)
            print(f"{system:8}{row['gate']:6}{row['kept']:6}{shares}")
    print(json.dumps(figures, ensure_ascii=False))


if __name__ == "__main__":
    main()
