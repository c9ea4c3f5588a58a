from __future__ import annotations

import pytest

from dmh_edge.faults.when import ALWAYS, When


@pytest.mark.parametrize(
    ("when", "shown"),
    [
        (ALWAYS, [0, 1, 2, 3, 4, 5, 6, 7]),
        (When(at=5), [5, 6, 7]),
        (When(at=2, lasts=3), [2, 3, 4]),
        (When(at=1, every=3), [1, 4, 7]),
        (When(at=1, lasts=4, every=3), [1, 4]),
    ],
)
def test_a_fault_shows_from_its_beginning_to_its_end_and_as_often_as_it_says(when, shown):
    assert [number for number in range(8) if when.includes(number)] == shown
