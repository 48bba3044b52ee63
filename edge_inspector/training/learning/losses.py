"""The loss functions of training."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

LossKind = Literal["dice-bce", "focal"]


@dataclass(frozen=True, slots=True)
class Loss:
    """Dice plus weighted BCE, or Dice plus focal loss. Callable on logits and targets [N, K, H, W] in 0..1.

    A target between 0 and 1 expresses the annotator's doubt. `class_weights`: one per class, default all 1.

    `any_weight`: weight of an extra loss for "any defect", whatever its class. A part is rejected for any class, and
    rare classes help each other. `picture_weight`: weight of an extra loss for the highest value of each picture, for
    a net that says of pictures whether anything is in them.
    """

    kind: LossKind = "dice-bce"
    positive_weight: float = 1.5
    class_weights: tuple[float, ...] = ()
    any_weight: float = 0.5
    picture_weight: float = 0.0

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss, a scalar."""
        weights = torch.tensor(self.class_weights or (1.0,) * logits.shape[1]).to(logits)
        probability = torch.sigmoid(logits)
        cross = focal(logits, targets) if self.kind == "focal" else bce(logits, targets, self.positive_weight)
        # Defects have a few pixels in a thousand. Unscaled, the mean over all pixels would be almost 0.
        loss = missed(probability, targets, weights) + 10.0 * (cross * weights[:, None, None]).mean()
        if self.any_weight and logits.shape[1] > 1:
            whatever = probability.amax(1, keepdim=True), targets.amax(1, keepdim=True)
            loss = loss + self.any_weight * missed(*whatever, weights[:1] * 0.0 + 1.0)
        if self.picture_weight:
            highest = functional.binary_cross_entropy_with_logits(logits.amax((2, 3)), targets.amax((2, 3)))
            loss = loss + self.picture_weight * highest
        return loss


def missed(probability: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """1 - Dice over the whole batch. Only classes that are present count, so an absent one cannot dominate."""
    overlap = (probability * targets).sum((0, 2, 3))
    total = (probability + targets).sum((0, 2, 3))
    present = (targets.amax((0, 2, 3)) > 0) * weights
    dice = 1.0 - (2.0 * overlap + 1.0) / (total + 1.0)
    return (dice * present).sum() / present.sum().clamp(min=1e-6)


def bce(logits: Tensor, targets: Tensor, positive_weight: float) -> Tensor:
    """Cross entropy per pixel, with weighted positive pixels."""
    weight = torch.full((1, logits.shape[1], 1, 1), positive_weight).to(logits)
    return functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weight, reduction="none")


def focal(logits: Tensor, targets: Tensor, gamma: float = 2.0, alpha: float = 0.75) -> Tensor:
    """Cross entropy per pixel in which well predicted pixels hardly count (Lin et al. 2017). For soft targets, too."""
    cross = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    distance = (torch.sigmoid(logits) - targets).abs()
    return (alpha * targets + (1.0 - alpha) * (1.0 - targets)) * distance**gamma * cross * 4.0
