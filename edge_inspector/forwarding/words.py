"""What went wrong at the database, in one line that says what to do."""

from __future__ import annotations

from typing import Any, Final

from edge_inspector.forwarding.settings import StoreTable

# by the beginning of the SQLSTATE. The longest one that fits counts
_BY_STATE: Final = {
    "53100": "its disk is full: make room there. The station keeps the results meanwhile",
    "53": "it has no room left (memory, connections or disk): look into its log",
    "42501": "the user {user!r} may not do that. As the owner: GRANT CREATE ON DATABASE {name} TO {user}",
    "57014": "no answer within {timeout:g} s. It is tried again with fewer parts",
    "55P03": "another program holds a lock on its tables: look who does (pg_stat_activity)",
    "25006": "it only reads. Is it a copy? Write the address of the first server",
    "57P": "it was stopped or is starting",
}
# libpq has no numbers for what fails before the login, and a server in another language has other words
_BY_WORDS: Final = {
    "password authentication failed": "wrong password for user {user!r}: look into {file}",
    "no password supplied": "the server wants a password: set store.password_file",
    "server does not support SSL": "it offers no TLS, and the station file demands it: switch on `ssl` in its "
    "postgresql.conf. Remove tls_ca_file only if the network itself is safe",
    "certificate verify failed": "its certificate was not signed by {authority}, or has expired",
    "does not match host name": "its certificate is for another name than {host!r}: write the name in the certificate",
    "no pg_hba.conf entry": "it lets nobody in from here: add a line for user {user!r} to its pg_hba.conf",
    "does not exist": "there is no such database or user: createuser -P {user}; createdb -E UTF8 -O {user} {name}",
    "too many clients": "it has no connection left: raise its max_connections",
    "Connection refused": "nothing listens there: is it running, and does listen_addresses name its network?",
    "timeout": "no answer: check the address and the firewall",
}


def in_words(error: Exception, settings: StoreTable) -> str:
    """The message about an error of psycopg."""
    said = " ".join(str(error).split())
    state = getattr(error, "sqlstate", None) or ""
    by_state = max((key for key in _BY_STATE if state.startswith(key)), key=len, default="")
    by_words = next((words for key, words in _BY_WORDS.items() if key in said), "")
    what = _BY_STATE[by_state] if by_state else by_words
    return f"{settings.place}: {_filled(what, settings)} ({said})" if what else f"{settings.place}: {said}"


def _filled(what: str, settings: StoreTable) -> str:
    names: dict[str, Any] = {
        "user": settings.username,
        "name": settings.database,
        "host": settings.host,
        "timeout": settings.timeout_s,
        "file": settings.password_file or "store.password_file, which is not set",
        "authority": settings.tls_ca_file or "an authority that this machine trusts",
    }
    return what.format(**names)
