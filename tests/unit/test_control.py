"""Commands: done once, answered always, a wrong one never acted on; a recipe changes between two parts."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspector.codes import CommandName
from edge_inspector.inspection.challenge import ChallengeRules
from edge_inspector.inspection.control import Control, SwitchedOff
from edge_inspector.inspection.recipe import ClassLimits, Criteria, Recipe
from edge_inspector.records import Change, Command, CommandResult, PlcInput

SECOND = 1_000_000_000
SELECT, ENABLE, DISABLE, RESET = (
    CommandName.SELECT_RECIPE,
    CommandName.ENABLE,
    CommandName.DISABLE,
    CommandName.RESET,
)


def criteria(number: int) -> Criteria:
    recipe = Recipe.model_validate(
        {
            "id": number,
            "name": f"tile {number}",
            "model": "tile-1.1",
            "views": ["top"],
            "part_length_mm": 100,
            "min_pitch_mm": 120,
            "position_tolerance_mm": 5,
        }
    )
    return Criteria(recipe, {"crack": ClassLimits(min_area_mm2=number)})


RECIPES = {number: criteria(number) for number in (4, 5, 6)}


def heard(
    recipe_id: int = 0, *, reset: bool = False, enable: bool = True, challenge: bool = False, at: int = 0
) -> PlcInput:
    return PlcInput(
        boot_id=1,
        heartbeat=1,
        enable=enable,
        reset=reset,
        challenge=challenge,
        line_running=True,
        recipe_id=recipe_id,
        ack_session=0,
        ack_seq=0,
        trigger_seq=0,
        triggers=(),
        asked_ns=at,
    )


class Station:
    """A control with a log of what it answered and how often it was reset."""

    def __init__(self) -> None:
        self.resets = 0
        self.answers: list[tuple[str, CommandResult]] = []
        self.changes: list[Change] = []
        self.control = Control(RECIPES, 4, self._reset, changed=self.changes.append)

    def tell(
        self,
        name: CommandName,
        recipe_id: int = 0,
        *,
        id: str = "a",  # noqa: A002
        source: str = "mqtt",
        at: int = 0,
        why: str = "",
    ) -> None:
        reply: Callable[[CommandResult], Any] = lambda result: self.answers.append((id, result))  # noqa: E731
        self.control.take(Command(source, id, name, reply, recipe_id=recipe_id, why=why), at)

    @property
    def in_use(self) -> list[int]:
        return [each.recipe.id for each in self.control.in_use]

    @property
    def errors(self) -> list[str]:
        return [result.error for _, result in self.answers]

    def _reset(self) -> None:
        self.resets += 1


@pytest.fixture
def station() -> Station:
    return Station()


def test_at_first_the_station_inspects_by_the_recipe_it_started_with(station: Station) -> None:
    assert station.control.enabled
    assert station.control.recipe_id == 4
    assert station.in_use == [4]
    assert not station.control.mismatch


def test_disable_and_enable_are_done_and_answered_at_once(station: Station) -> None:
    station.tell(DISABLE, id="a")
    assert not station.control.enabled
    station.tell(ENABLE, id="b")
    assert station.control.enabled
    assert station.answers == [("a", CommandResult("", 4)), ("b", CommandResult("", 4))]
    assert station.resets == 0


def test_who_switched_inspection_off_is_known_and_since_when(station: Station) -> None:
    assert station.control.off == ()
    station.tell(DISABLE, id="a", source="page:anna", at=7)
    station.tell(DISABLE, id="b", source="mqtt", at=9)
    assert station.control.off == (SwitchedOff("page:anna", 7),), "it was off already"
    station.tell(ENABLE, id="c", source="mqtt", at=11)
    assert station.control.off == ()


def test_the_plc_and_a_command_each_switch_off_by_themselves(station: Station) -> None:
    station.control.hear(heard(enable=False, at=3), whole=False)
    station.control.hear(heard(enable=False, at=5))
    assert station.control.off == (SwitchedOff("plc", 3),)
    assert station.control.enabled, "by commands"
    station.tell(DISABLE, id="a", at=7)
    assert station.control.off == (SwitchedOff("mqtt", 7), SwitchedOff("plc", 3))
    station.tell(ENABLE, id="b", at=9)
    assert station.control.off == (SwitchedOff("plc", 3),), "nobody overrules the PLC"
    station.control.hear(heard(enable=True, at=11))
    assert station.control.off == ()


def test_only_what_really_changed_is_written_down(station: Station) -> None:
    station.tell(ENABLE, id="a", source="page:anna")
    assert station.changes == [], "it was on already"
    station.tell(DISABLE, id="b", source="page:anna", why="lamp")
    station.tell(DISABLE, id="c", source="mqtt", why="never done")
    station.tell(ENABLE, id="d", source="mqtt", why="lamp is new")
    station.tell(RESET, id="e", source="page:bob", why="the belt was cleaned")
    station.tell(RESET, id="e", source="page:bob")
    assert station.changes == [
        Change("page:anna", "inspection", before="on", after="off", why="lamp"),
        Change("mqtt", "inspection", before="off", after="on", why="lamp is new"),
        Change("page:bob", "reset", why="the belt was cleaned"),
    ], "a repeated command is done once"


def test_a_recipe_is_written_down_when_it_takes_effect_with_the_one_who_chose_it(station: Station) -> None:
    station.tell(SELECT, 5, source="page:anna", why="order 12")
    station.tell(SELECT, 9, id="b", source="mqtt")
    assert station.changes == []
    station.control.hear(heard())
    station.control.hear(heard(5))
    station.control.hear(heard(6))
    assert station.changes == [
        Change("page:anna", "recipe", before="4", after="5", why="order 12"),
        Change("plc", "recipe", before="5", after="6"),
    ]


def test_what_the_plc_switches_and_resets_is_written_down_once(station: Station) -> None:
    for _ in range(2):
        station.control.hear(heard(enable=False, reset=True))
    station.control.hear(heard())
    assert station.changes == [
        Change("plc", "reset"),
        Change("plc", "inspection", before="on", after="off"),
        Change("plc", "inspection", before="off", after="on"),
    ]


def test_a_recipe_takes_effect_only_after_the_plc_has_spoken_and_is_answered_then(station: Station) -> None:
    station.tell(SELECT, 5)
    assert station.control.recipe_id == 4
    assert station.in_use == [4, 5], "frames on their way may belong to parts of either"
    assert station.answers == []
    station.control.hear(heard())
    assert station.control.recipe_id == 5
    assert station.in_use == [4, 5]
    assert station.answers == [("a", CommandResult("", 5))]


def test_the_old_recipe_stays_in_use_until_its_last_part_has_left(station: Station) -> None:
    station.tell(SELECT, 5)
    station.control.settle(0, {4})
    assert station.in_use == [4, 5], "the one in force and the next one stay without any part"
    station.control.settle(0, set())
    assert station.in_use == [4, 5]
    station.control.hear(heard())
    station.control.settle(0, {4, 5})
    assert station.in_use == [4, 5]
    station.control.settle(0, {5})
    assert station.in_use == [5]
    station.control.settle(0, set())
    assert station.in_use == [5]


def test_selecting_the_recipe_in_force_is_done_at_once(station: Station) -> None:
    station.tell(SELECT, 4)
    assert station.answers == [("a", CommandResult("", 4))]
    assert station.in_use == [4]


def test_an_unknown_recipe_is_refused_with_those_that_exist(station: Station) -> None:
    station.tell(SELECT, 7)
    station.control.hear(heard())
    assert station.answers == [("a", CommandResult("there is no recipe 7. There are: 4, 5, 6", 4))]
    assert station.control.recipe_id == 4
    assert station.in_use == [4]


def test_a_refused_choice_does_not_disturb_the_one_that_waits(station: Station) -> None:
    station.tell(SELECT, 5, id="a")
    station.tell(SELECT, 7, id="b")
    station.control.hear(heard())
    assert station.control.recipe_id == 5
    assert [id_ for id_, _ in station.answers] == ["b", "a"]
    assert station.errors[1] == ""


def test_a_later_choice_replaces_the_one_that_waits(station: Station) -> None:
    station.tell(SELECT, 5, id="a")
    station.tell(SELECT, 6, id="b")
    station.control.hear(heard())
    assert station.control.recipe_id == 6
    assert station.answers == [
        ("a", CommandResult("another recipe was chosen before this one took effect", 4)),
        ("b", CommandResult("", 6)),
    ]


def test_choosing_the_recipe_in_force_takes_a_waiting_change_back(station: Station) -> None:
    station.tell(SELECT, 5, id="a")
    station.tell(SELECT, 4, id="b")
    station.control.hear(heard())
    assert station.control.recipe_id == 4
    assert [(id_, bool(result.error)) for id_, result in station.answers] == [("a", True), ("b", False)]
    station.control.settle(0, set())
    assert station.in_use == [4]


def test_two_that_want_the_same_recipe_wait_together(station: Station) -> None:
    station.tell(SELECT, 5, id="a")
    station.tell(SELECT, 5, id="b")
    station.tell(SELECT, 5, id="a")
    station.control.hear(heard())
    assert station.answers == [(id_, CommandResult("", 5)) for id_ in "aba"]


def test_a_silent_plc_keeps_a_change_waiting_for_five_seconds_and_no_longer(station: Station) -> None:
    station.tell(SELECT, 5, at=SECOND)
    station.control.settle(6 * SECOND - 1, set())
    assert station.answers == []
    station.control.settle(6 * SECOND, set())
    assert station.answers == [("a", CommandResult("the PLC does not answer: the recipe was not changed", 4))]
    assert station.in_use == [4]
    station.control.hear(heard())
    assert station.control.recipe_id == 4


def test_a_command_that_comes_twice_is_answered_twice_and_done_once(station: Station) -> None:
    station.tell(RESET, id="a")
    station.tell(RESET, id="a")
    assert station.resets == 1
    assert station.answers == [("a", CommandResult("", 4))] * 2
    station.tell(DISABLE, id="b")
    station.tell(ENABLE, id="c")
    station.tell(DISABLE, id="b")
    assert station.control.enabled


def test_an_id_names_one_command_of_one_source(station: Station) -> None:
    station.tell(DISABLE, id="a", source="mqtt")
    station.tell(ENABLE, id="a", source="mqtt")
    assert not station.control.enabled
    assert station.errors == ["", "id 'a' was used for another command"]
    station.tell(ENABLE, id="a", source="page")
    assert station.control.enabled
    station.tell(SELECT, 5, id="b")
    station.control.hear(heard())
    station.tell(SELECT, 6, id="b")
    assert station.errors[-1] == "id 'b' was used for another command"


def test_only_the_last_256_commands_are_remembered(station: Station) -> None:
    for number in range(256):
        station.tell(RESET, id=str(number))
    station.tell(RESET, id="0")
    assert station.resets == 256
    station.tell(RESET, id="256")
    station.tell(RESET, id="1")
    assert station.resets == 257
    station.tell(RESET, id="0")
    assert station.resets == 258


def test_the_plc_chooses_by_its_recipe_id_from_the_next_part_on(station: Station) -> None:
    station.control.hear(heard(5))
    assert station.control.recipe_id == 5
    assert station.in_use == [4, 5]
    assert not station.control.mismatch
    station.control.hear(heard(0))
    assert station.control.recipe_id == 5, "0 is no choice"


def test_a_recipe_of_the_plc_that_is_not_there_is_a_mismatch_until_it_chooses_another(station: Station) -> None:
    station.control.hear(heard(9))
    assert station.control.mismatch
    assert station.control.recipe_id == 4
    assert station.in_use == [4]
    station.control.hear(heard(4))
    assert not station.control.mismatch


def test_nobody_overrules_the_plc(station: Station) -> None:
    station.control.hear(heard(5))
    station.tell(SELECT, 6, id="a")
    station.tell(SELECT, 5, id="b")
    assert station.errors == ["the PLC has chosen recipe 5", ""]
    station.control.hear(heard(0))
    station.tell(SELECT, 6, id="c")
    station.control.hear(heard(5))
    assert station.control.recipe_id == 5
    assert station.errors[-1] == "the PLC has chosen recipe 5"


def test_the_plc_s_reset_bit_counts_once_each_time_it_rises(station: Station) -> None:
    for bit in (False, True, True, False, True):
        station.control.hear(heard(reset=bit))
    assert station.resets == 2


def test_a_stopping_station_answers_what_still_waits(station: Station) -> None:
    station.tell(SELECT, 5)
    station.control.stop()
    station.control.stop()
    assert station.answers == [("a", CommandResult("the station stops", 4))]


@settings(max_examples=200)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(CommandName), st.integers(3, 7), st.sampled_from("abcdef")),
            st.tuples(st.just("hear"), st.sampled_from((0, 0, 0, 4, 5, 9)), st.booleans()),
            st.tuples(st.just("settle"), st.sampled_from((0, 9 * SECOND)), st.sets(st.sampled_from((4, 5, 6)))),
        ),
        max_size=30,
    )
)
def test_whatever_comes_every_command_is_answered_once_and_the_recipe_in_force_is_in_use(steps: list[Any]) -> None:
    station = Station()
    told = 0
    for what, number, more in steps:
        if what == "hear":
            station.control.hear(heard(number, reset=more))
        elif what == "settle":
            station.control.settle(number, more)
        else:
            told += 1
            station.tell(what, number, id=more)
        assert station.control.recipe_id in RECIPES
        assert station.control.recipe_id in station.in_use
        assert len(station.in_use) == len(set(station.in_use))
    station.control.stop()
    assert len(station.answers) == told


def test_a_reset_bit_that_is_up_at_first_contact_counts(station: Station) -> None:
    station.control.hear(heard(reset=True))
    assert station.resets == 1


def test_the_oldest_command_is_forgotten_first(station: Station) -> None:
    for number in range(257):
        station.tell(RESET, id=str(number))
    station.tell(RESET, id="255")
    assert station.resets == 257


def test_the_limits_of_pictures_are_those_of_the_recipe_in_force(station: Station) -> None:
    assert station.control.picture_limits("top") == RECIPES[4].recipe.picture_limits("top")


def test_an_id_whose_recipe_has_yet_to_take_effect_is_in_use(station: Station) -> None:
    station.tell(SELECT, 5)
    station.tell(DISABLE)
    assert station.errors == ["id 'a' was used for another command"]
    assert station.control.enabled
    station.tell(SELECT, 5)
    station.control.hear(heard())
    assert station.errors[1:] == ["", ""]
    assert station.control.recipe_id == 5


def test_a_reading_that_does_not_show_all_its_parts_changes_no_recipe(station: Station) -> None:
    station.tell(SELECT, 5)
    station.control.hear(heard(reset=True), whole=False)
    assert (station.control.recipe_id, station.answers, station.resets) == (4, [], 1)
    station.control.hear(heard(reset=True))
    assert (station.control.recipe_id, station.errors, station.resets) == (5, [""], 1)
    station.control.hear(heard(6), whole=False)
    assert (station.control.recipe_id, station.control.mismatch) == (5, False)
    station.control.hear(heard(6))
    assert station.control.recipe_id == 6


def test_a_source_of_triggers_alone_asks_for_nothing(station: Station) -> None:
    station.tell(SELECT, 5)
    station.control.hear(replace(heard(6, reset=True, enable=False), requests=False))
    assert (station.control.recipe_id, station.control.off, station.resets) == (5, (), 0)


def test_a_source_of_requests_alone_lets_no_recipe_take_effect(station: Station) -> None:
    station.tell(SELECT, 5)
    station.control.hear(replace(heard(), announces=False))
    assert station.control.recipe_id == 4
    assert station.answers == []


def test_a_called_part_has_the_command_s_id_and_is_called_once(station: Station) -> None:
    station.tell(CommandName.INSPECT, id="A-1")
    called: list[str] = []
    refusals = {"A-2": "", "A-3": "the part before it is not decided yet"}
    station.control = Control(
        RECIPES, 4, lambda: None, call=lambda part_id: (called.append(part_id), refusals[part_id])[1]
    )
    for part_id in ("A-2", "A-3", "A-2"):
        station.tell(CommandName.INSPECT, id=part_id)
    assert called == ["A-2", "A-3"], "a command that comes again calls no further part"
    assert station.errors == ["the parts of this station are not called", "", refusals["A-3"], ""]


def test_a_challenge_that_cannot_begin_is_not_written_down(station: Station) -> None:
    refusals = {"a": "", "b": "a challenge runs already"}
    for number, refusal in refusals.items():
        reply: Callable[[CommandResult], Any] = lambda result: station.answers.append(("", result))  # noqa: E731
        station.control.take(Command("mqtt", number, CommandName.CHALLENGE, reply), 0, lambda why=refusal: why)
        assert station.changes == [Change("mqtt", "challenge", "recipe 4", after="begun")]
    assert station.errors == list(refusals.values())


def of_plc(*, by_plc: bool) -> tuple[Control, list[Change]]:
    changes: list[Change] = []
    rules = ChallengeRules(parts={}, timeout_ns=1, by_plc=by_plc)
    return Control(RECIPES, 4, lambda: None, changed=changes.append, challenge=rules), changes


def test_the_plc_begins_a_challenge_each_time_its_bit_goes_on() -> None:
    control, changes = of_plc(by_plc=True)
    begun = Change("plc", "challenge", "recipe 4", after="begun")
    for bit, refusal, count in ((True, "", 0), (False, "", 0), (True, "", 1), (True, "", 1), (False, "", 1),
                                (True, "runs already", 1), (False, "", 1), (True, "", 2)):  # fmt: skip
        control.hear(heard(challenge=bit), challenge=lambda why=refusal: why)
        assert changes == [begun] * count, (
            "a bit that is on at the start begins nothing, and one that stays on no second"
        )
    control.hear(heard())
    control.hear(replace(heard(challenge=True), requests=False), challenge=lambda: "")
    assert len(changes) == 2, "this link does not say what the PLC wants"


def test_a_bit_that_means_something_else_begins_no_challenge() -> None:
    control, changes = of_plc(by_plc=False)
    control.hear(heard())
    control.hear(heard(challenge=True), challenge=lambda: "")
    assert changes == []


def test_a_station_without_challenge_parts_says_so_to_whoever_asks(station: Station) -> None:
    station.tell(CommandName.CHALLENGE)
    assert station.errors == ["this station has no challenge parts"]


def test_a_new_roll_has_the_command_s_id_as_its_name_and_is_written_down(station: Station) -> None:
    station.tell(CommandName.NEW_ROLL, id="B-7")
    assert station.errors == ["this station inspects parts, not a web"]
    assert station.changes == []
    begun: list[str] = []
    station.control.new_roll = lambda name: "" if begun.append(name) is None else "no"
    station.tell(CommandName.NEW_ROLL, id="B-8")
    station.tell(CommandName.NEW_ROLL, id="B-8")
    assert begun == ["B-8"], "a command that comes again begins no further roll"
    assert station.errors[1:] == ["", ""]
    assert [(change.what, change.after) for change in station.changes] == [("roll", "B-8")]
