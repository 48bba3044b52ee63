"""The training loop: seeded, one cosine cycle, Dice + weighted BCE."""

import time
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from edge_inspector.training.dataset import Image, Sample
from edge_inspector.training.nets import STRIDE, Segmenter, normalise

BATCH: Final = 8


class Source(Protocol):
    """Anything that samples can be drawn from without end."""

    classes: tuple[str, ...]
    channels: int

    def draw(self, rng: np.random.Generator) -> Sample:
        """Give one sample."""

    def calibration(self, count: int, rng: np.random.Generator) -> list[Image]:
        """Give images as the camera would, for the ranges of the activations."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how hard; `steps` batches in all."""

    widths: tuple[int, ...]
    steps: int
    batch: int = BATCH
    rate: float = 3e-3
    seed: int = 1
    positive_weight: float = 3.0
    log_every: int = 50


def fit(source: Source, plan: Plan) -> Segmenter:
    """Train a fresh net and return it ready for export."""
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    net = Segmenter(source.channels, len(source.classes), plan.widths)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    net.train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=plan.rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=plan.steps, pct_start=0.1)
    start, running = time.monotonic(), 0.0
    for step in range(1, plan.steps + 1):
        images, targets = _batch(source, plan.batch, rng)
        loss = dice_bce(net(images), targets, plan.positive_weight)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        running += (float(loss.detach()) - running) / min(step, plan.log_every)
        if step % plan.log_every == 0:
            print(f"step {step}/{plan.steps}  loss {running:.4f}  {time.monotonic() - start:.0f} s", flush=True)
    net.eval()
    return net


def dice_bce(logits: Tensor, targets: Tensor, positive_weight: float) -> Tensor:
    """Dice over the whole batch per class present, so that an absent class cannot dominate it, plus weighted BCE."""
    weight = torch.full((1, logits.shape[1], 1, 1), positive_weight)
    cross = nn.functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weight)
    probability = torch.sigmoid(logits)
    overlap = (probability * targets).sum((0, 2, 3))
    total = (probability + targets).sum((0, 2, 3))
    present = targets.amax((0, 2, 3)) > 0
    dice = 1.0 - (2.0 * overlap + 1.0) / (total + 1.0)
    missed = (dice * present).sum() / present.sum().clamp(min=1)
    # Pixels of defects are a few in a thousand: unscaled, the mean over all pixels would be next to nothing.
    return missed + 10.0 * cross


def _batch(source: Source, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    samples = [source.draw(rng) for _ in range(size)]
    images = normalise(torch.from_numpy(np.stack([image for image, _ in samples])))
    classes = torch.from_numpy(np.stack([labels for _, labels in samples]))
    planes = torch.stack([classes == 1 + index for index in range(len(source.classes))], dim=1)
    # A mask pixel is positive where any of its input pixels is: thin defects survive the halving.
    targets = nn.functional.max_pool2d(planes.to(torch.float32), STRIDE)
    return images.contiguous(memory_format=torch.channels_last), targets
