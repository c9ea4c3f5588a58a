"""Where the time of a training step goes: a real `Learner`, on a small data set of its task, on the CPU.

One clock runs through an update and is switched from part to part, so that the parts add up to the whole. A module
switches it when its forward pass begins and ends. A node of the autograd graph switches it when its backward pass
begins, to the part whose forward pass made the node. Nothing inside the loops of the scan is measured by itself: a
profiler of operators would slow down each of their thousands of short calls, and would make the scan alone look slower.
The cost of the clock is measured as well: updates with the clock and without it alternate.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dmh_edge.config import RunConfig
from dmh_edge.data.generate import generated
from dmh_edge.learner import Learner
from dmh_edge.lessons.histories import Histories
from dmh_edge.models import mamba
from dmh_edge.models.dmh import DMH
from dmh_edge.models.policy_model import PolicyModel
from dmh_edge.models.sequence import SequencePolicy
from dmh_edge.progress import Progress
from dmh_edge.tasks.family import Task

SCAN, MEMORY, ACTOR, LOSS = "scan", "rest of the memory", "actor", "heads and loss"
BACKBONE = "rest of the backbone"
DATA, OPTIMISER, OTHER = "data", "clipping and optimiser", "other"
Row = tuple[str, str]


def parts(model: PolicyModel) -> tuple[tuple[str, nn.Module], ...]:
    """Return the measured modules, each with the part it is charged to; the scan is charged wherever it is called."""
    if isinstance(model, DMH):
        return (MEMORY, model.memory), (ACTOR, model.actor), (LOSS, model.memory.head), (LOSS, model.actor.head)
    assert isinstance(model, SequencePolicy)
    return (BACKBONE, model.backbone), (LOSS, model.head)


def rows(model: PolicyModel) -> tuple[Row, ...]:
    """Return the rows of the table: a part, and its forward or backward pass; some parts are not divided."""
    charged = dict.fromkeys((SCAN, *(part for part, _ in parts(model))))
    return (
        *((part, way) for part in charged for way in ("forward", "backward")),
        *((part, "") for part in (DATA, OPTIMISER, OTHER)),
    )


@dataclass(frozen=True)
class StepProfile:
    """The time of an update, by part.

    Attributes:
        updates: number of measured updates.
        threads: number of threads of PyTorch.
        batch: number of contexts in an update.
        tokens: number of tokens in the longest scan; 0 if the model has none.
        seconds: median over the updates, in seconds, by row.
        slowdown: median time of an update with the clock, divided by the median time of an update without it.
    """

    updates: int
    threads: int
    batch: int
    tokens: int
    seconds: dict[Row, float]
    slowdown: float

    def shares(self) -> dict[Row, float]:
        """Return the share of each row in the whole."""
        whole = sum(self.seconds.values())
        return {row: seconds / whole for row, seconds in self.seconds.items()}

    def table(self) -> Table:
        """Return the times as a table."""
        title = (
            f"a training step, {sum(self.seconds.values()) * 1e3:.1f} ms: batch {self.batch}, {self.tokens:,} tokens, "
            f"threads: {self.threads}, updates: {self.updates}"
        )
        table = Table(title=title, title_justify="left", caption_justify="left")
        table.caption = f"an update takes {self.slowdown:.2f} times as long with the clock as without"
        for heading in ("part", "pass"):
            table.add_column(heading)
        for heading in ("ms", "share"):
            table.add_column(heading, justify="right")
        for (part, way), share in self.shares().items():
            table.add_row(part, way, f"{self.seconds[part, way] * 1e3:.2f}", f"{share:.1%}")
        return table


def profile(config: RunConfig, task: Task, updates: int, progress: Progress) -> StepProfile:
    """Measure updates.

    Args:
        config: settings of the training run; the device is always the CPU.
        task: task to learn.
        updates: number of updates to measure; the same number runs without the clock, alternating with them.
        progress: called after the data is made, and after each update.

    Raises:
        ConfigError, DataError, MissingExtraError: the data cannot be made, or the model cannot be trained.
    """
    progress("making data", 0, 1)
    episodes = generated(task, 1, max(2, config.data.episodes_per_context), config.training.seed)
    progress("making data", 1, 1)
    lessons = Histories(config, episodes, task.train_ids)
    learner = Learner(config, lessons.first, torch.device("cpu"))
    draw = lessons.stage(learner).draw
    watched: list[_Clock] = []
    plain: list[float] = []
    learner.update(draw(0))  # not measured: caches are cold
    for done in range(updates):
        began = time.perf_counter()
        learner.update(draw(learner.step))
        plain.append(time.perf_counter() - began)
        with _watched(learner) as clock:
            learner.update(draw(learner.step))
        watched.append(clock)
        progress("updates", done + 1, updates)
    return StepProfile(
        updates=updates,
        threads=torch.get_num_threads(),
        batch=config.data.batch,
        tokens=max(clock.tokens for clock in watched),
        seconds={row: statistics.median(clock.seconds[row] for clock in watched) for row in rows(learner.model)},
        slowdown=statistics.median(sum(clock.seconds.values()) for clock in watched) / statistics.median(plain),
    )


class _Clock:
    """Charges every moment to one row.

    Attributes:
        seconds: time of each row, in seconds.
        tokens: number of tokens in the longest sequence that the scan has seen.
    """

    def __init__(self) -> None:
        self.seconds: dict[Row, float] = defaultdict(float)
        self.tokens = 0
        self._stack: list[Row] = [(OTHER, "")]
        self._nodes: dict[Any, Row] = {}
        self._since = time.perf_counter()

    def switch(self, row: Row) -> None:
        """Charge the time from now on to a row."""
        now = time.perf_counter()
        self.seconds[self._stack[-1]] += now - self._since
        self._since, self._stack[-1] = now, row

    def begin(self, row: Row) -> None:
        """Charge the time to a row until `end` goes back to the row before."""
        self.switch(self._stack[-1])
        self._stack.append(row)

    def end(self) -> None:
        """Go back to the row before the last `begin`."""
        self.switch(self._stack[-1])
        self._stack.pop()

    def claim(self, part: str, inputs: Iterable[Tensor], output: Tensor) -> None:
        """Charge the backward pass between inputs and output to a part, except nodes that an inner part has claimed.

        The search is charged to no part. A node that adds up a parameter's gradient counts with the node before it.
        """
        began = time.perf_counter()
        row, visited = (part, "backward"), {tensor.grad_fn for tensor in inputs}
        found = [output.grad_fn]
        while found:
            node = found.pop()
            if node is None or node in visited:
                continue
            visited.add(node)
            found += [following for following, _ in node.next_functions]
            if node not in self._nodes and node.next_functions:
                self._nodes[node] = row
                node.register_prehook(lambda _: self.switch(row))
        self._since += time.perf_counter() - began


@contextmanager
def _watched(learner: Learner) -> Iterator[_Clock]:
    """Run a clock through one update."""
    clock, model = _Clock(), learner.model

    def scan(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def timed(*inputs: Tensor) -> Tensor:
            clock.tokens = max(clock.tokens, inputs[0].shape[1])
            clock.begin((SCAN, "forward"))
            y = original(*inputs)
            clock.end()
            clock.claim(SCAN, inputs, y)
            return y

        return timed

    def loss(original: Callable[..., dict[str, Tensor]]) -> Callable[..., dict[str, Tensor]]:
        def timed(*inputs: Any) -> dict[str, Tensor]:
            clock.switch((LOSS, "forward"))
            parts = original(*inputs)
            clock.switch((OTHER, ""))
            clock.claim(LOSS, (), parts["loss"])
            return parts

        return timed

    def clip(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def timed(*inputs: Any) -> Tensor:
            clock.switch((OPTIMISER, ""))
            return original(*inputs)

        return timed

    with ExitStack() as stack:
        stack.enter_context(_wrapped(mamba, "selective_scan", scan))
        stack.enter_context(_wrapped(model, "loss", loss))
        stack.enter_context(_wrapped(nn.utils, "clip_grad_norm_", clip))
        for part, module in parts(model):
            for hook in _hooks(clock, part, module):
                stack.callback(hook.remove)
        clock.switch((DATA, ""))
        yield clock
        clock.switch((OTHER, ""))


def _hooks(clock: _Clock, part: str, module: nn.Module) -> tuple[RemovableHandle, RemovableHandle]:
    """Charge a module's forward pass, and the backward pass of its output, to ``part``."""

    def begin(*_: Any) -> None:
        clock.begin((part, "forward"))

    def end(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        clock.end()
        clock.claim(part, inputs, output)

    return module.register_forward_pre_hook(begin), module.register_forward_hook(end)


@contextmanager
def _wrapped(owner: Any, name: str, wrap: Callable[[Any], Any]) -> Iterator[None]:
    """Replace ``owner.name`` by ``wrap(owner.name)`` while the block runs."""
    original, own = getattr(owner, name), name in vars(owner)
    setattr(owner, name, wrap(original))
    try:
        yield
    finally:
        if own:
            setattr(owner, name, original)
        else:  # a method: the object finds it in its class again
            delattr(owner, name)
