import json
import os
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_inspector.cli import main
from edge_inspector.errors import DeviceError
from edge_inspector.records import Change
from edge_inspector.store import audit
from edge_inspector.store.audit import AuditTrail, append, audit_path, read, verify

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def written(folder: Path, count: int = 12) -> list[bytes]:
    for number in range(count):
        change = Change(f"page:user{number % 3}", "recipe", "recipe 4", before=f"{number}", after=f"{number + 1}")
        append(folder, change, NOON + timedelta(seconds=number))
    return audit_path(folder).read_bytes().splitlines(keepends=True)


def test_each_change_is_a_line_that_can_be_read_again(tmp_path: Path) -> None:
    change = Change(
        "page:eve", "limits", "recipe 4", before="3 mm2", after="5 mm2", why='too many false rejects: "ü"\n'
    )
    added = append(tmp_path, change, NOON)
    assert list(read(tmp_path)) == [added]
    assert (added.seq, added.utc, added.change) == (1, "2026-11-30T12:00:00.000Z", change)
    assert verify(tmp_path) == []
    assert audit_path(tmp_path).stat().st_mode & 0o777 == 0o640


def test_no_file_is_no_fault(tmp_path: Path) -> None:
    assert verify(tmp_path) == []
    assert list(read(tmp_path)) == []


@pytest.mark.parametrize("seed", range(1000))
def test_every_edit_is_found(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    lines = written(tmp_path, 5)
    changed = list(lines)
    at = chance.randrange(len(lines))
    kind = chance.choice(["byte", "delete", "delete tail", "swap", "repeat", "cut", "value", "insert"])
    if kind == "byte":
        line = bytearray(changed[at])
        line[chance.randrange(len(line))] ^= 1 << chance.randrange(8)
        changed[at] = bytes(line)
    elif kind == "delete":
        del changed[at]
    elif kind == "delete tail":
        del changed[at:]
    elif kind == "swap":
        other = (at + 1) % len(lines)
        changed[at], changed[other] = changed[other], changed[at]
    elif kind == "repeat":
        changed.insert(at, changed[at])
    elif kind == "cut":
        changed = [b"".join(changed)[: -chance.randrange(1, len(changed[-1]))]]
    else:
        entry = json.loads(changed[at])
        entry[chance.choice(["who", "before", "after", "utc", "seq"])] = "somebody else"
        forged = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        changed[at : at + (kind == "value")] = [forged]
    assert changed != lines
    audit_path(tmp_path).write_bytes(b"".join(changed))
    assert verify(tmp_path) != [], kind


def test_a_gap_in_the_chain_is_told_with_the_line_after_it(tmp_path: Path) -> None:
    lines = written(tmp_path)
    audit_path(tmp_path).write_bytes(b"".join(lines[:4] + lines[7:]))
    assert verify(tmp_path) == [
        "line 5: it does not follow the line before it",
        "line 5: it has number 8, but 5 is next",
    ]


def test_a_chain_that_was_made_anew_from_an_edited_line_on_is_found(tmp_path: Path) -> None:
    lines = written(tmp_path)
    head = (tmp_path / "audit.head").read_bytes()
    audit_path(tmp_path).write_bytes(b"".join(lines[:3]))
    (tmp_path / "audit.head").unlink()
    written(tmp_path, 9)
    (tmp_path / "audit.head").write_bytes(head)
    assert verify(tmp_path) != []


def test_what_is_written_after_an_edit_does_not_heal_it(tmp_path: Path) -> None:
    lines = written(tmp_path)
    audit_path(tmp_path).write_bytes(b"".join(lines[:-2]))
    written(tmp_path, 3)
    assert any("does not follow" in fault for fault in verify(tmp_path))


def test_a_lost_head_is_told_in_the_file_itself(tmp_path: Path) -> None:
    written(tmp_path, 2)
    (tmp_path / "audit.head").unlink()
    assert verify(tmp_path) != []
    written(tmp_path, 1)
    assert [entry.change.what for entry in read(tmp_path)] == ["recipe", "recipe", "audit", "recipe"]
    assert verify(tmp_path) == ["line 3: audit.head was missing or damaged, so lines may be missing before this one"]


def test_a_damaged_head_is_as_good_as_none(tmp_path: Path) -> None:
    written(tmp_path, 1)
    for damage in (
        "",
        "[]",
        '{"seq": -1, "hash": "", "size": 0}',
        '{"seq": "1", "hash": 0, "size": 1.5}',
        "[" * 100_000,
    ):
        (tmp_path / "audit.head").write_text(damage)
        assert "missing or damaged" in verify(tmp_path)[0]


@pytest.mark.parametrize("when", ["before the line", "half of the line", "before the head"])
def test_a_power_cut_between_two_writes_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    written(tmp_path, 2)
    before = audit_path(tmp_path).read_bytes()

    class PowerCutError(Exception):
        pass

    def cut(*_: object) -> int:
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(
            audit.os if when == "before the line" else audit,
            "write" if when == "before the line" else "replace_file",
            cut,
        )
        with pytest.raises(PowerCutError):
            written(tmp_path, 1)
    if when == "half of the line":
        audit_path(tmp_path).write_bytes(audit_path(tmp_path).read_bytes()[:-20])
    else:
        assert verify(tmp_path) == []
    written(tmp_path, 2)
    assert verify(tmp_path) == []
    assert audit_path(tmp_path).read_bytes().startswith(before)
    assert len(list(read(tmp_path))) == (5 if when == "before the head" else 4)


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = written(tmp_path, 2)
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(audit.os, "write", lambda file, data: real(file, data[:30]))
        with pytest.raises(DeviceError, match="No space left"):
            written(tmp_path, 1)
    assert audit_path(tmp_path).read_bytes() == b"".join(lines)
    assert verify(tmp_path) == []


def test_a_link_instead_of_the_file_is_refused(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    audit_path(tmp_path).symlink_to(victim)
    with pytest.raises(DeviceError):
        written(tmp_path, 1)
    assert victim.read_text() == "untouched"


def test_two_processes_write_one_chain(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from datetime import UTC, datetime\n"
        "from edge_inspector.records import Change; from edge_inspector.store.audit import append\n"
        "for n in range(20): append(Path(sys.argv[1]), Change('command:' + sys.argv[2], str(n)), datetime.now(UTC))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name]) for name in ("ann", "bob")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert verify(tmp_path) == []
    assert len(list(read(tmp_path))) == 40


def test_a_clock_set_back_changes_neither_chain_nor_order(tmp_path: Path) -> None:
    for number, hours in enumerate((0, 1, -5, -4)):
        append(tmp_path, Change("plc", f"change {number}"), NOON + timedelta(hours=hours))
    assert verify(tmp_path) == []
    assert [entry.change.what for entry in read(tmp_path)] == [f"change {number}" for number in range(4)]


def test_a_huge_value_is_cut_and_not_the_line(tmp_path: Path) -> None:
    huge = "\U0001f600" * 100_000
    append(tmp_path, Change(huge, huge, huge, before=huge, after=huge, why=huge), NOON)
    assert verify(tmp_path) == []
    assert len(next(read(tmp_path)).change.what) == 1000


def test_changes_wait_for_the_disk_up_to_a_bound(tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path / "later")
    assert trail.add(Change("plc", "reset"))
    with pytest.raises(DeviceError):
        trail.write(NOON)
    assert len(trail) == 1
    (tmp_path / "later").mkdir()
    assert all(trail.add(Change("plc", "reset")) for _ in range(255))
    assert not trail.add(Change("plc", "reset"))
    trail.write(NOON)
    assert len(trail) == 0
    assert len(list(read(tmp_path / "later"))) == 256
    assert verify(tmp_path / "later") == []


def test_the_command_shows_the_changes_and_finds_an_edit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    append(tmp_path, Change("page:=cmd()", "recipe", before="4", after="5"), NOON)
    append(tmp_path, Change("mqtt", "inspection", before="on", after="off"), NOON + timedelta(days=1))
    assert main(["audit", "list", str(tmp_path), "--from", "2026-12-01"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "seq,utc,who,what,subject,before,after,why,hash"
    assert [line.split(",")[:7] for line in lines[1:]] == [
        ["2", "2026-12-01T12:00:00.000Z", "mqtt", "inspection", "", "on", "off"]
    ]
    assert main(["audit", "verify", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "2 changes, no faults\n"
    edited = audit_path(tmp_path).read_text().replace('"after":"5"', '"after":"6"')
    audit_path(tmp_path).write_text(edited)
    assert main(["audit", "verify", str(tmp_path)]) == 1
    assert "line 2: it does not follow the line before it" in capsys.readouterr().out


def test_a_line_whose_date_somebody_edited_is_shown_in_every_period(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    append(tmp_path, Change("mqtt", "reset"), NOON)
    for date in ("never", "2026-11-30T12:00:00"):
        line = json.loads(audit_path(tmp_path).read_text()) | {"utc": date}
        audit_path(tmp_path).write_text(json.dumps(line) + "\n")
        assert main(["audit", "list", str(tmp_path), "--from", "2026-01-01"]) == 0
        assert "mqtt,reset" in capsys.readouterr().out


def test_a_spreadsheet_does_not_calculate_with_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    append(tmp_path, Change("=cmd()", "@x"), NOON)
    main(["audit", "list", str(tmp_path)])
    assert "'=cmd(),'@x" in capsys.readouterr().out
