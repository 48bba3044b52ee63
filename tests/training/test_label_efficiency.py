"""`benchmarks/label_efficiency.py`: one command, which goes on where it was stopped."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.training import needs_training

needs_training()

import label_efficiency as benchmark

from edge_inspector.training.data.folder import Folder

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

WORDS = [
    "--draws",
    "1",
    "--steps",
    "4",
    "--net",
    "light",
    "--shrink",
    "1",
    "--window",
    "64",
    "64",
    "--patch",
    "64",
    "64",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("marks") / "dots"
    root.mkdir()
    rng = np.random.default_rng(2)
    lines = ["image,mask,class,group,split"]
    for number in range(20):
        image, mask = rng.integers(140, 170, (64, 64), dtype=np.uint8), np.zeros((64, 64), np.uint8)
        kind = ("good", "pit", "good", "line")[number % 4]
        if kind != "good":
            mask[20:30, 20 : 26 if kind == "pit" else 50] = 255
            image[mask > 0] = 30
            cv2.imwrite(str(root / f"m{number}.png"), mask)
        cv2.imwrite(str(root / f"i{number}.png"), image)
        name = "" if kind == "good" else f"m{number}.png"
        lines.append(f"i{number}.png,{name},{kind},g{number},{'val' if number >= 12 else 'train'}")
    (root / "index.csv").write_text("\n".join(lines) + "\n")
    return root


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["label_efficiency.py", *map(str, words)])
    return benchmark.main()


def test_one_command_makes_the_table_and_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [data, "--out", tmp_path, "--sizes", 4, 100, *WORDS]
    assert run(monkeypatch, *words) == 0
    told = capsys.readouterr().out
    rows = [line.split(" | ")[1:4] for line in told.splitlines() if line.startswith("| dots")]
    assert rows == [[kind, "4", "1"] for kind in benchmark.KINDS]
    assert "dots-masks-100-0: left out, dots has too few such pictures" in told
    whole = json.loads((tmp_path / "label-efficiency.json").read_text())
    assert len(whole["cells"]) == 4
    assert all(0.0 <= cell["recall_at_2_percent"] <= 1.0 and 0.0 <= cell["iou"] <= 1.0 for cell in whole["cells"])

    (tmp_path / "cells" / "dots-good-4-0.json").unlink()
    monkeypatch.delattr(benchmark, "_learned")
    assert run(monkeypatch, *words) == 0
    assert json.loads((tmp_path / "label-efficiency.json").read_text())["cells"][0]["kind"] == "good"
    assert run(monkeypatch, *words, "--steps", 5) == 2
    assert "was made with other settings" in capsys.readouterr().err


def test_a_draw_has_every_class_and_is_the_same_for_each_kind(data: Path) -> None:
    folder = Folder(data)
    cells = [benchmark.Cell(data, kind, 4, draw) for draw in range(2) for kind in ("masks", "strokes", "labels")]
    draws = [benchmark.drawn(folder, cell, 3) for cell in cells]
    assert draws[0] == draws[1] == draws[2]
    kinds = {row["image"]: row["class"] for row in folder.rows("train")}
    for names in draws:
        assert names is not None
        assert sorted(kinds[name] for name in names) == ["good"] * 3 + ["line"] * 2 + ["pit"] * 2


def test_the_limit_is_exceeded_by_two_percent_of_the_good() -> None:
    scores = np.concatenate([np.arange(100.0), [96.0, 97.5, 98.5, 200.0]])
    bad = np.arange(104) >= 100
    assert benchmark.recall_within(scores, bad) == (0.75, 97.0)
