"""Refusals of a broker, or of the way to it, as texts that say what to do."""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any

from edge_inspector.mqtt.settings import MqttSettings
from edge_inspector.runtime.clock import utc_of

NOT_AUTHORIZED = 0x87  # MQTT 5 reason codes. paho translates those of 3.1.1 into them
NO_RETAIN = 0x9A
NO_QOS = 0x9B
SMALLEST_PACKET = 2048  # bytes that hold any verdict without its defects

KEEPS_NOTHING = "keeps no retained messages: nobody would see the state (mosquitto: retain_available true)"
QOS_0_ONLY = "allows QoS 0 only: verdicts could be lost (mosquitto: max_qos 1)"

_WRONG_ID, _WRONG_PASSWORD, _BANNED, _TAKEN_OVER = 0x85, 0x86, 0x8A, 0x8E
# OpenSSL's error numbers for a certificate (X509_V_ERR_*).
_NOT_YET_VALID, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64


def who(settings: MqttSettings) -> str:
    """The user, and its certificate, with which this station connects."""
    return "a station without username" if settings.username is None else f"user {settings.username!r}"


def refusal_words(reason: Any, settings: MqttSettings) -> str:
    """Why the broker refused the connection, from the reason in its answer."""
    password = settings.password_file or "password_file, which is not set"
    hints = {
        _WRONG_ID: "set client_id to one that the broker allows",
        _WRONG_PASSWORD: f"{who(settings)}, with the password in {password}",
        NOT_AUTHORIZED: f"{who(settings)}: check its password ({password}) and the broker's access list",
        _BANNED: f"{who(settings)}: check the broker's access list",
        NO_RETAIN: KEEPS_NOTHING,
        NO_QOS: QOS_0_ONLY,
    }
    hint = hints.get(reason.value)
    return f"{reason}: {hint}" if hint else str(reason)


def loss_words(reason: Any, client_id: str) -> str:
    """Why the broker ended a connection, if it says so."""
    return f"{reason}: {_namesake(client_id)}" if reason.value == _TAKEN_OVER else str(reason)


def often_words(client_id: str) -> str:
    """What to look for if connections end again and again, and the broker does not say why."""
    return f"again and again, as if {_namesake(client_id)}"


def _namesake(client_id: str) -> str:
    return f"another program connects as {client_id!r}. Each station needs a station.name or client_id of its own"


def connection_words(error: BaseException | None, settings: MqttSettings) -> str:
    """Why there is no connection, from the error of the attempt."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {_certificate_words(error, settings)}"
    if isinstance(error, ssl.SSLError) and "WRONG_VERSION_NUMBER" in str(error):
        return f"no TLS on port {settings.port}: set port to the broker's TLS port (often 8883), or remove tls_ca_file"
    if isinstance(error, socket.gaierror):
        return (
            f"no name server knows {settings.host!r}: write its address, or repair the name server ({error.strerror})"
        )
    if isinstance(error, ConnectionRefusedError):
        return f"{error}: does the broker run, and listen on port {settings.port}?"
    if isinstance(error, TimeoutError):
        return f"no answer within {settings.connect_timeout_s:g} s: is the address right? Does a firewall block it?"
    return str(error)


def _certificate_words(error: ssl.SSLCertVerificationError, settings: MqttSettings) -> str:
    clock = f"{utc_of(time.monotonic_ns()):%Y-%m-%d %H:%M} UTC"
    if error.verify_code == _NOT_YET_VALID:
        return f"it is not valid yet. Is this machine's clock right? It shows {clock}"
    if error.verify_code == _EXPIRED:
        return f"it has expired, or this machine's clock is wrong: it shows {clock}"
    if error.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
        return f"it is not for {settings.host!r}. Write host as the certificate has it"
    return f"{error.verify_message}. tls_ca_file must contain the authority that signed it"
