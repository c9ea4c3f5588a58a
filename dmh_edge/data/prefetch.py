"""Worker threads that make batches ahead of time: numpy gathers the next batch while torch computes with this one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

#: Results kept ready per worker: the first hides the time that making the next one takes, the second hides its jitter.
AHEAD_PER_WORKER = 2


def prefetched(make: Callable[[int], T], numbers: Iterable[int], workers: int) -> Generator[T, None, None]:
    """Yield ``make(number)`` for every number, in the order of the numbers.

    Args:
        make: a pure function.
        numbers: arguments of ``make``.
        workers: number of threads; with 0 each result is made when it is asked for.

    Raises:
        Exception: what ``make`` raised, in place of its result.
    """
    if workers == 0:
        yield from map(make, numbers)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="data")
    ready: deque[Future[T]] = deque()
    try:
        for number in numbers:
            ready.append(pool.submit(make, number))
            if len(ready) > AHEAD_PER_WORKER * workers:
                yield ready.popleft().result()
        while ready:
            yield ready.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
