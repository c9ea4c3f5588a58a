import numpy as np
import pytest
import torch

from dmh_edge.models.scan import selective_scan


def tensors(batch=2, length=7, channels=3, states=4, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x, dt, B, C = (
        torch.randn(batch, length, size, generator=generator, dtype=dtype)
        for size in (channels, channels, states, states)
    )
    A = -torch.rand(channels, states, generator=generator, dtype=dtype) - 0.1
    return [tensor.requires_grad_() for tensor in (x, torch.nn.functional.softplus(dt).detach(), A, B, C)]


def scan_by_the_equations(x, dt, A, B, C):
    """h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t, y_t = <C_t, h_t>, one number at a time, in numpy's float64."""
    batch, length, channels = x.shape
    y = np.zeros_like(x)
    for b in range(batch):
        for d in range(channels):
            h = np.zeros(A.shape[1])
            for t in range(length):
                for n in range(len(h)):
                    h[n] = np.exp(dt[b, t, d] * A[d, n]) * h[n] + dt[b, t, d] * x[b, t, d] * B[b, t, n]
                y[b, t, d] = sum(C[b, t, n] * h[n] for n in range(len(h)))
    return y


def test_the_scan_computes_its_equations():
    inputs = tensors()
    expected = scan_by_the_equations(*(tensor.detach().numpy() for tensor in inputs))
    assert np.abs(selective_scan(*inputs).detach().numpy() - expected).max() < 1e-12


@pytest.mark.parametrize("length", [1, 2, 6])
def test_the_gradients_written_by_hand_are_those_of_the_equations(length):
    assert torch.autograd.gradcheck(selective_scan, tensors(length=length))


def test_gradients_agree_with_autograd_through_the_naive_loop_in_float32():
    inputs = tensors(batch=3, length=40, channels=8, states=4, dtype=torch.float32)
    weight = torch.randn(3, 40, 8, generator=torch.Generator().manual_seed(1))

    def naive(x, dt, A, B, C):
        h, y = torch.zeros(*x[:, 0].shape, A.shape[1]), []
        for t in range(x.shape[1]):
            h = torch.exp(dt[:, t, :, None] * A) * h + (dt[:, t] * x[:, t])[..., None] * B[:, t, None]
            y.append((h * C[:, t, None]).sum(-1))
        return torch.stack(y, 1)

    ours, theirs = (torch.autograd.grad((scan(*inputs) * weight).sum(), inputs) for scan in (selective_scan, naive))
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-4, atol=1e-5)


def saved_for_backward(length):
    """Bytes that the scan keeps for its backward pass."""
    kept = 0

    def pack(tensor):
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        selective_scan(*tensors(length=length))
    return kept


def test_memory_grows_linearly_with_the_length():
    short, middle, long = (saved_for_backward(length) for length in (100, 200, 400))
    assert long - middle == 2 * (middle - short)
    states = 100 * 2 * 3 * 4 * 8  # one float64 state [B, D, N] per step of the shortest
    assert states < short < 3 * states
