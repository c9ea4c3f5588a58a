"""The selective scan in plain PyTorch, with exact gradients written by hand.

    h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t        h_{-1} = 0
    y_t = <C_t, h_t>

    symbol   shape        name
    x        [B, L, D]    input
    dt       [B, L, D]    step size, positive
    A        [D, N]       negative decay rates
    B_, C    [B, L, N]    how the input enters the state, and how the state is read
    h        [B, N, D]    state; D is the last axis, so that the channels are contiguous in memory
    T                     steps of a tile

Source: Gu and Dao, "Mamba", 2023, eq. 2; A is discretised by zero-order hold and B by the Euler approximation of it.

Both passes go through the sequence in tiles of T steps, ``[T, B, N, D]``, which fit into the processor's cache. If the
same products were computed for the whole sequence at once, they would go through memory a dozen times. Everything but
the recurrence is computed for a whole tile at once; the recurrence is one multiply-and-add per step. The forward pass
keeps the state before each tile and nothing else of that size: the backward pass computes a tile's states again, which
is cheaper than reading them. Nothing is divided by a decay, so a state that has decayed to 0 needs no special case.
Autograd through such a loop would be far slower, because it stores and visits every slice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Numbers in a tile per thread, and the most threads that count. Four float32 tiles are in use at a time, 8 MB per
#: thread: larger tiles do not fit into the cache, and with smaller ones the calls cost more than the work in them.
TILE_NUMBERS = 1 << 19
TILE_THREADS = 4

#: If PyTorch has fewer threads than this, the scan uses one. Two threads are at best twice as fast; and if another
#: process keeps one core busy, the other thread waits for milliseconds at every call: the scan then took two to four
#: times as long.
ENOUGH_THREADS = 4

#: Most numbers in one step of a tile. PyTorch gives so small an operation to one thread. With more threads, waiting for
#: them at every step takes longer than they save, and a hundred times longer if another process keeps a core busy.
STEP_NUMBERS = 1 << 15


def selective_scan(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """Return y of the module's equations.

    Args:
        x: input ``[B, L, D]``.
        dt: step size ``[B, L, D]``.
        A: decay rates ``[D, N]``.
        B: input map ``[B, L, N]``.
        C: output map ``[B, L, N]``.

    Returns:
        output y ``[B, L, D]``.
    """
    rows = max(1, STEP_NUMBERS // A.numel()) if x.device.type == "cpu" else len(x)
    parts = zip(*(torch.split(tensor, rows) for tensor in (x, dt, B, C)), strict=True)
    return torch.cat([_SelectiveScan.apply(x, dt, A, B, C) for x, dt, B, C in parts])  # type: ignore[no-untyped-call]


class _SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        with _no_waiting():
            return _SelectiveScan._forward(ctx, x, dt, A, B, C)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        with _no_waiting():
            return _SelectiveScan._backward(ctx, dy)

    @staticmethod
    def _forward(ctx: Any, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        x, dt, B, C = (tensor.transpose(0, 1).contiguous() for tensor in (x, dt, B, C))  # [L, B, .]
        A = A.t().contiguous()  # [N, D]
        scan = _Tiles(x, dt, A, B, TILE_NUMBERS * min(torch.get_num_threads(), TILE_THREADS))
        y, before = torch.empty_like(x), x.new_empty(scan.count, *scan.state_shape)
        scan.states[0].zero_()
        for tile, state in enumerate(before):
            state.copy_(scan.states[0])
            steps = scan.run(tile)
            h = scan.h[1 : 1 + len(C[steps])]  # [T, B, N, D]
            torch.bmm(_rows(C[steps]), h.flatten(0, 1), out=_rows(y[steps]))
            scan.states[0].copy_(h[-1])
        ctx.save_for_backward(x, dt, A, B, C, before)
        ctx.numbers = scan.decay.numel()
        return y.transpose(0, 1)

    @staticmethod
    def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        x, dt, A, B, C, before = ctx.saved_tensors
        dy = dy.transpose(0, 1).contiguous()
        scan = _Tiles(x, dt, A, B, ctx.numbers)
        dweighted, ddt, dB, dC = (torch.empty_like(tensor) for tensor in (x, dt, B, C))
        dA = x.new_zeros(1, A.numel() * x.shape[1])  # [1, B * N * D]
        gradients = torch.empty_like(scan.decay)
        per_step, ones = gradients.unbind(), x.new_ones(1, len(gradients))
        passed_on = torch.zeros_like(before[0])  # gradient of a tile's last state from all later tiles
        for tile in reversed(range(scan.count)):
            scan.states[0].copy_(before[tile])
            steps = scan.run(tile)
            length = len(dy[steps])
            decay, h_before, h = scan.decay[:length], scan.h[:length], scan.h[1 : 1 + length]
            dh = gradients[:length]  # [T, B, N, D]
            torch.mul(dy[steps].unsqueeze(2), C[steps].unsqueeze(3), out=dh)
            per_step[length - 1].add_(passed_on)
            for t in range(length - 1, 0, -1):
                per_step[t - 1].addcmul_(scan.decays[t], per_step[t])
            torch.mul(scan.decays[0], per_step[0], out=passed_on)
            # A row times a transposed matrix. A matrix times a column gives the same sums, but ten times slower here.
            torch.bmm(_rows(dy[steps]), h.flatten(0, 1).transpose(1, 2), out=_rows(dC[steps]))
            torch.bmm(_rows(scan.weighted[steps]), dh.flatten(0, 1).transpose(1, 2), out=_rows(dB[steps]))
            torch.bmm(_rows(B[steps]), dh.flatten(0, 1), out=_rows(dweighted[steps]))
            dexponent = dh.mul_(decay).mul_(h_before)  # gradient of dt A
            product = torch.mul(dexponent, dt[steps].unsqueeze(2), out=decay)
            dA.addmm_(ones[:, :length], product.flatten(1))
            torch.sum(dexponent.mul_(A), 2, out=ddt[steps])
        ddt.addcmul_(dweighted, x)
        dx, ddt, dB, dC = (tensor.transpose(0, 1) for tensor in (dweighted.mul_(dt), ddt, dB, dC))
        return dx, ddt, dA.view(scan.state_shape).sum(0).t(), dB, dC


class _Tiles:
    """The states of a sequence, tile by tile; all tiles use the same memory.

    Args:
        x, dt: input and step size ``[L, B, D]``.
        A: decay rates ``[N, D]``.
        B: input map ``[L, B, N]``.
        numbers: most numbers in a tile; a tile always has at least one step.

    Attributes:
        count: number of tiles.
        state_shape: shape of a state, (B, N, D).
        weighted: dt x, ``[L, B, D]``.
        decay: exp(dt A) of the current tile, ``[T, B, N, D]``; ``decays`` is the list of its steps.
        h: state before the current tile, which the caller sets, then its states, ``[1 + T, B, N, D]``; ``states`` is
            the list of them.
    """

    def __init__(self, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, numbers: int) -> None:
        length, batch, _ = x.shape
        self.state_shape = (batch, *A.shape)
        self._length = max(1, min(length, numbers // (batch * A.numel())))  # T
        self.count = -(-length // self._length)
        self._dt, self._B, self.weighted = dt, B, dt * x
        self._rates = A / math.log(2)  # for exp2: exp takes twice as long if MKL does not know the processor
        self.decay = x.new_empty(self._length, *self.state_shape)
        self.h = x.new_empty(1 + self._length, *self.state_shape)
        self.decays, self.states = self.decay.unbind(), self.h.unbind()

    def run(self, tile: int) -> slice:
        """Compute decays and states of a tile, and return the steps that it covers; the last tile can be shorter."""
        steps = slice(tile * self._length, (tile + 1) * self._length)
        dt, weighted = self._dt[steps], self.weighted[steps]
        decay = torch.mul(dt.unsqueeze(2), self._rates, out=self.decay[: len(dt)])
        torch.exp2(decay, out=decay)
        torch.mul(weighted.unsqueeze(2), self._B[steps].unsqueeze(3), out=self.h[1 : 1 + len(dt)])
        for t in range(len(dt)):
            self.states[t + 1].addcmul_(self.decays[t], self.states[t])
        return steps


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Use one thread in the block if PyTorch has fewer than `ENOUGH_THREADS`."""
    threads = torch.get_num_threads()
    if not 1 < threads < ENOUGH_THREADS:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _rows(tensor: Tensor) -> Tensor:
    """Return a view ``[T, B, n] -> [T * B, 1, n]`` of the same memory."""
    return tensor.view(-1, 1, tensor.shape[-1])
