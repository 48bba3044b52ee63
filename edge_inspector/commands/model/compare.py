"""`model compare A B DATA`: judge two models on the same parts, and list the parts on which they differ."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_inspector.commands.model.arguments import DATA, add_driver
from edge_inspector.commands.model.evaluate import lines
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.training.judging.evidence import Evidence, gather
from edge_inspector.training.judging.figures import figures
from edge_inspector.training.judging.limits import confidences_with, rejected
from edge_inspector.training.judging.runtimes import blank, interleaved_ms, model_predictor
from edge_inspector.training.judging.splits import limits_of, open_judged

_NAMED = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which models, and on what."""
    parser.add_argument("one", type=Path, metavar="A", help="a model folder")
    parser.add_argument("other", type=Path, metavar="B", help="another model folder with the same classes")
    parser.add_argument("data", metavar="DATA", help=DATA)
    parser.add_argument("--split", default="val", help="split to compare on (default: val)")
    add_driver(parser, "both models")


def run(given: argparse.Namespace) -> int:
    """Print the figures of both models, then the defects that only one of them catches."""
    folders = (given.one, given.other)
    manifests = [read_manifest(folder) for folder in folders]
    if manifests[0].classes != manifests[1].classes:
        raise ConfigError([Fault(str(given.other), f"has other classes: {', '.join(manifests[1].classes)}")])
    # Each model reads the pictures in its own form. If one read served both, a grey model would hide colours from both.
    judged = [open_judged(given.data, given.split, manifest) for manifest in manifests]
    opened = [model_predictor(folder, "int8", given.driver) for folder in folders]
    times = interleaved_ms([predict for predict, _ in opened], blank(manifests[0]))
    verdicts, seen = [], None
    for manifest, data, (predict, info), took in zip(manifests, judged, opened, times, strict=True):
        limits = limits_of(manifest)
        seen = gather(
            predict,
            classes=len(manifest.classes),
            stride=info.stride,
            parts=data.parts(),
            confidences=confidences_with(limits),
        )
        print(f"{info.label}, {took:.1f} ms per frame of the model's size")
        print("  " + "\n  ".join(lines(figures(seen, manifest.classes, limits))))
        verdicts.append(rejected(seen, limits))
    if seen is not None:
        _print_differences(seen, verdicts[0], verdicts[1])
    return 0


def _print_differences(seen: Evidence, one: NDArray[np.bool_], other: NDArray[np.bool_]) -> None:
    for text, which in (
        ("only A catches", seen.defective & one & ~other),
        ("only B catches", seen.defective & other & ~one),
        ("only A rejects good", ~seen.defective & one & ~other),
        ("only B rejects good", ~seen.defective & other & ~one),
    ):
        names = [str(name) for name in seen.names[which]]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        print(f"{text}: {len(names)}" + (f" ({', '.join(names[:_NAMED])}{more})" if names else ""))
