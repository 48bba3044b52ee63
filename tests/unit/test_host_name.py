"""What counts as an address, for which no name server is asked."""

import pytest

from edge_inspector.cameras.genicam_settings import GenicamSettings
from edge_inspector.host_name import is_address, is_loopback


@pytest.mark.parametrize("host", ["192.168.0.10", "::1", "fe80::1%eth0", "localhost"])
def test_addresses(host: str) -> None:
    assert is_address(host)


@pytest.mark.parametrize(
    "host", ["plc-3", "192.168.0", "192.168.0.300", "192.168.0.1%evil", "21893040", "1.2.3.4.5", ""]
)
def test_names_and_numbers_are_no_addresses(host: str) -> None:
    assert not is_address(host)


def test_only_this_machine_is_loopback() -> None:
    assert [is_loopback(host) for host in ("127.0.0.9", "::1", "localhost", "10.0.0.1", "plc")] == [1, 1, 1, 0, 0]


def test_a_camera_is_opened_by_its_address_or_its_serial_number() -> None:
    genicam = pytest.importorskip("edge_inspector.cameras.genicam", exc_type=ImportError)
    by = {which: genicam.GenicamCamera.settings_for(which) for which in ("192.168.0.10", "21893040", "/dev/video0")}
    assert isinstance(by["192.168.0.10"], GenicamSettings)
    assert (by["192.168.0.10"].address, by["192.168.0.10"].serial) == ("192.168.0.10", None)
    assert (by["21893040"].address, by["21893040"].serial) == (None, "21893040")
    assert by["/dev/video0"] is None
