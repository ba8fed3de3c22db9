"""Keyboard layouts as data, and their placing on a picture.

Convention: key boxes are xyxy in units of the picture, x in [0, 1] of its width and y in [0, 1] of its
height, so a layout is the same at every size of the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

LayoutName = Literal["26_key", "9_key"]
Language = Literal["en", "zh"]
Role = Literal["letter", "function", "space", "enter", "list"]

LAYOUT_NAMES: tuple[LayoutName, ...] = ("26_key", "9_key")

ICONS = frozenset(
    (
        *("shift", "backspace", "enter", "globe", "emoji", "search"),
        *("mic", "grid", "settings", "keyboard", "collapse", "clipboard", "palette", "cursor"),
    )
)
"""Names of icons; a key shows one if its text is the name with a leading '@'."""

_LETTER_ROWS = ("QWERTYUIOP", "ASDFGHJKL", "ZXCVBNM")
_DIGITS = "1234567890"

_ENTER_EN = ("Enter", "Go", "Send", "Next", "Done", "Search", "return", "OK")
_ENTER_ZH = ("换行", "前往", "发送", "搜索", "确定", "完成", "下一项", "换行", "发送")
_SPACE_EN = ("Space", "space", "English", "Space")
_SPACE_ZH = ("空格", "空格", "空格", "拼音", "中文")
_NUMBERS = ("123", "?123", "123", "12#")
_BOTTOM_ROWS: dict[Language, Sequence[Sequence[tuple[str, float]]]] = {
    "en": (
        (("123", 1.5), ("@globe", 1.2), ("space", 5.1), ("enter", 2.2)),
        (("123", 1.5), (",", 1.0), ("space", 4.5), (".", 1.0), ("enter", 2.0)),
        (("123", 1.5), ("@emoji", 1.0), ("@globe", 1.0), ("space", 4.5), ("enter", 2.0)),
        (("123", 2.0), ("space", 6.0), ("enter", 2.0)),
    ),
    "zh": (
        (("符", 1.3), ("123", 1.4), ("space", 3.4), ("中/英", 1.7), ("enter", 2.2)),
        (("123", 1.5), ("，", 1.0), ("space", 4.2), ("中/英", 1.5), ("enter", 1.8)),
        (("符号", 1.7), ("中/英", 1.7), ("space", 4.3), ("enter", 2.3)),
        (("123", 1.6), ("@globe", 1.1), ("space", 5.0), ("enter", 2.3)),
        (("123", 1.7), ("space", 4.3), ("。", 1.0), ("中", 1.0), ("enter", 2.0)),
    ),
}
"""Fourth rows of 26 keys: texts and widths in letter keys; '123', 'space', 'enter' stand for any such."""

_CANDIDATES_EN = (
    "the",
    "I",
    "to",
    "you",
    "Hello",
    "Thanks",
    "good",
    "love",
    "yes",
    "we",
    "see",
    "OK",
    "and",
    "happy",
)
_CANDIDATES_ZH = (
    *("你好", "谢谢", "在吗", "今天", "我们", "可以", "好的", "哈哈", "晚安", "早安", "喜欢", "开心", "什么"),
    *("知道", "没有", "一起", "吃饭", "明天", "天气", "朋友", "回家", "加油", "生日", "快乐"),
)
_MARKS = ("，", "。", "？", "！", "：", "、")
_T9 = ("ABC", "DEF", "GHI", "JKL", "MNO", "PQRS", "TUV", "WXYZ")


@dataclass(frozen=True)
class Key:
    """A key of a keyboard.

    Attributes:
        text: What is written on it; '@name' for an icon, '' for nothing.
        role: What it does, which decides its colour.
        box: xyxy in units of the picture.
        hint: A small second legend (a digit above a letter); '' for none.
    """

    text: str
    role: Role
    box: tuple[float, float, float, float]
    hint: str = ""


@dataclass(frozen=True)
class Keyboard:
    """Keys and the bar above them, placed on a picture.

    Attributes:
        name: '26_key' or '9_key'.
        language: Language of its words.
        keys: All keys, row by row.
        bar: The candidate bar or toolbar, xyxy in units of the picture; None if the keyboard has none.
        bar_items: Texts on the bar ('@name' for icons), each with its centre in x, in units of the picture.
    """

    name: LayoutName
    language: Language
    keys: tuple[Key, ...]
    bar: tuple[float, float, float, float] | None
    bar_items: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class _Spacing:
    """Distances, in units of the picture."""

    top: float
    side: float
    bottom: float
    gap_x: float
    gap_y: float


_Cell = tuple[str, Role, float]
"""Text, role and width in letter keys."""


def place_keyboard(random: Random, name: LayoutName, language: Language) -> Keyboard:
    """Draw the lots of a keyboard: rows, words, widths, margins, gaps and bar.

    Args:
        random: Source of all choices.
        name: '26_key' (QWERTY) or '9_key' (T9).
        language: Language of its words.
    """
    bar_height = random.choice((0.0, 0.11, 0.125, 0.14, 0.155, 0.175))
    spacing = _Spacing(
        top=bar_height + random.uniform(0.012, 0.035),
        side=random.uniform(0.008, 0.034),
        bottom=random.choice((random.uniform(0.014, 0.035), random.uniform(0.04, 0.085))),
        gap_x=random.uniform(0.007, 0.019) * (1.0 if name == "26_key" else 1.3),
        gap_y=random.uniform(0.014, 0.044),
    )
    place = _place_26_key if name == "26_key" else _place_9_key
    keys = place(random, language, spacing)
    bar = (0.0, 0.0, 1.0, bar_height) if bar_height else None
    return Keyboard(name, language, keys, bar, _bar_items(random, language) if bar else ())


def keyboard_words(language: Language) -> list[str]:
    """Return every legend of more than one character that a keyboard of a language can show."""
    own: tuple[str, ...]
    if language == "en":
        own = (*_ENTER_EN, *_SPACE_EN, *_CANDIDATES_EN, "Shift", "Del", "Tab", "Fn", "Sym")
    else:
        own = (
            *_ENTER_ZH,
            *_SPACE_ZH,
            *_CANDIDATES_ZH,
            "分词",
            "重输",
            "返回",
            "中/英",
            "符号",
            "删除",
            "清空",
            "表情",
        )
    words = (*_NUMBERS, *_T9, "@/.", ".,?!", *own)
    return list(dict.fromkeys(words))


def keyboard_characters() -> str:
    """Return every character that keyboards of any language can show, sorted."""
    words = [*keyboard_words("en"), *keyboard_words("zh"), *_LETTER_ROWS, _DIGITS, *_MARKS, "符中"]
    text = "".join(words)
    return "".join(sorted({*text, *text.lower()}))


def _bar_items(random: Random, language: Language) -> tuple[tuple[str, float], ...]:
    """Return what a bar shows: candidate words, or icons spread evenly."""
    if random.random() < 0.5:
        count = random.randint(3, 5)
        words = random.sample(_CANDIDATES_EN if language == "en" else _CANDIDATES_ZH, count)
        texts = [*words, "@collapse"]
    else:
        icons = ["grid", "emoji", "palette", "clipboard", "settings", "mic", "keyboard", "search", "cursor"]
        texts = [f"@{icon}" for icon in random.sample(icons, random.randint(4, 6))] + ["@collapse"]
    pitch = 1.0 / len(texts)
    return tuple((text, (index + 0.5) * pitch) for index, text in enumerate(texts))


# --- 26 keys -------------------------------------------------------------------------------------------


def _place_26_key(random: Random, language: Language, spacing: _Spacing) -> tuple[Key, ...]:
    upper = random.random() < (0.75 if language == "en" else 0.9)
    letters = [row if upper else row.lower() for row in _LETTER_ROWS]
    rows: list[list[_Cell]] = [[(letter, "letter", 1.0) for letter in row] for row in letters]
    rows[2] = _with_side_keys(random, language, rows[2])
    rows.append(_bottom_row(random, language))
    has_digits = random.random() < 0.15
    if has_digits:
        rows.insert(0, [(digit, "letter", 1.0) for digit in _DIGITS])
    heights = [0.82 if has_digits and index == 0 else 1.0 for index in range(len(rows))]
    heights[-1] = random.choice((1.0, 1.0, 0.9, 1.1))
    keys = _place_rows(rows, heights, spacing, stretch_short_rows=random.random() < 0.2)
    if has_digits or random.random() > 0.2:
        return keys
    return _with_hints(keys, dict(zip(letters[0], _DIGITS, strict=True)))


def _with_side_keys(random: Random, language: Language, letters: list[_Cell]) -> list[_Cell]:
    """Return the third row: shift, seven letters, backspace."""
    shift = "@shift" if language == "en" or random.random() < 0.6 else "分词"
    backspace = "@backspace"
    if language == "en" and random.random() < 0.2:
        shift, backspace = "Shift", "Del"
    return [(shift, "function", 1.5), *letters, (backspace, "function", 1.5)]


def _bottom_row(random: Random, language: Language) -> list[_Cell]:
    """Return the fourth row, ten letter keys wide."""
    if language == "en":
        enter = random.choice(_ENTER_EN)
        texts = (
            random.choice(_NUMBERS),
            random.choice(_SPACE_EN),
            random.choice((enter, enter, "@enter", "@search")),
        )
    else:
        texts = (random.choice(_NUMBERS[:1]), random.choice(_SPACE_ZH), random.choice(_ENTER_ZH))
    number, space, enter = texts
    row: list[_Cell] = []
    for text, width in random.choice(_BOTTOM_ROWS[language]):
        if text == "space":
            row.append((space, "space", width))
        elif text == "enter":
            row.append((enter, "enter", width))
        else:
            row.append((number if text == "123" else text, "function", width))
    return row


def _with_hints(keys: tuple[Key, ...], hints: dict[str, str]) -> tuple[Key, ...]:
    return tuple(Key(key.text, key.role, key.box, hints.get(key.text, "")) for key in keys)


def _place_rows(
    rows: Sequence[Sequence[_Cell]], heights: Sequence[float], spacing: _Spacing, *, stretch_short_rows: bool
) -> tuple[Key, ...]:
    """Place rows of cells under each other; rows narrower than the widest are centred or stretched."""
    widest = max(sum(cell[2] for cell in row) for row in rows)
    row_unit = (1.0 - spacing.top - spacing.bottom - spacing.gap_y * (len(rows) - 1)) / sum(heights)
    keys: list[Key] = []
    y = spacing.top
    for row, height in zip(rows, heights, strict=True):
        units = sum(cell[2] for cell in row)
        unit = (1.0 - 2 * spacing.side + spacing.gap_x) / (units if stretch_short_rows else widest)
        x = 0.5 - units * unit / 2
        for text, role, width in row:
            box = (x + spacing.gap_x / 2, y, x + width * unit - spacing.gap_x / 2, y + height * row_unit)
            keys.append(Key(text, role, box))
            x += width * unit
        y += height * row_unit + spacing.gap_y
    return tuple(keys)


# --- 9 keys --------------------------------------------------------------------------------------------


def _place_9_key(random: Random, language: Language, spacing: _Spacing) -> tuple[Key, ...]:
    """Return three columns of T9 keys between a narrow column of marks and one of function keys."""
    side = random.uniform(0.62, 0.95)
    has_marks = random.random() < 0.75
    columns = [side, 1.0, 1.0, 1.0, side] if has_marks else [1.0, 1.0, 1.0, random.uniform(0.7, 1.0)]
    heights = [1.0, 1.0, 1.0, random.choice((1.0, 1.0, 0.9))]
    grid = _Grid(columns, heights, spacing)
    first = (
        random.choice(("分词", "分词", "@/.")) if language == "zh" else random.choice(("@/.", ".,?!", "1"))
    )
    hints = ["", *"23456789"] if random.random() < 0.2 else [""] * 9
    offset = 1 if has_marks else 0
    keys = [
        Key(text, "letter", grid.box(offset + index % 3, index // 3), hints[index])
        for index, text in enumerate((first, *_T9))
    ]
    keys += _marks_column(random, language, grid) if has_marks else []
    return (
        *keys,
        *_function_column(random, language, grid),
        *_bottom_9_key(random, language, grid, has_marks),
    )


@dataclass(frozen=True)
class _Grid:
    """Columns and rows of relative sizes that fill the picture inside its margins."""

    columns: Sequence[float]
    rows: Sequence[float]
    spacing: _Spacing

    def box(
        self, column: int, row: int, num_columns: int = 1, num_rows: int = 1
    ) -> tuple[float, float, float, float]:
        """Return the box of a cell, or of a block of cells."""
        gaps = self.spacing
        width = 1.0 - 2 * gaps.side - gaps.gap_x * (len(self.columns) - 1)
        height = 1.0 - gaps.top - gaps.bottom - gaps.gap_y * (len(self.rows) - 1)
        x0 = gaps.side + width * sum(self.columns[:column]) / sum(self.columns) + gaps.gap_x * column
        y0 = gaps.top + height * sum(self.rows[:row]) / sum(self.rows) + gaps.gap_y * row
        span_x = sum(self.columns[column : column + num_columns]) / sum(self.columns)
        span_y = sum(self.rows[row : row + num_rows]) / sum(self.rows)
        x1 = x0 + width * span_x + gaps.gap_x * (num_columns - 1)
        y1 = y0 + height * span_y + gaps.gap_y * (num_rows - 1)
        return (x0, y0, x1, y1)


def _marks_column(random: Random, language: Language, grid: _Grid) -> list[Key]:
    """Return the left column: one tall key of punctuation marks, or three function keys."""
    if random.random() < 0.5:
        column = "".join(_MARKS[:4]) if language == "zh" else ",.?!"
        return [Key(column, "list", grid.box(0, 0, num_rows=3))]
    marks = random.sample(_MARKS[:5], 3) if language == "zh" else [",", ".", "?"]
    return [Key(mark, "function", grid.box(0, row)) for row, mark in enumerate(marks)]


def _function_column(random: Random, language: Language, grid: _Grid) -> list[Key]:
    """Return the right column, from backspace down to enter."""
    column = len(grid.columns) - 1
    if language == "en":
        middle, low, enter = "@shift", random.choice(("Sym", "Tab", "Fn")), random.choice(_ENTER_EN[:6])
    else:
        middle, low = random.choice((("重输", "返回"), ("重输", "@emoji"), ("清空", "表情"), ("重输", "0")))
        enter = random.choice(_ENTER_ZH)
    delete = random.choice(("@backspace", "@backspace", "Del" if language == "en" else "删除"))
    keys = [Key(delete, "function", grid.box(column, 0)), Key(middle, "function", grid.box(column, 1))]
    if random.random() < 0.3:
        return [*keys, Key(enter, "enter", grid.box(column, 2, num_rows=2))]
    return [*keys, Key(low, "function", grid.box(column, 2)), Key(enter, "enter", grid.box(column, 3))]


def _bottom_9_key(random: Random, language: Language, grid: _Grid, has_marks: bool) -> list[Key]:
    """Return the bottom row up to the column of enter."""
    space = random.choice(_SPACE_EN if language == "en" else _SPACE_ZH)
    symbol, switch = ("Sym", "@globe") if language == "en" else ("符号", "中/英")
    if not has_marks:
        left, right = random.choice((("123", switch), (symbol, "123"), ("123", symbol)))
        places: list[tuple[str, Role, int, int]] = [
            (left, "function", 0, 1),
            (space, "space", 1, 1),
            (right, "function", 2, 1),
        ]
    elif random.random() < 0.4:
        places = [(symbol, "function", 0, 1), ("123", "function", 1, 1), (space, "space", 2, 2)]
    else:
        places = [
            (symbol, "function", 0, 1),
            ("123", "function", 1, 1),
            (space, "space", 2, 1),
            (switch, "function", 3, 1),
        ]
    return [Key(text, role, grid.box(column, 3, num_columns=span)) for text, role, column, span in places]
