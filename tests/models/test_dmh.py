import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from dmh_edge.models.chunks import Chunks, LabelledChunks
from dmh_edge.models.dmh import DMH, chunk_signals
from dmh_edge.models.dmh_parts import DMHConfig
from dmh_edge.models.layers import set_product_dtype
from dmh_edge.task import ContinuousAction, DiscreteAction, Element, Reward, TaskSpec

CHUNK, SUBGOAL, LAYERS = 3, 4, 2
SIZES = DMHConfig(
    width=8,
    chunk=CHUNK,
    subgoal_size=SUBGOAL,
    memory_layers=LAYERS,
    state_size=4,
    actor_layers=LAYERS,
    heads=2,
    reward_scale=2.0,
)
DISCRETE = TaskSpec(
    name="discrete",
    observation=(Element(name="x", low=0, high=4, levels=5), Element(name="speed", low=-2, high=2)),
    action=DiscreteAction(names=("left", "stay", "right"), safe=1),
    reward=Reward(meaning="1 on the goal", low=0, high=1),
    rate_hz=50,
    horizon=10,
    target_return=5,
)
CONTINUOUS = DISCRETE.model_copy(
    update={
        "name": "continuous",
        "action": ContinuousAction(
            elements=(Element(name="a", low=-1, high=1), Element(name="b", low=-2, high=4)),
            mode="velocity",
            safe=(0.0, 0.0),
        ),
    }
)
TASKS = pytest.mark.parametrize("task", [DISCRETE, CONTINUOUS], ids=lambda task: task.name)


def policy(task, **changes):
    """A policy in float64, for use."""
    torch.manual_seed(0)
    return DMH(DMHConfig.model_validate(SIZES.model_dump() | changes), task).double().eval()


def random_actions(task, *shape):
    if task is DISCRETE:
        return torch.randint(3, shape)
    return torch.rand(*shape, 2).double() * torch.tensor([2.0, 6.0]) - torch.tensor([1.0, 2.0])


def context(task, lengths=(5, 3), padding=0):
    """One context with episodes of these lengths, by hand: ``[1, J, c, ...]``, and the noise that goes with it."""
    torch.manual_seed(1)
    columns = {name: [] for name in ("observation", "action", "reward", "valid", "episode_start", "label")}
    for length in (*lengths, *[0] * padding):
        for begin in range(0, max(length, 1), CHUNK):
            valid = torch.arange(begin, begin + CHUNK) < length
            seen = torch.stack([torch.randint(5, (CHUNK,)).double(), torch.randn(CHUNK).double()], -1)
            columns["observation"].append(seen * valid[:, None])
            for name in ("action", "label"):
                action = random_actions(task, CHUNK)
                columns[name].append(action * valid.view(-1, *[1] * (action.dim() - 1)))
            columns["reward"].append(torch.randn(CHUNK).double() * valid)
            columns["valid"].append(valid)
            columns["episode_start"].append(torch.tensor(begin == 0 and length > 0))
    stacked = {name: torch.stack(column).unsqueeze(0) for name, column in columns.items()}
    count = stacked["valid"].shape[1]
    target = torch.full((1, count), 5.0).double()
    noise, subgoals = torch.randn(1, count, SUBGOAL).double(), torch.randn(1, count, 2).double().round()
    weight = 0.5 + torch.rand(1, count, CHUNK)
    return LabelledChunks(**stacked, target_return=target, weight=weight, subgoal_observation=subgoals), noise


def empty_state(model):
    spec = model.model_spec()
    dtypes = {"float32": torch.float64, "int64": torch.int64}
    return {
        tensor.name: torch.zeros([1 if size == "batch" else size for size in tensor.shape], dtype=dtypes[tensor.dtype])
        for tensor in spec.state
    }


def ticks_of(model, chunks, noise):
    """The world tensors, tick by tick, of the context's steps: reward and action arrive one tick later."""
    reward, action = torch.zeros(1).double(), torch.zeros_like(chunks.action[:, 0, 0])
    extra = 3 if model.codec.discrete else 0
    for j, place in chunks.valid[0].nonzero().tolist():
        yield {
            "observation": chunks.observation[:, j, place],
            "reward": reward,
            "previous_action": action,
            "episode_start": chunks.episode_start[:, j] & (place == 0),
            "target_return": chunks.target_return[:, j],
            "noise": torch.cat([noise[:, j], torch.zeros(1, extra)], -1),
        }
        reward, action = chunks.reward[:, j, place], chunks.action[:, j, place]


def run_step_form(model, chunks, noise, change=lambda state: state, always=False):
    """The answers at all steps, and the state behind them; the memory runs when due, or always."""
    state, answers, subgoals, place = empty_state(model), [], [], 0
    for world in ticks_of(model, chunks, noise):
        place = 0 if world["episode_start"] else place
        tensors = world | change(state)
        if always or place == 0:
            tensors |= {k.removesuffix("_next"): v for k, v in model.step("memory", tensors).items()}
        outputs = model.step("actor", tensors)
        answers.append(outputs["logits"] if model.codec.discrete else outputs["action"])
        subgoals.append(tensors["subgoal"])
        state = {name: outputs.get(f"{name}_next", tensors[name]) for name in state}
        place = (place + 1) % CHUNK
    return torch.cat(answers), torch.cat(subgoals), state


def answers_of(model, chunks, noise):
    read = model(chunks, noise)
    subgoal, answer = read["subgoal"], read["answer"][chunks.valid]
    return subgoal, answer if model.codec.discrete else model.codec.decode(answer)


@TASKS
@pytest.mark.parametrize("return_conditioned", [True, False])
def test_step_is_forward(task, return_conditioned):
    model, (chunks, noise) = policy(task, return_conditioned=return_conditioned), context(task)
    subgoal, expected = answers_of(model, chunks, noise)
    answers, subgoals, _ = run_step_form(model, chunks, noise)
    assert (answers - expected).abs().max() < 1e-12
    per_step = subgoal.unsqueeze(2).expand(-1, -1, CHUNK, -1)[chunks.valid]
    assert (subgoals - per_step).abs().max() < 1e-12
    assert expected.std() > 1e-2  # answers that differ, else nothing was shown


@TASKS
def test_a_memory_that_runs_when_it_is_not_due_changes_nothing(task):
    model, (chunks, noise) = policy(task), context(task)
    when_due, always = run_step_form(model, chunks, noise), run_step_form(model, chunks, noise, always=True)
    assert torch.equal(when_due[0], always[0])
    assert all(torch.equal(when_due[2][name], always[2][name]) for name in when_due[2])


@TASKS
def test_a_new_chunk_forgets_the_one_before(task):
    def spoiled(state):
        new = state["chunk_step"] == 0
        return state | {k: torch.where(new, 1e3, v) for k, v in state.items() if k.startswith("actor_")}

    model, (chunks, noise) = policy(task), context(task, lengths=(6, 4))  # 0 always means due, and the last tick is
    clean, dirty = run_step_form(model, chunks, noise), run_step_form(model, chunks, noise, spoiled)
    assert torch.equal(clean[0], dirty[0])
    assert all(torch.equal(clean[2][name], dirty[2][name]) for name in clean[2])


@TASKS
def test_what_lies_in_slots_that_no_query_has_reached_changes_nothing(task):
    def spoiled(state):
        behind = torch.arange(4 * CHUNK)[:, None] >= 4 * state["chunk_step"] - 2
        return state | {k: torch.where(behind, 1e3, v) for k, v in state.items() if k.startswith("actor_")}

    model, (chunks, noise) = policy(task), context(task)
    assert torch.equal(run_step_form(model, chunks, noise)[0], run_step_form(model, chunks, noise, spoiled)[0])


def test_counters_follow_the_chunks_and_the_rewards():
    model, (chunks, noise) = policy(DISCRETE), context(DISCRETE, lengths=(5,))
    r = chunks.reward[0].flatten()
    state = run_step_form(model, chunks, noise)[
        2
    ]  # five ticks: the fifth is the second of its chunk, after four rewards
    assert state["chunk_step"].tolist() == [2]
    assert state["chunk_reward"].tolist() == [r[3].item()]
    assert state["return_to_go"].tolist() == [(((5 - r[0]) - r[1]) - r[2] - r[3]).item()]


def test_noise_decides_a_discrete_action_and_its_first_columns_the_sub_goal():
    model, (chunks, noise) = policy(DISCRETE), context(DISCRETE)
    tensors = next(ticks_of(model, chunks, noise)) | empty_state(model)
    other = tensors | {"noise": torch.cat([tensors["noise"][:, :SUBGOAL], torch.tensor([[9.0, -9, -9]]).double()], 1)}
    one, two = model.step("memory", tensors), model.step("memory", other)
    assert torch.equal(one["subgoal_next"], two["subgoal_next"])
    quiet, loud = model.step("actor", tensors), model.step("actor", other)
    assert quiet["action"] == quiet["logits"].argmax()
    assert loud["action"] == 0
    assert torch.equal(quiet["logits"], loud["logits"])


def test_the_sub_goal_is_mean_plus_deviation_times_noise():
    model, (chunks, noise) = policy(DISCRETE), context(DISCRETE)
    z = {scale: model(chunks, noise * scale)["subgoal"] for scale in (0, 1, 3)}
    mean, deviation = z[0], (z[1] - z[0]) / noise
    assert mean.abs().max() < 1
    assert math.exp(-0.5) < deviation.min() < deviation.max() < math.exp(0.5)
    torch.testing.assert_close(z[3], mean + 3 * deviation * noise)


def test_signals_to_the_memory_are_those_of_a_plain_loop():
    rng = np.random.default_rng(0)
    reward = rng.standard_normal((2, 5, CHUNK)).astype(np.float32)
    start = np.array([[1, 0, 1, 0, 0], [1, 1, 0, 0, 1]], bool)
    target = rng.standard_normal((2, 5)).astype(np.float32)
    empty = torch.zeros(0)
    previous, to_go = chunk_signals(
        Chunks(empty, empty, torch.tensor(reward), empty, torch.tensor(start), torch.tensor(target))
    )
    for b in range(2):
        total, left = np.float32(0), np.float32(0)
        for j in range(5):
            left = target[b, j] if start[b, j] else left
            assert (previous[b, j], to_go[b, j]) == (total, left)  # to the last bit
            total = np.float32(0)
            for r in reward[b, j]:
                total += r
                left -= r


@TASKS
def test_padding_changes_neither_answers_nor_loss(task):
    model = policy(task)
    (chunks, noise), (padded, padded_noise) = context(task), context(task, padding=2)
    count = chunks.valid.shape[1]
    padded_noise[:, :count] = noise  # drawn for another number of chunks, as are these
    for name in ("target_return", "weight", "subgoal_observation"):
        getattr(padded, name)[:, :count] = getattr(chunks, name)
    for garbage in (padded.observation, padded.action, padded.label, padded.weight):
        garbage[~padded.valid] += 1  # even where padding is not zero
    for found, expected in zip(answers_of(model, padded, padded_noise), answers_of(model, chunks, noise), strict=True):
        assert (found[:, :count] - expected).abs().max() < 1e-12
    found, expected = model.loss(padded, padded_noise), model.loss(chunks, noise)
    assert found.keys() == expected.keys() == {"loss", "memory", "subgoal"}
    assert all(abs(found[name] - expected[name]) < 1e-6 for name in found)  # its sum is taken in float32


@TASKS
def test_chunks_of_which_none_is_full_may_be_cut_short(task):
    model, (chunks, noise) = policy(task), context(task, lengths=(2,))
    per_chunk = ("episode_start", "target_return", "subgoal_observation")
    cut = {
        field.name: value if field.name in per_chunk else value[:, :, :2]
        for field in dataclasses.fields(chunks)
        for value in [getattr(chunks, field.name)]
    }
    found, expected = model.loss(LabelledChunks(**cut), noise), model.loss(chunks, noise)
    assert all(abs(found[name] - expected[name]) < 1e-6 for name in expected)


def imitation_by_hand(model, answer, chunks):
    errors, weights = [], []
    for j, place in chunks.valid[0].nonzero().tolist():
        y, label = answer[0, j, place], chunks.label[0, j, place]
        weights.append(chunks.weight[0, j, place].double())
        if model.codec.discrete:
            errors.append(torch.logsumexp(y, -1) - y[label])
        else:
            errors.append(((y - (label - torch.tensor([0.0, 1.0])) / torch.tensor([1.0, 3.0])) ** 2).mean())
    weight = torch.stack(weights)
    return (torch.stack(errors) @ weight / weight.sum()).item()


@TASKS
@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_the_loss_imitates_under_both_sub_goals(task, weight):
    model, (chunks, noise) = policy(task, subgoal_weight=weight), context(task)
    answer = model(chunks, noise)["answer"]
    memory = imitation_by_hand(model, answer, chunks)
    features = model.encoder(chunks.subgoal_observation)
    prompt = functional.linear(features, model.goal_map.weight, model.goal_map.bias)
    valuable = model._act(prompt, model.encoder(chunks.observation), chunks)
    subgoal = imitation_by_hand(model, valuable, chunks)
    parts = {name: part.item() for name, part in model.loss(chunks, noise).items()}
    assert parts == pytest.approx({"memory": memory, "subgoal": subgoal, "loss": memory + weight * subgoal}, abs=1e-6)
    assert abs(memory - subgoal) > 1e-4


def test_without_weight_the_second_branch_is_not_computed():
    model, (chunks, noise) = policy(DISCRETE, subgoal_weight=0), context(DISCRETE)
    nowhere = torch.full_like(chunks.subgoal_observation, math.nan)
    parts = model.loss(dataclasses.replace(chunks, subgoal_observation=nowhere), noise)
    assert parts.keys() == {"loss", "memory"}
    assert parts["loss"] == parts["memory"]


def test_every_parameter_learns_but_the_goal_map_which_is_kept_with_the_weights():
    model, (chunks, noise) = policy(DISCRETE), context(DISCRETE)
    model.loss(chunks, noise)["loss"].backward()
    still = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert still == {"goal_map.weight", "goal_map.bias"}
    assert still <= model.state_dict().keys()


def test_a_memory_that_reads_no_return_to_go_has_no_tensor_for_it():
    with_return, without = policy(DISCRETE), policy(DISCRETE, return_conditioned=False)
    names = [
        {tensor.name for tensor in (*spec.world, *spec.state)}
        for spec in (m.model_spec() for m in (with_return, without))
    ]
    assert names[0] - names[1] == {"target_return", "return_to_go"}
    assert not any(
        "return" in name for graph in without.model_spec().graphs for name in (*graph.inputs, *graph.outputs)
    )
    chunks, noise = context(DISCRETE)
    asked = dataclasses.replace(chunks, target_return=chunks.target_return + 3)
    assert torch.equal(without(chunks, noise)["subgoal"], without(asked, noise)["subgoal"])
    assert not torch.isclose(with_return(chunks, noise)["subgoal"], with_return(asked, noise)["subgoal"]).all()


def test_float16_products_leave_the_memorys_state_in_float32():
    model = policy(DISCRETE).float()
    spec = model.model_spec("float16")
    assert {tensor.name for tensor in spec.state if tensor.dtype == "float16"} == {"actor_key", "actor_value"}
    dtypes = {"float32": torch.float32, "float16": torch.float16, "int64": torch.int64, "bool": torch.bool}
    torch.manual_seed(0)
    tensors = {
        tensor.name: torch.randn([1 if s == "batch" else s for s in tensor.shape]).to(dtypes[tensor.dtype])
        for tensor in (*spec.world, *spec.state)
    }
    tensors |= {
        "episode_start": torch.tensor([False]),
        "chunk_step": torch.tensor([0]),
        "previous_action": torch.tensor([1]),
    }
    exact = model.step("memory", tensors) | model.step("actor", tensors)
    set_product_dtype(model, torch.float16)
    half = model.step("memory", tensors) | model.step("actor", tensors)
    for name, found in half.items():
        like = spec.tensor(name.removesuffix("_next"))
        assert found.dtype == dtypes[like.dtype], name
    for name in ("memory_ssm_next", "subgoal_next", "logits"):
        assert 0 < (half[name] - exact[name]).abs().max() < 0.05, name


@pytest.mark.parametrize("scale", [0.0, 0.25, 1.0])
def test_a_sub_goal_deviates_from_its_mean_as_far_as_it_is_told(scale):
    model, (chunks, noise) = policy(DISCRETE, subgoal_noise=scale), context(DISCRETE)
    quiet = torch.zeros_like(noise)
    drawn, mean = model(chunks, noise)["subgoal"], model(chunks, quiet)["subgoal"]
    whole = policy(DISCRETE)(chunks, noise)["subgoal"] - policy(DISCRETE)(chunks, quiet)["subgoal"]
    assert (drawn - mean - scale * whole).abs().max() < 1e-12
    assert whole.abs().max() > 0.1
