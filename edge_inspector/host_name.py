"""The name or address of a machine, as settings accept it."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, Field

_WITH_PORT = re.compile(r"([^:\[\]]+):(\d+)")
_IN_BRACKETS = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::(\d+))?")


def _alone(host: str) -> str:
    if "://" in host:
        alone = host.partition("://")[2].partition("/")[0].rpartition("@")[2]
        write = _apart(alone) or f'write host = "{alone}"'
        raise ValueError(f"must be a name or address alone: {write}")
    apart = _apart(host)
    if apart:
        raise ValueError(apart)
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise ValueError(
            "cannot be a host's name: a part between its dots is empty, too long or not allowed"
        ) from error
    if host.split() != [host]:
        raise ValueError("cannot be a host's name: there is a space in it")
    return host


def _apart(host: str) -> str:
    """What to write instead if the address contains a port. Empty if it does not."""
    found = _WITH_PORT.fullmatch(host) or _IN_BRACKETS.fullmatch(host)
    if found is None:
        return ""
    if found[2] is None:
        return f'write host = "{found[1]}", without brackets'
    return f'write host and port apart: host = "{found[1]}", port = {found[2]}'


Host = Annotated[str, Field(min_length=1), AfterValidator(_alone)]


def is_address(host: str) -> bool:
    """Whether `host` can be reached without a name server."""
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
