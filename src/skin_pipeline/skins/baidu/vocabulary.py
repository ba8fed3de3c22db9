"""Baidu's names of files, keys and circumstances, in this project's words."""

from skin_pipeline.skins.model import Action, Condition, Function, Gesture, KeyboardKind

KEYBOARD_KINDS: dict[str, KeyboardKind] = {
    "py_26": KeyboardKind.PINYIN_26,
    "py_9": KeyboardKind.PINYIN_9,
    "en_26": KeyboardKind.ENGLISH_26,
    "en_26s": KeyboardKind.ENGLISH_26_UPPER,
    "en_9": KeyboardKind.ENGLISH_9,
    "en_9s": KeyboardKind.ENGLISH_9_UPPER,
    "num_26": KeyboardKind.NUMBERS_26,
    "num_9": KeyboardKind.NUMBERS_9,
    "def_26": KeyboardKind.USER_26,
    "def_9": KeyboardKind.USER_9,
    "symbol": KeyboardKind.SYMBOLS,
    "sel_ch": KeyboardKind.MORE_CANDIDATES,
    "sel_en": KeyboardKind.MORE_CANDIDATES_ENGLISH,
    "bh": KeyboardKind.STROKES,
    "hw_grid": KeyboardKind.HANDWRITING_BOX,
    "hw_full": KeyboardKind.HANDWRITING_FULL,
    "net": KeyboardKind.ADDRESSES,
}
"""Kind by the name of a layout file; any other file is a custom keyboard, if something opens it."""

GESTURES: dict[str, Gesture] = {
    "CENTER": Gesture.TAP,
    "UP": Gesture.UP,
    "DOWN": Gesture.DOWN,
    "LEFT": Gesture.LEFT,
    "RIGHT": Gesture.RIGHT,
    "HOLD": Gesture.HOLD,
}

CONDITIONS: dict[int, Condition] = {
    1: Condition.SHIFTED,
    2: Condition.CAPS_LOCKED,
    3: Condition.PREDICTING,
    4: Condition.COMPOSING,
    5: Condition.SINGLE_CHARACTERS,
    6: Condition.SYMBOLS_LOCKED,
    7: Condition.FIRST_PAGE,
    8: Condition.LAST_PAGE,
    9: Condition.PREDICTING,
    10: Condition.SEARCH_FIELD,
    11: Condition.ADDRESS_FIELD,
    12: Condition.NEXT_FIELD,
    13: Condition.SUBMIT_FIELD,
}
"""Condition by the number after the S of ``STAT_STYLE``."""

_FUNCTIONS: dict[int, Function] = {
    1: Function.SYMBOLS,
    3: Function.LAYOUT,
    4: Function.BACK,
    5: Function.BACK,
    6: Function.NUMBERS,
    7: Function.EMOJI,
    8: Function.HIDE,
    9: Function.CANDIDATES,
    10: Function.SHIFT,
    11: Function.CAPS_LOCK,
    15: Function.LANGUAGE,
    16: Function.LANGUAGE,
    21: Function.MENU,
    22: Function.PAGE_UP,
    23: Function.PAGE_DOWN,
    24: Function.MENU,
    26: Function.FILTER_CANDIDATES,
    27: Function.SYMBOL_LOCK,
    29: Function.PAGE_UP,
    30: Function.PAGE_DOWN,
    31: Function.MENU,
    36: Function.BACKSPACE,
    37: Function.DELETE,
    38: Function.SPACE,
    39: Function.ENTER,
    40: Function.CLEAR,
    41: Function.TAB,
    42: Function.HOME,
    43: Function.END,
    44: Function.CUT,
    45: Function.COPY,
    46: Function.PASTE,
    47: Function.SELECT_ALL,
    48: Function.CLEAR,
    49: Function.UP,
    50: Function.DOWN,
    51: Function.LEFT,
    52: Function.RIGHT,
    53: Function.HANDWRITING_AREA,
    55: Function.CANDIDATE_AREA,
    61: Function.SELECT,
    62: Function.INPUT_METHOD,
    63: Function.INPUT_METHOD,
    66: Function.REDO,
    67: Function.UNDO,
    68: Function.SEARCH,
}


def action_of(code: str) -> Action:
    """Translate what a key is to do.

    Args:
        code: ``F36``, ``B3`` (a stroke), ``Z+tool_26`` (a keyboard), or the text that is written. A function
            code is kept as the action's text, so that nothing is lost where two codes mean one function.
    """
    head, digits = code[:1], code[1:]
    if head == "F" and digits.isascii() and digits.isdigit() and len(digits) <= 3:
        return Action(_FUNCTIONS.get(int(digits), Function.OTHER), code)
    if head == "B" and digits in ("1", "2", "3", "4", "5", "6"):
        return Action(Function.STROKE, digits)
    if code.startswith("Z+"):
        return Action(Function.KEYBOARD, code[2:])
    if len(code) == 1 and code.isalpha() and code.isascii():
        return Action(Function.LETTER, code)
    return Action(Function.TEXT, code)
