"""sd_notify: a datagram to the service manager, if there is one."""

from __future__ import annotations

import os
import socket


def notify(message: str) -> bool:
    """Send a message such as `READY=1` or `WATCHDOG=1`. Returns whether a service manager received it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        # The socket is created within the try. If no file descriptor is free for a moment, the watchdog message must
        # not end the daemon.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(0)
            channel.sendto(message.encode(), address)
    except OSError:
        return False
    return True
