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
from typing import Any

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
from edge_inspector.training.learning.places import find_places
from edge_inspector.training.learning.train import Plan, begin_from, fit
from edge_inspector.training.learning.unet import STRIDE, Deployed
from edge_inspector.training.learning.weights import read_weights
from edge_inspector.training.shipping.manifest import FILES, Card, Draft

Planes = Mapping[str, Image]
"""Name of a picture -> certainty of each class [K, H, W], 0..255."""


def source_from_labels(
    task: FolderTask, plan: Plan, run: Path, *, window: tuple[int, int], fold: int | None
) -> Patches:
    """Patches with masks that follow from the labels. For `fold` None the net of the first fold makes the masks."""
    entries = task.entries(fold)
    if fold is None:
        net = make_net(plan.net, task.channels, len(task.classes))
        begin_from(net, read_weights(run / "fold-0.checkpoint", "--out"), keep_head=True)
        make = partial(_next_masks, task, net.eval(), entries, window=window, before=_read(run / "fold-0.masks-2.npz"))
        return task.patches(_marked(entries, _kept(run / "net.masks.npz", make)))
    name = f"fold-{fold}"
    first = _kept(run / f"{name}.masks-1.npz", partial(_first_masks, task, entries))
    source = task.patches(_marked(entries, first))
    if not (run / SHOWN_FILE).exists():
        write_shown(run, partial(source.draw, np.random.default_rng(plan.seed)))
        print(f"patches with masks that follow from the labels: {run / SHOWN_FILE}", flush=True)
    half = replace(plan, steps=max(1, plan.steps // 2), swa_steps=0)
    net, _ = fit(source, half, run / f"{name}-first.checkpoint")
    make = partial(_next_masks, task, net, entries, window=window, before=first)
    return task.patches(_marked(entries, _kept(run / f"{name}.masks-2.npz", make)))


def _first_masks(task: FolderTask, entries: Sequence[LabelledImage]) -> Planes:
    found = find_places(entries, len(task.classes))
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


def _kept(path: Path, make: Callable[[], Planes]) -> Planes:
    """What the file has, or what is made now and kept in it."""
    if not path.exists():
        made = make()
        planes: dict[str, Any] = {str(number): made[name] for number, name in enumerate(made)}
        with draft_of(path) as draft, draft.open("wb") as file:
            np.savez_compressed(file, names=np.array(list(made)), **planes)
        likely = sum(_likely(each) for each in made.values())
        print(f"{path.name}: places in {likely} of {len(made)} defective pictures", flush=True)
    return _read(path)


def _read(path: Path) -> Planes:
    with np.load(path, allow_pickle=False) as parts:
        return {str(name): parts[str(number)] for number, name in enumerate(parts["names"])}
