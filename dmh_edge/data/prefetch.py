"""What is needed next, made ahead by worker threads: numpy gathers a batch while torch computes with the one before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

#: Results that lie ready per worker: one in hand hides the time of the next, a second one hides its jitter.
AHEAD_PER_WORKER = 2


def prefetched(make: Callable[[int], T], numbers: Iterable[int], workers: int) -> Generator[T, None, None]:
    """``make(number)`` for every number, in their order, whatever worker is done first.

    Args:
        make: a pure function.
        numbers: its arguments.
        workers: threads; 0 makes each result when it is asked for.

    Raises:
        Exception: what ``make`` raised, where its result would have come.
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
