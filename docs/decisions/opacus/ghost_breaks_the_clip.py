"""Opacus, ghost clipping: with channels-last activations, clipped gradients exceed the clipping norm C.

The norms come from the wrong per-sample gradients of `channels_last_hooks.py`, the gradients that they scale are right:
so sensitivity is not C, and epsilon is not what is reported.
"""

import torch
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPTensorFastGradientClipping
from torch import nn

C = 1.0
torch.manual_seed(0)
conv = nn.Conv2d(3, 5, 3, padding=1)
module = GradSampleModuleFastGradientClipping(conv, max_grad_norm=C, use_ghost_clipping=True)
optimizer = DPOptimizerFastGradientClipping(
    torch.optim.SGD(module.parameters(), lr=0.0),
    noise_multiplier=0.0,
    max_grad_norm=C,
    expected_batch_size=1,
)

largest = 0.0
for seed in range(20):
    # One channel near 0 in most places: what is read in the wrong order is then smaller than what is there.
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    x[:, 0] += 3.0
    optimizer.zero_grad()
    losses = module(x.contiguous(memory_format=torch.channels_last)).square().mean(dim=(1, 2, 3))
    DPTensorFastGradientClipping(module, optimizer, 100 * losses).backward()
    clipped = torch.cat([p.grad.flatten() for p in conv.parameters() if p.grad is not None])
    largest = max(largest, float(clipped.norm()))

print(f"largest norm of one sample's clipped gradient, in C: {largest / C:.3g}")
print("reproduced" if largest > C * (1 + 1e-3) else "not reproduced (fixed upstream?)")
