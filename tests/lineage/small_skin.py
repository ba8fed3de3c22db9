"""A skin that is soon written as a package."""

from skin_pipeline.skins.model import KeyboardKind, Skin, Theme
from tests.skins.plain import plain_keyboard


def small_skin() -> Skin:
    """Return a skin of one keyboard."""
    theme = Theme("default", (plain_keyboard(KeyboardKind.PINYIN_9),))
    return Skin("plain", "", "", "folder", (theme,))
