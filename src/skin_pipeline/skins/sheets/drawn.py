"""Where the keys of a drawn skin lie, so that what is generated on its outlines can become a skin."""

from skin_pipeline.skins.drawn import DrawnSkin
from skin_pipeline.skins.drawn.layouts import Key as DrawnKey
from skin_pipeline.skins.model import Function, KeyboardKind
from skin_pipeline.skins.sheets.compose import CellRecord, SheetRecord
from skin_pipeline.skins.sheets.keyboards import KeyboardGeometry, KeyGeometry

LAYOUT = "drawn"
"""What stands for the layout in the records of drawn skins, which are one keyboard each."""

_T9 = {"ABC": "2", "DEF": "3", "GHI": "4", "JKL": "5", "MNO": "6", "PQRS": "7", "TUV": "8", "WXYZ": "9"}
_ROLES = {"space": Function.SPACE, "enter": Function.ENTER}
_FUNCTIONS = {
    "@shift": Function.SHIFT,
    "@backspace": Function.BACKSPACE,
    "@globe": Function.LANGUAGE,
    "@emoji": Function.EMOJI,
    "中/英": Function.LANGUAGE,
    "中": Function.LANGUAGE,
    "英": Function.LANGUAGE,
    "符": Function.SYMBOLS,
    "符号": Function.SYMBOLS,
    "Sym": Function.SYMBOLS,
    "Del": Function.BACKSPACE,
    "删除": Function.BACKSPACE,
    "表情": Function.EMOJI,
    "返回": Function.BACK,
    "清空": Function.CLEAR,
    "重输": Function.CLEAR,
    "Tab": Function.TAB,
    "123": Function.NUMBERS,
    "?123": Function.NUMBERS,
    "12#": Function.NUMBERS,
}


def lay_out_drawn(skin: DrawnSkin) -> SheetRecord:
    """Return where a drawn skin's keys lie; a design pixel is a pixel of its picture.

    Args:
        skin: The skin. One of 26 keys is a pinyin keyboard whatever the language of its legends: letters are
            letters.
    """
    height, width = skin.image.shape[:2]
    bar_height = round(skin.keyboard.bar[3] * height) if skin.keyboard.bar else 0
    keys = {}
    for number, (key, box) in enumerate(zip(skin.keyboard.keys, skin.key_boxes, strict=True)):
        left, top, right, bottom = (float(side) for side in box)
        function, text = _meaning(key)
        keys[f"key_{number:02}"] = KeyGeometry(
            rect=(left, top - bar_height, right - left, bottom - top),
            function=function,
            text=text,
            legend="" if key.text.startswith("@") else key.text,
        )
    geometry = KeyboardGeometry(
        size=(width, height - bar_height),
        bar=(0, -bar_height, width, bar_height) if bar_height else None,
        keys=keys,
    )
    kind = KeyboardKind.PINYIN_26 if skin.layout == "26_key" else KeyboardKind.PINYIN_9
    cell = CellRecord(rect=(0, 0, width, height), element="keyboard", keyboard=kind)
    return SheetRecord(
        layout=LAYOUT, size_px=(width, height), cells={"keyboard": cell}, keyboards={kind: geometry}
    )


def _meaning(key: DrawnKey) -> tuple[Function, str]:
    """Return what a key does, and what it writes."""
    if key.role in _ROLES:
        return _ROLES[key.role], ""
    if key.text in _FUNCTIONS:
        return _FUNCTIONS[key.text], ""
    if key.text in _T9:
        return Function.TEXT, _T9[key.text]
    if len(key.text) != 1:
        return Function.OTHER, key.text
    is_letter = key.text.isascii() and key.text.isalpha()
    return (Function.LETTER, key.text.lower()) if is_letter else (Function.TEXT, key.text)
