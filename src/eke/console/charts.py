"""Charts as SVG text, drawn on the server. Colours are the style sheet's; a chart only names a class.

Every chart says in words what it shows, for those who do not see it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

WIDTH, HEIGHT = 720, 220
LEFT, RIGHT, TOP, BOTTOM = 56, 10, 10, 24


@dataclass(frozen=True, slots=True)
class Series:
    """Values with a name; `style` is a class of the style sheet."""

    name: str
    style: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Curve:
    """Points with a name."""

    name: str
    style: str
    points: Sequence[tuple[float, float]]


def stack(
    series: Sequence[Series], labels: Sequence[str], top: float, said: str, *, height: int = 120, unit: str = ""
) -> Markup:
    """Bars side by side, each a pile of one value of every series; `top` is the full height."""
    bars = max((len(s.values) for s in series), default=0)
    if not bars or top <= 0:
        return Markup("")
    inner_w, inner_h = WIDTH - LEFT - RIGHT, height - TOP - BOTTOM
    step = inner_w / bars
    gap = min(2.0, step * 0.18)
    parts = [_rule(TOP + inner_h * (1 - f), _short(top * f)) for f in (0, 0.5, 1)]
    for i in range(bars):
        base = 0.0
        for s in series:
            value = s.values[i]
            if value <= 0:
                continue
            y, h = TOP + inner_h * (1 - (base + value) / top), inner_h * value / top
            words = f"{labels[i]}: {s.name} {_short(value)}{unit and ' ' + unit}"
            parts.append(
                f'<rect class="{s.style}" x="{LEFT + i * step + gap / 2:.1f}" y="{y:.1f}" width="{step - gap:.1f}"'
                f' height="{max(h, 0.6):.1f}"><title>{escape(words)}</title></rect>'
            )
            base += value
    every = max(1, math.ceil(bars / 8))
    parts += [_label(LEFT + (i + 0.5) * step, height - 8, labels[i]) for i in range(0, bars, every)]
    return _svg(parts, height, said)


def strip(values: Sequence[float], top: float, style: str, said: str) -> Markup:
    """A very small bar chart without axes, for a table cell."""
    if top <= 0 or not values:
        return Markup("")
    width, height, n = 96, 18, len(values)
    step = width / n
    rects = [
        f'<rect class="{style}" x="{i * step:.2f}" y="{height * (1 - v / top):.2f}" width="{max(step - 0.6, 0.6):.2f}"'
        f' height="{max(height * v / top, 0.5):.2f}"/>'
        for i, v in enumerate(values)
        if v > 0
    ]
    return Markup(
        f'<svg class="strip" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(said)}">'
        f'<rect class="ground" width="{width}" height="{height}"/>{"".join(rects)}</svg>'
    )


def line(curves: Sequence[Curve], said: str, x_unit: str = "") -> Markup:
    """Curves over a common axis, the vertical one fitted to what is there."""
    points = [p for c in curves for p in c.points]
    if len(points) < 2:
        return Markup("")
    low, high = min(y for _, y in points), max(y for _, y in points)
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    right = max(x for x, _ in points) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (WIDTH - LEFT - RIGHT) * x / right,
            TOP + (HEIGHT - TOP - BOTTOM) * (1 - (y - low) / ((high - low) or 1)),
        )

    parts = [_rule(place(0, t)[1], f"{t:g}") for t in ticks]
    parts += [
        _label(place(x, 0)[0], HEIGHT - 8, f"{_short(x)} {x_unit}".strip(), end=x == right) for x in (right / 2, right)
    ]
    for c in curves:
        path = " ".join(f"{'ML'[i > 0]}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(place(*p) for p in c.points))
        parts.append(f'<path class="curve {c.style}" d="{path}"><title>{escape(c.name)}</title></path>')
        if c.points:
            x, y = place(*c.points[-1])
            parts.append(f'<circle class="{c.style}" cx="{x:.1f}" cy="{y:.1f}" r="3.2"/>')
    return _svg(parts, HEIGHT, said)


def _ticks(low: float, high: float) -> list[float]:
    """About four round numbers around the values."""
    span = (high - low) or abs(high) or 1.0
    raw = span / 4
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw)
    first = math.floor(low / step)
    ticks = [round(first * step, 10)]
    while ticks[-1] < high - 1e-12:
        ticks.append(round((first + len(ticks)) * step, 10))
    assert all(a < b for a, b in pairwise(ticks))
    return ticks


def _rule(y: float, words: str) -> str:
    return (
        f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{escape(words)}</text>'
    )


def _label(x: float, y: float, words: str, *, end: bool = False) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y}" text-anchor="{"end" if end else "middle"}">{escape(words)}</text>'


def _svg(parts: Sequence[str], height: int, said: str) -> Markup:
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(said)}">'
    return Markup(f"{head}{''.join(parts)}</svg>")


def _short(value: float) -> str:
    """A number in at most four characters or so."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2g}"
