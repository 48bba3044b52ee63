"""Parquet files in a real S3-compatible store: each part once, whatever is killed or cut, and words for mistakes."""

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.s3_server import BUCKET, S3Server, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
pytest.importorskip("obstore", reason="the extra `bucket` is not installed")
from support.certificates import Authority  # noqa: E402
from support.cut_wire import CutWire  # noqa: E402
from support.forwarding import keys, results_of, send, station_file  # noqa: E402
from support.parquet_lake import Lake  # noqa: E402

from edge_inspector.errors import DeviceError  # noqa: E402
from edge_inspector.forwarding.bucket import BucketStore, probe  # noqa: E402
from edge_inspector.forwarding.forwarder import Forwarder  # noqa: E402
from edge_inspector.forwarding.objects import Objects  # noqa: E402
from edge_inspector.forwarding.sender import SendingStation  # noqa: E402
from edge_inspector.store.station_id import station_id  # noqa: E402

WITHIN_S = 300.0


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    made = S3Server()
    try:
        made.start()
        made.make_bucket()
        yield made
    finally:
        made.remove()


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """Each test has a folder of its own."""
    return f"{request.node.name.split('[')[0][:50]}{abs(hash(request.node.name)) % 1000}/"


def lake(server: S3Server, prefix: str, **changes: Any) -> Lake:
    return Lake(Objects(server.settings(prefix=prefix, **changes))._store)


def forwarder(server: S3Server, state: Path, prefix: str, **changes: Any) -> Forwarder:
    most = changes.pop("file_parts", 10)
    sender = SendingStation(name="line-1", identity=station_id(state))
    return Forwarder(
        state,
        lambda: BucketStore(server.settings(prefix=prefix, **changes), sender),
        batch_parts=most,
        by_day=True,
    )


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def lines(server: S3Server, prefix: str, **changes: Any) -> str:
    told = {
        "endpoint": f"http://127.0.0.1:{server.port}",
        "bucket": BUCKET,
        "prefix": prefix,
        "access_key_file": str(server.access_key_file),
        "secret_key_file": str(server.secret_key_file),
    } | changes
    return "\n".join(
        f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in told.items()
    )


def bucket_file(folder: Path, text: str) -> Path:
    path = station_file(folder, "")
    path.write_text(path.read_text().replace("[store]", "[bucket]") + text + "\n")
    return path


def test_the_bucket_has_each_part_once_and_says_who_writes_there(server: S3Server, prefix: str, tmp_path: Path) -> None:
    state = results_of(tmp_path, 30)
    assert send(forwarder(server, state, prefix)) == []
    found = lake(server, prefix)
    assert found.keys(station_id(state)) == keys(state)
    assert len(found.rows("defects")) == 20
    assert probe(server.settings(prefix=prefix)).endswith("1 stations write there")


def test_a_second_sender_of_the_same_station_is_noticed(server: S3Server, prefix: str, tmp_path: Path) -> None:
    """The server compares tags (If-Match), so that a copy of a state folder cannot go on unnoticed."""
    state = results_of(tmp_path, 10)
    one, other = (forwarder(server, state, prefix, file_parts=4) for _ in range(2))
    one.step()
    other._opened()
    one.step()
    assert "position was moved meanwhile" in other.step().trouble
    send(one)
    assert lake(server, prefix).keys(station_id(state)) == keys(state)


@pytest.mark.parametrize("seed", range(3))
def test_a_network_that_is_cut_anywhere_costs_no_part_and_doubles_none(
    server: S3Server, prefix: str, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    state = results_of(tmp_path, 120)
    wire = CutWire(server.port)
    try:
        sending = forwarder(server, state, prefix, endpoint=f"http://127.0.0.1:{wire.port}", file_parts=17)
        cuts = 0
        for _ in range(300):
            if wire.is_cut and cuts < 8:
                cuts += 1
                wire.cut_after(chance.randrange(1, 12_000))
            done = sending.step()
            if not done.trouble and not done.more:
                break
        sending.close()
    finally:
        wire.stop()
    assert cuts > 1
    found = lake(server, prefix)
    assert found.keys(station_id(state)) == keys(state)
    assert len(found.rows("defects")) == 80


def test_killed_senders_and_a_killed_store_cost_no_part_and_double_none(tmp_path: Path) -> None:
    server = S3Server()
    try:
        server.start()
        server.make_bucket()
        more = {"file_parts": 20, "file_s": 1, "interval_s": 0.1}
        path = bucket_file(tmp_path, lines(server, "killed/", **more))
        state = results_of(tmp_path / "state", 200)
        command = [sys.executable, "-m", "edge_inspector", "forward", str(path)]
        found = lake(server, "killed/")
        source, reached = station_id(state), 0
        for kill in range(2):
            with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
                until(lambda at=reached: len(found.paths("parts")) > at)
                if kill == 1:
                    server.kill()
                process.kill()
            if kill == 1:
                server.start()
            reached = len(found.paths("parts"))
        results_of(state, 50, first=201)
        until(lambda: subprocess.run([*command, "--once"], check=False, timeout=300).returncode == 0)
        assert found.keys(source) == keys(state)
        assert len(found.rows("views")) == 250
    finally:
        server.remove()


def test_wrong_keys_and_places_are_one_line(server: S3Server, prefix: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not-it\n")
    for changes, said in (
        ({"access_key_file": wrong}, f"it does not know this access key: look into {wrong}"),
        ({"secret_key_file": wrong}, f"the secret key does not fit the access key: look into {wrong}"),
        ({"bucket": "nowhere"}, "there is no bucket 'nowhere': make it, or correct bucket.bucket"),
        ({"endpoint": "http://127.0.0.1:1"}, "nothing listens there: is it running?"),
        ({"endpoint": f"https://127.0.0.1:{server.port}"}, "bucket https://127.0.0.1"),
    ):
        with pytest.raises(DeviceError) as caught:
            BucketStore(server.settings(**({"prefix": prefix} | changes)), SendingStation(name="line-1", identity="x"))
        assert said in str(caught.value), changes
        assert "\n" not in str(caught.value)


def test_over_tls_only_a_certificate_of_the_works_is_trusted(tmp_path: Path) -> None:
    works, others = Authority(), Authority("others")
    files = works.server().write(tmp_path, "server")
    for name, authority in (("works", works), ("others", others)):
        (tmp_path / f"{name}.pem").write_bytes(authority.certificate)
    server = S3Server(tls=files)
    try:
        server.start()
        server.make_bucket()
        state = results_of(tmp_path / "state", 3)
        own = {"tls_ca_file": tmp_path / "works.pem"}
        assert send(forwarder(server, state, "", **own)) == []
        assert lake(server, "", **own).keys(station_id(state)) == keys(state)
        for ca in (None, tmp_path / "others.pem"):
            trouble = forwarder(server, state, "", tls_ca_file=ca).step().trouble
            assert "its certificate was not signed by" in trouble
    finally:
        server.remove()
    late = S3Server(tls=works.server(ended=timedelta(hours=1)).write(tmp_path, "late"))
    try:
        late.start()  # a new one: one that was killed takes much longer to start
        assert "has expired" in forwarder(late, state, "", **own).step().trouble
    finally:
        late.remove()
