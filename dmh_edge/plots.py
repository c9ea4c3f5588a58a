"""Plots of results, as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dmh_edge.errors import MissingExtraError
from dmh_edge.evaluate import Evaluation
from dmh_edge.files import replacing
from dmh_edge.intervals import Interval

_STYLES = {"expert": ("0.35", "--", "."), "random": ("0.6", ":", ".")}
_MARKS = ".sv^D*"
_STROKES, _COLORS = ("-", "-."), 10
#: From this number of lines in a panel, their bands are fainter, so that they do not hide each other.
_MANY = 7
_ACROSS = 4


@dataclass(frozen=True)
class Line:
    """One side of a comparison.

    Attributes:
        name: name in the legend; the same name has the same colour in all panels of a picture.
        x: positions of the points on the x axis.
        y, low, high: value at each point, and the bounds of the band around it.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]

    @classmethod
    def of(cls, name: str, x: Sequence[float], points: Sequence[Interval]) -> Line:
        """A line of means with their intervals."""
        mean, low, high = ([getattr(point, side) for point in points] for side in ("mean", "low", "high"))
        return cls(name, x, mean, low, high)


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: text above the axes.
        x_label, y_label: quantity on each axis, with its unit.
        lines: sides of the comparison.
        log: whether both axes are logarithmic.
        log_x: whether only the x axis is logarithmic; if no axis is, the ticks on x are whole numbers.
        marks: positions of vertical lines on the x axis, each with its label.
    """

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    log: bool = False
    log_x: bool = False
    marks: Sequence[tuple[float, str]] = ()


def learning_in_context(evaluation: Evaluation, path: Path) -> None:
    """Draw the return per episode of every agent, with 95% intervals, as a PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ArtifactError: the file cannot be written.
    """
    tried = f"{len(evaluation.hidden)} hidden tasks" if evaluation.hidden else f"{len(evaluation.settings)} robots"
    title = f"{evaluation.task}: {tried}, {len(evaluation.seeds)} seeds, mean and 95% interval"
    if evaluation.verdict:
        title += f"\n{evaluation.verdict[0]}"
    draw([per_episode(title, {curve.name: curve.per_episode for curve in evaluation.curves})], path)


def per_episode(title: str, curves: dict[str, list[Interval]]) -> Panel:
    """A panel with the return per episode of some agents."""
    lines = [Line.of(name, range(1, len(points) + 1), points) for name, points in curves.items()]
    return Panel(title, "episode on a hidden task, no updates", "return", lines)


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Draw panels side by side, at most four in a row, with one legend for all, as a PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ArtifactError: the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator, NullLocator
    except ImportError as error:
        raise MissingExtraError("matplotlib", "train", "drawing curves") from error
    across = min(len(panels), _ACROSS)
    down = -(-len(panels) // across)
    figure = Figure(figsize=(7 if across == 1 else 4.6 * across, 4.2 * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    styles, handles = _styles(panels), {}
    for axes, panel in zip(grid, panels, strict=False):
        faint = 0.15 if len(panel.lines) < _MANY else 0.05
        for line in panel.lines:
            color, style, mark = styles[line.name]
            (handles[line.name],) = axes.plot(
                line.x, line.y, color=color, linestyle=style, marker=mark, markersize=5, label=line.name
            )
            axes.fill_between(line.x, line.low, line.high, color=color, alpha=faint, linewidth=0)
        for place, meaning in panel.marks:
            axes.axvline(place, color="0.5", linestyle="-.", linewidth=1)
            axes.annotate(
                meaning,
                (place, 0),
                xycoords=axes.get_xaxis_transform(),
                xytext=(3, 4),
                textcoords="offset points",
                rotation=90,
                fontsize=7,
                color="0.35",
            )
        axes.set_xlabel(panel.x_label)
        axes.set_ylabel(panel.y_label)
        axes.set_title(panel.title, fontsize=10)
        axes.grid(alpha=0.3)
        if panel.log or panel.log_x:
            axes.set_xscale("log")
            places = max((line.x for line in panel.lines), key=len)
            axes.set_xticks(places, [f"{place:,}" for place in places])
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            first = min(1, *(min(line.x) for line in panel.lines))
            axes.set_xlim(first, max(2, *(max(line.x) for line in panel.lines)))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if panel.log:
            axes.set_yscale("log")
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _styles(panels: Sequence[Panel]) -> dict[str, tuple[str, str, str]]:
    """Colour, stroke and mark by name: fixed for the expert and a random policy, given out in order to the others.

    A colour that is used a second time has another stroke.
    """
    names = dict.fromkeys(line.name for panel in panels for line in panel.lines if line.name not in _STYLES)
    dealt = {
        name: (f"C{k % _COLORS}", _STROKES[k // _COLORS % len(_STROKES)], _MARKS[k % len(_MARKS)])
        for k, name in enumerate(names)
    }
    return _STYLES | dealt
