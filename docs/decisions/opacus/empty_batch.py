"""Opacus, hooks: an empty batch, which Poisson sampling makes, stops a MONAI UNet."""

import torch
from monai.networks.nets import DiffusionModelUNet
from opacus.grad_sample import GradSampleModule

network = DiffusionModelUNet(
    spatial_dims=2, in_channels=1, out_channels=1, channels=(8, 8), attention_levels=(False, True),
    num_res_blocks=1, num_head_channels=8, norm_num_groups=8,
)  # fmt: skip
module = GradSampleModule(network, strict=False)
try:
    module(torch.zeros(0, 1, 16, 16), timesteps=torch.zeros(0)).sum().backward()
    raised = None
except (RuntimeError, ValueError) as error:
    raised = error

print(f"an empty batch: {raised or 'passes'}")
print("reproduced" if raised else "not reproduced (fixed upstream?)")
