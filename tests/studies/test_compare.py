"""Comparisons of policies, on returns that are known; and the studies on Grid World from training to page."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from dmh_edge.evaluate import Curve, Evaluation
from dmh_edge.intervals import Interval
from dmh_edge.studies import against_ad, compare, grid_returns
from dmh_edge.studies import cell as cells
from dmh_edge.studies.bootstrap import Difference
from dmh_edge.studies.cell import Outcome, Spent
from dmh_edge.studies.grid_returns import GridReturns
from dmh_edge.studies.results import Results


@pytest.fixture
def outcomes(cell):  # type: ignore[no-untyped-def]
    """Outcomes of three training seeds whose policy had such returns ``[seeds, hidden tasks, episodes]``."""

    def make(returns: np.ndarray) -> list[Outcome]:
        made = []
        for seed, of_seed in enumerate(returns):
            passes = np.stack([of_seed - 1, of_seed + 1])  # whose mean it is
            curves = [
                Curve.of(name, passes + shift) for shift, name in enumerate(("it", "forgetful", "expert", "random"))
            ]
            found = Evaluation(task="room", policy="p", backend="torch", hidden=[5, 6, 7], seeds=[0, 1], curves=curves)
            spent = Spent(machine="", versions="", seconds=60 * seed**2)
            made.append(Outcome(cell=cell(seed=seed), evaluations=(found,), loss=1 - seed, spent=spent))
        return made

    return make


@pytest.fixture
def returns() -> np.ndarray:
    """Hidden tasks differ much more than policies do."""
    random = np.random.default_rng(0)
    return 10 * random.standard_normal((1, 3, 1)) + random.standard_normal((3, 3, 5))


def read(outcomes: list[Outcome]) -> GridReturns:
    """All returns, written to a CSV file and read from it."""
    rows = [
        *grid_returns.return_rows(outcomes),
        *grid_returns.zeroed_rows(outcomes),
        *grid_returns.yardstick_rows(outcomes),
    ]
    return GridReturns(Results.parse(grid_returns.results_of(rows, 5).csv()))


def test_returns_are_means_over_passes(outcomes, returns):
    made = outcomes(returns)
    found, (task, policy) = read(made), (made[0].cell.task, made[0].cell.name)
    np.testing.assert_allclose(found.returns(task, policy), returns)
    np.testing.assert_allclose(found.returns(task, policy, grid_returns.ZEROED), returns[..., -3:] + 1)
    assert compare.first(found.returns(task, policy)).mean == pytest.approx(returns[..., 0].mean())
    assert compare.last(found.returns(task, policy, grid_returns.ZEROED)).mean == pytest.approx(
        returns[..., -3:].mean() + 1
    )


def test_returns_come_back_from_the_file_exactly(outcomes):
    thirds = np.arange(45.0).reshape(3, 3, 5) / 3
    made = outcomes(thirds)
    task, policy = made[0].cell.task, made[0].cell.name
    assert (read(made).returns(task, policy) == np.stack([thirds - 1, thirds + 1]).mean(0)).all()


def test_the_yardsticks_are_kept_once_and_stand_beside_every_training_seed(outcomes, returns):
    made = outcomes(np.repeat(returns[:1], 3, 0))
    found, task = read(made), made[0].cell.task
    assert found.policies(task) == [made[0].cell.name]
    for shift, name in ((2, "expert"), (3, "random")):
        assert found.returns(task, name).shape == (1, 3, 5)
        np.testing.assert_allclose(found.yardstick(task, name), np.repeat(returns[:1], 3, 0) + shift)


def test_return_is_held_against_the_loss_policy_by_policy(outcomes):
    better_with_every_seed = np.arange(3.0).reshape(3, 1, 1) + np.zeros((3, 3, 5))  # whose losses are 1, 0 and -1
    for returns, said in (
        (better_with_every_seed, " -1.00 over 3 policies"),
        (-better_with_every_seed, " 1.00 over 3 policies"),
        (0 * better_with_every_seed, ": all alike"),
    ):
        made = outcomes(returns)
        task = made[0].cell.task
        value = grid_returns.value_row(task, "", grid_returns.CORRELATION, compare.correlation(made))
        found = GridReturns(grid_returns.results_of([*grid_returns.return_rows(made), value], 5))
        assert against_ad._by_loss(found, task) == task + said


def test_loss_is_a_mean_and_time_a_median_over_training_seeds(outcomes, returns):
    made = outcomes(returns)  # losses 1, 0, -1; 0, 1 and 4 minutes
    assert (compare.loss(made), compare.loss(made[:2])) == (0, 0.5)
    assert (compare.minutes(made), compare.minutes(made[1:])) == (1, 2.5)


def test_a_draw_is_tried_beside_the_preset_only_where_the_preset_does_not_draw():
    assert against_ad._ours("full", "darkroom") == ("dm-h", "dm-h, drawn sub-goal", "dm-h, c = 1")
    assert against_ad._ours("full", "large-darkroom") == ("dm-h", "dm-h, c = 1")


@pytest.mark.parametrize(("shift", "said"), [(0.5, "above"), (-0.5, "below"), (0, "not told apart")])
def test_a_small_difference_shows_though_tasks_differ_much(returns, shift, said):
    ours, theirs = returns + shift, returns
    found = compare.difference(ours, theirs)
    assert (found.interval.mean, found.interval.low, found.interval.high) == pytest.approx((shift, shift, shift))
    assert found.verdict == said
    assert compare.last(ours).low < compare.last(theirs).high  # their intervals overlap


def test_a_difference_that_one_seed_makes_is_no_difference(returns):
    lucky = returns.copy()
    lucky[0] += 3
    found = compare.difference(lucky, returns)
    assert found.interval.mean == pytest.approx(1)
    assert found.verdict == "not told apart"


def test_verdicts_are_sentences():
    above = Difference(Interval(mean=2, low=1, high=3), "above")
    unclear = Difference(Interval(mean=2, low=-1, high=3), "not told apart")
    assert compare.sentence("room", "a", "b", above) == (
        "room: a is above b beyond the 95% interval of the difference, 2.00 [1.00, 3.00]."
    )
    assert compare.sentence("room", "a", "b", unclear) == (
        "room: a and b are not told apart; the difference is 2.00 [-1.00, 3.00]."
    )


def csv_returns(text: str, policy: str) -> np.ndarray:
    """``[training seeds, hidden tasks, episodes]`` of a policy, from the CSV file."""
    rows = [row for row in csv.DictReader(text.splitlines()) if (row["policy"], row["quantity"]) == (policy, "return")]
    sizes = [len({row[column] for row in rows}) for column in ("training_seed", "hidden")]
    values = [[float(value) for name, value in row.items() if name.startswith("episode_")] for row in rows]
    return np.array(values).reshape(*sizes, -1)


def test_the_page_of_gridworld_sets_every_system_beside_the_paper_s(conduct, monkeypatch):
    done = conduct("gridworld")
    assert done.page_comes_from_its_csv_file()
    text, data = done.text("gridworld.md"), done.text("gridworld.csv")
    for system, figure in (("dm-h", "14.3"), ("ad-mamba", "13.3"), ("ad-transformer", "13.2")):
        returns = csv_returns(data, system)
        assert returns.shape == (2, 2, 3)
        row = next(line for line in text.splitlines() if line.startswith(f"| darkroom | {system} | "))
        _, _, first, last, _, theirs, loss, minutes = (column.strip() for column in row.strip("|").split("|"))
        assert first.startswith(f"{returns[..., 0].mean():.2f} [")
        assert last.startswith(f"{returns.mean():.2f} [")
        assert theirs == figure
        assert float(loss) > 0
        assert 0 <= float(minutes) < 1
    assert len(done.page.verdicts) == 2
    assert (done.out / "gridworld.png").read_bytes().startswith(b"\x89PNG")

    monkeypatch.setattr(cells, "train", None)
    monkeypatch.setattr(cells, "evaluate", None)
    again = conduct("gridworld")
    assert again.said == ["8 of 8 policies are already finished"]
    assert (again.text("gridworld.md"), again.text("gridworld.csv")) == (text, data)


def test_the_ablation_of_the_sub_goal_changes_it_alone_and_shares_the_rest(conduct):
    conduct("gridworld")
    done = conduct("ablation-subgoal")
    assert done.page_comes_from_its_csv_file()
    assert done.said[0] == "4 of 8 policies are already finished"  # with the sub-goal they are gridworld's
    text = done.text("ablation-subgoal.md")
    for own, suffix in (("a draw", ""), ("the mean", ", not drawn")):
        (row,) = (line for line in text.splitlines() if line.startswith(f"| darkroom | {own} | "))
        for column, side in enumerate(("with sub-goal", "without sub-goal"), 3):
            mean = csv_returns(done.text("ablation-subgoal.csv"), side + suffix).mean()
            assert row.split("|")[column].strip().startswith(f"{mean:.2f} [")
    runs = [cells.load("darkroom", "dm-h", path) for path in done.work.glob("darkroom/dm-h-*/config.json")]
    for noise in (0, 1):
        assert sorted(run.model.subgoal_weight for run in runs if run.model.subgoal_noise == noise) == [0, 0, 0.5, 0.5]


def test_the_ablation_of_c_trains_each_length_of_a_chunk(conduct):
    done = conduct("ablation-c")
    assert done.page_comes_from_its_csv_file()
    text = done.text("ablation-c.md")
    assert "| hopper-medium | 73.5 | 78 |" in text
    for c in (1, 5):
        assert f"{csv_returns(done.text('ablation-c.csv'), f'c = {c}').mean():.2f} [" in text
    runs = [cells.load("darkroom", "dm-h", path) for path in done.work.glob("darkroom/dm-h-*/config.json")]
    assert {run.model.chunk for run in runs} == {1, 5}
