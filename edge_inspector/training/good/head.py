"""The small head behind the frozen net, and how it learns from disturbed good parts (SuperSimpleNet, 2408.03143)."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

_WIDTH: Final = 96
_FOCUS: Final = 2.0
_MARGIN: Final = 0.5


class AnomalyHead(nn.Module):
    """Standardised features [N, F, h, w] -> how unusual each cell is [N, 1, h, w], as a logit."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.adapt = nn.Conv2d(width, _WIDTH, 1, bias=False)
        self.judge = nn.Sequential(
            nn.Conv2d(_WIDTH, _WIDTH, 1, bias=False),
            nn.BatchNorm2d(_WIDTH),
            nn.ReLU(),
            nn.Conv2d(_WIDTH, 1, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """The logits."""
        logits: Tensor = self.judge(self.adapt(features))
        return logits


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Focal loss and a margin on both sides, over the cells [N, h, w] that are sure. Targets: 0, 1, and 2 for doubt.

    Good and defective cells weigh the same, because defective ones are few.
    """
    sure = targets < 2
    flat, bad = logits[:, 0][sure], targets[sure] == 1
    probability = torch.sigmoid(flat)
    wrong = torch.where(bad, 1.0 - probability, probability)
    cross = nn.functional.binary_cross_entropy_with_logits(flat, bad.to(flat.dtype), reduction="none")
    hinge = torch.where(bad, (_MARGIN - flat).clamp(min=0.0), (_MARGIN + flat).clamp(min=0.0))
    each = wrong**_FOCUS * cross * 4.0 + hinge
    good_share, bad_share = each[~bad], each[bad]
    total = good_share.mean() if good_share.numel() else flat.sum() * 0.0
    return total + bad_share.mean() if bad_share.numel() else total
