"""Small figures as SVG text: sharp at every size, light, and readable on a phone.

A figure is 360 units wide, so that its text has its nominal size on a narrow phone and grows with
the page. Only the standard library is needed, and the same numbers give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

import numpy as np

INK, MUTED, RULE = "#1b1f24", "#57606a", "#d8dee4"
WIDTH = 360
FONT = 12

Anchor = Literal["start", "middle", "end"]
Fill = Literal["full", "half", "open"]

# Outlines within a circle of radius 1; a circle is drawn as such.
_SHAPES = {
    "s": ((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)),
    "D": ((0, -1.15), (1.15, 0), (0, 1.15), (-1.15, 0)),
    "v": ((-1, -0.75), (1, -0.75), (0, 1)),
    "^": ((-1, 0.75), (1, 0.75), (0, -1)),
    "<": ((0.75, -1), (0.75, 1), (-1, 0)),
    ">": ((-0.75, -1), (-0.75, 1), (1, 0)),
    "P": (
        *((-0.4, -1), (0.4, -1), (0.4, -0.4), (1, -0.4), (1, 0.4), (0.4, 0.4)),
        *((0.4, 1), (-0.4, 1), (-0.4, 0.4), (-1, 0.4), (-1, -0.4), (-0.4, -0.4)),
    ),
    "X": (
        *((-1, -0.5), (-0.5, -1), (0, -0.5), (0.5, -1), (1, -0.5), (0.5, 0)),
        *((1, 0.5), (0.5, 1), (0, 0.5), (-0.5, 1), (-1, 0.5), (-0.5, 0)),
    ),
    "*": tuple(
        (math.sin(k * math.pi / 5) * r, -math.cos(k * math.pi / 5) * r)
        for k, r in enumerate((1.25, 0.5) * 5)
    ),
}


@dataclass(frozen=True)
class Frame:
    """Where numbers lie in a figure.

    Attributes:
        x: Lowest and highest number on the horizontal axis.
        y: The same on the vertical axis.
        left: Edge of the area of the numbers, in units of the figure; the others alike.
        right: Edge.
        top: Edge.
        bottom: Edge.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    left: float
    right: float
    top: float
    bottom: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Place of a point, in units of the figure."""
        return self.across(x), self.down(y)

    def across(self, x: float) -> float:
        """Place on the horizontal axis; what is outside lies on the edge."""
        part = (x - self.x[0]) / (self.x[1] - self.x[0])
        return self.left + min(max(part, 0), 1) * (self.right - self.left)

    def down(self, y: float) -> float:
        """Place on the vertical axis."""
        part = (y - self.y[0]) / (self.y[1] - self.y[0])
        return self.bottom - min(max(part, 0), 1) * (self.bottom - self.top)


def document(height: float, parts: Iterable[str], *, alt: str) -> str:
    """Put the parts of a figure together; ``alt`` says in words what is seen."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {_n(height)}" role="img" aria-label="{escape(alt)}" '
        f'font-size="{FONT}" fill="{INK}">{"".join(parts)}</svg>'
    )


def text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: Anchor = "start",
    color: str = INK,
    bold: bool = False,
) -> str:
    """Write words with their baseline at ``y``."""
    weight = ' font-weight="600"' if bold else ""
    side = f' text-anchor="{anchor}"' if anchor != "start" else ""
    fill = f' fill="{color}"' if color != INK else ""
    return f'<text x="{_n(x)}" y="{_n(y)}"{side}{fill}{weight}>{escape(words)}</text>'


def line(
    points: Sequence[tuple[float, float]], color: str, *, width: float = 2, dash: str = "",
    opacity: float = 1,
) -> str:  # fmt: skip
    """Join points."""
    more = f' stroke-dasharray="{dash}"' if dash else ""
    more += f' stroke-opacity="{opacity:g}"' if opacity < 1 else ""
    return (
        f'<path d="{_path(points)}" fill="none" stroke="{color}" stroke-width="{_n(width)}"'
        f'{more} stroke-linejoin="round"/>'
    )


def area(points: Sequence[tuple[float, float]], color: str, *, opacity: float = 0.16) -> str:
    """Fill what the points enclose."""
    return f'<path d="{_path(points)}z" fill="{color}" fill-opacity="{opacity:g}"/>'


def band(
    frame: Frame,
    x: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    color: str,
    opacity: float = 0.16,
) -> str:
    """Fill the area between two curves; nothing where they are not defined."""
    if np.isnan(low).any() or np.isnan(high).any():
        return ""
    there = [frame.at(*point) for point in zip(x, high, strict=True)]
    back = [frame.at(*point) for point in zip(x[::-1], low[::-1], strict=True)]
    return area(there + back, color, opacity=opacity)


def mark(
    x: float, y: float, shape: str, color: str, *, size: float = 4.2, fill: Fill = "full"
) -> str:
    """Draw a marker; half of it is filled from below."""
    inside = color if fill == "full" else "#fff"
    outline = f'fill="{inside}" stroke="{color}" stroke-width="1.4"'
    if shape not in _SHAPES:
        return f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(size)}" {outline}/>'
    points = [(x + size * dx, y + size * dy) for dx, dy in _SHAPES[shape]]
    drawn = f'<path d="{_path(points)}z" {outline}/>'
    if fill != "half":
        return drawn
    lower = [(px, max(py, y)) for px, py in points]
    return drawn + f'<path d="{_path(lower)}z" fill="{color}"/>'


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers between two others, about as many as asked for."""
    raw = (high - low) / max(1, count)
    unit = 10.0 ** math.floor(math.log10(raw))
    size = next(unit * k for k in (1, 2, 2.5, 5, 10) if unit * k >= raw * 0.999)
    first = math.ceil(low / size - 1e-9)
    return [k * size for k in range(first, math.floor(high / size + 1e-9) + 1)]


def axis_x(frame: Frame, at: Sequence[float], words: Sequence[str], *, grid: bool) -> list[str]:
    """Numbers under the area, and upright rules in it if there is a grid."""
    parts = []
    for value, said in zip(at, words, strict=True):
        x = frame.across(value)
        if grid:
            parts.append(line([(x, frame.top), (x, frame.bottom)], RULE, width=0.8))
        parts.append(text(x, frame.bottom + 15, said, anchor="middle", color=MUTED))
    return parts


def axis_y(frame: Frame, at: Sequence[float], words: Sequence[str]) -> list[str]:
    """Numbers on the left of the area, and level rules in it."""
    parts = []
    for value, said in zip(at, words, strict=True):
        y = frame.down(value)
        parts.append(line([(frame.left, y), (frame.right, y)], RULE, width=0.8))
        parts.append(text(frame.left - 5, y + 4, said, anchor="end", color=MUTED))
    return parts


def short(words: str, width: float) -> str:
    """Cut words to a width in units of the figure, with dots for what is missing."""
    fit = int(width / (FONT * 0.56))
    return words if len(words) <= fit else f"{words[: max(1, fit - 1)]}\u2026"


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points)


def _n(value: float) -> str:
    """A number with one decimal at most."""
    said = f"{value:.1f}".removesuffix(".0")
    return "0" if said == "-0" else said
