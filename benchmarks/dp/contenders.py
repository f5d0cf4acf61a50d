"""The same step by each contender: one call makes one gradient, clipped and noised except for the plain one."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable

import torch
from opacus.grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping
from opacus.grad_sample.utils import register_grad_sampler
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPTensorFastGradientClipping
from torch import Tensor, nn

from dp.case import Built
from fedgen.families.parts.denoising.linear_denoisers import WienerFilter
from fedgen.training.backends import Backend, Precision, gradients_of
from fedgen.training.functional import record_loss, trainable
from fedgen_privacy.gradients.layers import any_layer
from fedgen_privacy.gradients.protocol import size_of
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.step import GaussianStep

Step = Callable[[], object]
C, SIGMA, MICROBATCH = 1.0, 1.0, 16


@register_grad_sampler(WienerFilter)
def _wiener(layer: nn.Module, activations: list[Tensor], backprops: Tensor) -> dict[nn.Parameter, Tensor]:
    """For Opacus, which has no rule for a layer with two inputs and could not take part at all."""
    params = {name: p.detach() for name, p in layer.named_parameters()}
    # Without Opacus' own hooks, which would count this pass, too.
    bare = copy.copy(layer)
    bare._forward_hooks, bare._backward_hooks = OrderedDict(), OrderedDict()
    found = any_layer(bare, params, tuple(activations), backprops, len(backprops))
    return {p: found[name] for name, p in layer.named_parameters()}


def plain(built: Built) -> Step:
    """Forward and backward of the mean loss, by ordinary autograd."""
    parameters = list(trainable(built.objective, built.networks).values())
    return lambda: torch.autograd.grad(
        built.objective.loss(built.networks, built.records, built.draws).mean(), parameters
    )


def ours(
    backend: Backend, chunk: int = MICROBATCH, precision: Precision = "float32"
) -> Callable[[Built], Step]:
    """The step that a site takes."""

    def make(built: Built) -> Step:
        params = {n: p.detach() for n, p in trainable(built.objective, built.networks).items()}
        batch = built.records, built.draws
        step = GaussianStep(C, SIGMA, float(size_of(batch)), (built.objective.loss_bound,), chunk)
        random = SecretRandom()

        def run() -> object:
            per_record = gradients_of(built.objective, built.networks, backend, precision)
            return step(per_record, params, batch, random)

        return run

    return make


def compiled(built: Built) -> Step:
    """vmap(grad) of the whole batch by torch.compile, with our clip and noise."""
    run = torch.compile(
        torch.func.vmap(torch.func.grad_and_value(record_loss(built.objective, built.networks)), (None, 0))
    )
    params = {n: p.detach() for n, p in trainable(built.objective, built.networks).items()}
    batch = built.records, built.draws
    step = GaussianStep(C, SIGMA, float(size_of(batch)), (built.objective.loss_bound,), MICROBATCH)
    random = SecretRandom()
    return lambda: step(lambda p, b, *, chunk: iter([run(p, b)]), params, batch, random)


def opacus_hooks(built: Built) -> Step:
    """Opacus' GradSampleModule and DPOptimizer as they come; each ROW is a sample there, whatever patient it is of."""
    (name,) = built.objective.updates
    module = GradSampleModule(built.networks[name].train(), strict=False)
    networks = {**built.networks, name: module}
    optimizer = DPOptimizer(
        torch.optim.SGD(module.parameters(), lr=0.0),
        noise_multiplier=SIGMA,
        max_grad_norm=C,
        expected_batch_size=size_of(built.records),
    )

    def run() -> object:
        optimizer.zero_grad()
        built.objective.loss(networks, built.records, built.draws).mean().backward()
        return optimizer.step()

    return run


def opacus_ghost(built: Built) -> Step:
    """Opacus' ghost clipping as it comes: two backward passes, the norms of linear layers without their gradients."""
    (name,) = built.objective.updates
    if built.objective.name == "discriminator":
        raise NotImplementedError("a patient has several rows, and ghost clipping needs one loss for each")
    module = GradSampleModuleFastGradientClipping(built.networks[name].train(), strict=False, max_grad_norm=C)
    networks = {**built.networks, name: module}
    optimizer = DPOptimizerFastGradientClipping(
        torch.optim.SGD(module.parameters(), lr=0.0),
        noise_multiplier=SIGMA,
        max_grad_norm=C,
        expected_batch_size=size_of(built.records),
    )

    def run() -> object:
        optimizer.zero_grad()
        losses = built.objective.loss(networks, built.records, built.draws)
        DPTensorFastGradientClipping(module, optimizer, losses).backward()
        return optimizer.step()

    return run


CONTENDERS: dict[str, Callable[[Built], Step]] = {
    "plain": plain,
    "vmap": ours("vmap"),
    "hooks": ours("hooks"),
    "hooks, chunks of 4": ours("hooks", 4),
    "hooks, bfloat16": ours("hooks", precision="bfloat16"),
    "vmap, compiled": compiled,
    "Opacus hooks": opacus_hooks,
    "Opacus ghost": opacus_ghost,
}
#: Without what is compiled or of another precision: those are measured in the full run.
QUICK = ("plain", "vmap", "hooks", "hooks, chunks of 4", "Opacus hooks", "Opacus ghost")
