"""What cameras say of themselves reaches no terminal and no path as it is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_inspector import find
from edge_inspector.cameras.aravis_library import text
from edge_inspector.records import Frame


def test_a_vendor_s_escapes_are_shown_and_not_obeyed() -> None:
    assert text(b"\x1b[31mEvil\n\r\x07<b>\xc2\x9b") == r"\x1b[31mEvil\n\r\x07<b>\x9b"
    assert text(None) == ""


def test_a_serial_number_leads_to_no_other_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Snapped:
        def __init__(self, *_: Any) -> None: ...

        class Settings:
            def __init__(self, **_: Any) -> None: ...

        def open(self) -> None: ...

        def close(self) -> None: ...

        def grab(self, _timeout_s: float) -> Frame:
            return Frame("x", 1, 0, 0, 0, np.full((8, 8), 9, np.uint8))

    monkeypatch.setattr(find, "load_driver", lambda *_: Snapped)
    found = find.Found("genicam", "v", "m", "../../etc/S-1.2", "10.0.0.5", {})
    monkeypatch.setattr(find, "_everything", lambda: iter([found]))
    assert find.find_cameras([], tmp_path / "shots") == 0
    assert [each.name for each in (tmp_path / "shots").iterdir()] == [".._.._etc_S-1.2.png"]
    assert "8 x 8 px" in capsys.readouterr().out
