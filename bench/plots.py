"""Plots as inline SVG: lines over two axes, readable on a screen and on paper, without any script."""

import math
from collections.abc import Sequence
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


def plot(
    lines: Sequence[Line], *, x: str, y: str, logarithmic: bool = False, mark: tuple[float, str] | None = None
) -> str:
    """An SVG. `mark` is a horizontal line with its name. Nothing to show gives a short text."""
    points = [point for line in lines for point in line.points if math.isfinite(point[1])]
    if not points:
        return "<p>Nothing was measured.</p>"
    top_x = _round_up(max(point[0] for point in points))
    values = [point[1] for point in points] + ([mark[0]] if mark else [])
    low = 10 ** math.floor(math.log10(max(1e-3, min(values)))) if logarithmic else 0.0
    high = 10 ** math.ceil(math.log10(max(values) * 1.01)) if logarithmic else _round_up(max(values))

    def at(point: tuple[float, float]) -> tuple[float, float]:
        value = max(point[1], low or point[1])
        share = math.log(value / low) / math.log(high / low) if logarithmic else value / high
        return (LEFT + point[0] / top_x * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM))

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 18 * len(lines)}" role="img" aria-label="{escape(y)} by {escape(x)}">'
    ]
    ticks = _decades(low, high) if logarithmic else [high * step / 4 for step in range(5)]
    for tick in ticks:
        _, up = at((0, tick))
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up:.1f}" y2="{up:.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{up + 4:.1f}" text-anchor="end">{_shown(tick)}</text>')
    for step in range(5):
        across, _ = at((top_x * step / 4, high))
        parts.append(
            f'<text x="{across:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{_shown(top_x * step / 4)}</text>'
        )
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle" class="axis">{escape(x)}</text>'
    )
    parts.append(f'<text transform="translate(14 {(HEIGHT - BOTTOM + TOP) / 2}) rotate(-90)" text-anchor="middle" '
                 f'class="axis">{escape(y)}</text>')  # fmt: skip
    if mark is not None:
        _, up = at((0, mark[0]))
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up:.1f}" y2="{up:.1f}" class="mark"/>')
        parts.append(
            f'<text x="{WIDTH - RIGHT}" y="{up - 5:.1f}" text-anchor="end" class="mark-name">{escape(mark[1])}</text>'
        )
    for number, line in enumerate(lines):
        colour, dash = COLOURS[number % 4], DASHES[number % 4]
        placed = [at(point) for point in line.points if math.isfinite(point[1])]
        path = " ".join(f"{across:.1f},{up:.1f}" for across, up in placed)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
        )
        parts += [f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3" fill="{colour}"/>' for across, up in placed]
        below = HEIGHT + 18 * number + 8
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + 28}" y1="{below}" y2="{below}" stroke="{colour}" stroke-width="2" '
                     f'stroke-dasharray="{dash}"/>')  # fmt: skip
        parts.append(f'<text x="{LEFT + 36}" y="{below + 4}">{escape(line.name)}</text>')
    return "".join([*parts, "</svg>"])


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
