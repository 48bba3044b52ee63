"""Labels that are probably wrong, told by a net that is pretended here: it sees what is dark. No training library."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_inspector.training.data.folder import Folder
from edge_inspector.training.judging.evidence import TruePart, TrueView, gather
from edge_inspector.training.judging.hygiene import Listener, Odds, Opinions, doubts
from edge_inspector.training.judging.label_report import suspects_section
from edge_inspector.training.judging.suspects import (
    ANOTHER_CLASS,
    LOOKS_BAD,
    NOT_DRAWN,
    NOTHING_THERE,
    Suspect,
    read_suspects,
    said_of,
    still_suspect,
    suspects,
    write_suspects,
)

Image = NDArray[np.uint8]
CLASSES = ("pit", "crack")


def picture(number: int, *, marks: Sequence[int] = (), drawn: Sequence[int] = (), kind: int = 1) -> TruePart:
    """A part with dark squares at some of four places, and with defects drawn at some."""
    rng = np.random.default_rng(number)
    image = rng.integers(150, 180, (64, 64, 1), dtype=np.uint8)
    classes = np.zeros((64, 64), np.uint8)
    for place in range(4):
        top, left = 6 + 32 * (place // 2) + int(rng.integers(6)), 6 + 32 * (place % 2) + int(rng.integers(6))
        inside = (slice(top, top + 12), slice(left, left + 12))
        if place in marks:
            image[inside] = 20 + 20 * (kind - 1)
        if place in drawn:
            classes[inside] = kind
    return TruePart(f"p{number}", f"g{number}", bool(drawn), [TrueView(image, classes)])


def dark(image: Image) -> Image:
    """Pits are very dark, cracks are dark. A good surface is 0.1 to 0.2, as of a net that learned little."""
    light = cv2.resize(image[:, :, 0], (32, 32), interpolation=cv2.INTER_AREA).astype(float)
    is_crack = (light > 30) & (light < 60)
    pit, crack = np.where(light < 30, 230, np.where(is_crack, 30, 255 - light * 1.3)), np.where(is_crack, 230, 30)
    return np.clip(np.stack([pit, crack]), 0, 255).astype(np.uint8)


def heard(parts: Sequence[TruePart]) -> Opinions:
    listener = Listener(2, 2)
    gather(dark, classes=2, stride=2, parts=parts, watch=listener)
    return listener.heard()


def right(count: int = 30) -> list[TruePart]:
    """Every second part bad, with its defect drawn where it is."""
    return [
        picture(number, marks=[number % 4] if number % 2 else [], drawn=[number % 4] if number % 2 else [])
        for number in range(count)
    ]


def test_right_labels_accuse_nobody() -> None:
    assert suspects(heard(right(60)), CLASSES, 2) == []


def test_each_wrong_label_is_named_with_its_reason() -> None:
    wrong = [
        picture(9000, marks=[2]),
        picture(9001, drawn=[1]),
        picture(9002, marks=[0, 3], drawn=[0]),
        picture(9003, marks=[1], drawn=[1], kind=2),
    ]
    shown, drawn = wrong[3].views[0].image, (wrong[3].views[0].classes > 0).astype(np.uint8)
    mistaken = TruePart("p9003", "g", defective=True, views=[TrueView(shown, drawn)])  # called a pit, and is a crack
    found = {each.name: each for _, each in suspects(heard([*right(100), *wrong[:3], mistaken]), CLASSES, 2)}
    assert {name: each.what for name, each in found.items()} == {
        "p9000": LOOKS_BAD,
        "p9001": NOTHING_THERE,
        "p9002": NOT_DRAWN,
        "p9003": ANOTHER_CLASS,
    }
    assert found["p9003"].kind == "crack"
    assert [found[name].label for name in ("p9000", "p9001")] == [0, 1]
    at_place_2 = found["p9000"]
    assert 6 <= at_place_2.x <= 26
    assert 36 <= at_place_2.y <= 58


def test_the_surest_comes_first_and_a_limit_of_0_ranks_all() -> None:
    parts = [*right(60), picture(9000, marks=[2]), picture(9001, drawn=[1])]
    ranked = [each for _, each in suspects(heard(parts), CLASSES, 2, named_from=0.0)]
    assert len(ranked) == len(parts)
    assert [each.sure for each in ranked] == sorted((each.sure for each in ranked), reverse=True)
    assert {each.name for each in ranked[:2]} == {"p9000", "p9001"}


def test_of_few_pictures_nothing_is_said() -> None:
    assert suspects(heard([*right(18), picture(9000, marks=[2])]), CLASSES, 2) == []


def test_opinions_are_kept_as_they_are_and_folds_are_joined(tmp_path: Path) -> None:
    parts = [*right(40), picture(9000, marks=[2])]
    whole = heard(parts)
    halves = [heard(parts[:21]), heard(parts[21:])]
    for number, each in enumerate(halves):
        each.save(tmp_path / f"{number}.npz")
    joined = Opinions.joined([Opinions.load(tmp_path / f"{number}.npz") for number in range(2)])
    assert joined.names.tolist() == whole.names.tolist()
    assert np.array_equal(joined.map_of(40), whole.map_of(40))
    assert np.array_equal(joined.drawn, whole.drawn, equal_nan=True)


def test_the_report_shows_the_suspects_with_their_pictures() -> None:
    parts = [*right(60), picture(9000, marks=[2])]
    opinions = heard(parts)
    found = suspects(opinions, CLASSES, 2)
    page = suspects_section(found, opinions, parts)
    assert page.count("<figure>") == len(found) == 1
    assert "p9000" in page
    assert "None stands out" in suspects_section([], opinions, parts)


def test_odds_follow_the_figures() -> None:
    rng = np.random.default_rng(2)
    rows = np.concatenate([rng.normal(0, 1, (400, 2)), rng.normal(2, 1, (400, 2))])
    odds = Odds.fitted(rows, np.repeat([0.0, 1.0], 400))
    assert odds(rows[400:]).mean() > 2 > -2 > odds(rows[:400]).mean()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2])
def test_as_many_labels_are_doubted_as_are_wrong_and_it_is_those(share: float) -> None:
    rng = np.random.default_rng(5)
    rows = np.concatenate([rng.normal(0, 1, (900, 3)), rng.normal(2.5, 1, (600, 3))])
    truth = np.arange(1500) >= 900
    turned = rng.random(1500) < share
    _, doubted = doubts(rows, truth ^ turned, certain=np.zeros(1500, np.bool_))
    assert doubted.mean() == pytest.approx(share, abs=0.04)
    assert (doubted > 0.5)[~turned].mean() < 0.02
    if share:
        assert (doubted > 0.5)[turned].mean() > 0.75


def test_what_is_certain_is_not_doubted() -> None:
    rng = np.random.default_rng(3)
    rows = np.concatenate([rng.normal(0, 1, (300, 3)), rng.normal(2.5, 1, (200, 3))])
    labels = np.arange(500) >= 300
    labels[:20] = True
    certain = ~labels
    _, doubted = doubts(rows, labels, certain=certain)
    assert doubted[certain].max() == 0.0
    assert (doubted[:20] > 0.5).mean() > 0.85
    assert (doubted[300:] > 0.5).mean() < 0.03


def test_the_list_is_read_as_it_was_written_and_a_broken_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "suspects.csv"
    found = [
        Suspect(name="a.png", label=0, sure=0.98, what=LOOKS_BAD),
        Suspect(name="b.png", label=1, sure=0.6, what=NOT_DRAWN),
    ]
    write_suspects(path, found)
    assert read_suspects(path) == found
    for broken in ("", "image\na.png\n", "image,label,sure,what\na.png,x,y,z\n", "\0"):
        path.write_text(broken)
        assert read_suspects(path) == []
    assert read_suspects(tmp_path / "none.csv") == []


def test_a_label_that_was_corrected_or_noted_is_suspect_no_more(tmp_path: Path) -> None:
    for name in "abc":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((8, 8), np.uint8))
    mask = np.zeros((8, 8), np.uint8)
    mask[:4] = 255
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    (tmp_path / "index.csv").write_text("image,mask,class,note\na.png,m.png,pit,\nb.png,,good,doubtful\nc.png,,good,\n")
    was = [Suspect(name=f"{name}.png", label=0, sure=0.9, what=LOOKS_BAD) for name in "abcd"]
    left = still_suspect(was, Folder(tmp_path))
    assert [each.name for each in left] == ["c.png"]
    said = list(said_of(left, tmp_path / "suspects.csv"))
    assert said[0].startswith(
        f"1 picture is probably labelled wrongly, the surest first in {tmp_path / 'suspects.csv'}."
    )
    assert said[1:] == ["  c.png: good, but it looks bad, 90 % sure"]
    assert list(said_of([], tmp_path)) == []
