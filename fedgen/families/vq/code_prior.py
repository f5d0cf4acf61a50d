"""The prior over codes: MONAI's transformer, which draws codes one after another, or many at a time."""

from __future__ import annotations

import torch
from monai.networks.nets import DecoderOnlyTransformer
from torch import Tensor, nn

from fedgen.families.vq.options import VQOptions

#: Tokens that the condition becomes; of one alone attention would have nothing to choose.
CONDITION_TOKENS = 4


class CodePrior(nn.Module):
    """Logits of each place's code.

    One token more than there are codes says that a code is not known: before the first code of a transformer, and
    wherever diffusion has not drawn yet.

    Args:
        allowed: (L, V) which of all V codes may be at each place.
        condition: numbers of the condition.
        options: the transformer's size. That of diffusion looks at all places, and not at earlier ones alone.
    """

    def __init__(self, allowed: Tensor, condition: int, options: VQOptions) -> None:
        super().__init__()
        self.allowed: Tensor
        self.register_buffer("allowed", allowed, persistent=False)
        L, self.unknown = allowed.shape
        self.width = options.prior_width
        self.transformer = DecoderOnlyTransformer(
            num_tokens=self.unknown + 1,
            max_seq_len=L,
            attn_layers_dim=self.width,
            attn_layers_depth=options.prior_depth,
            attn_layers_heads=options.prior_heads,
            with_cross_attention=condition > 0,
        )
        self.condition = nn.Linear(condition, CONDITION_TOKENS * self.width) if condition else None
        for block in self.transformer.blocks:
            block.attn.causal = options.prior == "transformer"
            if not condition:
                # MONAI has it whether anything is looked at or not, and what is never used has no gradient.
                block.norm_cross_attn.requires_grad_(False)

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        """Log-probabilities (n, l, V) of the codes at the first l places, of tokens (n, l), condition (n, width)."""
        context = None
        if self.condition is not None:
            context = self.condition(condition).unflatten(1, (CONDITION_TOKENS, self.width))
        logits = self.transformer(tokens, context=context)[..., : self.unknown].float()
        never = torch.finfo(logits.dtype).min / 2
        return torch.log_softmax(logits.masked_fill(~self.allowed[: tokens.shape[1]], never), dim=2)


def nats(log_probabilities: Tensor, codes: Tensor) -> Tensor:
    """-ln p of the codes (n, L) by log-probabilities (n, L, V), (n, L)."""
    return -torch.gather(log_probabilities, 2, codes[..., None])[..., 0]


def picked(log_probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Codes (...,) that uniform numbers (...,) in [0, 1) fall on, by log-probabilities (..., V)."""
    borders = log_probabilities.exp().cumsum(dim=-1)[..., :-1]
    return (uniform[..., None] >= borders).sum(dim=-1)


def one_by_one(prior: CodePrior, condition: Tensor, uniform: Tensor) -> Tensor:
    """Codes (n, L), each given those before it, of uniform numbers (n, L)."""
    n, L = uniform.shape
    tokens = torch.full((n, 1), prior.unknown, device=uniform.device)
    for place in range(L):
        code = picked(prior(tokens, condition)[:, -1], uniform[:, place])
        tokens = torch.cat([tokens, code[:, None]], dim=1)
    return tokens[:, 1:]


def by_diffusion(prior: CodePrior, condition: Tensor, uniform: Tensor, order: Tensor, steps: int) -> Tensor:
    """Codes (n, L) that are drawn in `steps` groups, in the order (n, L) of numbers that is theirs.

    The reverse of absorbing diffusion, in which codes become unknown one by one (Austin et al. 2021): where groups are
    of one code each the drawing is exact, and larger ones draw codes as if they were independent.
    """
    n, L = uniform.shape
    rank = order.argsort(dim=1).argsort(dim=1)
    tokens = torch.full((n, L), prior.unknown, device=uniform.device)
    for step in range(min(steps, L)):
        first, last = step * L // min(steps, L), (step + 1) * L // min(steps, L)
        drawn = picked(prior(tokens, condition), uniform)
        tokens = torch.where((rank >= first) & (rank < last), drawn, tokens)
    return tokens
