"""The tables of the station file, with what each key may be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from edge_inspector.codes import Promise
from edge_inspector.driver_table import DEFAULT_RUNTIME
from edge_inspector.forwarding.bucket_settings import BucketTable
from edge_inspector.forwarding.settings import StoreTable
from edge_inspector.host_name import Host
from edge_inspector.inspection.challenge import ChallengePart
from edge_inspector.inspection.counter import Counter
from edge_inspector.inspection.recipe import Positive
from edge_inspector.settings import Table
from edge_inspector.store.signatures import is_public_key
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
TimeOfDay = Annotated[
    str,
    Field(
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
        json_schema_extra=in_words("a time of day with two digits each, as 06:00"),
    ),
]
Dint = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]


def _not_zero(value: float) -> float:
    if value == 0:
        raise ValueError("must be more than 0, or less where the counter falls in the direction of travel")
    return value


Signed = Annotated[float, AfterValidator(_not_zero)]


class StationTable(Table):
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
    shifts: Annotated[list[TimeOfDay], Field(min_length=1, max_length=24)] = ["06:00", "14:00", "22:00"]
    """Times of day at which a shift begins, in the time zone of the computer. The page counts parts since then."""


class LineTable(Table):
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
    promise: Promise = Promise.ACKNOWLEDGED
    """What this line promises for each part (docs/safety.md). A word that does not fit the station is refused."""

    @property
    def scale(self) -> float:
        """Counts per mm as a positive number, even if the counter falls."""
        return abs(self.counts_per_mm)


class PartsTable(Table):
    """Who says that there is a part."""

    announced_by: str | None = None
    """Name of the link or camera that announces the parts. Not set: the first link."""
    on_call: bool = False
    """Only the first picture after a call is a part: from the page, a key, HTTP or MQTT. Only for a camera."""


class EncoderTable(Table):
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


class SegmenterTable(Table):
    """The runtime that turns pictures into masks."""

    driver: str = DEFAULT_RUNTIME
    """Name of the driver that runs the model."""
    queue_frames: Annotated[int, Field(ge=1, le=4096)] = 64
    """Frames that may wait for the model. If more wait, the frame with the most time left is dropped."""
    preload_mb: Annotated[int, Field(ge=0, le=1_000_000)] = 1024
    """Memory for models of other recipes that stay open. One that does not fit is loaded when its recipe is chosen."""
    settings: dict[str, Any] = {}
    """The driver's own settings."""


class CameraTable(Table):
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
    shots_mm: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=2, max_length=16)] | None = None
    """Belt travel from `offset_mm` to each picture, if the camera takes several of a part. Each is a view: NAME-1."""
    exposure_us_limits: tuple[Positive, Positive] | None = None
    """Shortest and longest exposure that an admin may set on the page. Not set: it cannot be changed there."""
    gain_limits: tuple[float, float] | None = None
    """Lowest and highest gain that an admin may set on the page. Not set: it cannot be changed there."""
    across_mm: Annotated[float, Field(ge=0)] = 0.0
    """Way across a web from its left edge to the left edge of the picture. Only with [roll]."""
    settings: dict[str, Any] = {}
    """The driver's own settings."""

    @property
    def views(self) -> list[CameraTable]:
        """Its views of a part, each like a camera: with a name, and its own way from the photo-eye."""
        if self.shots_mm is None:
            return [self]
        return [
            self.model_copy(
                update={"name": f"{self.name}-{number}", "offset_mm": self.offset_mm + shot_mm, "shots_mm": None}
            )
            for number, shot_mm in enumerate(self.shots_mm, 1)
        ]


class PlcTable(Table):
    """One link that sends out verdicts. The first link announces the parts, unless `[parts]` says who does."""

    name: Name
    """Name of the link on the operator page, in the log and in metrics."""
    driver: str
    """Name of the driver that talks to the PLC or broker."""
    interval_ms: Annotated[float, Field(ge=1, le=200)] = 20.0
    """Time between two exchanges with the PLC or broker. Lower it if triggers are lost."""
    settings: dict[str, Any] = {}
    """The driver's own settings."""


class RollTable(Table):
    """A continuous web instead of parts. The station makes a virtual piece of every `piece_mm` of it."""

    piece_mm: Positive
    """Length of a piece. A line camera has pictures just as long, an area camera is triggered once for each."""
    overlap_mm: Positive
    """Length of web that two pictures share. A defect up to this length is whole in one of them."""


class WebTable(Table):
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
    proxies: list[str] = []
    """Addresses of reverse proxies whose `X-Forwarded-For` is believed when failed logins are counted."""
    certificate: Path | None = None
    """TLS certificate of the page with its chain, a PEM file. Set it to open the page to the network."""
    private_key: Path | None = None
    """Private key of the certificate, a PEM file."""
    allow_plain: bool = False
    """Allow the page on the network without TLS. Set it only if a proxy or the network itself protects the page."""
    users: Path = Path("users")
    """File with user names and password hashes. `edge-inspector user` writes it."""
    languages: Path = Path("languages")
    """Folder with languages and texts of your own, one file each, as `pt.json`. It need not exist."""
    read_requires_login: bool = False
    """Require a login to look at the page. Marking parts and commands always require one."""
    machines_token_file: Path | None = None
    """File with a token. `/metrics` and the reasons in `/healthz` are then for those who send it or are logged in."""
    session_hours: Annotated[float, Field(gt=0, le=168)] = 8.0
    """Time from login to automatic logout."""
    idle_minutes: Annotated[float, Field(gt=0, le=10_080)] = 60.0
    """Time without a key or touch after which a user is logged out. The role `viewer` is not."""
    max_watchers: Annotated[int, Field(ge=1, le=100)] = 32
    """Screens that may show the live page at the same time."""


class ArchiveTable(Table):
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


def _public_key(text: str) -> str:
    if not is_public_key(text):
        raise ValueError("must be a public key as `edge-inspector sign` shows it: 44 characters of base64")
    return text


class TrustTable(Table):
    """Whose signatures on recipes and models this station trusts (`edge-inspector sign`)."""

    keys: list[Annotated[str, AfterValidator(_public_key)]] = []
    """Public keys of those who may release recipes and models. Empty: signatures are not checked."""
    policy: Literal["refuse", "warn"] = "refuse"
    """What happens to a recipe or model that none of them has signed, or that has changed since then."""


class RolloutTable(Table):
    """Models and recipes that come over the network, step by step (`edge-inspector rollout`)."""

    accept: bool = False
    """Whether admins may send signed models and recipes over the page. It needs `trust.keys`."""
    quiet_s: Annotated[float, Field(ge=0.5, le=3600)] = 30.0
    """Time without a part after which the station may restart with them. At least the way to the gate takes."""
    stop_within_h: Annotated[float, Field(gt=0, le=720)] = 8.0
    """Hours after which the station warns that a roll-out still waits for a stop (`rollout_waits`)."""
    package_mb: Annotated[int, Field(ge=1, le=512)] = 64
    """Largest model that is taken, with all its files."""


class RecordTable(Table):
    """The record of each shift: pictures, encoder, PLC and commands, for `edge-inspector replay`."""

    budget_mb: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    """Disk space for all records together. The oldest are deleted first. 0 records nothing."""
    at_start: bool = True
    """Whether a start of the service begins a record. An admin may change it on the Checks page."""


class ChallengeTable(Table):
    """Parts of which it is known what the station must find, and when they must be put through the line."""

    parts: Annotated[list[ChallengePart], Field(max_length=256)] = []
    """The parts, one table each, in the order in which they are put on the belt."""
    each_shift: bool = False
    """Whether a challenge is due at the begin of each shift (`station.shifts`)."""
    every_h: Annotated[float, Field(ge=0, le=8760)] = 0.0
    """Hours after which a challenge is due again. 0: not by hours."""
    grace_min: Annotated[float, Field(ge=0, le=1440)] = 15.0
    """Minutes that a challenge may be due until the station says so on all links."""
    timeout_s: Annotated[float, Field(ge=1, le=3600)] = 120.0
    """Longest wait for the next challenge part. A part that does not come fails the challenge."""
    on_failure: Literal["warn", "block"] = "warn"
    """`warn`: the station is degraded until a challenge is passed. `block`: no part is inspected, and it is a fault."""
    plc_bit: bool = False
    """Whether bit 3 of the PLC's `control` begins a challenge. Leave it off if the program uses this bit otherwise."""


class RealtimeTable(Table):
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
    camera_processes: bool = False
    """Give each camera a process of its own, which receives and checks its pictures. It needs more cores than two."""


class DriftTable(Table):
    """When the latest parts no longer look like the reference of their recipe."""

    window_parts: Annotated[int, Field(ge=200, le=100_000)] = 500
    """Latest parts that are compared with the reference. More parts give fewer false warnings and later ones."""
    psi_limit: Positive = 0.25
    """Population stability index above which `drift` is reported. Raise it if harmless changes are reported."""


class ShadowTable(Table):
    """A second model that looks at pictures in spare time. It decides nothing."""

    model: Annotated[str, Field(min_length=1)]
    """Name of the second model's folder in `models_dir`."""
    driver: str = DEFAULT_RUNTIME
    """Name of the driver that runs the second model."""
    settings: dict[str, Any] = {}
    """The driver's own settings."""


class StationFile(Table):
    """The whole file."""

    station: StationTable
    """The station's name and its files."""
    line: LineTable
    """The belt: scale, speed and the place of the gate."""
    parts: PartsTable = PartsTable()
    """Who announces the parts."""
    roll: RollTable | None = None
    """The web, if the line has no parts."""
    encoder: EncoderTable
    """The source of the belt's position."""
    segmenter: SegmenterTable = SegmenterTable()
    """The runtime that turns pictures into masks."""
    cameras: Annotated[list[CameraTable], Field(min_length=1)]
    """The cameras, one table each."""
    plcs: Annotated[list[PlcTable], Field(min_length=1)]
    """The links to PLCs and brokers, one table each. The first link announces the parts, unless `[parts]` says who."""
    web: WebTable = WebTable()
    """The operator page and its users."""
    archive: ArchiveTable = ArchiveTable()
    """What is kept of the parts that have passed."""
    store: StoreTable | None = None
    """The plant's database, if results go there."""
    bucket: BucketTable | None = None
    """A bucket in an S3-compatible store, if results go there as Parquet files."""
    trust: TrustTable = TrustTable()
    """Whose signatures this station trusts."""
    rollout: RolloutTable = RolloutTable()
    """Models and recipes that come over the network."""
    record: RecordTable = RecordTable()
    """The record of each shift."""
    challenge: ChallengeTable = ChallengeTable()
    """Known parts that prove that the station finds what it must."""
    realtime: RealtimeTable = RealtimeTable()
    """Requests to the operating system."""
    drift: DriftTable = DriftTable()
    """When the line counts as changed from its reference."""
    shadow: ShadowTable | None = None
    """A second model that looks at pictures in spare time."""

    @model_validator(mode="after")
    def _one_store(self) -> StationFile:
        if self.store is not None and self.bucket is not None:
            raise ValueError("store and bucket exclude each other: results go to one place")
        return self

    @property
    def forward_within_s(self) -> float | None:
        """How long a part may wait before it is sent. None if results go nowhere."""
        if self.bucket is not None:
            return self.bucket.file_s
        return None if self.store is None else 0.0

    @property
    def counter(self) -> Counter:
        """The PLC's counter, as these tables describe it."""
        return Counter(self.encoder.counter_lowest, self.encoder.counter_highest, self.line.counts_per_mm < 0)

    @property
    def views(self) -> list[CameraTable]:
        """All views of a part, each like a camera. Most cameras are one view."""
        return [view for camera in self.cameras for view in camera.views]

    def mm_per_row(self, camera: CameraTable) -> float:
        """Belt travel from one row of the camera's picture to the next."""
        return camera.mm_per_px if camera.line_counts is None else camera.line_counts / self.line.scale
