import torch
from torch import nn

from dmh_edge.models.layers import Linear, RMSNorm, set_product_dtype
from dmh_edge.models.mamba import MambaBlock, MambaSizes


def test_a_product_in_float16_has_float32_around_it():
    torch.manual_seed(0)
    layer, x = Linear(8, 3), torch.randn(5, 8)
    nn.init.constant_(layer.bias, 1e-5)  # lost, were it added in float16
    plain = layer(x)
    assert torch.equal(plain, nn.functional.linear(x, layer.weight, layer.bias))
    layer.product_dtype = torch.float16
    half = layer(x)
    product = nn.functional.linear(x.half(), layer.weight.half())
    assert torch.equal(half, product.float() + layer.bias)
    assert 0 < (half - plain).abs().max() < 1e-2


def test_a_layer_without_bias_stays_without():
    layer = Linear(8, 3, bias=False)
    layer.product_dtype = torch.float16
    assert not layer(torch.zeros(1, 8)).any()


def test_the_norm_divides_by_the_root_mean_square():
    norm, x = RMSNorm(4).double(), torch.tensor([[1.0, -2.0, 3.0, 4.0]]).double()
    nn.init.uniform_(norm.weight)
    root_mean_square = ((1 + 4 + 9 + 16) / 4 + 1e-5) ** 0.5
    torch.testing.assert_close(norm(x), x / root_mean_square * norm.weight)


def test_nothing_is_divided_by_zero():
    assert torch.equal(RMSNorm(3)(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_the_islands_of_a_mamba_block_are_left_in_float32():
    block = MambaBlock(MambaSizes(width=16))
    set_product_dtype(block, torch.float16)
    assert {name for name, layer in block.named_modules() if getattr(layer, "product_dtype", None)} == {
        "in_proj",
        "out_proj",
    }
    set_product_dtype(block, None)
    assert block.in_proj.product_dtype is None
