"""Opacus divides the noised sum by int(N * rate), which tells neighbouring data sets apart without any noise.

The sensitivity that is accounted is that of a sum over a public constant.
"""

import warnings

import torch
from opacus import PrivacyEngine
from torch.utils.data import DataLoader, TensorDataset

warnings.simplefilter("ignore")


def divisor(N: int) -> int:
    """The expected batch size that Opacus derives for N records."""
    network = torch.nn.Linear(1, 1)
    _, optimizer, _ = PrivacyEngine().make_private(
        module=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        data_loader=DataLoader(TensorDataset(torch.zeros(N, 1)), batch_size=64),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
    )
    size: int = optimizer.expected_batch_size
    return size


divisors = {N: divisor(N) for N in range(1000, 1030)}
tell = [N for N in range(1000, 1029) if divisors[N] != divisors[N + 1]]

print(f"data sets of N and N + 1 records with different divisors, for N from 1000 to 1028: {tell}")
print("reproduced" if tell else "not reproduced (fixed upstream?)")
