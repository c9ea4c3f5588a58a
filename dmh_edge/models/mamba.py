"""The Mamba block: it reads whole sequences in training, and a few tokens with a carried state in deployment.

    symbol   shape          name
    u        [B, L, d]      block input, d = width
    x        [B, L, D]      inner channels, D = expand * d
    gate     [B, L, D]      multiplies the output
    window   [B, K-1+L, D]  the K-1 inputs before x, then x; K = size of the causal convolution
    dt       [B, L, D]      step size, softplus of a rank-R projection
    A        [D, N]         -exp(A_log)
    B, C     [B, L, N]      input and output maps of the state
    h        [B, D, N]      SSM state

Parameters have the names and shapes of ``mamba_ssm.Mamba``, so that weights can be moved to the CUDA kernels and back
unchanged. A, dt, softplus, exp and the SSM state stay in float32 (or float64), even if the rest has another type.

Source: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, algorithm 2, section 3.4.
"""

from __future__ import annotations

import importlib.util
import math
from functools import cache

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from dmh_edge.contract import Dimension, TensorSpec
from dmh_edge.models.layers import Linear, RMSNorm
from dmh_edge.models.scan import selective_scan
from dmh_edge.schema import Spec


class MambaSizes(Spec):
    """Sizes of the Mamba blocks of a model."""

    width: int = Field(default=128, ge=1)
    """d, the width of the tokens."""
    expand: int = Field(default=2, ge=1)
    """Inner channels of a Mamba block, as a multiple of the width."""
    conv_size: int = Field(default=4, ge=2)
    """Taps of a Mamba block's causal convolution."""
    state_size: int = Field(default=16, ge=1)
    """State variables per inner channel."""
    selection_gain: float = Field(default=1.0, gt=0)
    """Factor on the initial B and C. With 1, what comes through the state is at first a thousandth of what bypasses it.
    For a task in which only the distant past determines the action, 8 makes it matter from the start."""


class MambaBlock(nn.Module):
    """One Mamba block.

    Args:
        sizes: the sizes d, D / d, K and N; R is ceil(d / 16).
    """

    def __init__(self, sizes: MambaSizes) -> None:
        super().__init__()
        width, conv_size, state_size = sizes.width, sizes.conv_size, sizes.state_size
        self.inner = inner = sizes.expand * width
        self.state_size = state_size
        self.conv_size = conv_size
        self.dt_rank = math.ceil(width / 16)
        self.in_proj = Linear(width, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, conv_size, groups=inner)
        self.x_proj = nn.Linear(inner, self.dt_rank + 2 * state_size, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, inner)
        self.A_log = nn.Parameter(torch.arange(1.0, state_size + 1).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = Linear(inner, width, bias=False)
        self._reset_step_size()
        with torch.no_grad():
            self.x_proj.weight[self.dt_rank :] *= sizes.selection_gain

    def _reset_step_size(self) -> None:
        """Initialise dt log-uniform in [0.001, 0.1], as section 3.6 of the paper recommends."""
        bound = self.dt_rank**-0.5
        nn.init.uniform_(self.dt_proj.weight, -bound, bound)
        dt = torch.exp(torch.empty(self.inner).uniform_(math.log(0.001), math.log(0.1))).clamp(min=1e-4)
        with torch.no_grad():
            self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus

    def forward(self, u: Tensor) -> Tensor:
        """A whole sequence from an empty state: ``[B, L, d] -> [B, L, d]``."""
        x, gate = self.in_proj(u).chunk(2, -1)  # [B, L, D] each
        if u.is_cuda and _has_cuda_kernels():
            fused: Tensor = self.out_proj(self._fused(x, gate))
            return fused
        x = self._convolve(functional.pad(x, (0, 0, self.conv_size - 1, 0)))
        dt, B, C = self._selection(x)
        y = selective_scan(x.to(dt.dtype), dt, self._decay_rates(), B, C)
        return self._project_out(y, x, gate)

    def step(self, u: Tensor, conv: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Read the next G tokens.

        Args:
            u: block input ``[B, G, d]``.
            conv: the last K-1 convolution inputs, ``[B, K-1, D]``.
            h: SSM state ``[B, D, N]``.

        Returns:
            output ``[B, G, d]``, and both states after the last token.
        """
        x, gate = self.in_proj(u).chunk(2, -1)  # [B, G, D] each
        window = torch.cat([conv, x], 1)  # [B, K-1+G, D]
        x = self._convolve(window)
        dt, B, C = self._selection(x)
        # Computed for all G tokens at once, [B, G, D, N]; only the recurrence itself goes token by token.
        decay = torch.exp(dt.unsqueeze(-1) * self._decay_rates())
        entering = (dt * x.to(dt.dtype)).unsqueeze(-1) * B.unsqueeze(-2)
        states, h = [], h.unsqueeze(1)  # [B, 1, D, N]
        for decay_t, entering_t in zip(torch.split(decay, 1, 1), torch.split(entering, 1, 1), strict=True):
            h = decay_t * h + entering_t
            states.append(h)
        y = (torch.cat(states, 1) @ C.unsqueeze(-1)).squeeze(-1)  # [B, G, D]
        return self._project_out(y, x, gate), window[:, u.shape[1] :], h.squeeze(1)

    def _convolve(self, window: Tensor) -> Tensor:
        """Causal depthwise convolution and SiLU: ``[B, K-1+L, D] -> [B, L, D]``."""
        length = window.shape[1] - (self.conv_size - 1)
        weight = self.conv1d.weight  # [D, 1, K]
        taps = [window[:, k : k + length] * weight[:, 0, k] for k in range(self.conv_size)]
        assert self.conv1d.bias is not None
        return functional.silu(sum(taps, start=self.conv1d.bias))

    def _selection(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return dt ``[B, L, D]``, B and C ``[B, L, N]``, which depend on the input, in at least float32."""
        with torch.autocast(x.device.type, enabled=False):
            low_rank, B, C = self.x_proj(x.to(self.A_log.dtype)).split(
                [self.dt_rank, self.state_size, self.state_size], -1
            )
            return functional.softplus(self.dt_proj(low_rank)), B, C

    def _decay_rates(self) -> Tensor:
        return -torch.exp(self.A_log)  # [D, N]

    def _project_out(self, y: Tensor, x: Tensor, gate: Tensor) -> Tensor:
        """Skip connection, gate and output projection: ``[B, L, D]`` each ``-> [B, L, d]``."""
        projected: Tensor = self.out_proj(((y + self.D * x) * functional.silu(gate)).to(gate.dtype))
        return projected

    def _fused(self, x: Tensor, gate: Tensor) -> Tensor:
        """Convolution, scan, skip and gate by the kernels of causal-conv1d and mamba-ssm, ``[B, L, D]``."""
        from causal_conv1d import causal_conv1d_fn
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

        channels_first = x.transpose(1, 2).contiguous()  # [B, D, L]
        weight = self.conv1d.weight.squeeze(1).to(x.dtype)
        assert self.conv1d.bias is not None
        channels_first = causal_conv1d_fn(channels_first, weight, self.conv1d.bias.to(x.dtype), activation="silu")
        dt, B, C = self._selection(channels_first.transpose(1, 2))
        y: Tensor = selective_scan_fn(  # in float32 also under autocast: dt, B and C are what must not be rounded
            channels_first.float(),
            dt.transpose(1, 2).contiguous(),
            self._decay_rates(),
            B.transpose(1, 2).contiguous(),
            C.transpose(1, 2).contiguous(),
            self.D.float(),
            z=gate.transpose(1, 2).float().contiguous(),
        )
        return y.transpose(1, 2).to(gate.dtype)


class Mamba(nn.Module):
    """Mamba blocks as pre-norm residual layers, and a final norm.

    Args:
        layers: number of blocks.
        sizes: sizes of each `MambaBlock`.
    """

    def __init__(self, layers: int, sizes: MambaSizes) -> None:
        super().__init__()
        inner = sizes.expand * sizes.width
        self._state_shapes: tuple[tuple[Dimension, ...], tuple[Dimension, ...]] = (
            (layers, "batch", sizes.conv_size - 1, inner),
            (layers, "batch", inner, sizes.state_size),
        )
        self.blocks = nn.ModuleList(MambaBlock(sizes) for _ in range(layers))
        self.norms = nn.ModuleList(RMSNorm(sizes.width) for _ in range(layers))
        self.final_norm = RMSNorm(sizes.width)

    def state(self, prefix: str) -> tuple[TensorSpec, TensorSpec]:
        """Return the specs of the state tensors of `step`, ``<prefix>_conv`` and ``<prefix>_ssm``."""
        conv, ssm = self._state_shapes
        return (
            TensorSpec(name=f"{prefix}_conv", dtype="float32", shape=conv),
            TensorSpec(name=f"{prefix}_ssm", dtype="float32", shape=ssm),
        )

    def forward(self, u: Tensor) -> Tensor:
        """A whole sequence from an empty state: ``[B, L, d] -> [B, L, d]``."""
        for block, norm in zip(self.blocks, self.norms, strict=True):
            u = u + block(norm(u))
        normed: Tensor = self.final_norm(u)
        return normed

    def step(self, u: Tensor, conv: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Read the next G tokens ``[B, G, d]``; the states are ``[layers, B, K-1, D]`` and ``[layers, B, D, N]``."""
        conv_next, h_next = [], []
        for layer, (block, norm) in enumerate(zip(self.blocks, self.norms, strict=True)):
            y, layer_conv, layer_h = block.step(norm(u), conv[layer], h[layer])  # type: ignore[operator]
            u = u + y
            conv_next.append(layer_conv)
            h_next.append(layer_h)
        return self.final_norm(u), torch.stack(conv_next), torch.stack(h_next)


@cache
def _has_cuda_kernels() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("mamba_ssm", "causal_conv1d"))
