"""Real inference servers of others: the masks are those of the local model, and faults of a server cost no promise."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tritonclient.grpc", reason="the extra `kserve` is not installed")
from benchmarks.kserve.__main__ import KEPT, main
from benchmarks.kserve.line import MODEL, chaos, serving
from benchmarks.kserve.servers import ENVIRONMENTS, InferenceServer, why_not
from edge_inspector.errors import ConfigError
from edge_inspector.segmenters.kserve import KserveSegmenter
from edge_inspector.segmenters.onnx import OnnxSegmenter
from edge_inspector.simulation.station_files import models_dir

INSTALLED = [
    pytest.param(kind, marks=pytest.mark.skipif(bool(why_not(kind)), reason=why_not(kind))) for kind in ENVIRONMENTS
]
SHARED = {"triton": (False, True), "mlserver": (False,)}
"""Only Triton has the extension."""


@pytest.fixture(scope="module", params=INSTALLED)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InferenceServer]:
    with serving([request.param], tmp_path_factory.mktemp("server")) as (made,):
        yield made


def remote(server: InferenceServer, **more: object) -> KserveSegmenter:
    settings = KserveSegmenter.Settings(servers=(server.address,), timeout_ms=5000.0, **more)  # type: ignore[arg-type]
    return KserveSegmenter(models_dir() / MODEL, settings)


@pytest.mark.system
def test_the_masks_of_a_real_server_are_those_of_the_local_model(server: InferenceServer) -> None:
    local = OnnxSegmenter(models_dir() / MODEL, OnnxSegmenter.Settings())
    local.open()
    chance = np.random.default_rng(1)
    pictures = [chance.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((256, 256), (300, 700))]
    for shared in SHARED[server.kind]:
        there = remote(server, shared_memory=shared)
        there.open()
        for picture in pictures:
            assert np.array_equal(there.segment([picture])[0], local.segment([picture])[0])
        assert there.info.runtime
        there.close()
    local.close()


@pytest.mark.system
def test_a_real_server_with_another_model_is_refused(server: InferenceServer) -> None:
    settings = KserveSegmenter.Settings(servers=(server.address,), timeout_ms=5000.0, model="tile-1.1-int8")
    with pytest.raises(ConfigError, match="must have one input"):
        KserveSegmenter(models_dir() / "magnetic-tile-1.6", settings).open()
    settings = KserveSegmenter.Settings(servers=(server.address,), timeout_ms=5000.0, model="other")
    with pytest.raises(ConfigError, match="other"):
        KserveSegmenter(models_dir() / MODEL, settings).open()


@pytest.mark.system
@pytest.mark.parametrize("kind", INSTALLED)
def test_a_real_server_that_is_killed_stopped_and_slowed_costs_no_part(kind: str, tmp_path: Path) -> None:
    report = chaos([kind], tmp_path, parts=40, seed=1)
    assert len(report["faults"]) >= 3
    assert report["parts_triggered"] == 40
    assert {name: report[name] for name in KEPT if report[name]} == {}
    assert report["not_inspected"] > 0, "the faults have reached the line"
    assert set(report["not_inspected_reasons"]) <= {"inference_failed", "late", "mailbox_full"}


def test_a_server_that_is_not_installed_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ENVIRONMENTS["triton"], raising=False)
    assert main(["figures"]) == 1
    assert "EDGE_TRITON_PYTHON does not name the Python of an environment with it" in capsys.readouterr().err
