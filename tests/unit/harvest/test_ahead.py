"""Units that are worked on ahead of their turn."""

import threading

import pytest

from skyharvest.harvest.ahead import Ahead


def test_so_many_are_worked_on_at_once_and_come_in_order():
    """Each waits for two others: fewer at once would wait in vain, and more would be counted."""
    together = threading.Barrier(3, timeout=10)
    lock, now, most = threading.Lock(), 0, 0

    def work(unit: int) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait()
        with lock:
            now -= 1
        return unit * unit

    with Ahead(work, range(6), 3, 3) as ahead:
        assert [ahead.take(unit) for unit in range(3)] == [0, 1, 4]
        assert [ahead.take(unit) for unit in range(3, 6)] == [9, 16, 25]
    assert most == 3


def test_what_is_ahead_is_worked_on_while_nothing_is_asked_for():
    done = [threading.Event() for _ in range(9)]

    with Ahead(lambda unit: done[unit].set(), range(9), 2, 6) as ahead:
        ahead.take(0)
        assert all(event.wait(10) for event in done[:6])
    assert not any(event.is_set() for event in done[6:])


def test_an_error_is_raised_in_its_turn_and_the_rest_is_not_begun():
    begun, go = [], threading.Event()

    def work(unit: int) -> int:
        begun.append(unit)
        if unit == 1:
            raise ZeroDivisionError
        if unit > 1:
            go.wait(10)
        return unit

    with pytest.raises(ZeroDivisionError), Ahead(work, range(100), 2, 2) as ahead:
        assert ahead.take(0) == 0
        go.set()
        ahead.take(1)
    assert len(begun) <= 4


@pytest.mark.parametrize("at_once", [1, 3])
def test_what_is_not_in_the_order_is_worked_on_when_it_is_asked_for(at_once):
    asked = []
    with Ahead(lambda unit: asked.append(unit) or unit, [1, 2], at_once, 5) as ahead:
        assert [ahead.take(unit) for unit in (7, 2, 1)] == [7, 2, 1]
    assert sorted(asked) == [1, 2, 7]
