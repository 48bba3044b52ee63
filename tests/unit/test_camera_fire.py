"""The PLC fires a camera by count: deploy/plc's function block beside the simulated PLC's."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scl import Source

from edge_inspector.plc.blocks import wrap32
from edge_inspector.simulation.camera_fire import CameraFire

SOURCE = Path(__file__).parents[2] / "deploy" / "plc" / "EI_CameraFire.scl"
INSTANCE = 'DATA_BLOCK "Camera_DB"\nVERSION : 0.1\n"EI_CameraFire"\nBEGIN\nEND_DATA_BLOCK\n'
START = 2**31 - 3000  # the counter wraps during every test


class Both:
    """The SCL and its mirror at the same belt."""

    def __init__(self, folder: Path, way: int = 1, *, counts: int = 2500, pictures: int = 1, between: int = 0) -> None:
        instance = folder / "instance.db"
        instance.write_text(INSTANCE)
        self.source = Source(SOURCE, instance)
        self.way, self.belt, self.events, self.boot = way, START * way, 3, 5
        self.given = {"camera_counts": counts * way, "pictures": pictures, "picture_counts": between * way}
        self.mirror = CameraFire(counts * way, pictures, between * way)
        self.scan()

    def scan(self, moved: int = 0, *, edges: int = 0) -> dict[str, Any]:
        self.belt, self.events = self.belt + moved * self.way, self.events + edges
        latched = wrap32(self.belt - 30 * self.way)
        out = self.source.cycle(
            "Camera_DB",
            boot_id=self.boot,
            eye_events=self.events,
            eye_count=latched,
            belt_count=wrap32(self.belt),
            **self.given,
        )
        if edges:
            self.mirror.missed += edges - 1
            self.mirror.photo_eye(latched)
        due = self.mirror.scan(wrap32(self.belt))
        assert out["camera_fire"] == (due is not None)
        assert due is None or out["fire_count"] == due
        assert out["next_fire"] == (self.mirror.next_count is not None)
        assert not out["next_fire"] or out["next_fire_count"] == self.mirror.next_count
        assert out["missed"] == self.mirror.missed
        return out


@pytest.mark.parametrize("way", [1, -1])
def test_a_picture_is_due_at_its_count_and_taken_in_the_first_scan_beyond(tmp_path: Path, way: int) -> None:
    both = Both(tmp_path, way)
    both.scan(edges=1)
    fired = [both.scan(100) for _ in range(40)]
    (shot,) = [out for out in fired if out["camera_fire"]]
    assert fired.index(shot) == 24  # 2500 less the 30 that the part had gone when it was seen
    assert shot["late_counts"] == 30


@pytest.mark.parametrize("way", [1, -1])
def test_several_pictures_of_each_part(tmp_path: Path, way: int) -> None:
    both = Both(tmp_path, way, pictures=3, between=400)
    found = [at for at in range(160) if both.scan(100, edges=at in (0, 30, 60))["camera_fire"]]
    assert found == [25, 29, 33, 55, 59, 63, 85, 89, 93]


def test_a_belt_that_goes_back_takes_no_picture_twice(tmp_path: Path) -> None:
    both = Both(tmp_path)
    both.scan(edges=1)
    moves = [100] * 26 + [-100] * 10 + [100] * 20
    assert sum(both.scan(moved)["camera_fire"] for moved in moves) == 1


def test_edges_that_were_missed_are_counted_and_parts_that_are_too_many_too(tmp_path: Path) -> None:
    both = Both(tmp_path, counts=900_000)
    assert both.scan(edges=2)["missed"] == 1
    outs = [both.scan(10, edges=1) for _ in range(33)]
    assert outs[-1]["missed"] == 3


def test_a_new_run_of_the_plc_forgets_the_parts_of_the_old_one(tmp_path: Path) -> None:
    both = Both(tmp_path)
    both.scan(edges=1)
    both.boot, both.mirror = 6, CameraFire(2500)
    assert not any(both.scan(100)["camera_fire"] for _ in range(40))


@given(st.lists(st.tuples(st.integers(-50, 400), st.booleans()), max_size=40), st.integers(1, 4))
def test_both_do_the_same(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[int, bool]], pictures: int
) -> None:
    both = Both(tmp_path_factory.mktemp("scl"), pictures=pictures, between=300)
    for moved, edge in moves:
        both.scan(moved, edges=int(edge))
