"""Colours of classes: which one is free, which text can be read on it, and the style sheet of a project."""

from collections.abc import Collection, Sequence

from app.models import CellClass

# Okabe and Ito 2008, then colours far from these; enough for any project, and they start again after the last.
_COLORS = (
    "#0072b2 #e69f00 #009e73 #d55e00 #cc79a7 #56b4e9 #332288 #f0e442 #761427 #276262 #b1c489 #8976ff #62ebff #c41476 "
    "#76624e #eb6276 #144e3b #c49d9d #3b7689 #9d764e #1400ff #3b3b4e #d8894e #ebd8d8 #b11400 #c4b1c4"
)
PALETTE = _COLORS.split()


def free_color(taken: Collection[str]) -> str:
    """Return the first colour of the palette that no other class has."""
    return next((color for color in PALETTE if color not in taken), PALETTE[len(taken) % len(PALETTE)])


def luminance(color: str) -> float:
    """Return the relative luminance of "#rrggbb", 0 to 1 (WCAG 2.2)."""
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def text_on(color: str) -> str:
    """Return black or white, whichever has the higher contrast; that is at least 4.58 to 1 on any colour."""
    light = luminance(color) + 0.05
    return "#000000" if light / 0.05 >= 1.05 / light else "#ffffff"


def style_sheet(classes: Sequence[CellClass]) -> str:
    """Return the rules that give each class its custom properties; codes and colours were checked on their way in."""
    return "\n".join(
        f'[data-class="{each.code}"],[data-class-code="{each.code}"]'
        f"{{--class-color:{each.color};--class-text:{text_on(each.color)}}}\n"
        f'[data-predicted="{each.code}"]{{--predicted-color:{each.color}}}'
        for each in classes
    )
