"""MONAI's AutoencoderKL with attention, its default, is such a network: nobody asked for channels last.

The attention block transposes and reshapes, and the convolutions after it receive its memory order.
"""

import torch
from monai.networks.nets import AutoencoderKL
from opacus.grad_sample import GradSampleModule
from torch import Tensor

torch.manual_seed(0)
network = AutoencoderKL(
    spatial_dims=2, in_channels=1, out_channels=1, channels=(8, 8), num_res_blocks=1, latent_channels=2,
    norm_num_groups=4, attention_levels=(False, True),
)  # fmt: skip
for parameter in network.parameters():
    parameter.data.add_(0.1 * torch.randn_like(parameter))
names = dict(network.named_parameters())
x = torch.randn(3, 1, 16, 16)


def loss(module: torch.nn.Module, images: Tensor) -> Tensor:
    """Without the random latent, so that it can be repeated."""
    return (module(images) - images).square().sum()


class Mean(torch.nn.Module):
    """Reconstructs from the mean of the posterior."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """(n, 1, H, W) to the same shape."""
        return self.network.decode(self.network.encode(images)[0])


mean = Mean()
used = [p for n, p in mean.named_parameters() if "quant_conv_log_sigma" not in n]
loops = [torch.autograd.grad(loss(mean, image[None]), used) for image in x]
expected = torch.stack([torch.cat([g.flatten() for g in gradients]) for gradients in loops])
module = GradSampleModule(mean, loss_reduction="sum")
loss(module, x).backward()
actual = torch.cat([p.grad_sample.flatten(1) for p in used], dim=1)
error = float(((actual - expected).norm(dim=1) / expected.norm(dim=1)).max())

print(f"largest relative error of a sample's gradient: {error:.2g}")
print("reproduced" if error > 1e-3 else "not reproduced (fixed upstream?)")
