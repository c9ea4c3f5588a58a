"""`dmh-edge bench train` as a user calls it, and whether each part of a step is charged for its own time."""

from __future__ import annotations

import re
import sys

import pytest
import torch

from dmh_edge import cli, presets, tasks
from dmh_edge.bench import mambas, training
from dmh_edge.data.contexts import ContextSampler
from dmh_edge.errors import ConfigError, DmhEdgeError, MissingExtraError
from dmh_edge.models import mamba
from dmh_edge.models.build import build
from dmh_edge.models.dmh import DMH
from dmh_edge.models.dmh_parts import Actor, DMHConfig

SMALL = (
    *("model.width=8", "model.heads=2", "model.subgoal_size=4", "model.state_size=4", "model.memory_layers=1"),
    *("data.batch=2", "data.episodes_per_context=2", "training.device=cpu"),
)
NAP_S = 0.2


class _Clock:
    """A clock on which nothing takes time but naps."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def nap(self):
        self.now += NAP_S


NAPS = _Clock()
SIZES = mambas.Sizes("small", batch=2, tokens=5, block=mamba.MambaSizes(width=8, expand=2, conv_size=4, state_size=4))


def nothing(*_):
    """No progress."""


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def bench(monkeypatch, capsys, *arguments):
    settings = [word for setting in SMALL for word in ("--set", setting)]
    monkeypatch.setattr(sys, "argv", ["dmh-edge", "bench", "train", "darkroom", *settings, *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    said = capsys.readouterr()
    assert not left.value.code, said.err
    return said


def test_shares_add_up_and_every_part_and_every_mamba_has_its_row(monkeypatch, capsys):
    said = bench(monkeypatch, capsys, "--updates", "2", "--turns", "1")
    step, *comparisons = said.out.split("one Mamba block")
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in step.splitlines() if line.startswith("│")]
    assert [(part, way) for part, way, _, _ in cells] == list(
        training.rows(build(presets.load("darkroom", settings=SMALL).model, tasks.find("darkroom").spec))
    )
    whole = float(re.search(r"a training step, ([0-9.]+) ms", step)[1])
    assert sum(float(ms) for *_, ms, _ in cells) == pytest.approx(whole, abs=0.2)
    assert sum(float(share.rstrip("%")) for *_, share in cells) == pytest.approx(100, abs=1)
    assert [re.match(r", (the \w+'s) sizes: batch 2, 24 tokens", text)[1] for text in comparisons] == [
        "the model's",
        "the paper's",
    ]
    for table in comparisons:
        assert re.findall(r"^│ (\S+)", table, re.MULTILINE) == ["dmh-edge", "mambapy", "transformers"]


def test_where_no_other_mamba_is_installed_one_sentence_says_how(monkeypatch, capsys):
    monkeypatch.setattr(mambas, "RIVALS", ())
    said = bench(monkeypatch, capsys, "--updates", "1")
    assert "one Mamba block" not in said.out
    assert 'pip install ".[bench]"' in said.err


class _Nap(torch.autograd.Function):
    """The identity; the gradient takes a while."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, dx):
        NAPS.nap()
        return dx


def _slow(owner, name, monkeypatch, nap):
    original = getattr(owner, name)

    def slow(*arguments, **options):
        if nap == "forward":
            NAPS.nap()
        result = original(*arguments, **options)
        if nap == "forward":
            return result
        return (
            {key: _Nap.apply(part) for key, part in result.items()} if isinstance(result, dict) else _Nap.apply(result)
        )

    monkeypatch.setattr(owner, name, slow)


@pytest.mark.parametrize(
    ("row", "owner", "name", "naps"),
    [
        ((training.SCAN, "forward"), mamba, "selective_scan", 1),
        ((training.SCAN, "backward"), mamba, "selective_scan", 1),
        ((training.MEMORY, "forward"), mamba.MambaBlock, "_convolve", 1),
        ((training.MEMORY, "backward"), mamba.MambaBlock, "_convolve", 1),
        ((training.ACTOR, "forward"), Actor, "_answer", 2),
        ((training.ACTOR, "backward"), Actor, "_answer", 2),
        ((training.LOSS, "forward"), DMH, "imitation", 2),
        ((training.LOSS, "backward"), DMH, "imitation", 2),
        ((training.DATA, ""), ContextSampler, "draw", 1),
        ((training.OPTIMISER, ""), torch.nn.utils, "clip_grad_norm_", 1),
        ((training.OTHER, ""), torch.optim.Optimizer, "zero_grad", 1),
    ],
    ids=str,
)
def test_what_takes_long_is_charged_to_its_own_part(row, owner, name, naps, monkeypatch):
    _slow(owner, name, monkeypatch, row[1] or "forward")
    monkeypatch.setattr(training, "time", NAPS)
    profile = training.profile(presets.load("darkroom", settings=SMALL), tasks.find("darkroom"), 1, nothing)
    assert profile.seconds[row] == pytest.approx(naps * NAP_S)
    assert profile.shares()[row] == pytest.approx(1)


def test_a_mamba_that_computes_something_else_is_not_timed(monkeypatch):
    class Other(mamba.MambaBlock):
        def forward(self, u):
            return 1.01 * super().forward(u)

    monkeypatch.setitem(mambas._BUILD, "mambapy", Other)
    with pytest.raises(DmhEdgeError, match=r"mambapy with our weights differs by .*e-02"):
        mambas.compare(SIZES, ["mambapy"], 1, nothing)


def test_a_mamba_that_is_wanted_must_be_known_and_installed(monkeypatch):
    with pytest.raises(ConfigError, match="did you mean 'mambapy'"):
        mambas.installed(["mambpy"])
    monkeypatch.setattr(mambas, "RIVALS", ("not_there",))
    with pytest.raises(MissingExtraError, match=r"\.\[bench\]"):
        mambas.installed(["not_there"])
    assert mambas.installed() == ()


def test_a_model_of_the_papers_sizes_is_compared_once():
    assert [sizes.name for sizes in mambas.sizes(DMHConfig(), 2, 5)] == ["the model's sizes"]
    assert [sizes.block.width for sizes in mambas.sizes(DMHConfig(width=8, heads=2), 2, 5)] == [8, 128]
