"""Inference servers: who gets calls, and what becomes of a picture if a server is late, lost, wrong or another one."""

import hashlib
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

grpc = pytest.importorskip("grpc", reason="the extra `kserve` is not installed")
from support.certificates import Authority  # noqa: E402
from support.kserve_server import FakeServer  # noqa: E402

from edge_inspector.drivers import Due  # noqa: E402
from edge_inspector.errors import ConfigError, InferenceError  # noqa: E402
from edge_inspector.records import Image  # noqa: E402
from edge_inspector.segmenters import kserve_pool  # noqa: E402
from edge_inspector.segmenters.kserve import KserveSegmenter  # noqa: E402
from edge_inspector.segmenters.kserve_pool import same_masks  # noqa: E402
from edge_inspector.segmenters.onnx import OnnxSegmenter  # noqa: E402

ROOT = Path(__file__).parents[2]
TILE = ROOT / "models" / "tile-1.1"
NAME = "tile-1.1-int8"
WITHIN_S = 20.0
SHARED = Path("/dev/shm")  # noqa: S108 -- where POSIX shared memory has its names


@pytest.fixture
def servers() -> Iterator[Callable[..., FakeServer]]:
    made: list[FakeServer] = []

    def make(**more: Any) -> FakeServer:
        made.append(FakeServer(TILE / "model.int8.onnx", NAME, **more))
        return made[-1]

    yield make
    for server in made:
        server.stop()


def segmenter(*servers: FakeServer, folder: Path = TILE, **settings: Any) -> KserveSegmenter:
    return KserveSegmenter(
        folder,
        KserveSegmenter.Settings(
            **{"servers": tuple(each.address for each in servers), "timeout_ms": 2000.0} | settings
        ),
    )


def opened(*servers: FakeServer, **settings: Any) -> KserveSegmenter:
    made = segmenter(*servers, **settings)
    made.open()
    return made


def picture(seed: int = 0, size: tuple[int, int] = (256, 256)) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def _until_it_fails(remote: KserveSegmenter) -> None:
    for seed in range(4):
        remote.segment([picture(seed)])


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def local() -> Iterator[OnnxSegmenter]:
    made = OnnxSegmenter(TILE, OnnxSegmenter.Settings(providers=("cpu",)))
    made.open()
    yield made
    made.close()


@pytest.mark.parametrize("shared", [False, True], ids=["copied", "shared memory"])
@pytest.mark.parametrize("size", [(256, 256), (300, 700)], ids=["one window", "several"])
def test_masks_are_those_of_the_local_model(
    servers: Callable[..., FakeServer], local: OnnxSegmenter, *, shared: bool, size: tuple[int, int]
) -> None:
    remote = opened(servers(), shared_memory=shared)
    pictures = [picture(seed, size) for seed in range(3)]
    masks = [remote.segment([each])[0] for each in pictures]
    for mask, own in zip(masks, pictures, strict=True):
        assert np.array_equal(mask, local.segment([own])[0])
    assert remote.info.provider == "remote"
    assert remote.info.runtime == "fake [31m 1.0", "what a terminal would obey is gone"
    remote.close()
    remote.close()


def test_a_model_for_grey_pictures_runs_there_too() -> None:
    grey = ROOT / "models" / "magnetic-tile-1.6"
    server = FakeServer(grey / "model.int8.onnx", "magnetic-tile-1.6-int8")
    local = OnnxSegmenter(grey, OnnxSegmenter.Settings(providers=("cpu",)))
    try:
        local.open()
        remote = opened(server, folder=grey)
        own = picture(size=(384, 384))[..., 0]
        assert np.array_equal(remote.segment([own])[0], local.segment([own])[0])
        remote.close()
    finally:
        local.close()
        server.stop()


def test_shared_memory_leaves_no_name_behind(servers: Callable[..., FakeServer]) -> None:
    before = set(SHARED.glob("edge-inspector-kserve-*"))
    remote = opened(servers(), shared_memory=True)
    thread = threading.Thread(target=remote.segment, args=([picture()],))
    thread.start()
    thread.join()
    remote.close()
    del remote
    assert set(SHARED.glob("edge-inspector-kserve-*")) <= before


def test_after_a_call_that_failed_the_next_gets_other_memory(
    servers: Callable[..., FakeServer], local: OnnxSegmenter
) -> None:
    """The slow server may still write its masks, late. They must not become those of another picture."""
    one, two = servers(), servers()
    remote = opened(one, two, shared_memory=True, timeout_ms=300.0)
    for seed in range(2):
        remote.segment([picture(seed)])
    before = set(SHARED.glob("edge-inspector-kserve-*"))
    one.ways.delay_s = 1.0
    with pytest.raises(InferenceError):
        _until_it_fails(remote)
    assert np.array_equal(remote.segment([picture(9)])[0], local.segment([picture(9)])[0])
    assert not before & set(SHARED.glob("edge-inspector-kserve-*"))
    remote.close()


def test_servers_that_run_different_files_of_the_model_are_refused(servers: Callable[..., FakeServer]) -> None:
    one, two = servers(), servers()
    for server, precision in ((one, "int8"), (two, "fp32")):
        server.ways.sha256 = hashlib.sha256((TILE / f"model.{precision}.onnx").read_bytes()).hexdigest()
    with pytest.raises(ConfigError, match=r"runs files\.fp32, and .* runs files\.int8: all must run the same"):
        segmenter(one, two).open()


def test_calls_are_shared_by_weight(servers: Callable[..., FakeServer]) -> None:
    one, two = servers(), servers()
    remote = opened(one, two, weights=(3, 1))
    one.ways.calls = two.ways.calls = 0
    for _ in range(20):
        remote.segment([picture()])
    assert (one.ways.calls, two.ways.calls) == (15, 5)
    remote.close()


def test_a_dead_server_costs_no_picture_while_another_one_lives_and_is_used_again_when_it_is_back(
    servers: Callable[..., FakeServer], local: OnnxSegmenter
) -> None:
    one, two = servers(), servers()
    remote = opened(one, two)
    one.stop()
    for seed in range(6):
        assert np.array_equal(remote.segment([picture(seed)])[0], local.segment([picture(seed)])[0])
    one.start()
    one.ways.calls = 0

    def used() -> bool:
        remote.segment([picture()])
        return one.ways.calls > 2  # more than its test

    until(used)
    remote.close()


def test_a_silent_server_costs_its_time_limit_once_and_no_picture_after_it(servers: Callable[..., FakeServer]) -> None:
    one, two = servers(), servers()
    remote = opened(one, two, timeout_ms=300.0)
    one.ways.silent = True
    failed = []
    for _ in range(8):
        try:
            remote.segment([picture()])
        except InferenceError as error:
            failed.append(str(error))
    assert len(failed) == 1
    assert "DEADLINE_EXCEEDED" in failed[0]
    remote.close()


@pytest.mark.parametrize("size", [(256, 256), (300, 700)], ids=["one window", "several"])
@pytest.mark.parametrize("shared", [False, True], ids=["copied", "shared memory"])
def test_a_call_ends_when_its_part_is_at_the_line(
    servers: Callable[..., FakeServer], local: OnnxSegmenter, *, shared: bool, size: tuple[int, int]
) -> None:
    """A server that is slow, but not too slow, stays in use: the part came late, and others have more time."""
    one = servers()
    remote = opened(one, timeout_ms=5000.0, shared_memory=shared)
    one.ways.delay_s = 0.6
    begun_s = time.monotonic()
    with pytest.raises(InferenceError, match="DEADLINE_EXCEEDED"):
        remote.segment_due([picture(size=size)], Due(0.0, lambda: True, lambda most_s: min(most_s, 0.1)))
    assert time.monotonic() - begun_s < 3.0
    one.ways.delay_s = 0.0
    assert np.array_equal(remote.segment([picture(size=size)])[0], local.segment([picture(size=size)])[0])
    remote.close()


def test_what_a_part_has_in_time_is_not_kept_with_its_frames(servers: Callable[..., FakeServer]) -> None:
    class Frames:
        def left_s(self, most_s: float) -> float:
            return most_s

    remote, frames = opened(servers()), Frames()
    gone = weakref.ref(frames)
    remote.segment_due([picture()], Due(0.0, lambda: True, frames.left_s))
    del frames
    assert gone() is None
    remote.close()


def test_a_picture_that_comes_too_late_is_not_sent(servers: Callable[..., FakeServer]) -> None:
    one = servers()
    remote = opened(one)
    one.ways.calls = 0
    with pytest.raises(InferenceError, match="before the part is at the line"):
        remote.segment_due([picture()], Due(0.0, lambda: True, lambda _: 0.0))
    assert one.ways.calls == 0
    remote.segment([picture()])
    remote.close()


def test_a_silent_server_is_found_even_if_each_part_has_less_time_than_a_call_may_take(
    servers: Callable[..., FakeServer], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kserve_pool, "_DOUBT_NS", 0)
    one, two = servers(), servers()
    remote = opened(one, two, timeout_ms=1000.0)
    one.ways.silent = True

    def left_out() -> bool:
        with suppress(InferenceError):
            remote.segment_due([picture()], Due(0.0, lambda: True, lambda most_s: min(most_s, 0.3)))
        return "inference server left out" in caplog.text

    until(left_out)
    for _ in range(5):
        remote.segment_due([picture()], Due(0.0, lambda: True, lambda most_s: most_s))
    remote.close()


def test_without_any_server_each_picture_fails_at_once_and_says_why(servers: Callable[..., FakeServer]) -> None:
    one = servers()
    remote = opened(one, timeout_ms=5000.0)
    one.stop()
    for _ in range(5):
        with pytest.raises(InferenceError, match=rf"{one.address}"):
            remote.segment([picture()])
    one.start()

    def works() -> bool:
        try:
            remote.segment([picture()])
        except InferenceError:
            return False
        return True

    until(works)
    remote.close()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"version": "2"}, "version '2' answers"),
        ({"shape": (1, 5, 64, 64)}, "masks (1, 5, 64, 64)"),
        ({"datatype": "FP32"}, "something else than uint8"),
        ({"short": True}, "another size"),
        ({"nan": True}, "another size"),
        ({"nan": True, "datatype": "FP32"}, "something else than uint8"),
        ({"error": grpc.StatusCode.INTERNAL}, "INTERNAL: as told [31m second line"),
        ({"error": grpc.StatusCode.RESOURCE_EXHAUSTED}, "RESOURCE_EXHAUSTED"),
    ],
    ids=str,
)
def test_a_wrong_answer_is_no_mask(servers: Callable[..., FakeServer], wrong: dict[str, Any], told: str) -> None:
    one = servers()
    remote = opened(one)
    for name, value in wrong.items():
        setattr(one.ways, name, value)
    with pytest.raises(InferenceError) as caught:
        remote.segment([picture()])
    assert told in str(caught.value)
    remote.close()


def test_shared_memory_that_the_server_left_as_it_was_is_no_mask(servers: Callable[..., FakeServer]) -> None:
    one = servers()
    remote = opened(one, shared_memory=True)
    remote.segment([picture(1)])
    one.ways.unwritten = True
    with pytest.raises(InferenceError, match="has written no mask"):
        remote.segment([picture(2)])
    remote.close()


def test_a_server_that_came_back_with_another_model_stays_out(
    servers: Callable[..., FakeServer], caplog: pytest.LogCaptureFixture
) -> None:
    one = servers()
    remote = opened(one)
    one.stop()
    with pytest.raises(InferenceError):
        remote.segment([picture()])
    one.ways.inverted = True
    one.start()

    def told() -> bool:
        with pytest.raises(InferenceError) as caught:
            remote.segment([picture()])
        return "another model runs there" in str(caught.value)

    until(told)
    one.ways.inverted = False

    def works() -> bool:
        try:
            remote.segment([picture()])
        except InferenceError:
            return False
        return True

    until(works)
    assert "gets calls again" in caplog.text or caplog.text
    remote.close()


def test_a_model_that_is_exchanged_under_a_working_server_is_found(
    servers: Callable[..., FakeServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kserve_pool, "_PROBE_NS", 50_000_000)
    one = servers()
    remote = opened(one)
    one.ways.inverted = True

    def found() -> bool:
        try:
            remote.segment([picture()])
        except InferenceError as error:
            return "another model runs there" in str(error)
        return False

    until(found)
    remote.close()


def test_a_hash_that_is_in_no_manifest_is_refused(servers: Callable[..., FakeServer]) -> None:
    one = servers()
    one.ways.sha256 = "0" * 64
    with pytest.raises(ConfigError, match="runs another model: its SHA-256 is 000"):
        segmenter(one).open()


def test_the_hash_says_which_file_runs(servers: Callable[..., FakeServer]) -> None:
    one = servers()
    one.ways.sha256 = hashlib.sha256((TILE / "model.int8.onnx").read_bytes()).hexdigest()
    remote = opened(one)
    assert remote.info.sha256 == one.ways.sha256
    remote.close()


@pytest.mark.parametrize("way", ["inverted", "blank"])
def test_without_a_hash_the_masks_must_be_those_of_the_local_file(servers: Callable[..., FakeServer], way: str) -> None:
    one = servers()
    setattr(one.ways, way, True)
    with pytest.raises(ConfigError, match="its masks are not those of"):
        segmenter(one).open()


def test_a_server_without_the_model_is_refused_with_what_it_said(servers: Callable[..., FakeServer]) -> None:
    with pytest.raises(ConfigError, match="NOT_FOUND: unknown model other") as caught:
        segmenter(servers(), model="other").open()
    assert all(fault.may_come for fault in caught.value.faults), "it may be loaded later"


def test_a_model_of_another_form_is_refused(servers: Callable[..., FakeServer]) -> None:
    one = servers()
    one.ways.datatype = "FP32"
    with pytest.raises(ConfigError, match=r"must have one input, UINT8 \(any, 256, 256, 3\)\. It has FP32"):
        segmenter(one).open()


def test_a_model_of_another_shape_is_refused(servers: Callable[..., FakeServer]) -> None:
    grey = ROOT / "models" / "magnetic-tile-1.6"
    with pytest.raises(
        ConfigError, match=r"must have one input, UINT8 \(any, .*, 1\)\. It has UINT8 \(-1, 256, 256, 3\)"
    ):
        segmenter(servers(), folder=grey, model=NAME).open()


def test_a_server_that_is_too_slow_at_the_start_is_waited_for(servers: Callable[..., FakeServer]) -> None:
    one = servers()
    one.ways.delay_s = 0.5
    with pytest.raises(ConfigError, match="DEADLINE_EXCEEDED") as caught:
        opened(one, timeout_ms=100.0)
    assert all(fault.may_come for fault in caught.value.faults), "the daemon ends with 2 for what cannot become right"
    one.ways.delay_s = 0.0
    opened(one, timeout_ms=2000.0).close()


def test_a_server_that_is_not_there_at_the_start_joins_later(servers: Callable[..., FakeServer]) -> None:
    one, two = servers(), servers()
    two.stop()
    remote = opened(one, two)
    two.start()

    def used() -> bool:
        remote.segment([picture()])
        return two.ways.calls > 2

    until(used)
    remote.close()


def test_a_token_is_sent_and_without_it_nothing_runs(servers: Callable[..., FakeServer], tmp_path: Path) -> None:
    one = servers()
    one.ways.token = "s3cret"  # noqa: S105 -- of this test
    with pytest.raises(ConfigError, match="UNAUTHENTICATED"):
        segmenter(one).open()
    (tmp_path / "token").write_text("s3cret\n")
    opened(one, token_file=tmp_path / "token").close()


@dataclass
class Works:
    """The files of a station that asks servers over TLS, and what such a server needs."""

    authority: Authority
    folder: Path

    def credentials(self, *, client: bytes | None = None, **more: Any) -> grpc.ServerCredentials:
        made = self.authority.server(**more)
        return grpc.ssl_server_credentials(
            [(made.private, made.public)], root_certificates=client, require_client_auth=client is not None
        )

    @property
    def ca(self) -> dict[str, Path]:
        return {"tls_ca_file": self.folder / "ca.pem"}


@pytest.fixture
def works(tmp_path: Path) -> Works:
    made = Works(Authority(), tmp_path)
    (tmp_path / "ca.pem").write_bytes(made.authority.certificate)
    return made


def test_over_tls_only_a_certificate_of_the_works_is_trusted(
    servers: Callable[..., FakeServer], works: Works, tmp_path: Path
) -> None:
    one = servers(credentials=works.credentials())
    opened(one, **works.ca).close()
    (tmp_path / "others.pem").write_bytes(Authority("others").certificate)
    with pytest.raises(ConfigError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        opened(one, tls_ca_file=tmp_path / "others.pem")
    assert all(fault.may_come for fault in caught.value.faults)


@pytest.mark.parametrize(
    "made", [{"ended": timedelta(hours=1)}, {"host": "gpu9.example"}], ids=["expired", "for another name"]
)
def test_a_certificate_that_has_expired_or_is_for_another_name_is_refused(
    servers: Callable[..., FakeServer], works: Works, made: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="UNAVAILABLE"):
        opened(servers(credentials=works.credentials(**made)), **works.ca)


def test_a_certificate_that_expires_while_the_station_runs_costs_pictures_and_says_why(
    servers: Callable[..., FakeServer], works: Works
) -> None:
    one = servers(credentials=works.credentials())
    remote = opened(one, **works.ca)
    one.stop()
    one.credentials = works.credentials(ended=timedelta(hours=1))
    one.start()

    def told() -> bool:
        with pytest.raises(InferenceError) as caught:
            remote.segment([picture()])
        return "CERTIFICATE_VERIFY_FAILED" in str(caught.value) or "certificate" in str(caught.value)

    until(told)
    remote.close()


def test_a_server_that_wants_a_certificate_lets_only_a_station_with_one_in(
    servers: Callable[..., FakeServer], works: Works, tmp_path: Path
) -> None:
    one = servers(credentials=works.credentials(client=works.authority.certificate))
    with pytest.raises(ConfigError, match="UNAVAILABLE"):
        opened(one, **works.ca)
    public, private = works.authority.server(host="line-1").write(tmp_path, "station")
    opened(one, **works.ca, tls_cert_file=public, tls_key_file=private).close()


def test_several_threads_share_the_servers(servers: Callable[..., FakeServer], local: OnnxSegmenter) -> None:
    remote = opened(servers(), servers(), workers=4, shared_memory=True)
    wrong: list[int] = []

    def work(seed: int) -> None:
        own = local.segment([picture(seed)])[0]
        wrong.extend(seed for _ in range(5) if not np.array_equal(remote.segment([picture(seed)])[0], own))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    remote.close()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"servers": ()}, "servers"),
        ({"servers": ("no-port",)}, "servers"),
        ({"servers": ("a:1", "a:1")}, "an address twice"),
        ({"servers": ("a:1",), "weights": (1, 2)}, "weights has 2 values, servers has 1"),
        ({"servers": ("a:1",), "shared_memory": True}, "needs a server on this machine"),
        ({"servers": ("a:1",), "token_file": Path("t")}, "token_file needs tls_ca_file"),
        ({"servers": ("a:1",), "tls_cert_file": Path("t")}, "need each other"),
        (
            {"servers": ("a:1",), "tls_cert_file": Path("t"), "tls_key_file": Path("t")},
            "tls_cert_file needs tls_ca_file",
        ),
        ({"servers": ("a:1",), "timeout_ms": 0}, "timeout_ms"),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        KserveSegmenter.Settings(**settings)


def test_orphans_of_a_killed_process_are_removed(servers: Callable[..., FakeServer]) -> None:
    orphan = SHARED / "edge-inspector-kserve-4194304999-aa"
    orphan.write_bytes(b"x")
    remote = opened(servers(), shared_memory=True)
    assert not orphan.exists()
    remote.close()


def test_a_batch_larger_than_the_server_takes_is_refused(servers: Callable[..., FakeServer]) -> None:
    one = servers()
    one.ways.sha256 = ""
    with pytest.raises(ConfigError, match="take 8 images per call at most"):
        segmenter(one, max_batch=9).open()


def test_masks_of_a_gpu_may_differ_by_rounding_and_at_the_rims() -> None:
    mask = np.zeros((1, 50, 50), np.uint8)
    mask[0, 10:20, 10:20] = 200
    assert same_masks(mask, mask + 3)
    rim = mask.copy()
    rim[0, 10:20, 20:22] = 200
    assert same_masks(mask, rim), "20 of 120 marked pixels"
    assert not same_masks(mask, np.zeros_like(mask)), "one that marks nothing is another model"
    assert not same_masks(mask, mask + 60)
    assert not same_masks(mask, mask[:, :40])
    assert same_masks(np.zeros_like(mask), np.zeros_like(mask))


def test_the_folder_itself_is_checked_too(servers: Callable[..., FakeServer], tmp_path: Path) -> None:
    copy = tmp_path / "tile-1.1"
    shutil.copytree(TILE, copy)
    (copy / "model.int8.onnx").write_bytes(b"something else")
    with pytest.raises(ConfigError):
        segmenter(servers(), folder=copy).open()
