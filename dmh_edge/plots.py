"""Pictures of results."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dmh_edge.errors import MissingExtraError
from dmh_edge.evaluate import Evaluation
from dmh_edge.files import replacing

_STYLES = (("C0", "-"), ("C1", "-"), ("0.35", "--"), ("0.6", ":"))


def learning_in_context(evaluation: Evaluation, path: Path) -> None:
    """Return per episode of every agent, with 95% intervals, as a PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ArtifactError: the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise MissingExtraError("matplotlib", "train", "drawing curves") from error
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for curve, (color, style) in zip(evaluation.curves, _STYLES, strict=False):
        episode = np.arange(1, len(curve.per_episode) + 1)
        axes.plot(
            episode,
            [point.mean for point in curve.per_episode],
            color=color,
            linestyle=style,
            marker=".",
            label=curve.name,
        )
        low, high = ([getattr(point, side) for point in curve.per_episode] for side in ("low", "high"))
        axes.fill_between(episode, low, high, color=color, alpha=0.15, linewidth=0)
    axes.set_xlabel("episode on a hidden task, no updates")
    axes.set_ylabel("return")
    axes.set_xlim(1, max(2, len(evaluation.curves[0].per_episode)))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    tasks, seeds = len(evaluation.hidden), len(evaluation.seeds)
    axes.set_title(f"{evaluation.task}: {tasks} hidden tasks, {seeds} seeds, mean and 95% interval", fontsize=10)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)
