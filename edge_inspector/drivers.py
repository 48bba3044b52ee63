"""The interfaces of drivers, and the list of drivers.

A driver call blocks with a timeout. It returns data or raises `DeviceError`. Threads, retries, queues and metrics
belong to the stages. A driver's module is imported only if a configuration names the driver. Each driver class has a
nested pydantic model `Settings` (frozen, no extra keys, units in the names) for its table in the station file.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, ClassVar, NamedTuple, Protocol

from edge_inspector.codes import ErrorCode, Promise
from edge_inspector.driver_table import FAMILIES
from edge_inspector.errors import DeviceError
from edge_inspector.records import (
    CameraCounters,
    Command,
    EncoderSample,
    Frame,
    Image,
    ModelInfo,
    PlcInput,
    StationStatus,
    Verdict,
)
from edge_inspector.settings import Table

FeatureValue = bool | int | float | str


class PeerKind(StrEnum):
    """What a link talks to."""

    PLC = "PLC"
    """It announces the parts and drives the gate. The line stands without it."""
    BROKER = "broker"
    """It passes messages on to others. The line runs without it, unless there is no other link."""
    OUTPUT = "output"
    """It fires the gate itself, and announces nothing."""


class DriverSettings(Table):
    """The base of every driver's `Settings`.

    Write one line of docstring below each field. It becomes the field's description in the JSON Schema.
    """

    peer_kind: ClassVar[PeerKind | None] = None
    """What a link with these settings talks to. A station has one PLC at most.

    None is for drivers that do not say it. They count as a PLC, and a station may have several.
    """

    @property
    def device(self) -> str | None:
        """The device that only one driver may open at a time: a path or an address. None if sharing is harmless."""
        return None

    @property
    def over_network(self) -> bool:
        """Whether a camera with these settings sends its pictures over a network, as they are."""
        return False

    @property
    def announces(self) -> bool:
        """Whether a link with these settings can announce parts."""
        return self.peer_kind in (PeerKind.PLC, None)

    @property
    def promise(self) -> Promise:
        """The most that a station can promise with this driver in the role that its settings give it."""
        return Promise.ACKNOWLEDGED

    @property
    def states_run(self) -> bool:
        """Whether an encoder or link says from which run of its PLC a count is. The two are then compared."""
        return True

    @property
    def tells_running(self) -> bool:
        """Whether a link says when the belt runs."""
        return self.peer_kind in (PeerKind.PLC, None)

    @property
    def acts_by_time(self) -> bool:
        """Whether a link lets the gate act at a time, not at a count."""
        return False

    @property
    def travel_error(self) -> float:
        """How wrong a distance between two counts of an encoder may be, as a fraction of it. 0 if it is counted."""
        return 0.0

    @property
    def sorts_grades(self) -> Collection[str]:
        """The grades for which a link has a gate of their own."""
        return ()

    @property
    def settle_s(self) -> float | None:
        """How long the belt takes to run evenly after a start. None if nobody need tell whether it runs."""
        return None

    @property
    def tells_rolls(self) -> bool:
        """Whether the encoder's PLC says when a new roll begins. Its class then has the attribute `rolls`."""
        return False

    @property
    def reads_camera(self) -> str | None:
        """The camera whose pictures carry the counts of an encoder. Its class then has a method `see(frame)`."""
        return None

    @property
    def free_running_hz(self) -> float | None:
        """Pictures per second of a camera that runs freely. None if it is triggered or the rate is not set."""
        return None

    @property
    def adjustable(self) -> Collection[str]:
        """Which of `exposure_us` and `gain` a camera with these settings can change while it runs."""
        return ()

    @property
    def takes_features(self) -> bool:
        """Whether a camera with these settings has `set_features`, so that a recipe may set features of it."""
        return False

    @property
    def cautions(self) -> Sequence[str]:
        """Warnings about settings that work but may be a mistake. `edge-inspector check` prints them."""
        return ()


class FoundCamera(NamedTuple):
    """A camera that answers: what it says about itself, and the settings that open it."""

    vendor: str
    model: str
    serial: str
    address: str
    settings: dict[str, Any]


class Camera(Protocol):
    """A source of pictures, constructed as `Camera(name, settings)`. One thread owns it from open to close.

    Drivers inherit from this class, which implements what not every device has.
    """

    name: str

    @abstractmethod
    def open(self) -> None:
        """Connect and start. Called again after close. Raises DeviceError."""

    @abstractmethod
    def grab(self, timeout_s: float) -> Frame | None:
        """The next frame in order, or None if none arrived within `timeout_s`.

        Raises FrameIncompleteError for a picture that must not be used, and DeviceError if the camera is lost.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop and disconnect. Safe at any time, also twice."""

    def adjust(self, settings: Any) -> None:
        """Take over exposure and gain from these settings, at once and at each `open`. All others are as before.

        Raises DeviceError if the camera refuses. It then goes on as before.
        """
        del settings
        raise DeviceError(f"{self.name}: its driver cannot change this while it runs")

    def set_features(self, features: Mapping[str, FeatureValue]) -> None:
        """Set these features while the camera runs, and read them back. Raises DeviceError.

        It is called only if the settings are such that they `takes_features`, by the thread that owns the camera.
        """
        raise DeviceError(f"{self.name}: this driver sets no features while the camera runs: {', '.join(features)}")

    def counters(self) -> CameraCounters:
        """The device's own statistics, zeros if it has none. It may be called at any time and never waits or raises."""
        return CameraCounters()

    @classmethod
    def find(cls) -> Iterable[FoundCamera]:
        """The cameras that answer now, for `edge-inspector cameras`. Raises DeviceError."""
        return ()

    @classmethod
    def settings_for(cls, which: str) -> DriverSettings | None:
        """The fewest settings that open `which`, for `edge-inspector focus`: an address, a serial number or a path.

        None if this driver opens no such thing.
        """
        del which
        return None


class Encoder(Protocol):
    """A source of the belt's position, constructed as `Encoder(settings)`. One thread owns it."""

    @abstractmethod
    def open(self) -> None:
        """Connect. Called again after close. Raises DeviceError."""

    @abstractmethod
    def read(self) -> EncoderSample | None:
        """Take one sample now. Raises DeviceError, also for a timeout. The connection is unusable after that.

        None is for a source that has a sample only now and then, and has none at the moment.
        """

    @abstractmethod
    def close(self) -> None:
        """Disconnect. Safe at any time, also twice."""


def _all_of_it(most_s: float) -> float:
    return most_s


class Due(NamedTuple):
    """How urgent images are: those with the lowest `by` come first. They need no mask once they are not `wanted`.

    `left_s(most_s)` is how long that is from now on if the belt goes on as it runs, and at most `most_s`.
    """

    by: float
    wanted: Callable[[], bool]
    left_s: Callable[[float], float] = _all_of_it


class Segmenter(Protocol):
    """Turns pictures into masks. Constructed as `Segmenter(model_dir, settings)`. `info` is valid before open()."""

    info: ModelInfo
    max_batch: int
    workers: int

    @abstractmethod
    def open(self) -> None:
        """Load, check and warm up the model. Raises ConfigError for a wrong or damaged model."""

    @abstractmethod
    def segment(self, images: Sequence[Image]) -> list[Image]:
        """One mask per image: (classes, H / stride, W / stride) uint8, 0..255 for probability 0..1.

        It takes at most `max_batch` images of any size. An image larger than the model's input is cut into windows,
        and their masks are merged. `workers` threads may call it at the same time. The masks belong to the caller.
        Raises InferenceError.
        """

    def segment_due(self, images: Sequence[Image], due: Due) -> list[Image] | None:
        """As `segment`. None if it left the rest out, because the images were not wanted any more."""
        del due
        return self.segment(images)

    @abstractmethod
    def close(self) -> None:
        """Release the session. Safe at any time, also twice."""


class PlcLink(Protocol):
    """Sends out verdicts. Constructed as `PlcLink(settings, identity)`. One thread owns it from open to close."""

    connected: bool
    events: Mapping[str, int]
    """How often each event that an operator should know of has happened. The names are labels of a metric."""
    troubles: Mapping[ErrorCode, str]
    """What is wrong now, apart from the connection, and why."""

    @property
    @abstractmethod
    def backlog(self) -> int:
        """How many delivered items the peer has not acknowledged yet."""

    @abstractmethod
    def open(self) -> None:
        """Connect. This sends nothing that could fire the gate. Raises DeviceError."""

    @abstractmethod
    def probe(self) -> str:
        """Test everything that the daemon will need, and describe the peer in a few words.

        It sends nothing that the peer could act on. Do not call it between open and close. Raises DeviceError, or
        CautionError for something that works now but may stop working.
        """

    @abstractmethod
    def look(self) -> PlcInput | None:
        """The peer's data, read without writing anything. None if it has none.

        Do not call it between open and close. Raises DeviceError.
        """

    @abstractmethod
    def exchange(self, status: StationStatus) -> PlcInput | None:
        """Publish the status and the heartbeat, and return the peer's data. None if it has none.

        It is called at least once per heartbeat period. Raises DeviceError.
        """

    @abstractmethod
    def commands(self) -> Sequence[Command]:
        """The peer's valid commands since the last call. Empty if the peer cannot send commands.

        It is called after each exchange. Another thread answers a command through the command's `reply`.
        """

    @abstractmethod
    def incidents(self) -> Sequence[tuple[ErrorCode, str]]:
        """Events since the last call that need a person. Each one stays a condition until RESET.

        It is called after each exchange.
        """

    @abstractmethod
    def deliver(self, verdicts: Sequence[Verdict]) -> int:
        """Deliver verdicts in order, and return how many of them the peer now holds. Fewer if it has no room.

        After a failure the same verdict may be delivered again. Peers process it once. Raises DeviceError.
        """

    @abstractmethod
    def close(self) -> None:
        """Send "not ready" if the peer is still reachable, and disconnect. Safe at any time, also twice."""


def driver_names(family: str) -> list[str]:
    """The driver names that a configuration may use in this family, including third-party entry points."""
    return sorted({*FAMILIES[family], *(point.name for point in entry_points(group=f"edge_inspector.{family}"))})


def load_driver(family: str, name: str) -> Any:
    """The driver class with this name. Raises KeyError for an unknown name, ImportError for a missing SDK."""
    target = FAMILIES[family].get(name)
    if target is None:
        points = [point for point in entry_points(group=f"edge_inspector.{family}") if point.name == name]
        if not points:
            raise KeyError(name)
        return points[0].load()
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def installed_drivers(family: str) -> Iterator[tuple[str, Any]]:
    """The name and the class of each driver whose packages are installed."""
    for name in driver_names(family):
        try:
            yield name, load_driver(family, name)
        except ImportError:
            continue
