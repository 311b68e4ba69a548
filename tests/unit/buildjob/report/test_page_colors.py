"""The page's colors: readable on their grounds, by daylight, in the dark and on paper (WCAG 2.2, 1.4.3 and 1.4.11)."""

import re
from pathlib import Path

import pytest

from buildjob.report import page

_TEXTS = [
    ("ink", "page"),
    ("ink", "card"),
    ("ink", "phase"),
    ("ink", "hit"),
    ("soft", "page"),
    ("soft", "card"),
    ("link", "page"),
    ("link", "card"),
    ("memory", "card"),
    ("cpu", "card"),
    ("bad", "card"),
    ("bad", "hit"),
    ("mixed", "card"),
    *((text, f"{tone}-bg") for tone in ("good", "bad", "mixed", "open") for text in (tone, "ink")),
]
_SHAPES = [("memory", "grid"), ("mixed", "grid"), ("bad", "grid"), ("phase-edge", "card")]


def _palettes() -> dict[str, dict[str, str]]:
    """Return the colors of each `:root` block; what a block leaves out is as in the first."""
    style = (Path(page.__file__).parent / "page.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    light, dark, printed = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks)
    return {"light": light, "dark": light | dark, "print": light | printed}


def _luminance(color: str) -> float:
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_contrast_is_counted_as_the_standard_does() -> None:
    assert round(_contrast("#000000", "#ffffff"), 2) == 21
    assert round(_contrast("#767676", "#ffffff"), 2) == 4.54


@pytest.mark.parametrize("palette", ["light", "dark", "print"])
@pytest.mark.parametrize(
    ("text", "ground", "least"), [*((*pair, 4.5) for pair in _TEXTS), *((*pair, 3.0) for pair in _SHAPES)]
)
def test_what_is_to_be_read_stands_out(palette: str, text: str, ground: str, least: float) -> None:
    colors = _palettes()[palette]
    assert _contrast(colors[text], colors[ground]) >= least, (colors[text], colors[ground])


def test_every_color_that_is_used_is_defined() -> None:
    style = (Path(page.__file__).parent / "page.css").read_text()
    used = set(re.findall(r"var\(--([\w-]+)\)", style)) - {"tone", "tone-bg", "kind"}
    assert used <= set(_palettes()["light"])
