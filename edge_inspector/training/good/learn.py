"""Learns memory, lines and head from good pictures. The same pictures, seed, threads and versions give the same net."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_inspector.training.good.backbone import Frozen
from edge_inspector.training.good.disturb import noisy
from edge_inspector.training.good.head import AnomalyHead, loss
from edge_inspector.training.good.lines import Lines
from edge_inspector.training.good.memory import SurfaceMemory, chosen, evened
from edge_inspector.training.good.net import GoodNet
from edge_inspector.training.good.source import OUTSIDE, GoodSource, Seen, TaughtPicture, lines_inside, tensors

_HELD: Final = 5
"""One of so many good pictures is kept from memory and head, and sets their scales."""
Thing = TypeVar("Thing")
_CELLS: Final = 400_000
"""Cells from which means and the memory are taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodPlan:
    """How the head learns: `steps` batches of `batch` windows, cut to `crop` cells.

    Each picture has so many `copies` with drawn defects. `remembered` cells are in the memory.
    """

    steps: int = 400
    batch: int = 16
    crop: int = 24
    copies: int = 2
    remembered: int = 4096
    rate: float = 2e-3
    seed: int = 1


def floor_net(source: GoodSource, remembered: int = 4000, seed: int = 1) -> GoodNet:
    """The floor for figures: cells drawn at random are remembered, and nothing is learned."""
    held, kept = parted(source.good, seed)
    frozen, _ = _remember([source.clean(each) for each in kept], source.frozen(), GoodPlan(remembered=8, seed=seed))
    features = (tensors(source.clean(each), frozen) for each in kept)
    cells = torch.cat([found.permute(0, 2, 3, 1)[targets == 0] for found, targets in features])
    drawn = torch.randperm(len(cells), generator=torch.Generator().manual_seed(seed))[:remembered]
    net = GoodNet(frozen, SurfaceMemory(cells[drawn]))
    net.settle(_inside([source.clean(each) for each in held], frozen))
    net.eval()
    return net


def preview_net(source: GoodSource, plan: GoodPlan) -> GoodNet:
    """A net that only remembers, in seconds."""
    held, kept = parted(source.good, plan.seed)
    clean = [source.clean(each) for each in kept]
    frozen, memory = _remember(clean, source.frozen(), plan)
    net = GoodNet(frozen, memory, lines=_lines(clean))
    net.settle(_inside([source.clean(each) for each in held], frozen))
    net.eval()
    return net


def learn_good(
    source: GoodSource, plan: GoodPlan, told: Callable[[float], None] = lambda _: None
) -> tuple[GoodNet, list[float]]:
    """The net, and the loss of each step. `told` gets the share that is done.

    Without known defects memory and lines judge, because a head that learned only drawn ones made it worse.
    """
    held, kept = parted(source.good, plan.seed)
    clean = [source.clean(each) for each in told_over(kept, lambda share: told(0.1 * share))]
    frozen, memory = _remember(clean, source.frozen(), plan)
    head, losses = None, list[float]()
    if source.known:
        numbered = [(each, number) for each in kept for number in range(plan.copies)]
        drawn = [source.disturbed(*each) for each in told_over(numbered, lambda share: told(0.1 + 0.4 * share))]
        pools = _Pools(clean, drawn, [source.clean(each) for each in source.known])
        head, losses = _learn_head(frozen, plan, pools, lambda share: told(0.5 + 0.5 * share))
    net = GoodNet(frozen, memory, head, _lines(clean))
    net.settle(_inside([source.clean(each) for each in held], frozen))
    net.eval()
    return net, losses


def parted(pictures: Sequence[TaughtPicture], seed: int) -> tuple[list[TaughtPicture], list[TaughtPicture]]:
    """The pictures that set the scales, and those to learn from. A group stays together if there are several."""
    groups = sorted({each.group for each in pictures})
    several = len(groups) >= _HELD

    def key(each: TaughtPicture) -> str:
        return each.group if several else each.name

    names = sorted({key(each) for each in pictures})
    order = np.random.default_rng(seed).permutation(len(names))
    held_names = {names[at] for at in order[: max(1, len(names) // _HELD)]}
    return (
        [each for each in pictures if key(each) in held_names],
        [each for each in pictures if key(each) not in held_names],
    )


def told_over(things: Sequence[Thing], told: Callable[[float], None]) -> Iterator[Thing]:
    """Each thing, and say after it which share is done."""
    for at, thing in enumerate(things, 1):
        yield thing
        told(at / len(things))


def _remember(clean: Sequence[Seen], frozen: Frozen, plan: GoodPlan) -> tuple[Frozen, SurfaceMemory]:
    """The frozen net, standardised, and the memory."""
    generator = torch.Generator().manual_seed(plan.seed)
    each = max(1, _CELLS // len(clean))
    cells, inside = [], []
    for seen in clean:
        usual = torch.from_numpy(_usual(seen))
        found = torch.from_numpy(seen.features.astype(np.float32)).permute(0, 2, 3, 1)[usual]
        some = torch.randperm(len(found), generator=generator)[:each]
        cells.append(found[some])
        inside.append((torch.from_numpy(seen.targets)[usual] == 0)[some])
    joined = torch.cat(cells)
    frozen.standardise(joined[torch.cat(inside)])
    standard = (joined - frozen.mean.reshape(1, -1)) * frozen.scale.reshape(1, -1)
    turn = evened(standard)
    return frozen, SurfaceMemory(chosen(standard @ turn, plan.remembered, generator), turn)


def _usual(seen: Seen) -> NDArray[np.bool_]:
    """The cells that are remembered: good ones, and what surrounds the picture."""
    return np.isin(seen.targets, (0, OUTSIDE))


def _lines(clean: Sequence[Seen]) -> Lines | None:
    """Lines, if they tell anything on this surface."""
    lines = Lines()
    return lines if lines.learn([lines_inside(each) for each in clean]) else None


def _inside(pictures: Sequence[Seen], frozen: Frozen) -> list[tuple[Tensor, Tensor, Tensor]]:
    return [(tensors(each, frozen)[0], *lines_inside(each)) for each in pictures]


@dataclass(frozen=True, slots=True)
class _Pools:
    """What batches are drawn from: half good ones, a quarter drawn defects, and a quarter known ones."""

    clean: Sequence[Seen]
    drawn: Sequence[Seen]
    known: Sequence[Seen]

    def kinds(self, batch: int) -> list[Sequence[Seen]]:
        known = batch // 4
        return [self.clean] * (batch // 2) + [self.drawn] * (batch - batch // 2 - known) + [self.known] * known


def _learn_head(
    frozen: Frozen, plan: GoodPlan, pools: _Pools, told: Callable[[float], None]
) -> tuple[AnomalyHead, list[float]]:
    torch.manual_seed(plan.seed)
    head = AnomalyHead(frozen.width)
    rng, losses = np.random.default_rng(plan.seed), []
    optimiser = torch.optim.AdamW(head.parameters(), lr=plan.rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=plan.steps, pct_start=0.1)
    head.train()
    noised = plan.batch // 4
    for step in range(plan.steps):
        pairs = [_crop(pool[int(rng.integers(len(pool)))], plan.crop, rng) for pool in pools.kinds(plan.batch)]
        features = torch.from_numpy(np.stack([each for each, _ in pairs]).astype(np.float32))
        features = (features - frozen.mean) * frozen.scale
        targets = torch.from_numpy(np.stack([each for _, each in pairs]).astype(np.int64))
        targets[targets == OUTSIDE] = 0
        # Noise on half of the good ones, so that good ones stay among the good.
        disturbed, where = noisy(features[:noised], rng)
        features = torch.cat([disturbed, features[noised:]])
        targets[:noised][(where > 0) & (targets[:noised] == 0)] = 1
        found = loss(head(features), targets)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(found)
        nn.utils.clip_grad_norm_(head.parameters(), 3.0)
        optimiser.step()
        schedule.step()
        losses.append(float(found.detach()))
        told((step + 1) / plan.steps)
    head.eval()
    return head, losses


def _crop(seen: Seen, most: int, rng: np.random.Generator) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
    """A part of one window, around a defective cell if there is one, turned over at random."""
    bad = np.argwhere(seen.targets == 1)
    window = int(rng.integers(len(seen.targets)))
    if len(bad):
        window, row, column = (int(each) for each in bad[int(rng.integers(len(bad)))])
    height, width = seen.targets.shape[1:]
    rows, columns = min(most, height), min(most, width)
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    if len(bad):
        top = int(np.clip(row - rng.integers(rows), 0, height - rows))
        left = int(np.clip(column - rng.integers(columns), 0, width - columns))
    box = slice(top, top + rows), slice(left, left + columns)
    return seen.features[window][:, box[0], box[1]], seen.targets[window][box]
