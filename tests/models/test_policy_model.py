"""What holds for every kind of policy."""

import dataclasses

import pytest
import torch

from dmh_edge.models.build import build
from dmh_edge.models.chunks import LabelledChunks
from dmh_edge.models.dmh_parts import DMHConfig
from dmh_edge.models.layers import set_product_dtype
from dmh_edge.models.sequence import ADMambaConfig, ADTransformerConfig, BCConfig, DMConfig, DTConfig
from dmh_edge.task import ContinuousAction, DiscreteAction, Element, Reward, TaskSpec

HORIZON = 6
CONFIGS = {
    "dm-h": DMHConfig(width=8, chunk=3, subgoal_size=4, state_size=4, memory_layers=1, actor_layers=1, heads=2),
    "dm-h without return-to-go": DMHConfig(
        width=8, chunk=3, subgoal_size=4, memory_layers=1, actor_layers=1, heads=2, return_conditioned=False
    ),
    "dm": DMConfig(width=8, layers=2, state_size=4),
    "dt": DTConfig(width=8, layers=2, heads=2, window=4),
    "ad-mamba": ADMambaConfig(width=8, layers=2, state_size=4),
    "ad-transformer": ADTransformerConfig(width=8, layers=2, heads=2, window_episodes=2),
    "bc": BCConfig(width=8, layers=2),
}
DISCRETE = TaskSpec(
    name="discrete",
    observation=(Element(name="x", low=0, high=4, levels=5), Element(name="speed", low=-2, high=2)),
    action=DiscreteAction(names=("left", "stay", "right"), safe=1),
    reward=Reward(meaning="1 on the goal", low=0, high=1),
    rate_hz=50,
    horizon=HORIZON,
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
KINDS = pytest.mark.parametrize("kind", CONFIGS)
DTYPES = {"float32": torch.float32, "float16": torch.float16, "int64": torch.int64, "bool": torch.bool}


def policy(kind, task):
    torch.manual_seed(0)
    return build(CONFIGS[kind], task).double().eval()


def context(model, task, lengths, padding=0):
    """Two random contexts with episodes of these lengths, cut as the model wants, and their noise."""
    torch.manual_seed(1)
    chunk = model.chunk_steps(max(lengths))
    valid, start = [], []
    for length in lengths:
        for begin in range(0, length, chunk):
            valid.append(torch.arange(begin, begin + chunk) < length)
            start.append(begin == 0)
    valid += [torch.zeros(chunk, dtype=torch.bool)] * padding
    start += [False] * padding
    exists = torch.stack(valid).expand(2, -1, -1)  # [B, J, c]
    count = exists.shape[1]
    observation = torch.stack([torch.randint(5, exists.shape).double(), torch.randn(exists.shape).double()], -1)
    if model.codec.discrete:
        action, label = (torch.randint(3, exists.shape) for _ in range(2))
    else:
        action, label = (torch.rand(*exists.shape, 2).double() for _ in range(2))
    noise = torch.randn(2, count, model.chunk_noise).double()
    chunks = LabelledChunks(
        observation,
        action,
        torch.rand(exists.shape).double() * exists,
        exists,
        torch.tensor(start).expand(2, -1),
        torch.full((2, count), 5.0).double(),
        label,
        0.5 + torch.rand(exists.shape),
        torch.randint(5, (2, count, 2)).double(),
    )
    return chunks, noise


@KINDS
@TASKS
def test_the_spec_lists_what_step_takes_and_gives(kind, task):
    model = policy(kind, task).float()
    spec = model.model_spec()

    def zeros(tensor):
        return torch.zeros([2 if size == "batch" else size for size in tensor.shape], dtype=DTYPES[tensor.dtype])

    for graph in spec.graphs:
        outputs = model.step(graph.name, {name: zeros(spec.tensor(name)) for name in graph.inputs})
        assert list(outputs) == list(graph.outputs)
        for name, found in outputs.items():
            expected = zeros(spec.tensor(name.removesuffix("_next")))
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype), name


@KINDS
def test_a_graph_lists_nothing_that_it_does_not_read(kind):
    class Watched(dict):
        def __getitem__(self, name):
            read.add(name)
            return super().__getitem__(name)

    model = policy(kind, DISCRETE).float()
    spec = model.model_spec()
    for graph in spec.graphs:
        read: set[str] = set()
        tensors = {
            name: torch.zeros([2 if s == "batch" else s for s in spec.tensor(name).shape]).to(
                DTYPES[spec.tensor(name).dtype]
            )
            for name in graph.inputs
        }
        model.step(graph.name, Watched(tensors))
        assert read == set(graph.inputs)


@KINDS
@TASKS
def test_padding_changes_neither_answers_nor_loss(kind, task):
    model = policy(kind, task)
    (chunks, noise), (padded, padded_noise) = (context(model, task, (5, 3), padding=p) for p in (0, 2))
    count = chunks.valid.shape[1]
    padded_noise[:, :count] = noise
    for name in ("observation", "action", "reward", "label", "weight", "subgoal_observation"):
        getattr(padded, name)[:, :count] = getattr(chunks, name)
    valid = chunks.valid
    found, expected = model(padded, padded_noise)["answer"][:, :count][valid], model(chunks, noise)["answer"][valid]
    assert (found - expected).abs().max() < 1e-12
    assert expected.std() > 1e-2
    assert abs(model.loss(padded, padded_noise)["loss"] - model.loss(chunks, noise)["loss"]) < 1e-6


@KINDS
def test_every_parameter_learns_but_the_goal_map(kind):
    model = policy(kind, DISCRETE)
    parts = model.loss(*context(model, DISCRETE, (6, 5)))
    assert set(parts) == {"loss", *model.loss_parts}
    parts["loss"].backward()
    still = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert still == ({"goal_map.weight", "goal_map.bias"} if kind.startswith("dm-h") else set())


@KINDS
def test_an_answer_depends_on_nothing_that_comes_later(kind):
    model = policy(kind, DISCRETE)
    chunks, noise = context(model, DISCRETE, (6, 6))
    later = {
        "observation": chunks.observation.clone(),
        "action": chunks.action.clone(),
        "reward": chunks.reward.clone(),
    }
    batch, count, chunk = chunks.valid.shape
    half = count * chunk // 2
    for column in later.values():
        flat = column.view(batch, count * chunk, *column.shape[3:])
        flat[:, half + 1 :] = flat[:, half + 1 :].flip(1)
    later["action"].view(batch, -1)[:, half] = (later["action"].view(batch, -1)[:, half] + 1) % 3
    later["reward"].view(batch, -1)[:, half] += 1
    old, new = (
        model(c, noise)["answer"].reshape(batch, count * chunk, -1)
        for c in (chunks, dataclasses.replace(chunks, **later))
    )
    assert torch.equal(old[:, : half + 1], new[:, : half + 1])
    assert not torch.isclose(old[:, half + 1 :], new[:, half + 1 :]).all()


@KINDS
def test_float16_products_leave_all_state_but_the_cache_in_float32(kind):
    model = policy(kind, DISCRETE).float()
    spec = model.model_spec("float16")
    halves = {tensor.name for tensor in spec.state if tensor.dtype == "float16"}
    caches = {"dm-h": {"actor_key", "actor_value"}, "dt": {"key", "value"}, "ad-transformer": {"key", "value"}}
    assert halves == caches.get(model.config.kind, set())
    torch.manual_seed(0)
    tensors = {
        tensor.name: torch.randn([1 if s == "batch" else s for s in tensor.shape]).to(DTYPES[tensor.dtype])
        for tensor in (*spec.world, *spec.state)
        if tensor.dtype != "int64"
    }
    tensors |= {
        tensor.name: torch.zeros([1 if s == "batch" else s for s in tensor.shape], dtype=torch.int64)
        for tensor in (*spec.world, *spec.state)
        if tensor.dtype == "int64"
    }
    for graph in spec.graphs:
        exact = model.step(graph.name, {name: tensors[name] for name in graph.inputs})
        set_product_dtype(model, torch.float16)
        half = model.step(graph.name, {name: tensors[name] for name in graph.inputs})
        set_product_dtype(model, None)
        for name, found in half.items():
            assert found.dtype == DTYPES[spec.tensor(name.removesuffix("_next")).dtype], name
            if found.dtype == torch.float32:
                assert (found - exact[name]).abs().max() < 0.05 * max(1, exact[name].abs().max()), name
        assert any(not torch.equal(half[name], exact[name]) for name in half)
