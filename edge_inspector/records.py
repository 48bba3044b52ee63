"""The data that flows through the station, in the order of the flow.

Times are `time.monotonic_ns()`. Counts are belt counts, which rise as the belt runs and never wrap. Raw counts, and the
counts of a verdict that goes out, are as the PLC's counter shows them. Images are row-major with the belt's direction
along the rows (row 0 passed the camera first).

The codes are in `codes.py`. Drivers from outside may import them from here as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_inspector.codes import CommandName as CommandName
from edge_inspector.codes import Decision as Decision
from edge_inspector.codes import ErrorCode as ErrorCode
from edge_inspector.codes import Promise as Promise
from edge_inspector.codes import Reason as Reason
from edge_inspector.codes import StationState as StationState

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class EncoderSample:
    """One reading of the encoder.

    `count` is the raw 32-bit value. `device_ns` is the PLC's own clock at the instant of the count, or None if the
    source has no clock. The host sent the request at `asked_ns` and had the answer at `answered_ns`. A change of
    `boot_id` makes every earlier position invalid.
    """

    count: int
    device_ns: int | None
    asked_ns: int
    answered_ns: int
    _: KW_ONLY
    boot_id: int


@dataclass(frozen=True, slots=True)
class Position:
    """A position on the belt: unwrapped count, bound on its error in counts, and the epoch in which it is valid."""

    count: float
    error_counts: float
    epoch: int


def finite(value: float) -> float | None:
    """The value. None if it is infinite or no number, which files and messages cannot hold."""
    return value if math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class Bound:
    """The largest error of a position between two samples, in counts.

    It is the sum of three parts. One is the rounding. `bend` is the movement that the belt may make unseen within
    `span_s`. `doubt` is the movement within `doubt_s`, the uncertainty between the clocks.
    """

    bend: float
    doubt: float
    span_s: float
    doubt_s: float

    @property
    def counts(self) -> float:
        """The sum of all parts."""
        return 1 + self.bend + self.doubt


Called = Literal["", "good", "defect"]
"""What the PLC says a part is. "" if it says nothing."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """A part was announced: its number, and the raw 32-bit count latched at the photo-eye.

    If the count is not `latched`, the part was at the photo-eye at `at_ns`, to `error_ns` before or after. `at_ns` is
    also given if the announcement says itself when it was made. `part_id` is the announcer's own name of the part.
    `lost`: the announcer knows only that there was a part. `called`: what the part is known to be. It judges nothing.
    """

    part_seq: int
    count: int
    answered: bool
    _: KW_ONLY
    latched: bool = True
    at_ns: int | None = None
    error_ns: int = 0
    part_id: str = ""
    lost: bool = False
    called: Called = ""


@dataclass(frozen=True, slots=True)
class PlcInput:
    """One consistent reading of the data that the PLC publishes, requested at `asked_ns`.

    `missing_verdicts` counts the parts that reached the gate without a verdict, modulo 2**16. It is 0 if the PLC does
    not count them. `run` counts up when the link had to start over under the same `boot_id`. Parts of different runs
    never match, even if their numbers are equal. `fresh`: all parts of this run were triggered after the previous
    reading of the PLC. Parts up to `known_from` were announced before this station listened, and are not its own. If a
    link does not `announce`, only its requests and `line_running` count. `requests`: it says what it wants with
    `enable`, `reset`, `challenge` and `recipe_id`. `line_running` is None if it does not know.
    """

    boot_id: int
    heartbeat: int
    enable: bool
    reset: bool
    _: KW_ONLY
    line_running: bool | None
    recipe_id: int
    ack_session: int
    ack_seq: int
    trigger_seq: int
    triggers: tuple[Trigger, ...]
    asked_ns: int = 0
    missing_verdicts: int = 0
    run: int = 0
    fresh: bool = True
    known_from: int = 0
    announces: bool = True
    requests: bool = True
    challenge: bool = False

    @property
    def run_key(self) -> tuple[int, int]:
        """The key of this numbering of parts. No other numbering has the same key."""
        return self.boot_id, self.run


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFigures:
    """Figures of the sampled rows.

    `mean` is 0..255. `dark` and `saturated` are the shares of values at the ends of the scale, 0..1. `sharpness` is the
    brightness change over two pixels (RMS of both directions) in percent of the mean. `fingerprint` is the same for the
    same picture.
    """

    mean: float
    dark: float
    saturated: float
    sharpness: float
    fingerprint: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture. `image` is (H, W, 3) BGR or (H, W) grey, uint8.

    A reference to `image` keeps the picture without copying it. A camera reuses the memory only when no reference is
    left. Nobody may write into the image, because others may refer to it too.

    `captured_ns` is the middle of the exposure, with an error of at most `captured_error_ns`. `encoder_count` is set by
    cameras that latch it themselves, and `figures` by a camera process, which has looked at the picture already.
    `fits` are the recipes whose features the camera had when it took the picture. None if all have the same.
    """

    camera: str
    frame_id: int
    captured_ns: int
    exposure_ns: int
    _: KW_ONLY
    received_ns: int
    image: Image
    encoder_count: int | None = None
    captured_error_ns: int = 0
    figures: PictureFigures | None = None
    fits: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class CameraCounters:
    """A camera's own statistics since it was opened. The temperature is None if the camera does not report it."""

    frames_missed: int = 0
    underruns: int = 0
    packets_missing: int = 0
    packets_resent: int = 0
    _: KW_ONLY
    temperature_c: float | None = None


@dataclass(frozen=True, slots=True)
class ViewFigures:
    """Figures of a view's picture.

    Mean 0..255, sharpness in percent of the mean, and the most confident pixel of the mask 0..1. `confidence` is None
    if the model did not process the picture.
    """

    brightness: float
    sharpness: float
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A frame that waits for the model, its figures, and the belt position at which its part must be decided."""

    frame: Frame
    decide_by: float
    figures: ViewFigures


@dataclass(frozen=True, slots=True)
class Segmented:
    """A frame with the mask from the model, when the model began and how long it took.

    `by_model` has the mask of each model that looked, if the station has several. `mask` is the first of them.
    """

    job: Job
    mask: Image
    begun_ns: int
    inference_ns: int
    by_model: Mapping[str, Image] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Defect:
    """One connected region of one class in one view, measured in millimetres on the part.

    `box_mm` is the upright rectangle around it: left, top, right and bottom from the corner of the picture.
    """

    camera: str
    defect_class: str
    _: KW_ONLY
    area_mm2: float
    length_mm: float
    confidence: float
    x_mm: float
    y_mm: float
    box_mm: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class View:
    """One camera's judged picture of a part, or the reason why it could not be judged.

    `begun_ns` is when the model began with it, and `inference_ns` how long the model took. The defects are those of
    recipe `recipe_id` (0: of any recipe). While recipes change, `others` has the same view judged by the other recipes
    in use.
    """

    camera: str
    frame_id: int
    captured_ns: int
    _: KW_ONLY
    exposure_ns: int = 0
    encoder_count: int | None = None
    defects: tuple[Defect, ...] = ()
    failure: Reason = Reason.NONE
    received_ns: int = 0
    begun_ns: int = 0
    inference_ns: int = 0
    doubtful: bool = False
    figures: ViewFigures | None = None
    recipe_id: int = 0
    others: tuple[View, ...] = ()
    captured_error_ns: int = 0

    @classmethod
    def unseen(cls, frame: Frame, figures: ViewFigures | None, reason: Reason) -> View:
        """A view of a frame that the model did not process, and the reason."""
        return cls(
            frame.camera,
            frame.frame_id,
            frame.captured_ns,
            exposure_ns=frame.exposure_ns,
            encoder_count=frame.encoder_count,
            failure=reason,
            figures=figures,
            captured_error_ns=frame.captured_error_ns,
        )

    def by(self, recipe_id: int) -> View:
        """This view as judged by that recipe.

        It is a failure if the recipe was not in use yet when the picture was judged.
        """
        if self.recipe_id in (0, recipe_id):
            return self
        for view in self.others:
            if view.recipe_id == recipe_id:
                return view
        return replace(self, defects=(), failure=Reason.WRONG_RECIPE, doubtful=False, recipe_id=recipe_id, others=())


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The result of a command. `error` is empty if it was done. `recipe_id` is the recipe in force now."""

    error: str
    recipe_id: int


@dataclass(frozen=True, slots=True)
class Command:
    """A command to the station. `source` and `id` identify it.

    A repeated command is answered but not done again. `reply` is called exactly once, from any thread, and must return
    at once. `why` is the sender's reason, for the audit trail.
    """

    source: str
    id: str
    name: CommandName
    reply: Callable[[CommandResult], None]
    _: KW_ONLY
    recipe_id: int = 0
    why: str = ""


JudgeItem = View | PlcInput | Command
"""Everything that the judge can receive."""


@dataclass(frozen=True, slots=True)
class PlacedView:
    """A view with its position on the belt."""

    view: View
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One triggered part: where its leading edge met the photo-eye, and where the gate will meet it.

    If `positioned` is not set, the counts are not positions of any epoch. `handicap` says why the station may have
    missed its views. The station learned of the part at `announced_ns`. At `unseen_ns` the PLC did not show it yet.
    Before `not_before_ns` it was not at the photo-eye (0: not known). `recipe_id` is the recipe in force at the
    trigger, and this recipe judges the part. `run` separates numberings of parts under one `plc_boot_id`.
    `error_counts` bounds the error of `trigger_count`: 0 if it was latched. `part_id` is the announcer's own name, and
    `called` what it says of the part.
    """

    part_seq: int
    plc_boot_id: int
    epoch: int
    trigger_count: int
    due_count: int
    positioned: bool = True
    handicap: Reason = Reason.NONE
    announced_ns: int = 0
    unseen_ns: int = 0
    recipe_id: int = 0
    not_before_ns: int = 0
    run: int = 0
    error_counts: float = 0.0
    part_id: str = ""
    called: Called = ""

    @property
    def run_key(self) -> tuple[int, int]:
        """The `run_key` of the reading that announced the part."""
        return self.plc_boot_id, self.run


@dataclass(frozen=True, slots=True, kw_only=True)
class RollMark:
    """One defect of a web: along it from the start of the roll, across it from its edge.

    A defect that goes on in the next stretch comes again with the same number, and larger. `area_mm2` is the largest
    that one picture showed. `error_mm` bounds the error of its place along the web.
    """

    number: int
    defect_class: str
    camera: str
    from_mm: float
    to_mm: float
    left_mm: float
    right_mm: float
    area_mm2: float
    confidence: float
    error_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The stretch of a web that a piece is, from the start of its roll, and the marks that are new or larger.

    `roll_number` counts the rolls of this run. `breaks`: how often in this roll the encoder lost its count, so that
    nobody knows how much web passed.
    """

    roll: str
    roll_number: int
    from_mm: float
    to_mm: float
    marks: tuple[RollMark, ...] = ()
    breaks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The one final decision on a part. `seq` numbers the verdicts of this daemon's run (`boot_id`) from 1.

    `rejects` is what the gate will do. `due_ns` is the earliest host time at which the part can be at the gate.
    `criteria` is the fingerprint of recipe, limits, model file and runtime. `challenge` is the name of the challenge
    part that it was, "" for any other part. `stretch` is set for a piece of a web.
    """

    boot_id: int
    seq: int
    part: Part
    decision: Decision
    reason: Reason
    rejects: bool
    grade: str
    defects: tuple[Defect, ...]
    views: tuple[PlacedView, ...]
    error_mm: float
    recipe_id: int
    recipe_hash: str
    model: str
    decided_ns: int
    due_ns: int
    review: bool = False
    missing_views: tuple[str, ...] = ()
    late: bool = False
    criteria: str = ""
    challenge: str = ""
    stretch: Stretch | None = None

    @property
    def latency_ns(self) -> int:
        """Time from the middle of the last view's exposure to the decision. 0 without a view."""
        return min((self.decided_ns - placed.view.captured_ns for placed in self.views), default=0)


@dataclass(frozen=True, slots=True)
class OpenPart:
    """A part between photo-eye and verdict, and the cameras that have seen it up to now."""

    part: Part
    cameras: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """For display: the parts on the belt as the judge sees them, and its last verdicts, oldest first."""

    parts: tuple[OpenPart, ...]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A link's peer has held the verdict (boot_id, seq) since `delivered_ns`."""

    boot_id: int
    seq: int
    link: str
    delivered_ns: int


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A frame on which the shadow model disagrees: it `rejects` or `accepts`, and the first model did not.

    `mask` is the mask of the shadow model, as `Segmenter.segment` returns it for its `classes`.
    """

    camera: str
    frame_id: int
    captured_ns: int
    _: KW_ONLY
    opinion: str
    model: str
    classes: tuple[str, ...]
    defects: tuple[Defect, ...]
    mask: Image


@dataclass(frozen=True, slots=True)
class Choice:
    """The recipe selected at run time. It is valid as long as the station file starts with `configured`."""

    configured: int
    chosen: int


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody changed: `who` did `what` to `subject`, from `before` to `after`, and `why`. "" where unknown.

    `who` is "page:NAME", "mqtt", "plc", "files" (somebody edited a file), "command:NAME" (on the command line) or
    "station" (it saw that its clock was set).
    """

    who: str
    what: str
    subject: str = ""
    _: KW_ONLY
    before: str = ""
    after: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeSeen:
    """What the station said of one challenge part, and whether that was `right`. `seq` numbers the verdict."""

    name: str
    expect: str
    decision: str
    reason: str
    found: tuple[str, ...]
    right: bool
    boot_id: int
    seq: int
    part_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeRun:
    """One challenge of the station, from its begin to its end. `why` it failed is "" if it was passed.

    `who` began it, as in `Change`. `expected` is how many parts it needs.
    """

    who: str
    recipe_id: int
    criteria: str
    expected: int
    begun_ns: int
    ended_ns: int
    parts: tuple[ChallengeSeen, ...]
    why: str

    @property
    def passed(self) -> bool:
        """Whether every part came and was judged as it must be."""
        return not self.why


ArchiveItem = Verdict | Delivery | Disagreement | Choice | Change | ChallengeRun
"""Everything that the archive can receive."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A kept frame with its image, and the model's mask. The mask is None if the frame was not inferred.

    `by_model` has the mask of each model that looked, if the station has several.
    """

    frame: Frame
    mask: Image | None
    by_model: Mapping[str, Image] = field(default_factory=dict)

    def by(self, model: str) -> Image | None:
        """The mask of this model, by the name that recipes give it. None if it did not look."""
        return self.by_model.get(model) if self.by_model else self.mask

    @property
    def image(self) -> Image:
        """The pixels of the picture."""
        return self.frame.image


@dataclass(frozen=True, slots=True)
class StationStatus:
    """The daemon's state at one instant. `alarm`: too many parts are rejected, and a person should look."""

    state: StationState
    error_code: ErrorCode
    recipe_id: int
    _: KW_ONLY
    parts: int = 0
    rejected: int = 0
    not_inspected: int = 0
    busy: bool = False
    enabled: bool = True
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class GateTime:
    """When the part's leading edge will be at the gate if the belt goes on as it runs now, on the host's clock.

    `at_ns` is None while the belt stands. `error_ns` is None if the part's position cannot be trusted: then it is only
    likely to be there.
    """

    at_ns: int | None
    error_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutTold:
    """The latest roll-out at this station: what it brought, how far that is, what it waits to become, and since when.

    `why` is empty unless it went back, or goes back. `since` is None if an earlier version wrote it down.
    """

    package: str
    step: str
    wanted: str
    since: datetime | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The sender on a link: the station's name, this run of it, and what a peer needs to read its numbers.

    `parts_per_s` is the most that belt speed and pitch allow. `gate_time` is for peers that cannot see the belt. It may
    be called at any time, and gives None if the position of the part is not known any more. `rollout` is the latest
    roll-out, None if there was none.
    """

    station: str
    boot_id: int
    state_dir: Path
    counts_per_mm: float
    defect_classes: tuple[str, ...]
    parts_per_s: float = 100.0
    promise: Promise = Promise.ACKNOWLEDGED
    gate_time: Callable[[Verdict], GateTime | None] = lambda _: None
    rollout: Callable[[], RolloutTold | None] = lambda: None


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A loaded model, and how it really runs.

    `fell_back`: a better provider, installed or listed, did not start. `runtime` is the runtime with its version.
    `before` is a first stage that filters out clear frames before this model. `blind` says why its masks can never mean
    "defective". `doubt` says what its numbers may hide. Both are empty if nothing indicates it. `values` are the values
    in the masks of test pictures full of edges, lines and blobs. It is empty if no such pictures were tried. `proven`:
    by a score in its manifest, of this precision, it found defective parts. `licences` are what manifest and files say.
    """

    name: str
    version: str
    sha256: str
    classes: tuple[str, ...]
    _: KW_ONLY
    height: int
    width: int
    channels: int
    stride: int
    precision: str
    provider: str
    limits: dict[str, tuple[float, float]] = field(default_factory=dict)
    fell_back: bool = False
    runtime: str = ""
    before: str = ""
    blind: str = ""
    doubt: str = ""
    values: frozenset[int] = frozenset()
    proven: bool = False
    licences: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The model id in verdicts."""
        return f"{self.name}-{self.version}/{self.precision}/{self.provider}"
