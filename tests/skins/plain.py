"""A plain skin on the standard keyboards."""

from dataclasses import replace

from skin_pipeline.skins.model import (
    Appearance,
    CandidateBar,
    Fill,
    Keyboard,
    Layer,
    Lettering,
    Theme,
)
from skin_pipeline.skins.sheets.keyboards import standard_keyboards

PANEL = (205, 220, 235, 255)
CAP = (250, 250, 250, 255)
PRESSED_CAP = (90, 140, 220, 255)
INK = (20, 30, 60, 255)


def plain_keyboard(kind) -> Keyboard:
    """Return a standard keyboard with rounded caps, pressed ones of another colour, and written legends."""
    geometry = standard_keyboards()[kind]
    board = geometry.keyboard(kind)
    cap = Appearance(Fill(CAP, radius=10), Fill(PRESSED_CAP, radius=10))
    keys = []
    for key in board.keys:
        label = geometry.keys[key.id].label
        legend = Appearance(Lettering(label, 30, INK), Lettering(label, 30, INK))
        keys.append(replace(key, background=Layer(cap), foregrounds=(Layer(legend),)))
    panel, bar = Fill(PANEL), Fill((120, 150, 190, 255))
    return replace(
        board,
        keys=tuple(keys),
        background=Appearance(panel, panel),
        bar=CandidateBar(board.bar.rect, background=Appearance(bar, bar)),
    )


def plain_theme() -> Theme:
    """Return a theme of all standard keyboards."""
    return Theme("default", tuple(plain_keyboard(kind) for kind in standard_keyboards()))
