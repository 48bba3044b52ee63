"""Texts from outside, made fit to be shown in a log, on a terminal and on a page."""

from __future__ import annotations

import re
from typing import Final

# Up to the last @: a password may have one of its own, and slashes.
_USER: Final = re.compile(r"(?<=://)\S*@")
_SECRET: Final = re.compile(r"(?i)(?<=[?&;\s])([\w-]*(?:pass|pwd|pw|token|secret|auth)[\w-]*=)[^&\s]+")


def without_passwords(text: str) -> str:
    """The text with *** for the user and password of each URL, and for what its parameters keep secret."""
    return _SECRET.sub(r"\1***", _USER.sub("***@", text))


def printable(text: str) -> str:
    """The text with every character escaped that a terminal would obey instead of showing it."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
