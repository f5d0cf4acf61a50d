"""Opacus accepts MONAI's VQVAE, whose codebook is a moving average of raw data: a leak outside every clip and noise."""

import torch
from monai.networks.nets import VQVAE
from opacus.validators import ModuleValidator

torch.manual_seed(0)
network = VQVAE(
    spatial_dims=2, in_channels=1, out_channels=1, channels=(4, 4), num_res_channels=(4, 4), num_res_layers=1,
    downsample_parameters=((2, 4, 1, 1),) * 2, upsample_parameters=((2, 4, 1, 1, 0),) * 2,
    num_embeddings=8, embedding_dim=4,
)  # fmt: skip
accepted = not ModuleValidator.validate(network, strict=False)
before = {name: buffer.clone() for name, buffer in network.named_buffers()}
with torch.no_grad():
    network.train()(torch.rand(2, 1, 16, 16))
written = [name for name, buffer in network.named_buffers() if not torch.equal(before[name], buffer)]

print(f"accepted by the validator: {accepted}; buffers a forward pass wrote: {', '.join(written) or 'none'}")
print("reproduced" if accepted and written else "not reproduced (fixed upstream?)")
