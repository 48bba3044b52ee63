"""This machine in words, what the result of a model may depend on, and how much memory this process has."""

from __future__ import annotations

import os
import platform
import resource
from pathlib import Path


def machine_words() -> str:
    """Processor, operating system and Python."""
    return f"{_processor()}, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def resident_mb() -> float:
    """Memory of this process in MB. 0 if the system does not say it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def free_memory() -> int:
    """Bytes that this process can still take: of the machine's memory, and of its own limit."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    most = resource.getrlimit(resource.RLIMIT_DATA)[0]
    return free if most == resource.RLIM_INFINITY else min(free, most)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown processor")
