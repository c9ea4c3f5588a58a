import numpy as np
import pytest
import torch

from dmh_edge.models.mamba import Mamba, MambaBlock, MambaSizes

WIDTH, EXPAND, CONV, STATES, RANK = 18, 2, 4, 5, 2
INNER = EXPAND * WIDTH


def some_block(width):
    """A block in float64 with no parameter at a value that would hide it."""
    torch.manual_seed(0)
    block = MambaBlock(MambaSizes(width=width, expand=EXPAND, conv_size=CONV, state_size=STATES)).double()
    with torch.no_grad():
        block.D.normal_()
        block.A_log.add_(0.3 * torch.randn_like(block.A_log))
    return block


@pytest.fixture
def block():
    return some_block(WIDTH)


def tokens(batch=2, length=9, width=WIDTH, dtype=torch.float64):
    return torch.randn(batch, length, width, generator=torch.Generator().manual_seed(1), dtype=dtype)


def silu(x):
    return x / (1 + np.exp(-x))


def block_by_the_equations(block, u):
    """Algorithm 2 of the paper inside the gated block of its figure 3, token by token, in numpy's float64."""
    p = {name: parameter.detach().double().numpy() for name, parameter in block.named_parameters()}
    A = -np.exp(p["A_log"])
    outputs = np.zeros_like(u)
    for row in range(len(u)):
        inputs = np.zeros((CONV - 1 + u.shape[1], INNER))  # zeros before the first token
        h = np.zeros((INNER, STATES))
        for t in range(u.shape[1]):
            projected = p["in_proj.weight"] @ u[row, t]
            inputs[t + CONV - 1], gate = projected[:INNER], projected[INNER:]
            x = p["conv1d.bias"].copy()
            for k in range(CONV):
                x += p["conv1d.weight"][:, 0, k] * inputs[t + k]
            x = silu(x)
            selected = p["x_proj.weight"] @ x
            low_rank, B, C = selected[:RANK], selected[RANK : RANK + STATES], selected[RANK + STATES :]
            dt = np.log1p(np.exp(p["dt_proj.weight"] @ low_rank + p["dt_proj.bias"]))
            h = np.exp(dt[:, None] * A) * h + (dt * x)[:, None] * B
            y = h @ C + p["D"] * x
            outputs[row, t] = p["out_proj.weight"] @ (y * silu(gate))
    return outputs


def test_forward_computes_the_equations_of_the_paper(block):
    u = tokens()
    assert np.abs(block(u).detach().numpy() - block_by_the_equations(block, u.numpy())).max() < 1e-12


def test_parameters_are_those_of_mamba_ssm_by_name_and_shape():
    shapes = {name: tuple(parameter.shape) for name, parameter in MambaBlock(MambaSizes(width=32)).named_parameters()}
    D, d, N, R, K = 64, 32, 16, 2, 4
    assert shapes == {
        "A_log": (D, N),
        "D": (D,),
        "in_proj.weight": (2 * D, d),
        "conv1d.weight": (D, 1, K),
        "conv1d.bias": (D,),
        "x_proj.weight": (R + 2 * N, D),
        "dt_proj.weight": (D, R),
        "dt_proj.bias": (D,),
        "out_proj.weight": (d, D),
    }


def test_a_new_block_steps_and_decays_as_the_paper_recommends():
    torch.manual_seed(0)
    block = MambaBlock(MambaSizes(width=64))
    dt = torch.nn.functional.softplus(block.dt_proj.bias)
    assert 0.001 * 0.99 <= dt.min() < 0.002
    assert 0.05 < dt.max() <= 0.1 * 1.01
    torch.testing.assert_close(block.A_log.exp(), torch.arange(1.0, 17).expand(128, 16))


@pytest.mark.parametrize("groups", [[9], [4, 4, 1], [1] * 9, [2, 3, 4]])
def test_steps_in_groups_of_any_size_are_the_whole_sequence(block, groups):
    u, outputs = tokens(), []
    conv, h = torch.zeros(2, CONV - 1, INNER).double(), torch.zeros(2, INNER, STATES).double()
    for group in u.split(groups, 1):
        kept = conv.clone(), h.clone()
        y, conv_next, h_next = block.step(group, conv, h)
        assert torch.equal(conv, kept[0])  # what goes in is only read
        assert torch.equal(h, kept[1])
        conv, h = conv_next, h_next
        outputs.append(y)
    assert (torch.cat(outputs, 1) - block(u)).abs().max() < 1e-12


def test_all_gradients_of_the_block_are_exact():
    block = some_block(6)  # each number costs two passes
    names, parameters = zip(*block.named_parameters(), strict=True)

    def run(u, *values):
        return torch.func.functional_call(block, dict(zip(names, values, strict=True)), (u,))

    u = tokens(batch=1, length=5, width=6).requires_grad_()
    assert torch.autograd.gradcheck(run, (u, *parameters))


def test_layers_are_residual_behind_a_norm_and_step_as_forward():
    torch.manual_seed(0)
    mamba = Mamba(2, MambaSizes(width=WIDTH, state_size=STATES)).double()
    for norm in (*mamba.norms, mamba.final_norm):
        torch.nn.init.normal_(norm.weight)
    u = tokens()
    first = u + mamba.blocks[0](mamba.norms[0](u))
    expected = mamba.final_norm(first + mamba.blocks[1](mamba.norms[1](first)))
    assert torch.equal(mamba(u), expected)
    conv, h = torch.zeros(2, 2, CONV - 1, INNER).double(), torch.zeros(2, 2, INNER, STATES).double()
    outputs = []
    for group in u.split([4, 5], 1):
        y, conv, h = mamba.step(group, conv, h)
        outputs.append(y)
    assert (torch.cat(outputs, 1) - expected).abs().max() < 1e-12


def test_under_autocast_the_recurrence_stays_in_float32(block):
    block, u = block.float(), tokens(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y, _, h = block.step(u, torch.zeros(2, CONV - 1, INNER), torch.zeros(2, INNER, STATES))
        whole = block(u)
        selection = block._selection(x := torch.randn(2, 3, INNER))
    assert all(torch.equal(low, high) for low, high in zip(selection, block._selection(x), strict=True))
    assert (h.dtype, y.dtype) == (torch.float32, torch.bfloat16)
    exact = block_by_the_equations(block, u.double().numpy())
    for low in (y, whole):
        error = np.abs(low.detach().double().numpy() - exact).max() / np.abs(exact).max()
        assert 1e-5 < error < 0.05


@pytest.mark.gpu
def test_on_cuda_it_computes_what_it_computes_on_the_cpu(block):
    block, u, weight = block.float(), tokens(dtype=torch.float32), tokens(dtype=torch.float32).flip(1)
    results = {}
    for device in ("cpu", "cuda"):
        moved, given = block.to(device), u.to(device).requires_grad_()
        y = moved(given)
        gradients = torch.autograd.grad((y * weight.to(device)).sum(), (given, *moved.parameters()))
        results[device] = [tensor.detach().cpu() for tensor in (y, *gradients)]
    for here, there in zip(*results.values(), strict=True):
        torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
def test_it_is_mamba_ssms_block_with_the_same_weights():
    mamba_ssm = pytest.importorskip("mamba_ssm")
    torch.manual_seed(0)
    theirs = mamba_ssm.Mamba(d_model=64, d_state=16, d_conv=4, expand=2).cuda()
    ours = MambaBlock(MambaSizes(width=64)).cuda()
    ours.load_state_dict(theirs.state_dict())
    u, weight = (torch.randn(3, 50, 64, device="cuda") for _ in range(2))
    results = []
    for block in (ours, theirs):
        given = u.clone().requires_grad_()
        y = block(given)
        gradients = torch.autograd.grad((y * weight).sum(), (given, *dict(sorted(block.named_parameters())).values()))
        results.append((y, *gradients))
    for our, their in zip(*results, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-3, atol=1e-4)


def test_selection_gain_amplifies_B_and_C_and_nothing_else():
    def weights(gain):
        torch.manual_seed(0)
        return Mamba(2, MambaSizes(width=16, state_size=4, selection_gain=gain)).state_dict()

    usual, amplified = weights(1.0), weights(8.0)
    for name, weight in usual.items():
        if name.endswith("x_proj.weight"):
            assert weight.shape[0] == 1 + 2 * 4
            assert torch.equal(amplified[name][:1], weight[:1])
            assert torch.equal(amplified[name][1:], 8 * weight[1:])
        else:
            assert torch.equal(amplified[name], weight), name
