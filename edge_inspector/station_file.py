"""The tables of the station file, with what each key may be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from edge_inspector.encoders.counter import Counter
from edge_inspector.host_name import Host
from edge_inspector.inspection.recipe import Positive

Name = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$",
        description="at most 32 of the letters A-Z a-z, digits, - and _, and begin with a letter or digit",
    ),
]

UrlPath = Annotated[
    str,
    Field(
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="empty, or levels of A-Z a-z 0-9 . _ ~ - with a / before each and none at the end, as /line-1",
    ),
]
Origin = Annotated[
    str,
    Field(
        pattern=r"^(self|https?://(\*\.)?[A-Za-z0-9.-]+(:[0-9]{1,5})?)$",
        description="self, or an origin without a path, as https://dashboard.example:3000",
    ),
]
Dint = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]


def _not_zero(value: float) -> float:
    if value == 0:
        raise ValueError("must be more than 0, or less where the counter falls in the direction of travel")
    return value


Signed = Annotated[float, AfterValidator(_not_zero)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StationTable(_Table):
    """Who this station is and where its files are; paths are relative to the station file.

    `recipe` is in force at the start, `recipes` are further ones that may be selected while the line runs.
    """

    name: Name
    recipe: Path
    recipes: list[Path] = []
    models_dir: Path = Path("models")
    state_dir: Path = Path("state")


class LineTable(_Table):
    """The belt, measured from the photo-eye. `counts_per_mm` is negative where the counter falls as the belt runs."""

    counts_per_mm: Signed
    speed_max_mm_s: Positive
    acceleration_max_mm_s2: Positive = 5000.0
    gate_mm: Positive
    reserve_ms: Annotated[float, Field(ge=5, le=5000)] = 100.0

    @property
    def scale(self) -> float:
        """Counts per mm, whichever way they count."""
        return abs(self.counts_per_mm)


class EncoderTable(_Table):
    """Where the belt's position comes from.

    `counter_lowest` and `counter_highest` are the values between which the PLC's counter runs: 0 and 65535 for one of
    16 bits, 0 and 9999 for one that begins again at 10000.
    """

    driver: str
    interval_ms: Annotated[float, Field(ge=1, le=1000)] = 8.0
    stale_ms: Annotated[float, Field(ge=10, le=10000)] = 250.0
    drift_ppm: Annotated[float, Field(ge=0, le=1000)] = 100.0
    read_point: Annotated[float, Field(ge=0, le=1)] = 0.5
    publish_delay_us: Annotated[int, Field(ge=0, le=100_000)] = 0
    counter_lowest: Dint = -(2**31)
    counter_highest: Dint = 2**31 - 1
    settings: dict[str, Any] = {}


class SegmenterTable(_Table):
    """What turns pictures into masks."""

    driver: str = "onnx"
    queue_frames: Annotated[int, Field(ge=1, le=4096)] = 64
    settings: dict[str, Any] = {}


class CameraTable(_Table):
    """One camera: its driver, and where and how large it sees the belt.

    `line_counts`: encoder counts from one row to the next of a line-scan camera, whose rows are taken one after the
    other; `offset_mm` is then where its first row is, and `mm_per_px` holds across the belt only.
    """

    name: Name
    driver: str
    offset_mm: Annotated[float, Field(ge=0)]
    mm_per_px: Positive
    line_counts: Positive | None = None
    settings: dict[str, Any] = {}


class PlcTable(_Table):
    """One link that verdicts go out on."""

    name: Name
    driver: str
    interval_ms: Annotated[float, Field(ge=1, le=200)] = 20.0
    settings: dict[str, Any] = {}


class WebTable(_Table):
    """Where the operator page, /metrics and /healthz are served, and to whom.

    `path` is where browsers see the page behind a reverse proxy, as `/line-1`. `frame_ancestors` are the origins of
    pages that may show it in a frame.
    """

    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 9108
    path: UrlPath = ""
    frame_ancestors: list[Origin] = []
    hosts: list[str] = []
    certificate: Path | None = None
    private_key: Path | None = None
    allow_plain: bool = False
    users: Path = Path("users")
    read_requires_login: bool = False
    session_hours: Annotated[float, Field(gt=0, le=168)] = 8.0
    max_watchers: Annotated[int, Field(ge=1, le=100)] = 32


class ArchiveTable(_Table):
    """What is kept of the parts that have passed.

    Pictures: of every part that was not plainly accepted, and of one in `accepted_one_in` others (0: none). The oldest
    give way at `images_mb`, and before the disk has less than `min_free_mb` free. `album_mb` of memory hold the latest
    pictures of all parts, for archive and page. On average at most `pictures_per_s` views of rejected parts are kept,
    and of any other kind a quarter of that: packing pictures takes time that an overloaded model needs.
    """

    keep_days: Annotated[int, Field(ge=1, le=36500)] = 365
    keep_mb: Annotated[int, Field(ge=8, le=1_000_000)] = 2048
    images_mb: Annotated[int, Field(ge=0, le=100_000_000)] = 8192
    min_free_mb: Annotated[int, Field(ge=0, le=100_000_000)] = 1024
    accepted_one_in: Annotated[int, Field(ge=0)] = 100
    pictures_per_s: Annotated[float, Field(gt=0, le=10_000)] = 20.0
    image_format: Literal["png", "jpeg"] = "png"
    album_mb: Annotated[int, Field(ge=1, le=65536)] = 32


class RealtimeTable(_Table):
    """What the operating system is asked for; the process needs the rights to it.

    Above 0, the threads that keep a deadline run as SCHED_FIFO at `fifo_priority` and up. `lock_memory` keeps all
    memory that was touched once from being paged out. The model's threads run on `model_cores` alone, as many as these
    unless the segmenter's `workers` say otherwise, and everything else on the other cores; without any, all run
    everywhere. `gc_freeze` spares the garbage collector what was there at the start. A thread that computes in Python
    lets the others in after `switch_interval_ms`.

    Measure first: `edge-inspector bench realtime`. On two cores a station got slower (benchmarks/README.md).
    """

    fifo_priority: Annotated[int, Field(ge=0, le=90)] = 0
    lock_memory: bool = False
    model_cores: tuple[Annotated[int, Field(ge=0, le=4095)], ...] = ()
    gc_freeze: bool = True
    switch_interval_ms: Annotated[float, Field(ge=0.05, le=100)] = 1.0


class DriftTable(_Table):
    """When the latest `window_parts` parts no longer look like the reference of their recipe: above `psi_limit`."""

    window_parts: Annotated[int, Field(ge=200, le=100_000)] = 500
    psi_limit: Positive = 0.25


class ShadowTable(_Table):
    """A second model that looks at pictures when the first has nothing to do; it decides nothing."""

    model: Annotated[str, Field(min_length=1)]
    driver: str = "onnx"
    settings: dict[str, Any] = {}


class StationFile(_Table):
    """The whole file."""

    station: StationTable
    line: LineTable
    encoder: EncoderTable
    segmenter: SegmenterTable = SegmenterTable()
    cameras: Annotated[list[CameraTable], Field(min_length=1)]
    plcs: Annotated[list[PlcTable], Field(min_length=1)]
    web: WebTable = WebTable()
    archive: ArchiveTable = ArchiveTable()
    realtime: RealtimeTable = RealtimeTable()
    drift: DriftTable = DriftTable()
    shadow: ShadowTable | None = None

    @property
    def counter(self) -> Counter:
        """The counter behind the encoder."""
        return Counter(self.encoder.counter_lowest, self.encoder.counter_highest, self.line.counts_per_mm < 0)

    def mm_per_row(self, camera: CameraTable) -> float:
        """How far the belt moves from one of the camera's rows to the next."""
        return camera.mm_per_px if camera.line_counts is None else camera.line_counts / self.line.scale
