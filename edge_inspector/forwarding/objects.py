"""Objects in an S3-compatible store: small ones as a whole, with errors in words that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any, Final

from edge_inspector.errors import ConfigError, DeviceError, Fault
from edge_inspector.forwarding.bucket_settings import BucketTable
from edge_inspector.forwarding.sender import SmallerBatchError
from edge_inspector.texts import printable

_LONGEST: Final = 256 * 2**20  # bytes of one object. Ours have less than one hundredth
_SAID: Final = 300  # signs of what the library says. The rest is for its authors
_CONNECT: Final = timedelta(seconds=10)

# By a piece of what the library or the server says. The first one that is found counts.
_BY_WORDS: Final = {
    "NoSuchBucket": "there is no bucket {bucket!r}: make it, or correct bucket.bucket",
    "RequestTimeTooSkewed": "the clock of this station is wrong: check `timedatectl`",
    "InvalidAccessKeyId": "it does not know this access key: look into {access}",
    "SignatureDoesNotMatch": "the secret key does not fit the access key: look into {secret}",
    "AccessDenied": "the key may not do that: it needs to list, read and write below {prefix!r}",
    "QuotaExceeded": "it is full: make room there. The station keeps the results meanwhile",
    "StorageFull": "it is full: make room there. The station keeps the results meanwhile",
    "507 Insufficient": "it is full: make room there. The station keeps the results meanwhile",
    "ertificate": "its certificate was not signed by {authority}, has expired, or is for another name",
    "dns error": "no name server knows this host: correct bucket.endpoint",
    "Connection refused": "nothing listens there: is it running?",
    "timed out": "no answer within {timeout:g} s: check the address and the firewall. It is tried again",
    "error sending request": "no answer: check the address and the firewall",
}


class ObjectChangedError(DeviceError):
    """Somebody else has written this object meanwhile."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it was read. `tag` names this version of it."""

    content: bytes
    tag: str | None


class Objects:
    """The objects of one bucket below its prefix. Every method raises DeviceError. The constructor opens nothing yet.

    Raises ConfigError if the library or a key is missing.
    """

    def __init__(self, settings: BucketTable) -> None:
        self._settings = settings
        self._library, self._wrong = _library()
        self._secrets = settings.keys()
        self._store = import_module("obstore.store").S3Store(
            settings.bucket,
            prefix=settings.prefix.rstrip("/") or None,
            config={
                "endpoint": settings.endpoint,
                "region": settings.region,
                "access_key_id": self._secrets[0],
                "secret_access_key": self._secrets[1],
            },
            client_options=_client_options(settings),
            retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=settings.timeout_s)},
        )

    def get(self, path: str) -> Stored | None:
        """The object, or None if it is not there."""
        with self._telling(path):
            try:
                found = self._library.get(self._store, path)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None
            if found.meta["size"] > _LONGEST:
                raise DeviceError(f"{self._settings.place}: {path} has {found.meta['size']} bytes: it is none of ours")
            return Stored(bytes(found.bytes()), found.meta["e_tag"])

    def put(self, path: str, content: bytes) -> None:
        """Write the object, whether it is there or not."""
        with self._telling(path):
            self._library.put(self._store, path, content, use_multipart=False)

    def create(self, path: str, content: bytes) -> str | None:
        """Write an object that must not be there yet. Its tag. Raises ObjectChangedError if it is there."""
        return self._put_if(path, content, "create")

    def replace(self, path: str, content: bytes, tag: str | None) -> str | None:
        """Write the object if it is still the version `tag`. Its new tag. Raises ObjectChangedError if it is not."""
        return self._put_if(path, content, "overwrite" if tag is None else {"e_tag": tag})

    def written(self, path: str) -> datetime:
        """When the object was written, by the server's clock in whole seconds."""
        with self._telling(path):
            when: datetime = self._library.head(self._store, path)["last_modified"]
        return when

    def below(self, folder: str) -> Iterator[str]:
        """The paths of all objects below a folder."""
        with self._telling(folder):
            for chunk in self._library.list(self._store, folder):
                yield from (each["path"] for each in chunk)

    def _put_if(self, path: str, content: bytes, mode: Any) -> str | None:
        with self._telling(path):
            try:
                done = self._library.put(self._store, path, content, use_multipart=False, mode=mode)
            except (self._wrong.AlreadyExistsError, self._wrong.PreconditionError) as error:
                raise ObjectChangedError(f"{self._settings.place}: {path} was written meanwhile") from error
        tag: str | None = done["e_tag"]
        return tag

    @contextmanager
    def _telling(self, path: str) -> Iterator[None]:
        try:
            yield
        except (self._wrong.BaseError, OSError, ValueError) as error:
            said = self._without_keys(str(error))
            what = next((words for piece, words in _BY_WORDS.items() if piece in said), "")
            kind = SmallerBatchError if "timed out" in said else DeviceError
            words = f"{what.format(**self._names())} ({_short(said)})" if what else f"{path}: {_short(said)}"
            raise kind(f"{self._settings.place}: {words}") from error

    def _without_keys(self, said: str) -> str:
        for secret in self._secrets:
            said = said.replace(secret, "***")
        return said

    def _names(self) -> dict[str, Any]:
        chosen = self._settings
        return {
            "bucket": chosen.bucket,
            "prefix": chosen.prefix or "/",
            "access": chosen.access_key_file or "AWS_ACCESS_KEY_ID",
            "secret": chosen.secret_key_file or "AWS_SECRET_ACCESS_KEY",
            "authority": chosen.tls_ca_file or "an authority that this machine trusts",
            "timeout": chosen.timeout_s,
        }


def _client_options(settings: BucketTable) -> dict[str, Any]:
    options = {
        "allow_http": settings.endpoint.startswith("http://"),
        "connect_timeout": _CONNECT,
        "timeout": timedelta(seconds=settings.timeout_s),
    }
    authority = settings.authority()
    return options if authority is None else options | {"root_certificate": authority}


def _short(said: str) -> str:
    """The first words of the library, on one line. What follows is how it looks from inside."""
    words = " ".join(said.partition("Debug source:")[0].split())
    return printable(words if len(words) <= _SAID else f"{words[: _SAID - 1]}…")


def _library() -> tuple[Any, Any]:
    try:
        return import_module("obstore"), import_module("obstore.exceptions")
    except ImportError as error:
        raise ConfigError([Fault("bucket", f"{error}: pip install 'edge-inspector[bucket]'")]) from error
