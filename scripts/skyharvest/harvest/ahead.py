"""Work on units in their order, some of them ahead of their turn: while one waits for a server, others are read."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Self, TypeVar

U = TypeVar("U")
T = TypeVar("T")


class Ahead(Generic[U, T]):
    """What a function returns for units, begun before it is asked for.

    Parameters
    ----------
    work
        Called once for each unit, in threads if more than one is begun ``at_once``.
    order
        Units in the order in which they will be asked for.
    at_once
        So many threads work. With 1 all is done in the caller's thread, when it is asked for.
    ahead
        So many are begun and not yet taken, at most: what they return is kept.
    """

    def __init__(self, work: Callable[[U], T], order: Iterable[U], at_once: int, ahead: int) -> None:
        self._work, self._left, self._ahead = work, deque(order), ahead
        self._begun: dict[U, Future[T]] = {}
        self._threads = ThreadPoolExecutor(at_once) if at_once > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Begin nothing more, and wait for what has been begun."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def take(self, unit: U) -> T:
        """Return what the work on a unit gave, or raise what it raised."""
        if self._threads is None:
            return self._work(unit)
        if unit not in self._begun:
            self._begin(unit)
        while self._left and len(self._begun) < self._ahead:
            self._begin(self._left[0])
        return self._begun.pop(unit).result()

    def _begin(self, unit: U) -> None:
        assert self._threads is not None
        if unit in self._left:
            self._left.remove(unit)
        self._begun[unit] = self._threads.submit(self._work, unit)
