"""The plant's store is full or away for a day: the station's disk keeps its budget, and pictures go before rows."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from support.archive_bench import Bench
from support.forwarding import NOON, Table, go_on, keys
from support.verdicts import frame, placed, verdict

from edge_inspector.codes import Decision
from edge_inspector.errors import DeviceError
from edge_inspector.forwarding.forwarder import Forwarder
from edge_inspector.forwarding.reading import Batch
from edge_inspector.runtime.clock import Moment

PARTS = 90
EVERY_S = 24 * 3600 // PARTS
SIZE = (160, 200, 3)
BUDGET = 2**20


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("slow", [False, True], ids=["full", "slow"])
def test_a_day_without_the_store_costs_old_pictures_and_no_row(tmp_path: Path, *, slow: bool) -> None:
    """Each part of the day is rejected and has a picture. A slow store takes a part an hour, a full one none."""
    state = tmp_path / "state"
    state.mkdir()
    now = [0]
    bench = Bench(
        state,
        clock=lambda: Moment(NOON + timedelta(seconds=now[0]), now[0] * 10**9 + 1),
        forwards=True,
        images_mb=1,
        pictures_per_s=10_000,
    )
    table = Table()
    sending = Forwarder(state, lambda: table, batch_parts=1)
    table.refuse = refuses
    random = np.random.default_rng(1)
    for seq in range(1, PARTS + 1):
        now[0] += EVERY_S
        picture = frame("cam1", seq, SIZE)
        picture.image[:] = random.integers(0, 255, SIZE)
        bench.album.put(picture, np.zeros((1, 80, 100), np.uint8))
        bench.inbox.put(verdict(seq, Decision.REJECT, views=(placed(frame_id=seq),)))
        bench.archive.step()
        if slow and seq % 4 == 0:
            table.refuse = lambda _: None
            sending.step()
            table.refuse = refuses
        else:
            sending.step()
        assert on_disk(state / "images") <= BUDGET + 2 * picture.image.nbytes
    kept = [int(name.removeprefix("part").partition("-")[0]) for name in bench.pictures()]
    assert 3 < len(kept) < PARTS / 2, "the oldest pictures made room"
    assert min(kept) > PARTS - len(kept) - 2, "the newest are there"
    assert len(keys(state)) == PARTS, "no row is gone"
    assert len(table.parts) < PARTS / 2
    table.refuse = lambda _: None
    go_on(sending)
    assert table.keys() == sorted(keys(state))
    assert table.lost == 0
    bench.archive.stop(failed=False)


def refuses(_: Batch) -> None:
    raise DeviceError("could not extend file: No space left on device")
