"""Values in the address of a request."""

from __future__ import annotations

from datetime import datetime


def instant(text: str | None) -> datetime | None:
    """A date with its time zone. None if there is none. Raises ValueError."""
    if not text:
        return None
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without its zone")
    return found


def number(text: str | None) -> int | None:
    """A number that a row can have. None if there is none. Raises ValueError."""
    if not text:
        return None
    found = int(text)
    if not 0 <= found < 1 << 62:
        raise ValueError("a number out of range")
    return found
