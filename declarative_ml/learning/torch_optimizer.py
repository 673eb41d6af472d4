"""The optimiser of the training loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Optimizer:
    """AdamW (Loshchilov & Hutter, ICLR 2019) over all parameters as one flat tensor.

    The learner's parameters and their gradients become views of it, so a step costs one fused call
    however many parameters there are: torch.optim spends more than that on bookkeeping.
    """

    def __init__(
        self, parameters: dict[str, torch.Tensor], decayed: frozenset[str], weight_decay: float
    ) -> None:
        import torch

        names = sorted(parameters, key=lambda name: name not in decayed)
        tensors = [parameters[name] for name in names]
        self.weights = torch.cat([tensor.detach().flatten() for tensor in tensors])
        self.weight_decay = weight_decay
        # What ranks add up, at once: the gradient, the loss, and whether the run is to end.
        self.sums = torch.zeros(len(self.weights) + 2)
        self.gradient, self.told = self.sums[:-2], self.sums[-2:]
        self.moments = [torch.zeros_like(self.weights), torch.zeros_like(self.weights)]
        self.step_count = torch.zeros(())
        self.names = names
        self.shapes = [tensor.shape for tensor in tensors]
        for tensor, weights, gradient in zip(
            tensors, self.views(self.weights).values(), self.views(self.gradient).values()
        ):
            tensor.data, tensor.grad = weights, gradient
        self.decayed = self.weights[: sum(parameters[name].numel() for name in decayed)]

    def views(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """A flat tensor as named parameters."""
        parts = flat.split([shape.numel() for shape in self.shapes])
        return {name: part.view(shape) for name, part, shape in zip(self.names, parts, self.shapes)}

    def step(self, learning_rate: float) -> None:
        """Move the weights along the gradient, then clear it."""
        from torch.optim.adamw import adamw

        self.decayed.mul_(1.0 - learning_rate * self.weight_decay)
        adamw(
            [self.weights],
            [self.gradient],
            [self.moments[0]],
            [self.moments[1]],
            [],
            [self.step_count],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=learning_rate,
            weight_decay=0.0,  # done above, for the decayed ones only
            eps=1e-8,
            maximize=False,
        )
        self.gradient.zero_()

    def content(self) -> dict[str, torch.Tensor]:
        """What a checkpoint must hold."""
        first, second = self.moments
        return {"weights": self.weights, "first": first, "second": second, "count": self.step_count}

    def restore(self, content: dict[str, torch.Tensor]) -> None:
        """Continue from `content`."""
        for name, tensor in self.content().items():
            tensor.copy_(content[name])
