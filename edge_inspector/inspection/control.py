"""Requests from outside: which recipe judges the next part, and whether the station inspects at all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from edge_inspector.codes import CommandName
from edge_inspector.inspection.challenge import NO_CHALLENGE, ChallengeRules
from edge_inspector.inspection.recipe import Criteria, PictureLimits
from edge_inspector.records import Change, Command, CommandResult, PlcInput

_REMEMBERED = 256  # a repetition of one of this many latest commands is answered without doing it again
_PATIENCE_NS = 5_000_000_000  # longest wait of a recipe change for data from the PLC


@dataclass(frozen=True, slots=True)
class SwitchedOff:
    """Who has switched inspection off, as in `Command.source` or "plc", and since when."""

    by: str
    since_ns: int


@dataclass(slots=True)
class _Change:
    """A recipe that takes effect at the next data from the PLC, and the commands that wait for it."""

    recipe_id: int
    until_ns: int
    commands: list[Command] = field(default_factory=list)


def _no_challenge() -> str:
    return "this station has no challenge parts"


class Control:
    """Takes commands and the PLC's own requests, one at a time, in the judge's thread.

    A recipe change takes effect between parts: parts in the PLC's next reading were triggered before the change.
    Meanwhile both recipes are in use, so that each view is judged by the right one. The PLC's choice (`recipe_id` above
    0) has priority over all others. `reset()` is called for RESET and for the PLC's reset bit. `changed` is called for
    everything that was really changed. `call(id)` is called for INSPECT, and returns why it cannot be done, or "". So
    is `new_roll(id)` for NEW_ROLL. `challenge` are the parts of which it is known what must be found.
    """

    def __init__(
        self,
        recipes: Mapping[int, Criteria],
        first: int,
        reset: Callable[[], None],
        *,
        changed: Callable[[Change], object] = lambda _: None,
        call: Callable[[str], str] = lambda _: "the parts of this station are not called",
        challenge: ChallengeRules = NO_CHALLENGE,
    ) -> None:
        self.recipe_id = first
        self.in_use: tuple[Criteria, ...] = (recipes[first],)
        self.challenge = challenge
        self._recipes = recipes
        self._reset = reset
        self._changed = changed
        self._call = call
        self.new_roll: Callable[[str], str] = lambda _: "this station inspects parts, not a web"
        self._change: _Change | None = None
        self._chosen_by_plc = 0
        self._reset_bit = False
        self._challenge_bit = True  # one that is on already when the station starts begins nothing
        self._off_by_command: SwitchedOff | None = None
        self._off_by_plc: SwitchedOff | None = None
        self._answers: OrderedDict[tuple[str, str], tuple[tuple[CommandName, int], CommandResult]] = OrderedDict()

    @property
    def mismatch(self) -> bool:
        """Whether the PLC has selected a recipe that this station does not have."""
        return self._chosen_by_plc not in (0, self.recipe_id)

    @property
    def enabled(self) -> bool:
        """Whether no command has switched inspection off."""
        return self._off_by_command is None

    @property
    def off(self) -> tuple[SwitchedOff, ...]:
        """Everybody who has switched inspection off. Empty while parts are inspected."""
        return tuple(filter(None, (self._off_by_command, self._off_by_plc)))

    def picture_limits(self, camera: str, recipe_id: int = 0) -> PictureLimits:
        """The limits that this recipe, or the one in force, sets for this camera's pictures. Any thread may ask."""
        return self._recipes[recipe_id or self.recipe_id].recipe.picture_limits(camera)

    def take(
        self,
        command: Command,
        now_ns: int,
        challenge: Callable[[], str] = _no_challenge,
    ) -> None:
        """Do the command, or say why not. A recipe change is answered when it has taken effect.

        `challenge()` is called for CHALLENGE, and returns why it cannot begin, or "".
        """
        told = self._answers.get((command.source, command.id))
        waiting = self._waiting_as(command)
        if told is not None:
            asked, result = told
            same = asked == (command.name, command.recipe_id)
            command.reply(result if same else self._used(command))
        elif waiting is not None and (waiting.name, waiting.recipe_id) != (command.name, command.recipe_id):
            command.reply(self._used(command))
        elif command.name is CommandName.SELECT_RECIPE:
            self._select(command, now_ns)
        elif command.name is CommandName.INSPECT:
            self._answer(command, self._call(command.id))
        elif command.name is CommandName.CHALLENGE:
            self._answer(command, self._begin_challenge(challenge, command.source, command.why))
        elif command.name is CommandName.NEW_ROLL:
            self._answer(command, self._roll(command))
        else:
            if command.name is CommandName.RESET:
                self._reset()
                self._changed(Change(command.source, "reset", why=command.why))
            elif command.name is CommandName.ENABLE:
                self._tell_switch(command.source, self._off_by_command, None, command.why)
                self._off_by_command = None
            else:
                off = self._off_by_command or SwitchedOff(command.source, now_ns)
                self._tell_switch(command.source, self._off_by_command, off, command.why)
                self._off_by_command = off
            self._answer(command, "")

    def hear(self, heard: PlcInput, *, whole: bool = True, challenge: Callable[[], str] = _no_challenge) -> None:
        """Follow the PLC's recipe choice and let a change take effect. `challenge` is as in `take`.

        Call it after taking the triggers of this reading. A reading that does not show all its parts (not `whole`)
        changes no recipe, because these parts were triggered before it.
        """
        if heard.requests:
            self._follow(heard, whole=whole)
            self._follow_challenge(heard.challenge, challenge)
        if whole and heard.announces and self._change is not None:
            refusal = self._refusal(self._change.recipe_id)
            if not refusal:
                first = self._change.commands[0]
                self._judge_by(self._change.recipe_id, first.source, first.why)
            self._finish(refusal)

    def _follow(self, heard: PlcInput, *, whole: bool) -> None:
        if heard.reset and not self._reset_bit:
            self._reset()
            self._changed(Change("plc", "reset"))
        self._reset_bit = heard.reset
        off = None if heard.enable else self._off_by_plc or SwitchedOff("plc", heard.asked_ns)
        self._tell_switch("plc", self._off_by_plc, off)
        self._off_by_plc = off
        if not whole:
            return
        self._chosen_by_plc = heard.recipe_id
        if heard.recipe_id in self._recipes:
            self._use(heard.recipe_id)
            self._judge_by(heard.recipe_id, "plc")

    def _follow_challenge(self, bit: bool, challenge: Callable[[], str]) -> None:  # noqa: FBT001 -- it is the bit
        if self.challenge.by_plc and bit and not self._challenge_bit:
            self._begin_challenge(challenge, "plc", "")
        self._challenge_bit = bit

    def _begin_challenge(self, challenge: Callable[[], str], who: str, why: str) -> str:
        refusal = challenge()
        if not refusal:
            self._changed(Change(who, "challenge", f"recipe {self.recipe_id}", after="begun", why=why))
        return refusal

    def settle(self, now_ns: int, of_parts: AbstractSet[int]) -> None:
        """Give up a change that the PLC delays too long, and drop recipes that no part on the belt needs any more."""
        if self._change is not None and now_ns >= self._change.until_ns:
            self._finish("the PLC does not answer: the recipe was not changed")
        if len(self.in_use) > 1:
            needed = of_parts | {self.recipe_id} | ({self._change.recipe_id} if self._change else set())
            self.in_use = tuple(criteria for criteria in self.in_use if criteria.recipe.id in needed)

    def stop(self) -> None:
        """Answer the waiting commands."""
        self._finish("the station stops")

    def _waiting_as(self, command: Command) -> Command | None:
        """The command with that source and id whose recipe has not taken effect yet."""
        waiting = self._change.commands if self._change is not None else []
        return next((each for each in waiting if (each.source, each.id) == (command.source, command.id)), None)

    def _used(self, command: Command) -> CommandResult:
        return self._result(f"id {command.id!r} was used for another command")

    def _select(self, command: Command, now_ns: int) -> None:
        refusal = self._refusal(command.recipe_id)
        if refusal:
            self._answer(command, refusal)
            return
        if self._change is None or self._change.recipe_id != command.recipe_id:
            self._finish("another recipe was chosen before this one took effect")
            if command.recipe_id == self.recipe_id:
                self._answer(command, "")
                return
            self._use(command.recipe_id)
            self._change = _Change(command.recipe_id, now_ns + _PATIENCE_NS)
        self._change.commands.append(command)

    def _roll(self, command: Command) -> str:
        error = self.new_roll(command.id)
        if not error:
            self._changed(Change(command.source, "roll", after=command.id, why=command.why))
        return error

    def _refusal(self, recipe_id: int) -> str:
        if recipe_id not in self._recipes:
            return f"there is no recipe {recipe_id}. There are: {', '.join(map(str, sorted(self._recipes)))}"
        if self._chosen_by_plc not in (0, recipe_id):
            return f"the PLC has chosen recipe {self._chosen_by_plc}"
        return ""

    def _judge_by(self, recipe_id: int, who: str, why: str = "") -> None:
        if recipe_id != self.recipe_id:
            self._changed(Change(who, "recipe", before=str(self.recipe_id), after=str(recipe_id), why=why))
            self.recipe_id = recipe_id

    def _tell_switch(self, who: str, before: SwitchedOff | None, after: SwitchedOff | None, why: str = "") -> None:
        if (before is None) != (after is None):
            states = ["on" if each is None else "off" for each in (before, after)]
            self._changed(Change(who, "inspection", before=states[0], after=states[1], why=why))

    def _use(self, recipe_id: int) -> None:
        criteria = self._recipes[recipe_id]
        if criteria not in self.in_use:
            self.in_use = (*self.in_use, criteria)

    def _finish(self, error: str) -> None:
        change, self._change = self._change, None
        for command in change.commands if change is not None else ():
            self._answer(command, error)

    def _answer(self, command: Command, error: str) -> None:
        result = self._result(error)
        self._answers[command.source, command.id] = ((command.name, command.recipe_id), result)
        if len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
        command.reply(result)

    def _result(self, error: str) -> CommandResult:
        return CommandResult(error, self.recipe_id)
