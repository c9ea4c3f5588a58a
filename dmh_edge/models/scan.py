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

The recurrence runs over a time-major buffer with one fused multiply-add a step, forward and backward; all else is done
for the whole sequence at once. Autograd through such a loop would be far slower: it keeps and visits every slice.
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
        states = (dt * x).transpose(0, 1).unsqueeze(-1) * B.transpose(0, 1).unsqueeze(-2)  # [L, B, D, N], dt x B
        decay = _decay(dt, A)  # [L, B, D, N]
        for t in range(1, len(states)):
            states[t].addcmul_(decay[t], states[t - 1])
        ctx.save_for_backward(x, dt, A, B, C, states)
        return torch.einsum("lbdn,bln->bld", states, C)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        x, dt, A, B, C, states = ctx.saved_tensors
        decay = _decay(dt, A)  # recomputed: cheaper than keeping a second [L, B, D, N]
        dC = torch.einsum("bld,lbdn->bln", dy, states)
        dh = dy.transpose(0, 1).unsqueeze(-1) * C.transpose(0, 1).unsqueeze(-2)  # [L, B, D, N]
        for t in range(len(dh) - 2, -1, -1):
            dh[t].addcmul_(decay[t + 1], dh[t + 1])
        dxB = torch.einsum("lbdn,bln->bld", dh, B)
        dB = torch.einsum("lbdn,bld->bln", dh, dt * x)
        # Gradient of dt A: dh h_{t-1} decay; the first step has no state before it.
        exponent = dh[1:].mul_(states[:-1]).mul_(decay[1:])  # [L-1, B, D, N]
        ddt = dxB * x
        ddt[:, 1:] += torch.einsum("lbdn,dn->bld", exponent, A)
        dA = torch.einsum("lbdn,bld->dn", exponent, dt[:, 1:])
        return dxB * dt, ddt, dA, dB, dC


def _decay(dt: Tensor, A: Tensor) -> Tensor:
    return (dt.transpose(0, 1).unsqueeze(-1) * A).exp_()  # [L, B, D, N]
