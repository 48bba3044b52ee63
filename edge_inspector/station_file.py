"""The tables of the station file, with what each key may be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from edge_inspector.driver_table import DEFAULT_RUNTIME
from edge_inspector.encoders.counter import Counter
from edge_inspector.host_name import Host
from edge_inspector.inspection.recipe import Positive
from edge_inspector.wording import in_words

Name = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$",
        json_schema_extra=in_words(
            "at most 32 of the letters A-Z a-z, digits, - and _, and begin with a letter or digit"
        ),
    ),
]

UrlPath = Annotated[
    str,
    Field(
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        json_schema_extra=in_words(
            "empty, or levels of A-Z a-z 0-9 . _ ~ - with a / before each and none at the end, as /line-1"
        ),
    ),
]
Origin = Annotated[
    str,
    Field(
        pattern=r"^(self|https?://(\*\.)?[A-Za-z0-9.-]+(:[0-9]{1,5})?)$",
        json_schema_extra=in_words("self, or an origin without a path, as https://dashboard.example:3000"),
    ),
]
Dint = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]


def _not_zero(value: float) -> float:
    if value == 0:
        raise ValueError("must be more than 0, or less where the counter falls in the direction of travel")
    return value


Signed = Annotated[float, AfterValidator(_not_zero)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class StationTable(_Table):
    """The station's name and its files. Paths are relative to the station file."""

    name: Name
    """Name of the station on the operator page and in MQTT topics. Every station needs a different one."""
    recipe: Path
    """Recipe file in force at the start. A recipe that was selected later stays in force until this key changes."""
    recipes: list[Path] = []
    """More recipe files. The PLC or a command may select them while the line runs."""
    models_dir: Path = Path("models")
    """Folder that contains the model folders."""
    state_dir: Path = Path("state")
    """Folder for results, pictures and undelivered messages. Use a disk that survives a restart."""


class LineTable(_Table):
    """The belt. Positions are measured from the photo-eye."""

    counts_per_mm: Signed
    """Encoder counts per millimetre of belt travel. Negative if the counter falls while the belt runs forward."""
    speed_max_mm_s: Positive
    """Highest speed that the belt ever reaches, in setup mode too. A faster belt is reported as `line_mismatch`."""
    acceleration_max_mm_s2: Positive = 5000.0
    """Highest acceleration of the belt. A value above the real one makes positions less certain."""
    gate_mm: Positive
    """Position of the part's leading edge at which the gate must act."""
    reserve_ms: Annotated[float, Field(ge=5, le=5000)] = 100.0
    """Time for the write to the PLC, one PLC scan and jitter, before the gate. Raise it if verdicts are late."""

    @property
    def scale(self) -> float:
        """Counts per mm as a positive number, even if the counter falls."""
        return abs(self.counts_per_mm)


class EncoderTable(_Table):
    """The source of the belt's position."""

    driver: str
    """Name of the driver that reads the encoder."""
    interval_ms: Annotated[float, Field(ge=1, le=1000)] = 8.0
    """Average time between two readings. Lower it if positions are too uncertain. Each reading costs CPU time."""
    stale_ms: Annotated[float, Field(ge=10, le=10000)] = 250.0
    """Age of the newest reading above which the belt's position is unknown. Raise it for a slow connection."""
    drift_ppm: Annotated[float, Field(ge=0, le=1000)] = 100.0
    """Largest rate difference between the clocks of PLC and station. Raise it for a PLC with a poor clock."""
    read_point: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Point of the round trip, 0 to 1, at which the PLC reads its block. Change it only if you measured it."""
    publish_delay_us: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Longest delay from the PLC's reading of the counter until its block shows the value."""
    counter_lowest: Dint = -(2**31)
    """Lowest value of the PLC's counter. Write 0 for a counter of 16 bits."""
    counter_highest: Dint = 2**31 - 1
    """Highest value of the PLC's counter: 65535 for 16 bits, 9999 for a counter that restarts at 10000."""
    settings: dict[str, Any] = {}
    """The driver's own settings."""


class SegmenterTable(_Table):
    """The runtime that turns pictures into masks."""

    driver: str = DEFAULT_RUNTIME
    """Name of the driver that runs the model."""
    queue_frames: Annotated[int, Field(ge=1, le=4096)] = 64
    """Frames that may wait for the model. If more wait, the frame with the most time left is dropped."""
    settings: dict[str, Any] = {}
    """The driver's own settings."""


class CameraTable(_Table):
    """One camera: its driver, its place at the belt and its scale."""

    name: Name
    """Name of the camera in recipes, pictures, metrics and messages."""
    driver: str
    """Name of the driver that reads the camera."""
    offset_mm: Annotated[float, Field(ge=0)]
    """Belt travel from the photo-eye until the camera takes the part. For a line-scan camera: until its first row."""
    mm_per_px: Positive
    """Size of one pixel on the belt. For a line-scan camera it is the size across the belt only."""
    line_counts: Positive | None = None
    """Encoder counts from one row to the next of a line-scan camera. Leave it out for an area camera."""
    settings: dict[str, Any] = {}
    """The driver's own settings."""


class PlcTable(_Table):
    """One link that sends out verdicts. The first link announces the parts."""

    name: Name
    """Name of the link on the operator page, in the log and in metrics."""
    driver: str
    """Name of the driver that talks to the PLC or broker."""
    interval_ms: Annotated[float, Field(ge=1, le=200)] = 20.0
    """Time between two exchanges with the PLC or broker. Lower it if triggers are lost."""
    settings: dict[str, Any] = {}
    """The driver's own settings."""


class WebTable(_Table):
    """The operator page, `/metrics` and `/healthz`: their address, and who may use them."""

    host: Host = "127.0.0.1"
    """Address to listen on. `0.0.0.0` opens the page to the network and needs `certificate` or `allow_plain`."""
    port: Annotated[int, Field(ge=1, le=65535)] = 9108
    """TCP port to listen on. Change it if another program uses the port."""
    path: UrlPath = ""
    """Path of the page behind a reverse proxy, as `/line-1`. Two stations behind one host need different paths."""
    frame_ancestors: list[Origin] = []
    """Origins of pages that may show this page in a frame, as `https://dashboard.example:3000`."""
    hosts: list[str] = []
    """Host names that browsers may use for the page. Addresses need not be listed."""
    certificate: Path | None = None
    """TLS certificate of the page with its chain, a PEM file. Set it to open the page to the network."""
    private_key: Path | None = None
    """Private key of the certificate, a PEM file."""
    allow_plain: bool = False
    """Allow the page on the network without TLS. Set it only if a proxy or the network itself protects the page."""
    users: Path = Path("users")
    """File with user names and password hashes. `edge-inspector user` writes it."""
    read_requires_login: bool = False
    """Require a login to look at the page. Marking parts and commands always require one."""
    session_hours: Annotated[float, Field(gt=0, le=168)] = 8.0
    """Time from login to automatic logout."""
    max_watchers: Annotated[int, Field(ge=1, le=100)] = 32
    """Screens that may show the live page at the same time."""


class ArchiveTable(_Table):
    """What is kept of the parts that have passed.

    Pictures are kept of every part that was not clearly accepted, and of a sample of the others.
    """

    keep_days: Annotated[int, Field(ge=1, le=36500)] = 365
    """Age in days at which results and pictures are deleted."""
    keep_mb: Annotated[int, Field(ge=8, le=1_000_000)] = 2048
    """Largest size of the results file. The oldest parts are deleted to stay below it."""
    images_mb: Annotated[int, Field(ge=0, le=100_000_000)] = 8192
    """Largest size of all pictures together. The oldest are deleted to stay below it."""
    min_free_mb: Annotated[int, Field(ge=0, le=100_000_000)] = 1024
    """Space that stays free on the disk. The oldest pictures are deleted to keep it free."""
    accepted_one_in: Annotated[int, Field(ge=0)] = 100
    """Keep the pictures of one clearly accepted part in this many. 0 keeps none."""
    pictures_per_s: Annotated[float, Field(gt=0, le=10_000)] = 20.0
    """Average limit for pictures of rejected parts. Other kinds get a quarter. Packing them takes CPU time."""
    image_format: Literal["png", "jpeg"] = "png"
    """File format of pictures. `png` is lossless. `jpeg` needs less space."""
    album_mb: Annotated[int, Field(ge=1, le=65536)] = 32
    """Memory for the latest pictures of all parts. It should hold two seconds of all cameras' frames."""


class RealtimeTable(_Table):
    """Requests to the operating system. The process needs the rights for them.

    Measure first: `edge-inspector bench realtime`. On two cores a station became slower (benchmarks/README.md).
    """

    fifo_priority: Annotated[int, Field(ge=0, le=90)] = 0
    """SCHED_FIFO priority of the threads with a deadline, and up to 3 more. 0 leaves them at normal priority."""
    lock_memory: bool = False
    """Lock memory that was used once, so that it is never swapped out."""
    model_cores: tuple[Annotated[int, Field(ge=0, le=4095)], ...] = ()
    """CPU cores for the model's threads alone, one thread each unless `workers` is set. Empty: all cores for all."""
    gc_freeze: bool = True
    """Exclude everything that exists after the start from garbage collection. This shortens its pauses."""
    switch_interval_ms: Annotated[float, Field(ge=0.05, le=100)] = 1.0
    """Time after which a thread that computes in Python lets other threads run."""


class DriftTable(_Table):
    """When the latest parts no longer look like the reference of their recipe."""

    window_parts: Annotated[int, Field(ge=200, le=100_000)] = 500
    """Latest parts that are compared with the reference. More parts give fewer false warnings and later ones."""
    psi_limit: Positive = 0.25
    """Population stability index above which `drift` is reported. Raise it if harmless changes are reported."""


class ShadowTable(_Table):
    """A second model that looks at pictures in spare time. It decides nothing."""

    model: Annotated[str, Field(min_length=1)]
    """Name of the second model's folder in `models_dir`."""
    driver: str = DEFAULT_RUNTIME
    """Name of the driver that runs the second model."""
    settings: dict[str, Any] = {}
    """The driver's own settings."""


class StationFile(_Table):
    """The whole file."""

    station: StationTable
    """The station's name and its files."""
    line: LineTable
    """The belt: scale, speed and the place of the gate."""
    encoder: EncoderTable
    """The source of the belt's position."""
    segmenter: SegmenterTable = SegmenterTable()
    """The runtime that turns pictures into masks."""
    cameras: Annotated[list[CameraTable], Field(min_length=1)]
    """The cameras, one table each."""
    plcs: Annotated[list[PlcTable], Field(min_length=1)]
    """The links to PLCs and brokers, one table each. The first link announces the parts."""
    web: WebTable = WebTable()
    """The operator page and its users."""
    archive: ArchiveTable = ArchiveTable()
    """What is kept of the parts that have passed."""
    realtime: RealtimeTable = RealtimeTable()
    """Requests to the operating system."""
    drift: DriftTable = DriftTable()
    """When the line counts as changed from its reference."""
    shadow: ShadowTable | None = None
    """A second model that looks at pictures in spare time."""

    @property
    def counter(self) -> Counter:
        """The PLC's counter, as these tables describe it."""
        return Counter(self.encoder.counter_lowest, self.encoder.counter_highest, self.line.counts_per_mm < 0)

    def mm_per_row(self, camera: CameraTable) -> float:
        """Belt travel from one row of the camera's picture to the next."""
        return camera.mm_per_px if camera.line_counts is None else camera.line_counts / self.line.scale
