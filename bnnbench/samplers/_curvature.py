"""The diagonal of the Hessian, exact or estimated, from a gradient that still carries its graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bnnbench.samplers._langevin import NoiseSource

EXACT_LIMIT = 20_000  # double backward passes of a step; beyond this one step takes minutes


def check_exact(size: int) -> None:
    """Raise ValueError where the exact diagonal of `size` elements would take too long."""
    if size > EXACT_LIMIT:
        raise ValueError(
            f"gamma=exact needs one backward pass per parameter; {size} parameters are too many "
            f"(limit {EXACT_LIMIT}). Use gamma=hutchinson."
        )


def hessian_diagonal(grads: Sequence[Tensor], params: Sequence[Tensor], how: str, noise: NoiseSource) -> list[Tensor]:
    """Return ∂²L/∂θ_i² for every element of `params`.

    ``exact`` takes one backward pass per element: for toys. ``hutchinson`` takes one in all: with z of independent
    random signs, E[z ⊙ Hz] = diag(H) (Hutchinson 1989; Bekas, Kokiopoulou & Saad 2007), unbiased, exact for a
    diagonal H.

    Args:
        grads: ∂L/∂θ, made with ``create_graph=True``.
        params: θ, in the same order.
        how: ``exact`` or ``hutchinson``.
        noise: source of standard normals; their signs are z.
    """
    if how == "hutchinson":
        signs = [torch.sign(xi) for xi in noise(params)]
        products = _vector_jacobian(grads, params, signs)
        return [h * z for h, z in zip(products, signs, strict=True)]
    # Contiguous, whatever the strides of the parameters: the elements are counted through.
    diagonal = [torch.zeros_like(p, memory_format=torch.contiguous_format) for p in params]
    for block, (grad, param) in enumerate(zip(grads, params, strict=True)):
        for index in range(grad.numel()):
            one = torch.zeros_like(grad, memory_format=torch.contiguous_format)
            one.view(-1)[index] = 1
            row = _vector_jacobian([grad], [param], [one])[0]
            diagonal[block].view(-1)[index] = row.reshape(-1)[index]
    return diagonal


def _vector_jacobian(outputs: Sequence[Tensor], inputs: Sequence[Tensor], vectors: Sequence[Tensor]) -> list[Tensor]:
    """Return vᵀ ∂outputs/∂inputs, with zeros where the gradient does not depend on the parameter."""
    kept = [(o, v) for o, v in zip(outputs, vectors, strict=True) if o.requires_grad]
    if not kept:  # the loss is linear in θ
        return [torch.zeros_like(i) for i in inputs]
    products = torch.autograd.grad(
        [o for o, _ in kept], inputs, [v for _, v in kept], retain_graph=True, allow_unused=True
    )
    return [torch.zeros_like(i) if p is None else p for p, i in zip(products, inputs, strict=True)]
