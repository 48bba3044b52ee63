"""The reasons why a part was not inspected, in words, with a remedy. Messages and the documentation use them."""

from __future__ import annotations

from typing import NamedTuple

from edge_inspector.records import Reason


class Explained(NamedTuple):
    """The meaning of a reason, as the end of a sentence with "because", and the remedy. Empty if none is needed."""

    meaning: str
    remedy: str = ""


EXPLAINED = {
    Reason.NONE: Explained("nothing to say"),
    Reason.DEFECT: Explained("a defect beyond the recipe's limits"),
    Reason.LATE: Explained("the model could not look in time", "lower the belt speed or call the engineer"),
    Reason.MAILBOX_FULL: Explained(
        "more frames waited than the queue holds", "lower the belt speed or call the engineer"
    ),
    Reason.FRAME_MISSING: Explained(
        "a view never came, and nothing is known to be wrong", "check the camera's trigger cable and its `offset_mm`"
    ),
    Reason.CAMERA_LOST: Explained("a camera was, or had just been, out of reach", "check the camera's cable and power"),
    Reason.INCOMPLETE_FRAME: Explained("a frame arrived damaged", "check the camera's cable and network"),
    Reason.BAD_IMAGE: Explained(
        "a picture was too dark, saturated, blurred, or the same again", "check light, lens and what the camera sees"
    ),
    Reason.POSITION_UNKNOWN: Explained(
        "the belt's position was not known well enough", "check the encoder, the PLC and its network"
    ),
    Reason.INFERENCE_FAILED: Explained("the model's session failed", "call the engineer: the log has the words"),
    Reason.DISABLED: Explained(
        "inspection was switched off, by the PLC's enable bit or by a command", "switch it on where it was switched off"
    ),
    Reason.DAEMON_RESTARTED: Explained(
        "the part was triggered before this daemon ran", "over with the next parts; if it comes again, read the log"
    ),
    Reason.PLC_RESTARTED: Explained(
        "the PLC started anew while the part was on its way",
        "over with the next parts; if it comes again, look at the PLC",
    ),
    Reason.TRIGGER_LOST: Explained(
        "the trigger ring had already lost the part's position", "find out why the PLC could not be read in time"
    ),
    Reason.STOPPING: Explained("the daemon was being stopped", "start it again"),
    Reason.WRONG_RECIPE: Explained(
        "the PLC expects another recipe than the one loaded", "choose the recipe of the product on the belt"
    ),
}
