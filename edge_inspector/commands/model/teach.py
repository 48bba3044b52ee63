"""`model teach STATION`: a model from what people marked and drew at a station. The page runs this command, too."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import cv2

from edge_inspector.commands.arguments import add_state, positive, whole
from edge_inspector.commands.export_dataset import export_dataset
from edge_inspector.commands.model import quick
from edge_inspector.commands.model.arguments import training_libraries
from edge_inspector.errors import ConfigError, EdgeInspectorError, Fault
from edge_inspector.runtime.realtime import go_idle
from edge_inspector.station.load import read_state_dir
from edge_inspector.store.teaching import REPORT, TeachingJob, begun_of, read_teaching, teaching_dir, write_teaching
from edge_inspector.store.whole_file import replace_file
from edge_inspector.training.data.choosing import PRETRAINED_PACKAGE
from edge_inspector.training.data.index_file import read_index
from edge_inspector.training.data.pictures import is_grey, read_picture
from edge_inspector.training.judging.limits import Limit
from edge_inspector.training.shipping.manifest import FILES, Card, Draft

_WORST: Final = 12
_WORST_PX: Final = 480
_TOLD_S: Final = 1.0
_AROUND: Final = 1.6  # reading and testing come on top of the minutes of training
_AREA_PX: Final = 64.0  # four cells


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which station, and how the model is called."""
    add_state(parser)
    parser.add_argument("--name", default="taught", help="name of the model (default: taught)")
    parser.add_argument("--version", default="1.0", help="version of the model (default: 1.0)")
    parser.add_argument(
        "--method",
        choices=["good", "quick"],
        default="good",
        help="good: what good parts look like, in minutes. quick: a net that learns the drawn defects (default: good)",
    )
    parser.add_argument("--minutes", type=positive, default=5.0, help="with quick: how long to train (default: 5)")
    parser.add_argument("--memory-mb", type=whole, default=4096, help="most memory of this process (default: 4096)")


def run(given: argparse.Namespace) -> int:
    """Teach at the lowest class of the system, and write down how far it is."""
    go_idle(given.memory_mb * 2**20)
    cv2.setNumThreads(1)
    state_dir = read_state_dir(given.station)
    folder = teaching_dir(state_dir)
    _refuse_name(given)
    running = read_teaching(folder)
    if running is not None and not running.ended:
        raise ConfigError([Fault(str(folder), f"{running.name} is being taught by process {running.pid}: wait for it")])
    _clear(folder)
    with _told(folder, given) as told:
        written = export_dataset(state_dir, folder / "data", "index", since=None, until=None)
        if not written["reviewed"]:
            raise ConfigError([Fault(str(state_dir), "nobody has marked a part whose picture is kept yet")])
        teach = _good if given.method == "good" else _quick
        report = teach(folder, given, told)
        replace_file(folder / REPORT, json.dumps(report, indent=1) + "\n")
    print(f"taught: {folder / report['model']}. Look at its worst pictures, then accept it on the page")
    return 0


def marked(data: Path) -> tuple[list[str], list[str]]:
    """The pictures that people call good, and those that they call bad."""
    rows = [row for row in read_index(data) if row.get("by") and row.get("note") != "unsure"]
    bad = {row["image"]: None for row in rows if row["class"] != "good" or "defect" in row.get("note", "")}
    good = {row["image"]: None for row in rows if row["class"] == "good" and not row.get("note")}
    return [image for image in good if image not in bad], list(bad)


def _good(folder: Path, given: argparse.Namespace, told: Callable[[float], None]) -> dict[str, Any]:
    """With a net that knows surfaces if there is one here, otherwise place by place."""
    good, _ = marked(folder / "data")
    if not good:
        raise ConfigError([Fault("pictures", "nobody has marked a part whose picture is kept as good yet")])
    if all(find_spec(name) is not None for name in ("torch", PRETRAINED_PACKAGE)):
        return _good_by_net(folder, given, told)
    print(f"without PyTorch and {PRETRAINED_PACKAGE.replace('_', '-')} it learns place by place, which finds less")
    return _good_by_place(folder, given, told)


def _good_by_net(folder: Path, given: argparse.Namespace, told: Callable[[float], None]) -> dict[str, Any]:
    with training_libraries():
        from edge_inspector.commands.model.teach_scores import scores_of
    good, bad = marked(folder / "data")
    parser = argparse.ArgumentParser()
    quick.add_arguments(parser)
    words = [str(folder / "data"), "--name", given.name, "--version", given.version, "--good-only"]
    asked = parser.parse_args([*words, "--models", str(folder), "--out", str(folder / "run"), "--threads", "1"])
    target = quick.make(asked, lambda share: told(0.95 * share))
    scores = scores_of(folder / "run", target, [folder / "data" / image for image in bad], folder / "data")
    return {
        "model": target.name,
        "method": "good",
        "good": len(good),
        "bad": len(bad),
        "found": sum(scores.get(image, 0.0) >= 1 for image in bad),
        "rejected": sum(scores.get(image, 0.0) >= 1 for image in good),
        "worst": _worst(folder, scores, set(bad)),
    }


def _good_by_place(folder: Path, given: argparse.Namespace, told: Callable[[float], None]) -> dict[str, Any]:
    with training_libraries():
        from edge_inspector.training.learning.usual import CELL, Eye, learn, score, write_net
    good, bad = marked(folder / "data")
    paths = [folder / "data" / image for image in good]
    first = read_picture(paths[0], grey=False)
    eye = Eye((first.shape[0], first.shape[1]), 1 if all(map(is_grey, paths[:8])) else 3)
    usual = learn(eye, paths, lambda share: told(0.9 * share))
    target = folder / f"{given.name}-{given.version}"
    target.mkdir()
    write_net(usual, eye.shape, target / FILES["fp32"])
    description = f"What {len(good)} good pictures look like, place by place. It was taught no defect."
    card = Card(given.name, given.version, "proprietary", description)
    Draft(card, ["anomaly"], eye.shape, CELL, limits=[Limit(0.5, _AREA_PX)]).write(target)
    scores = {image: found / usual.level for image, found in zip(good, usual.scores, strict=True)}
    scores |= {image: score(usual, eye(folder / "data" / image)) / usual.level for image in bad}
    return {
        "model": target.name,
        "method": "good",
        "good": len(good),
        "bad": len(bad),
        "found": sum(scores[image] >= 1 for image in bad),
        "rejected": sum(scores[image] >= 1 for image in good),
        "worst": _worst(folder, scores, set(bad)),
    }


def _quick(folder: Path, given: argparse.Namespace, told: Callable[[float], None]) -> dict[str, Any]:
    good, bad = marked(folder / "data")
    begun, ended = time.monotonic(), threading.Event()

    def follow() -> None:
        while not ended.wait(_TOLD_S):
            told(min(0.95, (time.monotonic() - begun) / (given.minutes * 60 * _AROUND)))

    parser = argparse.ArgumentParser()
    quick.add_arguments(parser)
    words = [str(folder / "data"), "--name", given.name, "--version", given.version, "--minutes", str(given.minutes)]
    clock = threading.Thread(target=follow)
    clock.start()
    try:
        quick.run(parser.parse_args([*words, "--models", str(folder), "--out", str(folder / "run"), "--threads", "1"]))
    finally:
        ended.set()
        clock.join()
    name = f"{given.name}-{given.version}"
    return {"model": name, "method": "quick", "good": len(good), "bad": len(bad), "worst": []}


def _worst(folder: Path, scores: dict[str, float], bad: set[str]) -> list[dict[str, Any]]:
    """The pictures on which the model is most wrong, or nearest to it, with a small copy of each."""
    margin = {image: 1 - found if image in bad else found for image, found in scores.items()}
    chosen = sorted(margin, key=lambda image: -margin[image])[:_WORST]
    for at, image in enumerate(chosen):
        picture = read_picture(folder / "data" / image, grey=False)
        scale = min(1.0, _WORST_PX / max(picture.shape[:2]))
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        replace_file(folder / f"worst-{at}.jpg", cv2.imencode(".jpg", small)[1].tobytes())
    return [{"score": round(scores[image], 3), "bad": image in bad, "image": image} for image in chosen]


def _refuse_name(given: argparse.Namespace) -> None:
    for option in ("name", "version"):
        text = getattr(given, option)
        if not text or not text.isprintable() or set(text) & set("/\\") or text.startswith(".") or len(text) > 64:
            raise ConfigError([Fault(f"--{option}", f"{text!r} cannot be part of the name of a folder")])


def _clear(folder: Path) -> None:
    """Remove what an earlier job left. What was accepted lies elsewhere. The name of the folder is ours."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


@contextmanager
def _told(folder: Path, given: argparse.Namespace) -> Iterator[Callable[[float], None]]:
    """Write down how far the job is, once a second, and how it ended."""
    job = TeachingJob(name=given.name, method=given.method, pid=os.getpid(), begun=begun_of(os.getpid()))
    begun = last = time.monotonic()
    write_teaching(folder, job)

    def told(share: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > _TOLD_S and share > 0:
            last = now
            write_teaching(folder, replace(job, share=share, left_s=(now - begun) / share * (1 - share)))

    try:
        yield told
    except (EdgeInspectorError, OSError, MemoryError, RuntimeError, ValueError) as error:
        why = str(error) if isinstance(error, EdgeInspectorError | OSError) else f"{type(error).__name__}: {error}"
        if isinstance(error, MemoryError):
            why = f"it needs more than {given.memory_mb} MB of memory"
        with suppress(OSError):  # a full disk: the process ends without a word, and that is told as interrupted
            write_teaching(folder, replace(job, ended="failed", why=why[:500]))
        raise
    write_teaching(folder, replace(job, share=1.0, left_s=0.0, ended="done"))
