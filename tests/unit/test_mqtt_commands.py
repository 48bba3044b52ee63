"""Whatever is published on `command`: a right one becomes a command, a wrong one an answer, nothing else happens."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspector.codes import CommandName
from edge_inspector.mqtt.commands import CommandInbox, Request
from edge_inspector.records import CommandResult

RESULT = "edge/press-3/command/result"
GOOD = {"schema_version": 1, "id": "a-1", "command": "select_recipe", "recipe_id": 5}

HOSTILE: dict[str, tuple[bytes, str | None, str]] = {
    "nothing": (b"", None, "not JSON"),
    "no JSON": (b"select_recipe 5", None, "not JSON"),
    "not UTF-8": (b'{"id": "\xff"}', None, "not JSON"),
    "half a surrogate": (rb'{"id": "\ud800"}', None, "not JSON"),
    "nested": (b"[" * 4000, None, "not JSON"),
    "too long": (b" " * 4097, None, "longer than 4096 bytes"),
    "a list": (b"[1]", None, "valid dictionary"),
    "no number": (b'{"id": "a", "command": "reset", "recipe_id": NaN}', None, "not JSON"),
    "empty object": (b"{}", None, "id: Field required"),
    "no id": (b'{"command": "reset"}', None, "id: Field required"),
    "an id that is none": (b'{"id": 7, "command": "reset"}', None, "id: Input should be a valid string"),
    "an id for a log": (b'{"id": "a\\nb", "command": "reset"}', "a\nb", "id: String should match"),
    "a long id": (json.dumps({"id": "x" * 65, "command": "reset"}).encode(), "x" * 64, "id: String should match"),
    "unknown command": (b'{"id": "a", "command": "fire"}', "a", "command: Input should be"),
    "a command that is none": (b'{"id": "a", "command": ["reset"]}', "a", "command: Input should be"),
    "another version": (b'{"schema_version": 2, "id": "a", "command": "reset"}', "a", "schema_version: "),
    "unknown field": (b'{"id": "a", "command": "reset", "force": true}', "a", "force: Extra inputs"),
    "recipe missing": (b'{"id": "a", "command": "select_recipe"}', "a", "recipe_id belongs to select_recipe"),
    "recipe too much": (b'{"id": "a", "command": "reset", "recipe_id": 5}', "a", "recipe_id belongs to select_recipe"),
    "too late": (
        b'{"id": "a", "command": "disable", "not_after": "2026-01-01T06:00:00Z"}',
        "a",
        "too late: not_after was 2026-01-01T06:00:00.000Z, now it is ",
    ),
    "too late far from here": (
        b'{"id": "a", "command": "reset", "not_after": "1970-01-01T00:00:00-12:00"}',
        "a",
        "too late: ",
    ),
    "a date without a zone": (
        b'{"id": "a", "command": "reset", "not_after": "2099-01-01T00:00:00"}',
        "a",
        "not_after: Input should have timezone info",
    ),
    "no date": (b'{"id": "a", "command": "reset", "not_after": "soon"}', "a", "not_after: is no date and time"),
    "a number for a date": (
        b'{"id": "a", "command": "reset", "not_after": 4070908800}',
        "a",
        "not_after: Input should",
    ),
    "recipe as text": (b'{"id": "a", "command": "select_recipe", "recipe_id": "5"}', "a", "recipe_id: Input should"),
    "recipe 0": (b'{"id": "a", "command": "select_recipe", "recipe_id": 0}', "a", "recipe_id: Input should"),
    "recipe too high": (b'{"id": "a", "command": "select_recipe", "recipe_id": 65536}', "a", "recipe_id: Input should"),
    "a huge number": (
        b'{"id": "a", "command": "select_recipe", "recipe_id": 1' + b"0" * 400 + b"}",
        "a",
        "recipe_id: ",
    ),
    "true is not a number": (b'{"id": "a", "command": "select_recipe", "recipe_id": true}', "a", "recipe_id: Input"),
}


def test_a_right_command_is_passed_on_and_answered_on_the_result_topic() -> None:
    inbox = CommandInbox(RESULT)
    (command,) = inbox.check([Request(json.dumps(GOOD).encode())], 4)
    assert (command.source, command.id, command.name, command.recipe_id) == (
        "mqtt",
        "a-1",
        CommandName.SELECT_RECIPE,
        5,
    )
    assert inbox.answers() == []
    command.reply(CommandResult("", 5))
    (answer,) = inbox.answers()
    assert (answer.topic, answer.correlation, answer.id, answer.result) == (RESULT, None, "a-1", CommandResult("", 5))
    assert inbox.answers() == []


def test_a_command_that_says_until_when_is_done_until_then() -> None:
    inbox = CommandInbox(RESULT)
    timely = GOOD | {"not_after": "2126-01-01T06:00:00+01:00"}
    (command,) = inbox.check([Request(json.dumps(timely).encode())], 4)
    assert (command.id, command.recipe_id) == ("a-1", 5)
    assert inbox.answers() == []


def test_answers_that_find_no_room_come_next_time() -> None:
    inbox = CommandInbox(RESULT)
    inbox.check([Request(b"{}", correlation=each) for each in (b"1", b"2", b"3")], 4)
    assert inbox.answers(0) == []
    assert [answer.correlation for answer in inbox.answers(2)] == [b"1", b"2"]
    assert [answer.correlation for answer in inbox.answers()] == [b"3"]


@pytest.mark.parametrize("name", ["enable", "disable", "reset"])
def test_the_other_commands_need_an_id_and_nothing_more(name: str) -> None:
    (command,) = CommandInbox(RESULT).check([Request(json.dumps({"id": "x", "command": name}).encode())], 4)
    assert command.name == name
    assert command.recipe_id == 0


@pytest.mark.parametrize("case", HOSTILE)
def test_a_wrong_one_is_answered_with_what_is_wrong_and_goes_no_further(case: str) -> None:
    payload, read_id, what = HOSTILE[case]
    inbox = CommandInbox(RESULT)
    assert inbox.check([Request(payload, correlation=b"c")], 4) == []
    (answer,) = inbox.answers()
    assert answer.id == read_id
    assert answer.correlation == b"c"
    assert what in answer.result.error
    assert len(answer.result.error) <= 200
    assert answer.result.recipe_id == 4


def test_a_flood_of_wrong_commands_fills_no_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1
    monkeypatch.setattr("edge_inspector.mqtt.commands.time.monotonic_ns", lambda: now)
    inbox = CommandInbox(RESULT)
    for _ in range(500):
        inbox.check([Request(b"nonsense")], 4)
    assert len(caplog.messages) == 10
    now += 61_000_000_000
    inbox.check([Request(b"nonsense")], 4)
    assert "(490 earlier ones were not logged)" in caplog.messages[-1]


def test_a_retained_command_is_refused() -> None:
    inbox = CommandInbox(RESULT)
    assert inbox.check([Request(json.dumps(GOOD).encode(), retained=True)], 4) == []
    assert "without retain" in inbox.answers()[0].result.error


@pytest.mark.parametrize(
    ("chosen", "used"),
    [
        (f"{RESULT}/panel-1", f"{RESULT}/panel-1"),
        (f"{RESULT}/+", RESULT),
        (f"{RESULT}/#", RESULT),
        (f"{RESULT}/\0", RESULT),
        (f"{RESULT}s", RESULT),
        ("edge/press-3/reject", RESULT),
        ("edge/press-3/command", RESULT),
        ("", RESULT),
    ],
)
def test_an_answer_goes_nowhere_but_to_the_result_topic_and_below_it(chosen: str, used: str) -> None:
    inbox = CommandInbox(RESULT)
    inbox.check([Request(b"", response_topic=chosen)], 4)
    assert inbox.answers()[0].topic == used


def test_answers_that_nobody_fetches_are_bounded() -> None:
    inbox = CommandInbox(RESULT)
    for number in range(300):
        inbox.check([Request(b"", correlation=bytes([number % 256]))], 4)
    answers = inbox.answers()
    assert len(answers) == 256
    assert answers[0].correlation == bytes([44])


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "schema_version": st.just(1) | ANYTHING,
        "id": st.text(max_size=70) | ANYTHING,
        "command": st.sampled_from([name.value for name in CommandName]) | ANYTHING,
        "recipe_id": st.integers(-1, 65537) | ANYTHING,
        "more": ANYTHING,
    },
)


@settings(max_examples=300)
@given(st.binary(max_size=200) | (NEARLY | ANYTHING).map(lambda body: json.dumps(body).encode()), st.text(max_size=9))
def test_every_payload_is_either_a_valid_command_or_answered_once(payload: bytes, response_topic: str) -> None:
    inbox = CommandInbox(RESULT)
    commands = inbox.check([Request(payload, response_topic=response_topic)], 4)
    assert len(commands) + len(inbox.answers()) == 1
    for command in commands:
        body: dict[str, Any] = json.loads(payload)
        assert (body["id"], body["command"]) == (command.id, command.name.value)
        assert (body.get("recipe_id") or 0) == command.recipe_id
