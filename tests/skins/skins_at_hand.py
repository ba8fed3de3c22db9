"""A small, complete skin: every part of the model, pictures drawn here, geometry in whole pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from skin_pipeline.skins.model import (
    NOTHING,
    Action,
    Appearance,
    Atlas,
    BarIcon,
    CandidateBar,
    Condition,
    Fill,
    Function,
    Gesture,
    Insets,
    Key,
    Keyboard,
    KeyboardKind,
    KeyList,
    Layer,
    Lettering,
    Popup,
    Rect,
    Skin,
    TextStyle,
    Theme,
    ThemeName,
    Tile,
    Variant,
)

WIDTH, HEIGHT, BAR = 360, 216, 40
ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
NINE = ("@#", "abc", "def", "ghi", "jkl", "mno", "pqrs", "tuv", "wxyz")


def _atlas(name: str, size: tuple[int, int], paint) -> Atlas:
    image = Image.new("RGBA", size)
    paint(ImageDraw.Draw(image))
    return Atlas(name, np.array(image))


def _cap(colour, edge) -> Tile:
    atlas = _atlas(
        "cap", (24, 28), lambda d: d.rounded_rectangle((1, 1, 22, 26), 6, fill=colour, outline=edge)
    )
    return Tile(atlas, Rect(0, 0, 24, 28), "nine_patch", Insets(8, 8, 8, 9))


def _mark(seed: int, colour=(20, 30, 60, 255)) -> Tile:
    def paint(draw):
        for step in range(3):
            x = (seed * 7 + step * 5) % 9
            draw.rectangle((x, step * 4, x + 2, step * 4 + 2), fill=colour)

    atlas = _atlas(f"mark{seed}", (14, 14), paint)
    return Tile(atlas, Rect(1, 1, 12, 12))


def _panel(colours) -> Tile:
    ramp = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    ramp[..., 3] = 255
    across = np.linspace(0, 1, WIDTH)[None, :, None]
    ramp[..., :3] = (np.asarray(colours[0]) * (1 - across) + np.asarray(colours[1]) * across).astype(np.uint8)
    ramp[::9, ::7, :3] += 3
    return Tile(Atlas("panel", ramp), Rect(0, 0, WIDTH, HEIGHT), "stretch")


class _Look:
    """The pictures of one theme."""

    def __init__(self, dark: bool) -> None:
        cap, down, ink = ((70, 70, 80, 255), (120, 90, 60, 255), (250, 250, 250, 255)) if dark else (
            (250, 250, 250, 255), (200, 180, 240, 255), (20, 30, 60, 255))  # fmt: skip
        self.ink = ink
        self.cap = Layer(Appearance(_cap(cap, (0, 0, 0, 60)), _cap(down, (0, 0, 0, 90))))
        self.enter = Layer(
            Appearance(_cap((60, 90, 220, 255), (0, 0, 0, 60)), _cap((30, 50, 120, 255), (0, 0, 0, 90)))
        )
        self.panel = Appearance(
            *[_panel(((30, 30, 40), (60, 50, 90)) if dark else ((200, 210, 240), (240, 220, 230)))] * 2
        )
        bar = Fill((40, 40, 50, 255) if dark else (235, 235, 245, 255))
        self.bar = Appearance(bar, bar)
        self.text = TextStyle(18, ink, (200, 40, 40, 255), 400)

    def mark(self, seed: int, offset=(0, 0)) -> Layer:
        return Layer(Appearance(_mark(seed, self.ink), _mark(seed, (200, 40, 40, 255))), offset)

    def letter(self, text: str) -> Layer:
        return Layer(self.text.lettering(text))


def _key(look: _Look, key_id, rect, action, foregrounds=(), cap=None, **more) -> Key:
    touch = Rect(rect.x - 2, rect.y - 2, rect.width + 4, rect.height + 4)
    return Key(key_id, rect, touch, cap or look.cap, tuple(foregrounds), {Gesture.TAP: action}, **more)


def _letter_rows(look: _Look, letters_as_text: bool) -> list[Key]:
    keys = []
    for row, letters in enumerate(ROWS):
        left = 2 + (WIDTH - 36 * len(letters)) // 2
        for column, letter in enumerate(letters):
            rect = Rect(left + 36 * column, 2 + 54 * row, 32, 50)
            legend = look.letter(letter) if letters_as_text else look.mark(ord(letter))
            upper = Variant(
                foregrounds=(look.letter(letter.upper()),)
                if letters_as_text
                else (look.mark(ord(letter) + 40),),
                actions={Gesture.TAP: Action(Function.LETTER, letter.upper())},
            )
            hint = look.mark(column, (9, -16))
            key = _key(look, f"KEY{len(keys) + 1}", rect, Action(Function.LETTER, letter), (legend, hint))
            keys.append(replace(key, variants={Condition.SHIFTED: upper}, held_characters=letter.upper()))
    return keys


def _function_keys(look: _Look, count: int) -> list[Key]:
    places = (
        (Rect(2, 110, 50, 50), Action(Function.SHIFT, "F10"), None),
        (Rect(308, 110, 50, 50), Action(Function.BACKSPACE, "F36"), None),
        (Rect(2, 164, 68, 50), Action(Function.NUMBERS, "F6"), None),
        (Rect(74, 164, 68, 50), Action(Function.LANGUAGE, "F15"), None),
        (Rect(146, 164, 104, 50), Action(Function.SPACE, "F38"), None),
        (Rect(254, 164, 104, 50), Action(Function.ENTER, "F39"), look.enter),
    )
    return [
        _key(look, f"KEY{count + i}", rect, action, (look.mark(i + 100),), cap)
        for i, (rect, action, cap) in enumerate(places, start=1)
    ]


def _bar(look: _Look) -> CandidateBar:
    menu = Key("ICON1", Rect(0, -BAR, 40, BAR), Rect(0, -BAR, 40, BAR), Layer(NOTHING), (look.mark(7),),
               {Gesture.TAP: Action(Function.MENU, "F31")})  # fmt: skip
    more = replace(menu, id="ICON2", rect=Rect(320, -BAR, 40, BAR), touch=Rect(320, -BAR, 40, BAR),
                   actions={Gesture.TAP: Action(Function.CANDIDATES, "F9")})  # fmt: skip
    return CandidateBar(
        Rect(0, -BAR, WIDTH, BAR),
        background=look.bar,
        text=look.text,
        first_text=replace(look.text, colour=(200, 40, 40, 255)),
        gap=10,
        first_gap=44,
        icons=(BarIcon(menu, "idle"), BarIcon(more, "with_candidates")),
    )


def _nine_keys(look: _Look) -> list[Key]:
    keys = []
    for index, letters in enumerate(NINE):
        rect = Rect(62 + 80 * (index % 3), 2 + 54 * (index // 3), 76, 50)
        action = Action(Function.TEXT, letters)
        keys.append(_key(look, f"KEY{index + 1}", rect, action, (look.letter(letters),), code=str(index + 1)))
    side = (
        (Function.BACKSPACE, "F36"),
        (Function.CLEAR, "F40"),
        (Function.EMOJI, "F7"),
        (Function.ENTER, "F39"),
    )
    for row, (function, code) in enumerate(side):
        keys.append(
            _key(
                look,
                f"KEY{10 + row}",
                Rect(302, 2 + 54 * row, 56, 50),
                Action(function, code),
                (look.mark(row),),
            )
        )
    keys.append(_key(look, "KEY14", Rect(62, 164, 236, 50), Action(Function.SPACE, "F38"), (look.mark(9),)))
    return keys


def _board(look: _Look, kind: KeyboardKind, name: str, keys: list[Key], **parts) -> Keyboard:
    return Keyboard(kind, name, "portrait", (WIDTH, HEIGHT), look.panel, tuple(keys), _bar(look), **parts)


def _theme(name: ThemeName, dark: bool) -> Theme:
    look = _Look(dark)
    pictured, written = _letter_rows(look, False), _letter_rows(look, True)
    marks = KeyList(
        Rect(2, 2, 56, 212),
        "column",
        (56, 53),
        cell=look.cap.appearance,
        text=look.text,
        entries=("，", "。", "？"),
        values=tuple(Action(Function.TEXT, mark) for mark in "，。？"),
    )
    digits = []
    for i in range(10):
        rect = Rect(2 + 72 * (i % 5), 2 + 108 * (i // 5), 68, 104)
        digits.append(_key(look, f"KEY{i + 1}", rect, Action(Function.TEXT, str(i)), (look.letter(str(i)),)))
    bubble = Popup("hint", Rect(-20, -50, 40, 50), look.cap.appearance, look.text)
    return Theme(
        name,
        (
            _board(
                look, KeyboardKind.PINYIN_26, "py_26", pictured + _function_keys(look, 26), popups=(bubble,)
            ),
            _board(look, KeyboardKind.PINYIN_9, "py_9", _nine_keys(look), lists=(marks,)),
            _board(look, KeyboardKind.ENGLISH_26, "en_26", written + _function_keys(look, 26)),
            _board(look, KeyboardKind.NUMBERS_9, "num_9", digits),
            _board(look, KeyboardKind.SYMBOLS, "symbol", digits),
        ),
    )


def complete_skin(*, two_themes: bool = False) -> Skin:
    """Return a skin with five keyboards: pictured and written legends, a list, a bar, bubbles, variants."""
    themes = (_theme("light", False), _theme("dark", True)) if two_themes else (_theme("default", False),)
    return Skin("试 skin", "Nobody", "Drawn for tests", "baidu", themes)


def changed_key(skin: Skin, key_id: str, **changes: object) -> Skin:
    """Return a skin whose first keyboard has one key changed."""
    board = skin.themes[0].keyboards[0]
    keys = tuple(replace(key, **changes) if key.id == key_id else key for key in board.keys)
    theme = replace(skin.themes[0], keyboards=(replace(board, keys=keys), *skin.themes[0].keyboards[1:]))
    return replace(skin, themes=(theme, *skin.themes[1:]))


def lettering(text: str, **changes: object) -> Layer:
    """Return a layer of black text."""
    style = replace(Lettering(text, 18, (0, 0, 0, 255)), **changes)
    return Layer(Appearance(style, style))
