"""Read before every test module, and so before any of them can import onnxruntime: the package silences it."""

import signal
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from support.leaks import nothing_left
from support.training import MISSING

import edge_inspector  # noqa: F401 -- for what it does when it is imported

# The background job of a shell ignores Ctrl-C, and so would all processes that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is the machine's business.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")
# `make mutation` wants to know that a mutant dies, not how small its death could be.
settings.register_profile("mutation", phases=(Phase.explicit, Phase.generate))


@pytest.fixture(autouse=True)
def nothing_outlives_its_test() -> Iterator[None]:
    """Set up before every other fixture of the test, so taken down after them."""
    with nothing_left():
        yield


@pytest.fixture(autouse=True, scope="module")
def nothing_outlives_its_module() -> Iterator[None]:
    """For what tests of one file share."""
    with nothing_left():
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it plainly if the tests of training did not run."""
    skipped = [report for report in terminalreporter.stats.get("skipped", ()) if MISSING in str(report.longrepr)]
    files = Counter(report.nodeid.partition("::")[0] for report in skipped)
    if files:
        named = ", ".join(f"{count} in {file}" for file, count in sorted(files.items()))
        terminalreporter.write_line(f"Skipped, because PyTorch is not installed: {named}. Run them: make test-training")
