"""Who sends results, and what a place that takes them says if it gets too many at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_inspector.errors import DeviceError


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingStation:
    """Who sends. `products` are the names of its recipes by their id."""

    name: str
    identity: str
    pictures_url: str = ""
    products: Mapping[int, str] | None = None


class SmallerBatchError(DeviceError):
    """The server did not finish in time. Fewer rows may do."""
