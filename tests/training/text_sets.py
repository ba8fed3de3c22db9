"""A training set with legends, and a recogniser of a few weights in place of PP-OCR's."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from skin_pipeline.recognition.torch_recognizer import TorchRecognizer
from tests.tiny_models import save_training_set

LEGENDS = [("AB", [[8, 8], [40, 8], [40, 24], [8, 24]]), ("空格", [[20, 36], [60, 36], [60, 56], [20, 56]])]
"""Of each picture of 64 px."""


def save_text_set(folder: Path) -> Path:
    """Save a training set whose rows quote two legends each."""
    save_training_set(folder)
    for split in ("train", "validation"):
        path = folder / f"{split}.jsonl"
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for row in rows:
            quoted = ", ".join(f'"{text}"' for text, _ in LEGENDS)
            row |= {"text": f"a keyboard, writing {quoted}", "box": [quad for _, quad in LEGENDS]}
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        path.write_text(lines, encoding="utf-8")
    return folder


class _TinyEncoder(nn.Module):
    def forward(self, hidden: Tensor) -> Any:
        return SimpleNamespace(last_hidden_state=hidden)


class _TinyNetwork(nn.Module):
    """Columns of 8 pixels, each through two linear layers."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.columns = nn.Conv2d(3, 6, (48, 8), stride=(48, 8))
        self.head = nn.Module()
        self.head.encoder = _TinyEncoder()
        self.head.head = nn.Linear(6, num_classes)

    def model(self, crops: Tensor) -> Any:
        return SimpleNamespace(last_hidden_state=self.columns(crops).tanh().squeeze(2).transpose(1, 2))


def tiny_recognizer(*_: object) -> TorchRecognizer:
    """Return a recogniser of random weights, the same each time, that knows four characters."""
    characters = ("", "A", "B", "空", "格", " ")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TorchRecognizer(_TinyNetwork(len(characters)), characters, "tiny")
