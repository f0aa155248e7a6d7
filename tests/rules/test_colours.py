"""The colours of the pages can be read: WCAG 2.2, success criteria 1.4.3 and 1.4.11."""

import re
from pathlib import Path

import pytest

import batchdrop.dashboard

SHEET = (Path(batchdrop.dashboard.__file__).parent / "assets" / "base.css").read_text()
LIGHT, DARK = re.findall(r":root \{\n(.*?)\n\s*\}", SHEET, re.DOTALL)[:2]
#: What text is written on: also a row under the mouse.
BEHIND = ("paper", "panel", "hover")
TEXT = (
    *("ink", "soft", "accent", "ok", "running", "waiting", "failed", "missing"),
    *("blocked", "truncated", "malformed", "empty", "unclear", "refused"),
)


def colours(scheme: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): #([0-9a-f]{6});", scheme))


def luminance(colour: str) -> float:
    def linear(channel: float) -> float:
        if channel <= 0.04045:
            return channel / 12.92
        return float(((channel + 0.055) / 1.055) ** 2.4)

    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4))
    return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(scheme: str) -> None:
    found = colours(scheme)

    weak = {
        f"{name} on {behind}": round(ratio, 2)
        for name in TEXT
        for behind in BEHIND
        if (ratio := contrast(found[name], found[behind])) < 4.5
    }

    assert weak == {}
    assert contrast(found["on-accent"], found["accent"]) >= 4.5
    # The edge of a field says where to write.
    assert contrast(found["edge"], found["paper"]) >= 3


def test_both_schemes_have_the_same_colours() -> None:
    assert colours(LIGHT).keys() == colours(DARK).keys() != set()
