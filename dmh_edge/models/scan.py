"""The selective scan in plain PyTorch, with exact gradients written by hand.

    h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t        h_{-1} = 0
    y_t = <C_t, h_t>

    symbol   shape        name
    x        [B, L, D]    input
    dt       [B, L, D]    step size, positive
    A        [D, N]       negative decay rates
    B_, C    [B, L, N]    how the input enters the state, and how the state is read
    h        [B, D, N]    state; the scan keeps all L of them, so memory is linear in the length

Source: Gu and Dao, "Mamba", 2023, eq. 2 with A by zero-order hold and B by its Euler approximation.

Both passes walk over time-major tensors, and do all that one step needs while its ``[B, D, N]`` lies in the processor's
cache: done for the whole sequence at once, the same products go through memory a dozen times. Autograd through such a
loop would be far slower: it keeps and visits every slice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def selective_scan(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """y of the module's equations.

    Args:
        x: ``[B, L, D]``.
        dt: ``[B, L, D]``.
        A: ``[D, N]``.
        B: ``[B, L, N]``.
        C: ``[B, L, N]``.

    Returns:
        ``[B, L, D]``.
    """
    y: Tensor = _SelectiveScan.apply(x, dt, A, B, C)  # type: ignore[no-untyped-call]
    return y


class _SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        x, dt, B, C = (tensor.transpose(0, 1).contiguous() for tensor in (x, dt, B, C))  # [L, B, .]
        states = x.new_empty(*x.shape, A.shape[-1])  # [L, B, D, N]
        y, weighted = torch.empty_like(x), dt * x
        for t in range(len(x)):
            h = torch.mul(weighted[t].unsqueeze(-1), B[t].unsqueeze(-2), out=states[t])  # [B, D, N]
            if t > 0:
                h.addcmul_(_decay(dt[t], A), states[t - 1])
            torch.bmm(h, C[t].unsqueeze(-1), out=y[t].unsqueeze(-1))
        ctx.save_for_backward(x, dt, A, B, C, states)
        return y.transpose(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        x, dt, A, B, C, states = ctx.saved_tensors
        dy, weighted = dy.transpose(0, 1).contiguous(), dt * x
        dweighted, ddt, dA, dB, dC = (torch.zeros_like(tensor) for tensor in (x, dt, A, B, C))
        dh = torch.zeros_like(states[0])  # [B, D, N]
        for t in reversed(range(len(x))):
            torch.bmm(dy[t].unsqueeze(-2), states[t], out=dC[t].unsqueeze(-2))
            dh.addcmul_(dy[t].unsqueeze(-1), C[t].unsqueeze(-2))
            torch.bmm(dh, B[t].unsqueeze(-1), out=dweighted[t].unsqueeze(-1))
            torch.bmm(weighted[t].unsqueeze(-2), dh, out=dB[t].unsqueeze(-2))
            if t > 0:  # the first step has no state before it
                dh.mul_(_decay(dt[t], A))
                dexponent = dh * states[t - 1]  # gradient of dt A
                torch.sum(dexponent * A, -1, out=ddt[t])
                dA += dexponent.mul_(dt[t].unsqueeze(-1)).sum(0)
        ddt.addcmul_(dweighted, x)
        dx, ddt, dB, dC = (tensor.transpose(0, 1) for tensor in (dweighted * dt, ddt, dB, dC))
        return dx, ddt, dA, dB, dC


def _decay(dt: Tensor, A: Tensor) -> Tensor:
    return (dt.unsqueeze(-1) * A).exp_()  # [B, D, N]
