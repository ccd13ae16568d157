"""Plots as inline SVG: lines over two axes, readable on a screen and on paper, without any script."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 16, 48
COLOURS = ("#1b5e9b", "#c2571a", "#3c7a3c", "#7a3c7a")
DASHES = ("", "6 3", "2 3", "8 3 2 3")  # told apart on paper without colour


@dataclass(frozen=True, slots=True)
class Line:
    """A named series of points (x, y)."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to places in the drawing: x from 0 to `right`, y from `low` to `high`."""

    right: float
    low: float
    high: float
    logarithmic: bool

    @classmethod
    def of(cls, points: Sequence[tuple[float, float]], also: Sequence[float], *, logarithmic: bool) -> "_Scale":
        """One that holds all points, and the values `also` of y."""
        values = [point[1] for point in points] + list(also)
        low = 10 ** math.floor(math.log10(max(1e-3, min(values)))) if logarithmic else 0.0
        high = 10 ** math.ceil(math.log10(max(values) * 1.01)) if logarithmic else _round_up(max(values))
        return cls(_round_up(max(point[0] for point in points)), low, high, logarithmic)

    def across(self, x: float) -> float:
        return LEFT + x / self.right * (WIDTH - LEFT - RIGHT)

    def up(self, y: float) -> float:
        y = max(y, self.low or y)
        share = math.log(y / self.low) / math.log(self.high / self.low) if self.logarithmic else y / self.high
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def plot(
    lines: Sequence[Line], *, x: str, y: str, logarithmic: bool = False, mark: tuple[float, str] | None = None
) -> str:
    """An SVG. `mark` is a horizontal line with its name. Nothing to show gives a short text."""
    points = [point for line in lines for point in line.points if math.isfinite(point[1])]
    if not points:
        return "<p>Nothing was measured.</p>"
    scale = _Scale.of(points, [mark[0]] if mark else [], logarithmic=logarithmic)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 18 * len(lines)}" role="img" aria-label="{escape(y)} by {escape(x)}">',
        *_axes(scale, x, y),
        *(_mark(scale, *mark) if mark else ()),
    ]
    for number, line in enumerate(lines):
        parts += _line(scale, line, number)
    return "".join([*parts, "</svg>"])


def _axes(scale: _Scale, x: str, y: str) -> Iterator[str]:
    ticks = _decades(scale.low, scale.high) if scale.logarithmic else [scale.high * step / 4 for step in range(5)]
    for tick in ticks:
        up = scale.up(tick)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up:.1f}" y2="{up:.1f}" class="grid"/>'
        yield f'<text x="{LEFT - 8}" y="{up + 4:.1f}" text-anchor="end">{_shown(tick)}</text>'
    for tick in (scale.right * step / 4 for step in range(5)):
        place = f'x="{scale.across(tick):.1f}" y="{HEIGHT - BOTTOM + 18}"'
        yield f'<text {place} text-anchor="middle">{_shown(tick)}</text>'
    place = f'x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}"'
    yield f'<text {place} text-anchor="middle" class="axis">{escape(x)}</text>'
    place = f'transform="translate(14 {(HEIGHT - BOTTOM + TOP) / 2}) rotate(-90)"'
    yield f'<text {place} text-anchor="middle" class="axis">{escape(y)}</text>'


def _mark(scale: _Scale, value: float, name: str) -> Iterator[str]:
    up = scale.up(value)
    yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up:.1f}" y2="{up:.1f}" class="mark"/>'
    yield f'<text x="{WIDTH - RIGHT}" y="{up - 5:.1f}" text-anchor="end" class="mark-name">{escape(name)}</text>'


def _line(scale: _Scale, line: Line, number: int) -> Iterator[str]:
    """The line with its points, and its name below the drawing."""
    colour, dash = COLOURS[number % 4], DASHES[number % 4]
    stroke = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
    placed = [(scale.across(x), scale.up(y)) for x, y in line.points if math.isfinite(y)]
    path = " ".join(f"{across:.1f},{up:.1f}" for across, up in placed)
    yield f'<polyline points="{path}" fill="none" {stroke}/>'
    for across, up in placed:
        yield f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3" fill="{colour}"/>'
    below = HEIGHT + 18 * number + 8
    yield f'<line x1="{LEFT}" x2="{LEFT + 28}" y1="{below}" y2="{below}" {stroke}/>'
    yield f'<text x="{LEFT + 36}" y="{below + 4}">{escape(line.name)}</text>'


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.4g}"


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 5, 8, 10 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    return float(next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value * 0.999))


def _decades(low: float, high: float) -> list[float]:
    first, last = round(math.log10(low)), round(math.log10(high))
    return [10.0**power for power in range(first, last + 1)]
