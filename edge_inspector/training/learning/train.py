"""The training loop: seeded, resumable to the bit, one cosine cycle. Its result is the running mean of the net.

With stochastic weight averaging (SWA: Izmailov et al. 2018), steps at a constant rate follow the cycle. The result is
then the mean of all of these.
"""

import copy
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.store.whole_file import draft_of
from edge_inspector.training.data.augment import Source
from edge_inspector.training.learning.encoders import make_net
from edge_inspector.training.learning.losses import Loss
from edge_inspector.training.learning.unet import normalise, stride_of
from edge_inspector.training.learning.weights import read_weights

_EMA: Final = 0.995


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Length and rates of a training: `steps` batches in the cycle, then `swa_steps` at `swa_rate`.

    `start` is a state dict or a run's checkpoint to start from. With `keep_head` it has the same classes.
    `encoder_weights` is a state dict for the encoder.
    """

    net: str = "light"
    steps: int = 2000
    batch: int = 8
    rate: float = 3e-3
    seed: int = 1
    loss: Loss = field(default_factory=Loss)
    start: Path | None = None
    keep_head: bool = False
    encoder_weights: Path | None = None
    encoder_rate: float = 1.0
    swa_steps: int = 0
    swa_rate: float = 1e-3
    report_every: int = 50


class Training:
    """A training in progress, with everything that is needed to resume it. Raises ConfigError."""

    def __init__(self, source: Source, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.source, self.plan = source, plan
        self.rng = np.random.default_rng(plan.seed)
        self.net = make_net(plan.net, source.channels, len(source.classes), plan.encoder_weights)
        if plan.start is not None:
            kept = read_weights(plan.start, "--start")
            if not begin_from(self.net, kept, keep_head=plan.keep_head):
                raise ConfigError([Fault("--start", f"nothing in {plan.start} fits the {plan.net} net")])
        self.net.to(memory_format=torch.channels_last)
        self.mean = copy.deepcopy(self.net)
        groups = _rated(self.net, plan)
        self.optimiser = torch.optim.AdamW(groups, lr=plan.rate, weight_decay=2e-2)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, [group["lr"] for group in groups], total_steps=plan.steps, pct_start=_warm_up(plan.steps)
        )
        self.losses: list[float] = []

    def step(self) -> float:
        """Train on one batch and return its loss."""
        self.net.train()
        images, targets = _batch(self.source, self.plan.batch, self.rng, stride_of(self.net))
        loss = self.plan.loss(self.net(images), targets)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.net.parameters(), 3.0)
        self.optimiser.step()
        self._set_rate()
        self.losses.append(float(loss.detach()))
        self._average()
        return self.losses[-1]

    def save(self, path: Path) -> None:
        """Write a checkpoint. After a power cut the previous file is still there."""
        parts: dict[str, Any] = {name: getattr(self, name).state_dict() for name in _KEPT}
        parts |= {"losses": self.losses, "rng": self.rng.bit_generator.state, "torch": torch.get_rng_state()}
        with draft_of(path) as draft:
            torch.save(parts, draft)

    def load(self, path: Path) -> None:
        """Resume from a checkpoint."""
        parts = torch.load(path, weights_only=True)
        for name in _KEPT:
            getattr(self, name).load_state_dict(parts[name])
        self.losses = parts["losses"]
        self.rng.bit_generator.state = parts["rng"]
        torch.set_rng_state(parts["torch"])

    def _set_rate(self) -> None:
        """Set the learning rate of the next step."""
        if len(self.losses) < self.plan.steps:
            self.schedule.step()
        if len(self.losses) + 1 == self.plan.steps:
            for group, share in zip(self.optimiser.param_groups, (1.0, self.plan.encoder_rate), strict=False):
                group["lr"] = self.plan.swa_rate * share

    def _average(self) -> None:
        done = len(self.losses)
        averaged = done - self.plan.steps
        keep = 1.0 - 1.0 / averaged if averaged > 0 else min(_EMA, done / (done + 20.0))
        with torch.no_grad():
            for mean, now in zip(self.mean.state_dict().values(), self.net.state_dict().values(), strict=True):
                if mean.dtype.is_floating_point:
                    mean.mul_(keep).add_(now, alpha=1.0 - keep)
                else:
                    mean.copy_(now)


_KEPT: Final = ("net", "mean", "optimiser", "schedule")


def _warm_up(steps: int) -> float:
    """The share of the cycle in which the rate rises. The schedule divides by these steps less one."""
    return 0.2 if steps == 10 else 0.1


def fit(source: Source, plan: Plan, checkpoint: Path | None = None) -> tuple[nn.Module, list[float]]:
    """The trained net, ready for export, and the loss of every step. Continues from the checkpoint if there is one."""
    training = Training(source, plan)
    name = f"{checkpoint.stem}: " if checkpoint is not None else ""
    if checkpoint is not None and checkpoint.exists():
        training.load(checkpoint)
        print(f"{name}continuing after step {len(training.losses)}", flush=True)
    start, begun, steps = time.monotonic(), len(training.losses), plan.steps + plan.swa_steps
    for step in range(begun + 1, steps + 1):
        training.step()
        if step % plan.report_every == 0 or step == steps:
            took = time.monotonic() - start
            left = took / (step - begun) * (steps - step)
            mean = float(np.mean(training.losses[-plan.report_every :]))
            print(f"{name}step {step}/{steps}  loss {mean:.4f}  {took:.0f} s, {left:.0f} s left", flush=True)
            if checkpoint is not None:
                training.save(checkpoint)
    return training.mean.eval(), training.losses


def begin_from(net: nn.Module, weights: dict[str, Tensor], *, keep_head: bool = False) -> int:
    """Copy the weights that fit from another net's state dict, and return how many fitted.

    For grey, the weights of a colour stem are summed. Counters do not count, because nets of any size have them. The
    head is left out, because it has other classes, unless `keep_head` is set.
    """
    own = net.state_dict()
    taken = {}
    for name, value in weights.items():
        if name not in own or (name.startswith("head.") and not keep_head):
            continue
        grey = value.ndim == 4 and own[name].shape[1] == 1 and value.shape[1] == 3
        fitted = value.sum(1, keepdim=True) if grey else value
        if fitted.shape == own[name].shape:
            taken[name] = fitted
    net.load_state_dict(taken, strict=False)
    return sum(value.ndim > 0 for value in taken.values())


def _rated(net: nn.Module, plan: Plan) -> list[dict[str, Any]]:
    """All parameters with their highest rates. A pretrained encoder gets a low rate."""
    known = [value for name, value in net.named_parameters() if name.startswith("encoder.")]
    fresh = [value for name, value in net.named_parameters() if not name.startswith("encoder.")]
    groups = [{"params": fresh, "lr": plan.rate}]
    return [*groups, {"params": known, "lr": plan.rate * plan.encoder_rate}] if known else groups


def _batch(source: Source, size: int, rng: np.random.Generator, stride: int) -> tuple[Tensor, Tensor]:
    samples = [source.draw(rng) for _ in range(size)]
    images = normalise(torch.from_numpy(np.stack([sample.image for sample in samples])))
    classes = torch.from_numpy(np.stack([sample.classes for sample in samples]))
    certainty = torch.from_numpy(np.stack([sample.certainty for sample in samples])).to(torch.float32) / 255.0
    planes = torch.stack([(classes == 1 + index) * certainty for index in range(len(source.classes))], dim=1)
    # A mask pixel is positive if any of its input pixels is. So thin defects survive.
    targets = nn.functional.max_pool2d(planes, stride)
    return images.contiguous(memory_format=torch.channels_last), targets
