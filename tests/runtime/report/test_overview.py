from __future__ import annotations

import numpy as np
import pytest

from dmh_edge.robots.fake_robot import TWO_JOINTS
from dmh_edge.runtime.report.overview import OverTime, Overview
from dmh_edge.runtime.sessions.fake_session import fake_contract

CONTRACT = fake_contract(TWO_JOINTS)


def of(count: int, rate_hz: float = 200.0, part: int = 1000) -> tuple[OverTime, np.ndarray, np.ndarray]:
    """Ticks of random figures, handed over in parts."""
    random = np.random.default_rng(0)
    time_ns = (np.arange(count) * 1e9 / rate_hz).astype(np.int64) + 10**12
    figures, applied = random.integers(0, 10**6, (count, 2)), random.normal(size=(count, 1, 2))
    overview = Overview(CONTRACT)
    for start in range(0, count, part):
        chosen = slice(start, start + part)
        overview.add(time_ns[chosen], figures[chosen], applied[chosen])
    return overview.lines(), figures, applied


@pytest.mark.parametrize(("count", "part"), [(1, 1), (100, 7), (100_000, 1000), (100_000, 99_999)])
def test_the_least_and_the_most_survive_however_long_the_run(count, part):
    lines, figures, applied = of(count, part=part)
    assert 1 <= len(lines.times[0].high) <= 512
    assert lines.width_s * len(lines.times[0].high) >= (count - 1) / 200
    for line, values in zip((*lines.times, *lines.actions), (*figures.T / 1000, *applied[:, 0].T), strict=True):
        assert min(value for value in line.low if value is not None) == pytest.approx(values.min(), rel=1e-4)
        assert max(value for value in line.high if value is not None) == pytest.approx(values.max(), rel=1e-4)
    assert [line.name for line in lines.actions] == ["shoulder_velocity", "elbow_velocity"]


def test_a_spike_is_where_it_was():
    overview = Overview(CONTRACT)
    figures = np.full((20_000, 2), 1000)
    figures[3_000] = 10**7
    for start in range(0, 20_000, 100):  # buckets that hold something already are joined
        part = slice(start, start + 100)
        overview.add(np.arange(20_000)[part] * 5_000_000, figures[part], np.zeros((100, 2)))
    lines = overview.lines()
    high = [value or 0.0 for value in lines.times[0].high]
    assert high.index(max(high)) == int(3_000 * 0.005 / lines.width_s)
    assert sorted(high)[-2] == 1.0


def test_a_pause_is_a_gap_and_no_ticks_are_no_lines():
    overview = Overview(CONTRACT)
    assert overview.lines().times[0].high == ()
    overview.add(np.array([0, 10**9]), np.ones((2, 2), int), np.zeros((2, 2)))
    assert overview.lines().times[0].high[1:-1] == (None,) * (len(overview.lines().times[0].high) - 2)
