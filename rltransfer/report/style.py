"""One look for all figures, without touching matplotlib's global settings."""

from __future__ import annotations

import io
import os
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from rltransfer.agents.files import atomic_write
from rltransfer.errors import BadArgument

# matplotlib takes a second to import, so it is imported where something is drawn.
if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, RULE = "#1b1f24", "#57606a", "#d8dee4"
DPI = 160

# Okabe and Ito's palette, told apart with every common color vision; scratch is neutral.
_FIXED: dict[str, str] = {
    "scratch": "#6e7781",
    "full": "#0072B2",
    "auto": "#D55E00",
    "gradual": "#009E73",
    "head": "#CC79A7",
    "discriminative": "#E69F00",
}
_MARKERS = "sDovP^X<*>"
_OTHERS = (
    *("#56B4E9", "#8C510A", "#4B0092", "#B2182B", "#35978F", "#1b1f24"),
    *("#999933", "#882255", "#6a7fdb", "#b8860b"),
)


def colors(names: Iterable[str]) -> dict[str, str]:
    """Give every recipe a color: the presets always the same, the others in order of appearance."""
    found: dict[str, str] = {}
    for name in names:
        if name not in found:
            others = sum(other not in _FIXED for other in found)
            found[name] = _FIXED.get(name, _OTHERS[others % len(_OTHERS)])
    return found


def markers(names: Iterable[str]) -> dict[str, str]:
    """Give every recipe a marker, so that color is never the only difference."""
    return {
        name: _MARKERS[i % len(_MARKERS)]
        for i, name in enumerate(dict.fromkeys(name for name in names if name != "scratch"))
    }


def figure(width: float, height: float) -> Figure:
    """Make an empty white figure, sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")


def clean(axes: Axes, *, grid: str = "y") -> None:
    """Leave only what carries information: thin rules along one axis, no box."""
    for side in ("top", "right", "left" if grid == "y" else "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom" if grid == "y" else "left"].set_color(RULE)
    axes.grid(axis="y" if grid == "y" else "x", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=9.5, length=0)


def step_axis(axes: Axes, budget: int) -> None:
    """Label the horizontal axis in environment steps, from 0 to the budget."""
    from matplotlib.ticker import FuncFormatter

    axes.set_xlim(0, budget)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: steps(x)))
    axes.set_xlabel("Environment steps on the target", color=INK, fontsize=10)


def title(made: Figure, text: str) -> None:
    """Set a heading, wrapped to the width of the figure, in which ``$`` is just a character."""
    width = int(made.get_figwidth() * 9.5)
    lines = [textwrap.fill(line, width, break_long_words=False) for line in text.splitlines()]
    made.suptitle(
        "\n".join(lines), x=0.012, ha="left", fontsize=12, fontweight="bold", color=INK,
        parse_math=False,
    )  # fmt: skip


def legend(made: Figure, entries: Mapping[str, Artist], *, note: str) -> None:
    """Put a legend with a note under the axes, in as many columns as fit."""
    longest = max(map(len, entries))
    columns = int(made.get_figwidth() / (0.078 * longest + 0.65))
    drawn = made.legend(
        list(entries.values()), list(entries), loc="outside lower left", frameon=False,
        ncols=max(1, min(len(entries), columns)), fontsize=9.5, labelcolor=INK, handlelength=2.2,
        columnspacing=1.5, title=note, title_fontsize=8.5, alignment="left",
    )  # fmt: skip
    drawn.get_title().set_color(MUTED)
    for text in drawn.get_texts():
        text.set_parse_math(False)


def steps(count: float) -> str:
    """Shorten a number of steps: 500, 2k, 12.5k, 1M."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if abs(count) >= size:
            return f"{count / size:.4g}{unit}"
    return f"{count:g}"


def png(made: Figure) -> bytes:
    """Render as PNG; the same figure gives the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(made)
    canvas.draw()
    # 256 colors are plenty for lines, and make the file three times smaller.
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(256)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True, dpi=(DPI, DPI))
    return buffer.getvalue()


def write_png(made: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure at once or not at all.

    Raises:
        BadArgument: The name does not end in ``.png``.
        NotWritable: The file cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise BadArgument(f"a plot cannot be written as {target.name!r}; end the name in .png")
    atomic_write(target, png(made))
    return target
