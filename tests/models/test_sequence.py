"""What each rival of DM-H remembers, and what it does not: asked of the step form, tick by tick."""

import pytest
import torch
from pydantic import ValidationError

from dmh_edge.models.build import build
from dmh_edge.models.sequence import ADMambaConfig, ADTransformerConfig, BCConfig, DMConfig, DTConfig
from dmh_edge.task import DiscreteAction, Element, Reward, TaskSpec

HORIZON = 4
TASK = TaskSpec(
    name="line",
    observation=(Element(name="speed", low=-2, high=2),),
    action=DiscreteAction(names=("left", "stay", "right"), safe=1),
    reward=Reward(meaning="1 on the goal", low=0, high=1),
    rate_hz=50,
    horizon=HORIZON,
    target_return=5,
)
WINDOW, EPISODES = 3, 2
CONFIGS = {
    "dm": DMConfig(width=8, layers=2, state_size=4),
    "dt": DTConfig(width=8, layers=1, heads=2, window=WINDOW),
    "ad-mamba": ADMambaConfig(width=8, layers=2, state_size=4),
    "ad-transformer": ADTransformerConfig(width=8, layers=1, heads=2, window_episodes=EPISODES),
    "bc": BCConfig(width=8, layers=2),
}
#: Episodes of 4, 3, 4 and 4 ticks.
STARTS = (0, 4, 7, 11)
TICKS = 15


def run(kind, changed=None, rounds=1):
    """Logits ``[T, A]`` over the episodes, with something else seen, done and earned around tick ``changed``."""
    torch.manual_seed(0)
    model = build(CONFIGS[kind], TASK).double().eval()
    spec = model.model_spec()
    state = {
        tensor.name: torch.from_numpy(tensor.zeros(1)).to(torch.int64 if tensor.dtype == "int64" else torch.float64)
        for tensor in spec.state
    }
    torch.manual_seed(1)
    seen, done, earned = torch.randn(TICKS, 1).double(), torch.randint(3, (TICKS,)), torch.rand(TICKS).double()
    if changed is not None:
        seen[changed] += 1
        done[changed] = (done[changed] + 1) % 3
        earned[changed] += 1
    logits = []
    for tick in range(rounds * TICKS):
        now, before = tick % TICKS, (tick - 1) % TICKS
        world = {
            "observation": seen[now : now + 1],
            "reward": earned[before : before + 1] if tick else torch.zeros(1).double(),
            "previous_action": done[before : before + 1] if tick else torch.zeros(1, dtype=torch.int64),
            "episode_start": torch.tensor([now in STARTS]),
            "target_return": torch.tensor([5.0]).double(),
            "noise": torch.zeros(1, 3).double(),
        }
        outputs = model.step("policy", world | state)
        state = {name: outputs[f"{name}_next"] for name in state}
        logits.append(outputs["logits"][0])
    return torch.stack(logits), state


def affected(kind, changed):
    """Ticks at which the answer is another one when what happens around tick ``changed`` is."""
    (old, _), (new, _) = run(kind), run(kind, changed)
    return [tick for tick in range(TICKS) if not torch.equal(old[tick], new[tick])]


@pytest.mark.parametrize(
    ("kind", "changed", "expected"),
    [
        ("bc", 8, [8]),
        ("dm", 8, [8, 9, 10]),  # to the end of its episode
        ("dt", 7, [7, 8, 9, 10]),  # its reward stays in the return-to-go ...
        ("dt", 1, [1, 2, 3]),
        ("ad-mamba", 1, list(range(1, 15))),
        ("ad-transformer", 1, [1, 2, 3, 4, 5, 6]),  # to the end of the next episode; then the oldest goes
        ("ad-transformer", 5, [*range(5, 11)]),
        ("ad-transformer", 12, [12, 13, 14]),
    ],
)
def test_what_happens_is_remembered_as_long_as_the_kind_says(kind, changed, expected):
    assert affected(kind, changed) == expected


def test_a_decision_transformer_sees_no_step_outside_its_window(monkeypatch):
    monkeypatch.setitem(CONFIGS, "dt", DTConfig(width=8, layers=1, heads=2, window=2))
    monkeypatch.setattr("dmh_edge.models.sequence.SequencePolicy._group", _without_return_to_go)
    assert affected("dt", 7) == [7, 8, 9]  # in a window of two, tick 9 still sees tick 8 and the action before that


def _without_return_to_go(self, seen):
    tokens = [
        self.tokens[name](seen[name] if name != "return_to_go" else seen[name][..., None] * 0) for name in self.tokens
    ]
    return self.token_norm(torch.stack(tokens, -2))


@pytest.mark.parametrize("kind", ["dt", "ad-transformer"])
def test_nothing_that_is_counted_grows(kind):
    _, after_one = run(kind)
    _, after_many = run(kind, rounds=9)
    window = WINDOW if kind == "dt" else EPISODES * HORIZON
    for state in (after_one, after_many):
        assert 0 <= state["place"].min() <= state["place"].max() < 2 * window
        assert set(state["life"].flatten().tolist()) <= set(range(EPISODES + 1))


def test_a_ring_that_wrapped_answers_as_one_that_did_not():
    logits, _ = run("ad-transformer", rounds=8)
    late = logits[-TICKS:][11:]  # every visible episode is the same as a round before
    early = logits[-2 * TICKS : -TICKS][11:]
    assert (late - early).abs().max() < 1e-6  # the angles of another place on the circle are rounded differently


def test_a_window_never_exceeds_the_episode():
    model = build(DTConfig(width=8, layers=1, heads=2, window=1000), TASK)
    assert model.model_spec().tensor("life").shape == ("batch", HORIZON)


def test_a_width_that_leaves_half_a_pair_is_refused():
    with pytest.raises(ValidationError, match="not a multiple of twice heads"):
        DTConfig(width=12, heads=4)


def test_a_field_of_another_kind_is_refused():
    with pytest.raises(ValidationError, match="window_episodes"):
        DTConfig.model_validate({"window_episodes": 3})
