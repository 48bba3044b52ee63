"""From labels of whole pictures to the patches that a net learns from, in two rounds. No mask is read.

1. `places` finds where each defect is, and `suspected` makes a mask of what differs there from its surroundings.
2. A first net learns from these masks for half of the steps. What it finds in the same pictures are better masks,
   because what it saw in good pictures, too, is no defect to it.

The usual training then learns from those. Each step leaves a file in the run, so a stopped run goes on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from torch import nn

from edge_inspector.store.whole_file import draft_of
from edge_inspector.training.data.folder import Image, LabelledImage
from edge_inspector.training.data.patches import Patches
from edge_inspector.training.data.suspected import first_mask, next_mask
from edge_inspector.training.data.tasks import FolderTask
from edge_inspector.training.judging.evidence import Predict
from edge_inspector.training.judging.report import SHOWN_FILE, write_shown
from edge_inspector.training.judging.runtimes import model_predictor
from edge_inspector.training.learning.encoders import make_net
from edge_inspector.training.learning.export import export_onnx
from edge_inspector.training.learning.places import Places
from edge_inspector.training.learning.train import Plan, begin_from, fit, fresh_net
from edge_inspector.training.learning.unet import STRIDE, Deployed
from edge_inspector.training.learning.weights import read_weights
from edge_inspector.training.shipping.manifest import FILES, Card, Draft

Planes = Mapping[str, Image]
"""Name of a picture -> certainty of each class [K, H, W], 0..255."""

PLACE_STEPS: Final = 300
"""Most steps of a head on features. They cost seconds, so they do not follow the steps of the net."""


def source_from_labels(
    task: FolderTask, plan: Plan, run: Path, *, window: tuple[int, int], fold: int | None
) -> Patches:
    """Patches with masks that follow from the labels. For `fold` None the net of the first fold makes the masks."""
    entries = task.entries(fold)
    if fold is None:
        net = make_net(plan.net, task.channels, len(task.classes))
        begin_from(net, read_weights(run / "fold-0.checkpoint", "--out"), keep_head=True)
        make = partial(_next_masks, task, net.eval(), entries, window=window, before={})
        return task.patches(_marked(entries, _kept(run / "net.masks.npz", entries, make)))
    name = f"fold-{fold}"
    first = _kept(run / f"{name}.masks-1.npz", entries, partial(_first_masks, task, plan, entries))
    source = task.patches(_marked(entries, first))
    if not (run / SHOWN_FILE).exists():
        write_shown(run, partial(source.draw, np.random.default_rng(plan.seed)))
        print(f"patches with masks that follow from the labels: {run / SHOWN_FILE}", flush=True)
    half = replace(plan, steps=max(1, plan.steps // 2), swa_steps=0)
    net, _ = fit(source, half, run / f"{name}-first.checkpoint")
    make = partial(_next_masks, task, net, entries, window=window, before=first)
    return task.patches(_marked(entries, _kept(run / f"{name}.masks-2.npz", entries, make)))


def _first_masks(task: FolderTask, plan: Plan, entries: Sequence[LabelledImage]) -> Planes:
    net = fresh_net(plan, task.channels, len(task.classes))
    places = Places(net, entries, classes=len(task.classes), fill=task.fill, seed=plan.seed)
    found = places.find(min(PLACE_STEPS, plan.steps))
    return {
        entry.name: np.stack([first_mask(entry.image, plane) for plane in found[entry.name]])
        for entry in entries
        if entry.defective
    }


def _next_masks(
    task: FolderTask, net: nn.Module, entries: Sequence[LabelledImage], *, window: tuple[int, int], before: Planes
) -> Planes:
    height, width = (side // task.shrink for side in window)
    with tempfile.TemporaryDirectory() as scratch:
        predict = _predictor(net, task, (height, width, task.channels), Path(scratch))
        return {entry.name: _improved(entry, predict, before) for entry in entries if entry.defective}


def _improved(entry: LabelledImage, predict: Predict, before: Planes) -> Image:
    """Masks of the classes that the label names. The others stay empty."""
    found = predict(entry.image)
    empty = np.zeros((len(found), *entry.image.shape[:2]), np.uint8)
    known = before.get(entry.name, empty)
    planes = [
        next_mask(plane, known[index]) if 1 + index in entry.labelled else empty[index]
        for index, plane in enumerate(_cropped(found, entry.image))
    ]
    return np.stack(planes)


def _cropped(found: Image, image: Image) -> Image:
    height, width = (-(-side // STRIDE) for side in image.shape[:2])
    return found[:, :height, :width]


def _predictor(net: nn.Module, task: FolderTask, shape: tuple[int, int, int], folder: Path) -> Predict:
    """The net as it is shipped, for pictures that are small already."""
    export_onnx(Deployed([net]), folder / FILES["fp32"], shape)
    Draft(Card("round", "1", "none", ""), task.classes, shape, STRIDE, fill=task.fill).write(folder)
    return model_predictor(folder, "fp32")[0]


def _marked(entries: Sequence[LabelledImage], masks: Planes) -> list[LabelledImage]:
    """The pictures with these masks. A class of which no pixel is likely has none."""
    return [
        replace(
            entry, marks=tuple((1 + index, plane) for index, plane in enumerate(masks[entry.name]) if _likely(plane))
        )
        if entry.defective
        else entry
        for entry in entries
    ]


def _likely(plane: Image) -> bool:
    return bool((plane > 127).any())


def _kept(path: Path, entries: Sequence[LabelledImage], make: Callable[[], Planes]) -> Planes:
    """What the file has, or what is made now and kept in it. The pictures have numbers there."""
    names = [entry.name for entry in entries if entry.defective]
    if path.exists():
        with np.load(path, allow_pickle=False) as parts:
            return {name: parts[str(number)] for number, name in enumerate(names)}
    made = make()
    with draft_of(path) as draft, draft.open("wb") as file:
        np.savez_compressed(file, **{str(number): made[name] for number, name in enumerate(names)})
    likely = sum(_likely(made[name]) for name in names)
    print(f"{path.name}: places in {likely} of {len(names)} defective pictures", flush=True)
    return made
