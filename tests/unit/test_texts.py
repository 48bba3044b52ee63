"""Texts from outside are shown without what they should not show or do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspector.errors import ConfigError, DeviceError, Fault, FrameIncompleteError
from edge_inspector.texts import printable, without_passwords


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://admin:S3cret@10.0.0.5/1 does not open", "rtsp://***@10.0.0.5/1 does not open"),
        ("rtsp://admin:S3c@ret@10.0.0.5/1", "rtsp://***@10.0.0.5/1"),
        ("rtsp://admin:S3/c?r#et@10.0.0.5/1", "rtsp://***@10.0.0.5/1"),
        ("rtsp://:S3cret@10.0.0.5", "rtsp://***@10.0.0.5"),
        ("(is 'http://a:S3cret@b/c')", "(is 'http://***@b/c')"),
        ("http://cam/video?user=admin&pwd=S3cret&x=1", "http://cam/video?user=admin&pwd=***&x=1"),
        ("http://cam/video?Password=S3cret", "http://cam/video?Password=***"),
        ("rtspsrc location=rtsp://cam/1 user-id=admin user-pw=S3cret ! appsink", None),
        ("rtsp://10.0.0.5/1 delivers no more pictures", "rtsp://10.0.0.5/1 delivers no more pictures"),
        ("mail somebody@example.com", "mail somebody@example.com"),
    ],
)
def test_no_password_is_shown(text: str, shown: str | None) -> None:
    assert without_passwords(text) == shown if shown is not None else "S3cret" not in without_passwords(text)


def test_no_error_has_a_password_or_a_character_that_a_terminal_obeys() -> None:
    text = "rtsp://admin:S3cret@cam: \x1b[31mEvil\r\n\x07\x7f\x9b\u2028é"
    for error in (DeviceError(text), FrameIncompleteError(text, 1, 2)):
        assert str(error) == r"rtsp://***@cam: \x1b[31mEvil\r\n\x07\x7f\x9b\u2028é"
    fault = Fault("cameras.0.settings.sources", "Extra inputs are not permitted (is 'rtsp://admin:S3cret@cam')")
    assert "S3cret" not in str(fault) + str(ConfigError([fault]))


@given(st.text())
def test_what_is_printable_is_one_line_that_no_terminal_obeys(text: str) -> None:
    assert printable(text).isprintable()
