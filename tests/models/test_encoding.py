import pytest
import torch

from dmh_edge.models.encoding import ActionCodec, ObservationEncoder
from dmh_edge.task import ContinuousAction, DiscreteAction, Element

CELL = (Element(name="x", low=0, high=2, levels=3), Element(name="y", low=-1, high=0, levels=2))
SPEED = Element(name="speed", low=-5, high=5, unit="m/s")
CHOICES = DiscreteAction(names=("left", "stay", "right", "jump"), safe=1)
TORQUES = ContinuousAction(
    elements=(Element(name="a", low=-1, high=1), Element(name="b", low=2, high=6)), mode="effort", safe=(0.0, 4.0)
)


def encode(elements, levels, *rows, **statistics):
    encoder = ObservationEncoder(elements, levels)
    if statistics:
        encoder.fit(*(torch.tensor(statistics[name]) for name in ("mean", "deviation")))
    features = encoder(torch.tensor(rows))
    assert features.shape == (len(rows), encoder.size)
    return features.tolist()


def test_whole_numbers_become_one_vector_per_element():
    assert encode(CELL, "one-hot", [0.0, -1.0], [2.0, 0.0]) == [[1, 0, 0, 1, 0], [0, 0, 1, 0, 1]]


def test_or_one_vector_for_all_of_them_together():
    every = [[float(x), float(y)] for x in range(3) for y in (-1, 0)]
    assert encode(CELL, "one-hot-joint", *every) == torch.eye(6).tolist()


def test_one_element_alone_may_be_joint():
    assert encode(CELL[:1], "one-hot-joint", [1.0]) == [[0, 1, 0]]


def test_or_are_scaled_by_their_range_whatever_the_data_hold():
    found = encode(CELL, "scale", [0.0, -1.0], [1.0, 0.0], [2.0, -1.0], mean=[9.0, 9.0], deviation=[9.0, 9.0])
    assert found == [[-1, -1], [0, 1], [1, -1]]


@pytest.mark.parametrize("levels", ["one-hot", "one-hot-joint"])
def test_a_whole_number_that_was_rounded_on_its_way_is_still_read(levels):
    assert encode(CELL, levels, [1.001, -0.999]) == encode(CELL, levels, [1.0, -1.0])


def test_continuous_elements_are_brought_to_mean_0_and_deviation_1_of_the_data():
    (row,) = encode((*CELL, SPEED), "one-hot", [1.0, 0.0, 5.0], mean=[7.0, 7.0, 3.0], deviation=[7.0, 7.0, 0.5])
    assert row == [4.0, 0, 1, 0, 0, 1]


def test_an_element_that_never_changes_in_the_data_is_not_divided_by_zero():
    ((value,),) = encode((SPEED,), "scale", [1.5], mean=[1.0], deviation=[0.0])
    assert value == pytest.approx(0.5 / 1e-3)


def test_statistics_are_part_of_the_weights():
    fitted = ObservationEncoder((SPEED,), "one-hot")
    fitted.fit(torch.tensor([3.0]), torch.tensor([0.5]))
    fresh = ObservationEncoder((SPEED,), "one-hot")
    fresh.load_state_dict(fitted.state_dict())
    assert fresh(torch.tensor([[4.0]])).item() == 2.0
    assert set(fitted.state_dict()) == {"mean", "deviation"}


def test_choices_become_one_hot():
    encoded = ActionCodec(CHOICES).encode(torch.tensor([[2], [0]]), torch.float64)
    assert encoded.dtype == torch.float64
    assert encoded.tolist() == [[[0, 0, 1, 0]], [[1, 0, 0, 0]]]


def test_continuous_actions_are_scaled_to_their_bounds_and_back():
    codec = ActionCodec(TORQUES)
    actions = torch.tensor([[-1.0, 2.0], [0.0, 4.0], [1.0, 6.0], [0.5, 3.0]])
    scaled = codec.encode(actions, torch.float32)
    assert scaled.tolist() == [[-1, -1], [0, 0], [1, 1], [0.5, -0.5]]
    assert torch.equal(codec.decode(scaled), actions)


def test_without_noise_the_likeliest_action_is_chosen():
    logits = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    choice = ActionCodec(CHOICES).choose(logits, torch.zeros(100, 4))
    assert choice.dtype == torch.int64
    assert torch.equal(choice, logits.argmax(-1))


def test_with_noise_choices_are_samples_of_the_softmax():
    logits, count = torch.tensor([0.3, -1.2, 1.5, 0.0]), 20_000
    noise = torch.randn(count, 4, generator=torch.Generator().manual_seed(0))
    counts = ActionCodec(CHOICES).choose(logits.expand(count, 4), noise).bincount(minlength=4)
    expected = count * logits.softmax(-1)
    assert ((counts - expected).square() / expected).sum() < 16.3  # chi-square, 3 degrees of freedom: 1 in 1,000


def test_noise_however_extreme_leaves_a_finite_choice():
    noise = torch.tensor([[40.0, -40.0, 0.0, 0.0], [-40.0, -40.0, -40.0, -40.0]])
    assert ActionCodec(CHOICES).choose(torch.tensor([[0.0, 5, 1, 1]]).expand(2, 4), noise).tolist() == [0, 1]
