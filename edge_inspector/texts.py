"""Make texts from outside safe for a log, a terminal, a page and a spreadsheet."""

from __future__ import annotations

import re
from typing import Final

# up to the last @, because a password may contain @ and slashes
_USER: Final = re.compile(r"(?<=://)\S*@")
_SECRET: Final = re.compile(r"(?i)(?<=[?&;\s])([\w-]*(?:pass|pwd|pw|token|secret|auth)[\w-]*=)[^&\s]+")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def without_passwords(text: str) -> str:
    """The text with *** in place of user and password of each URL, and of the secrets in its parameters."""
    return _SECRET.sub(r"\1***", _USER.sub("***@", text))


def printable(text: str) -> str:
    """The text with every control character escaped, because a terminal would execute it."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def harmless(text: str) -> str:
    """`text` as a cell that no spreadsheet takes for a formula: names come from models, cameras and people."""
    return f"'{text}" if text.startswith(_FORMULA) else text
