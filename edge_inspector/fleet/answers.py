"""What stations say of themselves, checked. All of it comes from outside, and what is shown is short and harmless."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from edge_inspector.fleet.fetch import FetchError
from edge_inspector.fleet.problems import Problem
from edge_inspector.fleet.tables import address_of
from edge_inspector.texts import printable, without_passwords

_LONGEST_NAME = 64
_LONGEST_WHY = 500
_MOST_REASONS = 200
_JOINERS: Final = "\u200c\u200d"  # they have no glyph, and some scripts cannot be written without them
_ENTRY = re.compile(rb'(\w{1,64})="((?:[^"\\]|\\.){0,1024})"')
_PARTS = b"\nedge_inspector_parts_processed_total{"
_INFO = b"\nedge_inspector_station_info{"


def shown(text: str, longest: int = _LONGEST_NAME) -> str:
    """A text of somebody else as it may be shown: one line, without characters that turn or hide what is around it."""
    text = unicodedata.normalize("NFC", without_passwords(text[: 4 * longest]))
    safe = "".join(each if each in _JOINERS else printable(each) for each in text).strip()
    return safe if len(safe) <= longest else f"{safe[: longest - 1]}…"


def _name(text: str) -> str:
    return shown(text)


def _why(text: str) -> str:
    return shown(text, _LONGEST_WHY)


_Shown = Annotated[str, AfterValidator(_name)]
_Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class _Outside(BaseModel):
    """What a newer station says in addition is not read."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class ToldReason(_Outside):
    """One condition of a station, by its code and in its own words."""

    code: _Word
    subject: _Shown = ""
    why: Annotated[str, AfterValidator(_why)] = ""
    since_s: Annotated[float, Field(ge=0)] = 0.0


class ToldRollout(_Outside):
    """The latest roll-out at a station."""

    package: _Shown = ""
    step: _Word


class Health(_Outside):
    """The body of `/healthz`. Without the token it has the state only. An older station does not tell name and time."""

    state: _Word
    reasons: Annotated[tuple[ToldReason, ...] | None, Field(max_length=_MOST_REASONS)] = None
    station: _Shown = ""
    boot_id: int = 0
    version: _Shown = ""
    utc: AwareDatetime | None = None
    rollout: ToldRollout | None = None


class ToldState(_Outside):
    """A message on `state`, as far as it is of use here."""

    station: _Shown = ""
    boot_id: int = 0
    state: _Word
    error: _Word = "none"
    utc: AwareDatetime | None = None


def _page(text: str) -> str:
    return address_of(text) or ""


class ToldBirth(_Outside):
    """A message on `birth`: who a station is, and where its page is. A page that is no address is left out."""

    station: _Shown
    boot_id: int = 0
    version: _Shown = ""
    page: Annotated[str, AfterValidator(_page)] = ""
    site: _Shown = ""
    place: _Shown = ""


@dataclass(frozen=True, slots=True)
class PartCounts:
    """Parts of this run of a station, and the name that it gives itself."""

    parts: int
    rejected: int
    not_inspected: int
    station: str = ""

    def since(self, before: PartCounts | None) -> PartCounts:
        """The parts since an earlier reading of the same run, or all of this run."""
        if before is None or before.parts > self.parts:
            return self
        return PartCounts(
            self.parts - before.parts,
            max(0, self.rejected - before.rejected),
            max(0, self.not_inspected - before.not_inspected),
            self.station,
        )


def health_of(body: bytes) -> Health:
    """The answer of `/healthz`. Raises FetchError if it is none."""
    try:
        return Health.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise FetchError(Problem.RUBBISH, shown(f"{where}: {first['msg']}".removeprefix(": "), 120)) from error


def figures_of(body: bytes) -> PartCounts:
    """What `/metrics` says of the parts. Raises FetchError if it is no page of metrics of a station."""
    counts, info = {}, _labels_at(body, body.find(_INFO), _INFO)
    at = body.find(_PARTS)
    while at >= 0:
        labels = _labels_at(body, at, _PARTS)
        counts[labels.get("decision", "")] = _count(body, at)
        at = body.find(_PARTS, at + 1)
        if len(counts) > 16:
            break
    if not counts:
        raise FetchError(Problem.RUBBISH, "no metrics of a station")
    return PartCounts(
        sum(counts.values()), counts.get("reject", 0), counts.get("not_inspected", 0), shown(info.get("station", ""))
    )


def _labels_at(body: bytes, at: int, metric: bytes) -> dict[str, str]:
    if at < 0:
        return {}
    end = body.find(b"\n", at + 1)
    line = body[at + len(metric) : min(end, at + 8192) if end >= 0 else at + 8192]
    return {key.decode(): value.decode(errors="replace") for key, value in _ENTRY.findall(line)}


def _count(body: bytes, at: int) -> int:
    """The number at the end of the line that begins behind `at`. Raises FetchError."""
    end = body.find(b"\n", at + 1)
    text = body[at + 1 : end if end >= 0 else len(body)].rpartition(b" ")[2]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1 << 53:
        raise FetchError(Problem.RUBBISH, shown(f"a number of parts is {text[:40]!r}"))
    return int(value)


def ahead_s(said: datetime | None, asked: datetime, answered: datetime) -> float | None:
    """How far a clock was ahead that said this time between two instants of ours. Negative: behind. None: unknown."""
    if said is None:
        return None
    if said > answered:
        return (said - answered).total_seconds()
    return min(0.0, (said - asked).total_seconds())
