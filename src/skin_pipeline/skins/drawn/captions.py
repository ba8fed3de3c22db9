"""True captions of drawn skins, and the vocabulary they are made of."""

from collections.abc import Iterator
from itertools import product
from typing import Literal

from skin_pipeline.colours import COLOURS, colour_named
from skin_pipeline.skins.drawn.layouts import keyboard_words
from skin_pipeline.skins.drawn.palettes import Paint, SkinStyle

_BACKGROUNDS_EN = {
    "plain": "plain background",
    "linear gradient": "gradient background",
    "radial gradient": "glowing background",
    "dots": "polka dot background",
    "stripes": "striped background",
    "checks": "checked background",
    "waves": "wavy background",
    "clouds": "cloudy background",
    "starry sky": "starry night background",
    "hills": "mountain landscape background",
    "flowers": "flower background",
    "bubbles": "bubble background",
    "memphis": "geometric memphis background",
    "leaves": "leaf background",
    "hearts": "heart background",
    "snow": "snowflake background",
    "diamonds": "argyle diamond background",
    "grid": "grid paper background",
    "paws": "paw print background",
    "cats": "cat background",
    "citrus": "citrus fruit background",
}
_BACKGROUNDS_ZH = {
    "plain": "纯色背景",
    "linear gradient": "渐变背景",
    "radial gradient": "光晕背景",
    "dots": "波点背景",
    "stripes": "条纹背景",
    "checks": "格子背景",
    "waves": "波浪背景",
    "clouds": "云朵背景",
    "starry sky": "星空背景",
    "hills": "山峦风景背景",
    "flowers": "花朵背景",
    "bubbles": "气泡背景",
    "memphis": "几何孟菲斯背景",
    "leaves": "树叶背景",
    "hearts": "爱心背景",
    "snow": "雪花背景",
    "diamonds": "菱格背景",
    "grid": "网格背景",
    "paws": "猫爪背景",
    "cats": "小猫背景",
    "citrus": "水果背景",
}
_SHAPES_EN = {
    "square": "square",
    "rounded": "rounded",
    "pill": "pill",
    "circle": "round",
    "leaf": "leaf shaped",
}
_SHAPES_ZH = {"square": "直角", "rounded": "圆角", "pill": "胶囊", "circle": "圆形", "leaf": "叶形"}
_FINISHES_EN = {
    "raised": "raised",
    "glossy": "glossy",
    "glass": "translucent",
    "outlined": "outlined",
    "shadow": "floating",
}
_FINISHES_ZH = {"raised": "立体", "glossy": "亮面", "glass": "半透明", "outlined": "描边", "shadow": "悬浮"}
_LAYOUTS_EN = {"26_key": "26-key", "9_key": "9-key"}
_LAYOUTS_ZH = {"26_key": "26键", "9_key": "九宫格"}
_BRIGHTNESS_ZH = {"light": "浅色", "dark": "深色"}

_TEMPLATES_EN = (
    "{panel} keyboard skin with {keys}, {background}, {brightness}",
    "a {brightness} theme keyboard skin in {panel}, {background}, {keys}",
    "{brightness} {layout} keyboard skin, {panel} {background}, {keys}, {accent}",
    "{layout} keyboard, {panel} {background}, {keys}",
    "a keyboard skin in {panel}, {keys}, {legend} legends, {accent}",
    "{panel} keyboard skin with {keys}",
)
_TEMPLATES_ZH = (
    "{panel}键盘皮肤，{keys}，{background}",
    "{brightness}主题，{panel}键盘皮肤，{background}，{keys}",
    "{brightness}{layout}键盘皮肤，{panel}{background}，{keys}，{accent}",
    "{layout}键盘，{panel}{background}，{keys}",
    "{panel}输入法皮肤，{keys}，{legend}文字，{accent}",
    "{panel}键盘皮肤，{keys}",
)

NUM_VARIANTS = len(_TEMPLATES_EN)
"""How many captions a style has in each language."""


def describe_style(style: SkinStyle, language: Literal["en", "zh"] = "en", variant: int = 0) -> str:
    """Return a caption that is true of a style.

    Args:
        style: What to describe.
        language: 'en' or 'zh'.
        variant: Which sentence; taken modulo :data:`NUM_VARIANTS`.
    """
    if language == "zh":
        return _TEMPLATES_ZH[variant % NUM_VARIANTS].format(**_phrases_zh(style))
    return _TEMPLATES_EN[variant % NUM_VARIANTS].format(**_phrases_en(style))


def vocabulary() -> list[str]:
    """Return texts that together hold every word of the captions and every legend, for a tokenizer.

    Each phrase occurs in each sentence it fits, so that frequencies are near those of real captions.
    """
    texts = [word for language in ("en", "zh") for word in keyboard_words(language)]
    texts += [name for colour in COLOURS for name in (colour.english, colour.chinese, *colour.aliases)]
    texts += [
        *_BACKGROUNDS_EN.values(),
        *_BACKGROUNDS_ZH.values(),
        'writing "Space", "Enter"',
        "，写着“空格”、“前往”",
    ]
    texts += list(_key_phrases())
    for colour, background in product(COLOURS, _BACKGROUNDS_EN):
        texts.append(
            f"{colour.english} keyboard skin, {_BACKGROUNDS_EN[background]}, {colour.english} enter key"
        )
        texts.append(f"{colour.chinese}键盘皮肤，{_BACKGROUNDS_ZH[background]}，{colour.chinese}回车键")
    texts += [template.replace("{", "").replace("}", "") for template in (*_TEMPLATES_EN, *_TEMPLATES_ZH)]
    texts += ["light", "dark", "浅色", "深色", "26-key", "9-key", "26键", "九宫格", "and", "和"]
    return texts


def _key_phrases() -> Iterator[str]:
    for colour, shape in product(COLOURS, _SHAPES_EN):
        for finish, english in _FINISHES_EN.items():
            yield f"{english} {colour.english} {_SHAPES_EN[shape]} keys"
            yield f"{_FINISHES_ZH[finish]}{colour.chinese}{_SHAPES_ZH[shape]}按键"
    yield from ("borderless keys", "无边框按键")


def _phrases_en(style: SkinStyle) -> dict[str, str]:
    second = f" and {style.second.name}" if style.second is not None else ""
    finish = _FINISHES_EN.get(style.key_finish, "")
    keys = f"{finish} {style.key.name} {_SHAPES_EN[style.key_shape]} keys".strip()
    return {
        "panel": style.panel.name + second,
        "keys": "borderless keys" if style.key_finish == "borderless" else keys,
        "background": _BACKGROUNDS_EN[style.background],
        "brightness": style.brightness,
        "layout": _LAYOUTS_EN[style.layout],
        "legend": style.legend.name,
        "accent": f"{_enter(style).name} enter key",
    }


def _phrases_zh(style: SkinStyle) -> dict[str, str]:
    second = f"和{_chinese(style.second)}" if style.second is not None else ""
    keys = f"{_FINISHES_ZH.get(style.key_finish, '')}{_chinese(style.key)}{_SHAPES_ZH[style.key_shape]}按键"
    return {
        "panel": _chinese(style.panel) + second,
        "keys": "无边框按键" if style.key_finish == "borderless" else keys,
        "background": _BACKGROUNDS_ZH[style.background],
        "brightness": _BRIGHTNESS_ZH[style.brightness],
        "layout": _LAYOUTS_ZH[style.layout],
        "legend": _chinese(style.legend),
        "accent": f"{_chinese(_enter(style))}回车键",
    }


def _enter(style: SkinStyle) -> Paint:
    """Return the colour the enter key shows: outlined keys have no accent."""
    return style.key if style.key_finish == "outlined" else style.accent


def _chinese(paint: Paint) -> str:
    return colour_named(paint.name).chinese
