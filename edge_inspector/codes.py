"""Every code that the station sends, with its meaning and what to do. Docs, alerts and messages use these words.

Values and names are on the wire and never change. `{name}` in a sentence is the subject of the condition, for example
the name of a camera.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from functools import cached_property
from typing import Self


class _Code(IntEnum):
    """A number with its meaning and remedy. The remedy is empty if there is nothing to do."""

    meaning: str
    remedy: str
    _value_: int

    def __new__(cls, value: int, meaning: str = "", remedy: str = "") -> Self:
        """A member of this value."""
        member = int.__new__(cls, value)
        member._value_, member.meaning, member.remedy = value, meaning, remedy
        return member


class Decision(_Code):
    """The decision on a part. The values are those on the wire."""

    ACCEPT = 1, "the part was inspected, and nothing exceeds the recipe's limits"
    REJECT = 2, "the part was inspected, and a defect exceeds the recipe's limits"
    NOT_INSPECTED = 3, "the part could not be inspected, and the reason says why"


class Reason(_Code):
    """The reason of a decision. The values are those on the wire.

    `meaning` ends a sentence with "because".
    """

    NONE = 0, "nothing is wrong"
    DEFECT = 1, "a defect exceeds the recipe's limits"
    LATE = 10, "the model had no time for it", "Lower the belt speed or call the engineer."
    MAILBOX_FULL = 11, "more frames waited than the queue holds", "Lower the belt speed or call the engineer."
    FRAME_MISSING = 12, "a view never came", "Check the camera's trigger cable and its `offset_mm`."
    CAMERA_LOST = 13, "a camera did not answer", "Check the camera's cable and power."
    INCOMPLETE_FRAME = 14, "a frame arrived damaged", "Check the camera's cable and network."
    BAD_IMAGE = (
        15,
        "a picture was too dark, saturated, blurred, frozen, or unlike a good part",
        "Check light, lens and what the camera sees.",
    )
    POSITION_UNKNOWN = (
        16,
        "the belt's position was not known well enough",
        "Check the encoder, the PLC and its network.",
    )
    INFERENCE_FAILED = 17, "the model failed", "Call the engineer. The log has the runtime's message."
    DISABLED = (
        18,
        "the PLC's enable bit or a command had switched inspection off",
        "Switch it on where it was switched off.",
    )
    DAEMON_RESTARTED = (
        19,
        "the part was triggered before this daemon ran",
        "It ends with the next parts. If it comes again, read the log.",
    )
    PLC_RESTARTED = (
        20,
        "the PLC restarted while the part was on its way",
        "It ends with the next parts. If it comes again, look at the PLC.",
    )
    TRIGGER_LOST = (
        21,
        "the trigger ring had already lost the part's position",
        "Find out why the PLC could not be read in time.",
    )
    STOPPING = 22, "the daemon was stopping", "Start it again."
    WRONG_RECIPE = (
        23,
        "the PLC expected another recipe than the one loaded",
        "Choose the recipe of the product on the belt.",
    )
    CHALLENGE = (
        24,
        "the station has not passed its challenge, and the station file lets it block the line",
        "Put the challenge parts through the line.",
    )
    CHANGING = (
        25,
        "the station was still changing to the part's recipe",
        "It ends when the recipe's model is loaded. The condition `recipe_changing` or `model_not_loaded` says more.",
    )

    @cached_property  # asked for every view of every part
    def label(self) -> str:
        """The name in metrics, logs and MQTT."""
        return self.name.lower()


class CommandName(StrEnum):
    """The commands that the station accepts."""

    SELECT_RECIPE = "select_recipe"
    ENABLE = "enable"
    DISABLE = "disable"
    RESET = "reset"
    INSPECT = "inspect"
    CHALLENGE = "challenge"
    NEW_ROLL = "new_roll"


class Promise(StrEnum):
    """What a station promises for each part, the strongest first. docs/safety.md says what each word means."""

    ACKNOWLEDGED = "acknowledged"
    COUNTED = "counted"
    UNCOUNTED = "uncounted"
    TIMED = "timed"
    BENCH = "bench"

    @property
    def rank(self) -> int:
        """0 is the strongest promise."""
        return list(Promise).index(self)


class StationState(StrEnum):
    """The state that the daemon reports on every link."""

    meaning: str
    _value_: str

    def __new__(cls, value: str, meaning: str = "") -> Self:
        """A member with its meaning."""
        member = str.__new__(cls, value)
        member._value_, member.meaning = value, meaning
        return member

    STARTING = "starting", "The daemon is starting."
    READY = "ready", "Every part is inspected and gets its verdict in time."
    DEGRADED = "degraded", "Every part gets its verdict in time, but something is wrong."
    OFF = "off", "Inspection is switched off."
    FAULT = "fault", "A verdict may be late or missing, or nobody can rely on the inspection."
    STOPPING = "stopping", "The daemon is stopping."


class ErrorCode(_Code):
    """The error code behind DEGRADED or FAULT. The values are those on the wire and never change their meaning.

    `meaning` and `remedy` are whole sentences. The operator page shows one after the other.
    """

    NONE = 0, "Nothing is wrong."
    CAMERA_LOST = (
        101,
        "Camera {name} does not answer. Its parts are not inspected.",
        "Check its cable and power. The station opens it again by itself.",
    )
    BAD_PICTURES = (
        102,
        "Pictures of {name} are too dark, too bright, blurred, frozen, or unlike a good part.",
        "Check light and lens. The limits are in the recipe's `picture`.",
    )
    CAMERA_LEFT_OUT = (
        103,
        "Camera {name} has crashed the program several times and is left out.",
        "Look at the camera and its firmware. Then give RESET or restart the service.",
    )
    CAMERA_ADJUSTED = (
        104,
        "Exposure or gain of camera {name} is not as in the station file. The model sees other pictures.",
        "Look whether parts are still judged right. Then write the values into the station file, or set the old ones.",
    )
    ENCODER_LOST = (
        201,
        "The belt's position is not known. No part is inspected.",
        "Check the PLC, its cable and `encoder.settings`.",
    )
    COUNT_MISMATCH = (
        202,
        "Camera {name} counts the belt differently from the PLC. Its parts are not inspected.",
        "Reset both counters together. Check that the reset line is wired to both.",
    )
    LINE_MISMATCH = (
        203,
        "Encoder and photo-eye do not match the station file ({name}).",
        "Run `edge-inspector check`. It measures the line and says what to write.",
    )
    WEB_BACKWARDS = (
        204,
        "The web ran backwards ({name}). It is not inspected until it is forward of where it was.",
        "Let it run forward. If it did run forward, swap the encoder's A and B.",
    )
    INFERENCE_FAILED = (
        301,
        "The model failed.",
        "The station starts it again by itself. If it fails often, read the log.",
    )
    MASKS_SILENT = (
        302,
        "The model may not be able to find defects. Its masks have only few different values.",
        (
            "Run `edge-inspector model evaluate` on parts that are known to be bad. "
            "Unless it has found some, parts are not inspected."
        ),
    )
    MODEL_NOT_LOADED = (
        303,
        "The model of the recipe in force ({name}) cannot be loaded. No part of this product is inspected.",
        "The message says why. The station tries again by itself. Until then choose another recipe.",
    )
    PLC_RING_FULL = (
        401,
        "The PLC ({name}) acknowledges no verdicts.",
        "Check that its program runs and calls the function block in each scan.",
    )
    PLC_TRIGGERS_LOST = (
        402,
        "More parts came between two readings of {name} than the trigger ring holds.",
        "Lower `interval_ms` of the link, or see why the PLC was away. It ends after half a second without one.",
    )
    PLC_LOST = (
        403,
        "The PLC ({name}) does not answer or is in STOP.",
        "Check the PLC, its cable and the link's settings.",
    )
    VERDICT_LATE = (
        404,
        "A verdict reached {name} when its part may have been at the gate.",
        "Raise `line.reserve_ms`, or see what keeps the computer busy. It ends after half a second without one.",
    )
    OTHER_WRITER = (
        405,
        "Another station or program writes to the PLC ({name}).",
        "Stop it. Check the parts that the message names. Then give RESET.",
    )
    PLC_NUMBERS = (
        406,
        "Numbers of the PLC ({name}) fell back or jumped.",
        (
            "Check the parts that the message names. Then give RESET. "
            "A PLC program that counts from the start again must publish a new `boot_id`."
        ),
    )
    BROKER_LOST = (
        501,
        "The broker ({name}) does not answer. Verdicts wait in the outbox.",
        "Check the broker and its network.",
    )
    OUTBOX_FULL = (
        502,
        "The outbox of {name} is full.",
        "Bring the broker back. Until then the newest messages are refused.",
    )
    NO_SUBSCRIBER = (
        503,
        "Nobody reads the rejects on {name}, or the broker refuses a topic.",
        "Start the program that fires the gate over MQTT. Check the broker's rights for this station.",
    )
    MESSAGE_TOO_LARGE = (
        504,
        "A verdict is too large for the broker ({name}).",
        "Raise the broker's limit on the packet size.",
    )
    RECIPE_MISMATCH = (
        601,
        "The PLC expects another recipe than the one loaded. No part is inspected.",
        "Load the recipe of the product on the belt.",
    )
    CRITERIA_CHANGED = (
        602,
        "Recipe, limits, model or runtime are not those of the last run.",
        "Read in the log what changed. If the change is wanted, give RESET.",
    )
    PARTS_NOT_INSPECTED = (
        603,
        "More parts are not inspected than the recipe allows.",
        "The message names the main reason and what to do.",
    )
    LINE_BLIND = (
        604,
        "So many parts are not inspected that nobody can rely on this station.",
        "The message names the main reason and what to do.",
    )
    MANY_REJECTS = (
        605,
        "Too many parts are rejected, several in a row or too large a share.",
        "Look at the rejected parts, then at tool and material. The limits are in the recipe's `alarm`.",
    )
    SWITCHED_OFF = (
        606,
        "Inspection is switched off (by {name}). No part is inspected.",
        "Switch it on where it was switched off.",
    )
    UNTRUSTED = (
        607,
        "Recipes or models are not as somebody has signed them whom this station trusts ({name}).",
        "The message says what and why. Sign them with `edge-inspector sign`, or look who changed them.",
    )
    CHALLENGE_DUE = (
        608,
        "The station must prove that it still finds what it must ({name}).",
        "Put the challenge parts through the line. The Checks page says which.",
    )
    CHALLENGE_FAILED = (
        609,
        "The station judged a challenge part wrongly, or the part never came ({name}).",
        "The message names the part. Look at it, at lamps and lenses. Then repeat the challenge.",
    )
    RECIPE_CHANGING = (
        610,
        "The station is changing to another product ({name}). Its parts are not inspected yet.",
        "It ends by itself. Raise `segmenter.preload_mb` if there is memory for both models.",
    )
    ROLLOUT_BACK = (
        611,
        "What a roll-out has brought ({name}) goes back by itself, or has gone back.",
        "The message says why, and whether it waits for a stop. Look at the parts in question, then give RESET.",
    )
    ROLLOUT_REFUSED = (
        612,
        "A model or recipe that was sent to this station was refused.",
        "The message says why. Send one that fits this station, or give RESET.",
    )
    ROLLOUT_WAITS = (
        613,
        "A roll-out ({name}) has been waiting for a stop of the line for too long.",
        "Stop the line for `rollout.quiet_s` between two batches, or call it back with `edge-inspector rollout`.",
    )
    ARCHIVE_INCOMPLETE = (
        701,
        "Results or pictures could not be kept. Verdicts are not affected.",
        "Free the disk, or find out what slows it.",
    )
    SIDE_WORKER_FAILED = (
        702,
        "A thread that no verdict needs ({name}) failed for good or hangs.",
        "Read the log. Restart the service when it suits.",
    )
    STATE_LOST = (
        703,
        "Files of `state_dir` are damaged, gone or replaced, or cannot be used ({name}).",
        (
            "The message names the file and the cause. Make room if the disk is full. Otherwise the daemon makes a new "
            "file: find out who removed or damaged the old one."
        ),
    )
    CLOCK_STEPPED = (
        704,
        "The date of the clock cannot be trusted. Nothing is deleted by age.",
        "Set the clock (`timedatectl`). It ends when date and stored parts match again, or after three days.",
    )
    PAGE_LOST = (
        705,
        "The operator page cannot be served.",
        (
            "Check that no other program has the port, and that `web.host` is an address of this computer. "
            "The daemon tries again by itself."
        ),
    )
    RECORD_ENDED = (
        706,
        "The record of this shift has ended. Verdicts are not affected.",
        "The message says why. The next start of the service begins a new record.",
    )
    CERTIFICATE_ENDS = (
        707,
        "The certificate of the operator page ({name}) has expired or expires soon.",
        "Renew `web.certificate` on the disk. The page then uses the new one by itself.",
    )
    DRIFT = (
        801,
        "Pictures or defects differ from the reference, or limits reject more good parts than promised ({name}).",
        "Look at lamps, lenses and parts. If it says false rejects, calibrate the limits again.",
    )
    PICTURES_UNGUARDED = (
        802,
        "Nothing guards against a picture without a part ({name}).",
        "Teach the picture guard while good parts run, on the Health view or with `edge-inspector guard`.",
    )
    WORKER_FAILED = (
        901,
        "A thread ({name}) failed for good or hangs.",
        "Read the log. The service manager restarts the daemon.",
    )
