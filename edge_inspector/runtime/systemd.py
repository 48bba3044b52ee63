"""sd_notify: a datagram to the service manager, where there is one."""

from __future__ import annotations

import os
import socket


def notify(message: str) -> bool:
    """Whether a service manager was told, e.g. `READY=1` or `WATCHDOG=1`."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        # In here too: the watchdog must not end the daemon because no descriptor is left for a moment.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(0)
            channel.sendto(message.encode(), address)
    except OSError:
        return False
    return True
