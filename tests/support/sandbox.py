"""`python sandbox.py UNIT COMMAND...`: the command under the unit's system call filter, as systemd would set it.

Needs libseccomp, which systemd itself is built on, and no privileges.
"""

import ctypes
import ctypes.util
import errno
import os
import subprocess
import sys
from pathlib import Path

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000  # seccomp.h: SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(code)


def allowed_calls(unit: str) -> set[str]:
    """The names that the unit's SystemCallFilter lines leave, taken in their order."""
    calls: set[str] = set()
    for line in unit.splitlines():
        key, _, value = line.partition("=")
        if key == "SystemCallFilter":
            names = {name for word in value.removeprefix("~").split() for name in _members(word)}
            calls = calls - names if value.startswith("~") else calls | names
    return calls


def _members(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True
    ).stdout.split("\n")
    words = [line.strip() for line in listed[1:] if line.startswith(" ") and not line.strip().startswith("#")]
    return {name for each in words for name in _members(each)}


def confine(unit: str) -> None:
    """This process and what it starts may make these calls only, for good."""
    library = ctypes.CDLL(ctypes.util.find_library("seccomp") or "libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ERRNO | errno.EPERM)))
    for name in allowed_calls(unit):
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # below: a call of another architecture
            library.seccomp_rule_add(rules, ctypes.c_uint32(_ALLOW), number, 0)
    if library.seccomp_load(rules) != 0:
        raise OSError("libseccomp could not load the filter")


if __name__ == "__main__":
    confine(Path(sys.argv[1]).read_text())
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 -- becoming that program is the point
