"""Opacus, hooks: per-sample gradients of Conv2d are wrong where activations lie in memory channels last.

`opacus/utils/tensor_utils.py::unfold2d` uses `as_strided` with the strides of a contiguous (N, C, H, W) tensor.
"""

import torch
from opacus.grad_sample import GradSampleModule
from torch import Tensor, nn

torch.manual_seed(0)
x = torch.randn(4, 3, 8, 8)
conv = nn.Conv2d(3, 5, 3, padding=1)


def loss(image: Tensor) -> Tensor:
    """Of one image, or the sum over several."""
    return conv(image).square().sum()


expected = torch.stack([torch.autograd.grad(loss(image[None]), conv.weight)[0] for image in x])
module = GradSampleModule(conv, loss_reduction="sum")
module(x.contiguous(memory_format=torch.channels_last)).square().sum().backward()
error = float((conv.weight.grad_sample - expected).norm() / expected.norm())

print(f"relative error of the per-sample gradients: {error:.2g}")
print("reproduced" if error > 1e-3 else "not reproduced (fixed upstream?)")
