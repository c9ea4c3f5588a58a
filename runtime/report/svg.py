"""Charts as inline SVG, from plain numbers: axes with round ticks, bars, lines, bands between lines, and limits.

A chart is a tree of elements, so that it is always well-formed and every text is escaped. Colours are names of CSS
classes that the page defines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree as ET

from dmh_edge.runtime.report.overview import Quantity

_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 10, 40
_TICKS: Final = 6


class Axis:
    """Numbers on one side of a chart.

    Args:
        low: smallest number that is shown; the range is made wider where it has no width.
        high: largest number that is shown.
        log: whether the axis is logarithmic; both ends must then be above 0.
    """

    def __init__(self, low: float, high: float, *, log: bool = False) -> None:
        if not high > low:
            low, high = (low / 2, low * 2) if log else (low - 0.5, low + 0.5)
        self.low, self.high, self.log = low, high, log

    def share(self, value: float) -> float:
        """Position of a value on the axis, 0 to 1; a value outside the range lies on the edge."""
        if self.log:
            value = max(value, self.low)
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(max(share, 0.0), 1.0)

    def ticks(self) -> list[float]:
        """Round numbers on the axis."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            steps = (1, 2, 5) if last - first < 2 else (1,)
            round_ones = [step * 10.0**power for power in range(first - 1, last + 1) for step in steps]
            return [value for value in round_ones if self.low <= value <= self.high]
        rough = (self.high - self.low) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        first = math.ceil(self.low / step - 1e-9)
        return [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


class Chart:
    """One chart.

    Args:
        x: horizontal axis.
        y: vertical axis.
        x_label: quantity on the horizontal axis, with its unit.
        y_label: quantity on the vertical axis, with its unit.
        width: width in pixels.
        height: height in pixels.
    """

    def __init__(self, x: Axis, y: Axis, x_label: str, y_label: str, width: int = 720, height: int = 240) -> None:
        self._x, self._y = x, y
        self._right, self._bottom = width - _RIGHT, height - _BOTTOM
        self.element = ET.Element(
            "svg", {"viewBox": f"0 0 {width} {height}", "width": str(width), "height": str(height), "role": "img"}
        )
        ET.SubElement(self.element, "title").text = f"{y_label} by {x_label}"
        for tick in x.ticks():
            place = self._across(tick)
            self._line(place, _TOP, place, self._bottom, "grid")
            self._text(place, self._bottom + 14, _number(tick), "middle")
        for tick in y.ticks():
            place = self._down(tick)
            self._line(_LEFT, place, self._right, place, "grid")
            self._text(_LEFT - 6, place + 4, _number(tick), "end")
        self._text((_LEFT + self._right) / 2, height - 6, x_label, "middle")
        label = self._text(14, (_TOP + self._bottom) / 2, y_label, "middle")
        label.set("transform", f"rotate(-90 14 {(_TOP + self._bottom) / 2:.1f})")

    def bars(self, bars: Sequence[tuple[float, float, float]], style: str) -> None:
        """Draw columns ``(from, to, height)``."""
        for low, high, value in bars:
            left, top = self._across(low), self._down(value)
            self._add(
                "rect",
                style,
                x=left,
                y=top,
                width=max(self._across(high) - left, 1.0),
                height=max(self._bottom - top, 0.0),
            )

    def points(self, points: Sequence[tuple[float, float]], style: str) -> None:
        """Draw points, joined by a line."""
        places = " ".join(f"{self._across(x):.1f},{self._down(y):.1f}" for x, y in points)
        ET.SubElement(self.element, "polyline", {"points": places, "class": f"line {style}"})
        for x, y in points if len(points) <= 60 else ():
            self._add("circle", f"mark {style}", cx=self._across(x), cy=self._down(y), r=2.5)

    def band(self, line: Quantity, width: float, style: str) -> None:
        """Draw a band between the smallest and largest value of each bucket of ``width``, with gaps at empty ones."""
        upper: list[str] = []
        lower: list[str] = []
        before: tuple[float, float] | None = None
        for index, (low, high) in enumerate(zip((*line.low, None), (*line.high, None), strict=True)):
            if low is None or high is None:
                if upper:
                    places = " ".join(upper + lower[::-1])
                    ET.SubElement(self.element, "polygon", {"points": places, "class": f"band {style}"})
                upper, lower, before = [], [], None
                continue
            bottom, top = (low, high) if before is None else (min(low, before[1]), max(high, before[0]))
            for edge in (index, index + 1):
                across = self._across(edge * width)
                upper.append(f"{across:.1f},{self._down(top) - 0.5:.1f}")
                lower.append(f"{across:.1f},{self._down(bottom) + 0.5:.1f}")
            before = low, high

    def limit(self, value: float, words: str = "", *, vertical: bool = False) -> None:
        """Draw a limit as a line."""
        if vertical:
            place = self._across(value)
            self._line(place, _TOP, place, self._bottom, "limit")
            late = place > (_LEFT + self._right) / 2
            self._text(place - 4 if late else place + 4, _TOP + 12, words, "end" if late else "start", "limit")
        else:
            place = self._down(value)
            self._line(_LEFT, place, self._right, place, "limit")
            self._text(self._right - 4, place - 4 if place > _TOP + 14 else place + 12, words, "end", "limit")

    def _across(self, value: float) -> float:
        return _LEFT + self._x.share(value) * (self._right - _LEFT)

    def _down(self, value: float) -> float:
        return self._bottom - self._y.share(value) * (self._bottom - _TOP)

    def _line(self, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        self._add("line", style, x1=x1, y1=y1, x2=x2, y2=y2)

    def _text(self, x: float, y: float, words: str, anchor: str, style: str = "label") -> ET.Element:
        element = self._add("text", style, x=x, y=y)
        element.set("text-anchor", anchor)
        element.text = words
        return element

    def _add(self, tag: str, style: str, **places: float) -> ET.Element:
        attributes = {name: f"{value:.1f}" for name, value in places.items()}
        return ET.SubElement(self.element, tag, {"class": style, **attributes})


def _number(value: float) -> str:
    """A number as short text."""
    if value and abs(value) >= 1e6:
        return f"{value:.0e}".replace("e+0", "e")
    return f"{value:,.6g}"
