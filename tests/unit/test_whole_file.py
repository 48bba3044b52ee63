"""A file is replaced completely or not at all, whatever step the process dies at."""

import ast
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edge_inspector.store.users import Role, new_user, write_users
from edge_inspector.store.whole_file import draft_of, replace_file

PACKAGE = Path(__file__).parents[2] / "edge_inspector"
STEPS = ["open", "chown", "chmod", "fsync", "replace", "fsync of the folder"]

# Ends the process without any clean-up at the step that is named, as a power cut or kill -9 would.
DYING = """
import os, stat, sys
from pathlib import Path
from edge_inspector.store.whole_file import replace_file

path, step, new = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
def die(*_, **__):
    os._exit(9)
def sync(descriptor):
    if stat.S_ISDIR(os.fstat(descriptor).st_mode) == (step == "fsync of the folder"):
        die()
if step.startswith("fsync"):
    os.fsync = sync
elif step == "replace":
    Path.replace = os.replace = os.rename = die
else:
    setattr(os, step, die)
replace_file(path, new)
"""


@pytest.mark.parametrize("step", STEPS)
def test_a_death_at_any_step_leaves_the_old_or_the_new_content(tmp_path: Path, step: str) -> None:
    path = tmp_path / "state.json"
    replace_file(path, "old")
    dying = subprocess.run([sys.executable, "-c", DYING, path, step, "new" * 10_000], check=False)
    assert dying.returncode == 9
    assert path.read_text() == ("new" * 10_000 if step == "fsync of the folder" else "old")
    replace_file(path, "newer")  # whatever the dead process left behind
    assert path.read_text() == "newer"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", STEPS)
def test_an_error_at_any_step_is_raised_and_leaves_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "state.json"
    replace_file(path, "old")
    failing(monkeypatch, step)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, "new")
    monkeypatch.undo()
    assert path.read_text() == ("new" if step == "fsync of the folder" else "old")
    assert list(tmp_path.iterdir()) == [path]


def failing(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    def sync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == (step == "fsync of the folder"):
            fail()

    if step.startswith("fsync"):
        monkeypatch.setattr(os, "fsync", sync)
    elif step == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    else:
        monkeypatch.setattr(os, step, fail)


def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    replace = Path.replace

    def sync(descriptor: int) -> None:
        done.append(
            "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else f"file of {os.fstat(descriptor).st_size}"
        )

    def rename(draft: Path, path: Path) -> None:
        done.append("rename")
        replace(draft, path)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", rename)
    replace_file(tmp_path / "state.json", "twelve bytes")
    assert done == ["file of 12", "rename", "folder"]


def test_an_error_in_the_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("old")

    def write_half() -> None:
        with draft_of(path) as draft:
            draft.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_without_syncs_nobody_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, "fsync")
    with draft_of(tmp_path / "note", synced=False) as draft:
        draft.write_text("opening")
    assert (tmp_path / "note").read_text() == "opening"


def test_a_file_system_that_cannot_sync_a_folder_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", sync)
    replace_file(tmp_path / "state.json", "new")
    assert (tmp_path / "state.json").read_text() == "new"


def test_a_draft_that_is_a_link_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "state.json.new").symlink_to(tmp_path / "victim")
    replace_file(tmp_path / "state.json", "new")
    assert (tmp_path / "victim").read_text() == "precious"
    assert not (tmp_path / "state.json").is_symlink()


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_users_file_is_for_owner_and_group_only(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "users"
    before = os.umask(umask)
    try:
        write_users(path, {"ann": new_user("ann", Role.ADMIN, "correct horse")})
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    finally:
        os.umask(before)


def test_nobody_else_reads_a_draft_before_its_mode_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    chmod = Path.chmod

    def look(path: Path, mode: int) -> None:
        modes.append(stat.S_IMODE(path.stat().st_mode))
        chmod(path, mode)

    monkeypatch.setattr(Path, "chmod", look)
    before = os.umask(0)
    try:
        replace_file(tmp_path / "users", "secret")
    finally:
        os.umask(before)
    assert modes == [0o600]


def test_a_file_of_a_person_keeps_its_access(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_text("old")
    path.chmod(0o604)
    replace_file(path, "new", keep_access=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert path.read_text() == "new"


def test_nobody_replaces_a_file_by_hand() -> None:
    """A path's `replace` takes one argument without a name. That of a text, a date or a record never does."""
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (
            node.func.attr in ("rename", "renames", "link")
            or (node.func.attr == "replace" and len(node.args) == 1 and not node.keywords)
            or (node.func.attr == "replace" and isinstance(node.func.value, ast.Name) and node.func.value.id == "os")
        )
    }
    assert found == {
        "store/whole_file.py",
        "store/database.py",  # sets a damaged file aside, which is not written any more
        "training/data/importers.py",  # a whole folder, which is imported again after a power cut
        "training/shipping/wrapped_folder.py",  # a whole folder, which is wrapped again
        "web/teach.py",  # a whole folder, which somebody accepts again
    }
