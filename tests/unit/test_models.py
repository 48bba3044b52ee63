"""Recipes with models of their own: which are open, which looks at a picture, and what is said while one is loaded."""

from collections.abc import Sequence

import numpy as np
import pytest
from support.verdicts import frame

from edge_inspector.codes import ErrorCode, Reason, StationState
from edge_inspector.errors import ConfigError, Fault, InferenceError
from edge_inspector.inspection.admission import Admission
from edge_inspector.inspection.recipe import ClassLimits, Criteria, Recipe
from edge_inspector.inspection.view import Look
from edge_inspector.records import Image, Job, JudgeItem, ModelInfo, Segmented, View, ViewFigures
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.segmenters.models import Models
from edge_inspector.stages.changeover import Changeover
from edge_inspector.stages.measure import Measure
from edge_inspector.stages.segment import Segment
from edge_inspector.store.album import Album
from edge_inspector.watches.masks import MaskAlarm

FIGURES = ViewFigures(100.0, 5.0)
MEMORY = {"a-1": 100.0, "b-1": 40.0, "c-1": 70.0}
CLASSES = {"a-1": ("crack",), "b-1": ("dent", "crack"), "c-1": ("crack",)}


class Net:
    """A model that finds one defect of its last class, in as many pixels as it may take images at once."""

    workers = 1

    def __init__(self, name: str, max_batch: int = 2) -> None:
        self.name, self.max_batch = name, max_batch
        classes = CLASSES[name]
        self.info = ModelInfo(
            *name.split("-"),
            "",
            classes,
            height=40,
            width=40,
            channels=3,
            stride=2,
            precision="int8",
            provider="",
            values=frozenset({0}),
        )
        self.says = 255
        self.is_open = False
        self.calls: list[int] = []
        self.refuses = ""
        self.fails = False

    def open(self) -> None:
        if self.refuses:
            raise ConfigError([Fault(self.name, self.refuses)])
        self.is_open = True

    def segment(self, images: Sequence[Image]) -> list[Image]:
        if self.fails or not self.is_open:
            raise InferenceError(f"{self.name} does not run")
        assert len(images) <= self.max_batch
        self.calls.append(len(images))
        mask = np.zeros((len(self.info.classes), 20, 30), np.uint8)
        mask[-1, 4:6, 4:6] = self.says
        return [mask for _ in images]

    def close(self) -> None:
        self.is_open = False


def criteria(number: int, model: str, views: Sequence[str] = ("cam1",)) -> Criteria:
    table = {
        "id": number,
        "name": model,
        "model": model,
        "views": list(views),
        "part_length_mm": 50,
        "min_pitch_mm": 60,
        "position_tolerance_mm": 5,
    }
    return Criteria(Recipe.model_validate(table), {name: ClassLimits(min_area_mm2=1) for name in CLASSES[model]})


class Room:
    """The threads of the models, stepped by the test. Recipe 1 is judged by a, recipe 2 by b, recipe 3 by c."""

    def __init__(self, budget_mb: float = 50.0) -> None:
        self.nets = {name: Net(name) for name in MEMORY}
        self.models = Models(self.nets)
        self.took = self.models.preload(budget_mb, self.memory_mb)
        self.recipes = {number: criteria(number, name) for number, name in enumerate(MEMORY, 1)}
        self.in_use: list[Criteria] = [self.recipes[1]]
        self.conditions = Conditions()
        self.conditions.phase(StationState.READY)
        self.changeover = Changeover(self.models, lambda: self.in_use, self.conditions)
        self.jobs: Mailbox[Job] = Mailbox("jobs", 8, key=lambda job: job.decide_by)
        self.masks: Mailbox[Segmented] = Mailbox("masks", 8)
        self.views: Mailbox[JudgeItem] = Mailbox("judge", 8)
        self.album = Album(2**20)
        scale = {"cam1": 0.5, "cam2": 0.5}
        look = Look(lambda: self.in_use, self.nets["a-1"].info, scale, scale, self.models.infos)
        measure = Measure(
            MaskAlarm(look, self.conditions),
            self.masks,
            self.views,
            self.album,
            rejects=lambda _: False,
            rejected=lambda _: None,
        )
        self.measure = measure
        self.segment = Segment(
            0,
            self.nets["a-1"],
            admission=Admission(lambda _now_ns, _at_ns: 0.0, 0.0, 1, None),
            jobs=self.jobs,
            masks=self.masks,
            measure=measure.measure,
            views=self.views,
            conditions=self.conditions,
            album=self.album,
            models=self.models,
            wanted=lambda view: {each.recipe.model for each in self.in_use if view in each.recipe.views},
        )

    def memory_mb(self) -> float:
        return sum(MEMORY[name] for name, net in self.nets.items() if net.is_open)

    def use(self, *numbers: int) -> None:
        self.in_use[:] = [self.recipes[number] for number in numbers]

    def see(self, *numbers: int, camera: str = "cam1") -> list[View]:
        for number in numbers:
            self.jobs.put(Job(frame(camera, frame_id=number), 1000.0 + number, FIGURES))
        self.segment.step()
        while len(self.masks):
            self.measure.step()
        return [view for view in self.views.take(8, 0.0) if isinstance(view, View)]

    @property
    def told(self) -> list[tuple[ErrorCode, str]]:
        return self.conditions.snapshot()


@pytest.mark.parametrize(
    ("budget_mb", "kept"),
    [(0.0, {"a-1"}), (50.0, {"a-1", "b-1"}), (100.0, {"a-1", "b-1"}), (110.0, {"a-1", "b-1", "c-1"})],
)
def test_models_stay_open_as_far_as_the_memory_allows_and_the_first_always(budget_mb: float, kept: set[str]) -> None:
    room = Room(budget_mb)
    assert room.models.kept == room.models.opened == kept
    assert {name for name, net in room.nets.items() if net.is_open} == kept
    assert room.took == MEMORY


def test_a_wrong_model_is_refused_at_the_start_even_if_it_would_not_stay_open() -> None:
    nets = {name: Net(name) for name in MEMORY}
    nets["c-1"].refuses = "damaged"
    with pytest.raises(ConfigError, match="damaged"):
        Models(nets).preload(0.0)


def test_the_numbers_of_the_first_model_s_classes_do_not_depend_on_the_others() -> None:
    assert Room().models.classes == ("crack", "dent")


def test_each_recipe_in_use_is_judged_by_its_own_model_in_batches_of_its_own() -> None:
    room = Room()
    room.nets["b-1"].max_batch = 1
    room.use(1, 2)
    first, second = room.see(1, 2)
    assert (room.nets["a-1"].calls, room.nets["b-1"].calls) == ([2], [1, 1])
    for view in (first, second):
        assert [defect.defect_class for defect in view.by(1).defects] == ["crack"]
        assert [defect.defect_class for defect in view.by(2).defects] == ["crack"]
        assert view.by(1).failure is view.by(2).failure is Reason.NONE
    picture = room.album.get("cam1", 1)
    assert picture is not None
    masks = picture.by("a-1"), picture.by("b-1"), picture.by("c-1")
    assert [mask is None or mask.shape[0] for mask in masks] == [1, 2, True]


def test_a_model_looks_only_at_the_views_of_its_recipes() -> None:
    room = Room()
    room.in_use[:] = [criteria(1, "a-1"), criteria(2, "b-1", ["cam2"])]
    room.see(1)
    room.see(2, camera="cam2")
    assert (room.nets["a-1"].calls, room.nets["b-1"].calls) == ([1], [1])


def test_until_its_model_is_open_a_recipe_judges_nothing_and_the_old_one_judges_on() -> None:
    room = Room()
    room.use(1, 3)
    (view,) = room.see(1)
    assert (view.by(1).failure, view.by(3).failure) == (Reason.NONE, Reason.CHANGING)
    assert view.by(3).defects == ()
    room.use(3)
    (view,) = room.see(2)
    assert view.by(3).failure is Reason.CHANGING
    assert room.nets["a-1"].calls == [1], "the old model does not look for the new product"

    room.changeover.step()
    assert room.told == [(ErrorCode.RECIPE_CHANGING, "c-1")]
    assert room.conditions.state is StationState.DEGRADED
    (view,) = room.see(3)
    assert view.by(3).failure is Reason.NONE
    room.changeover.step()
    assert room.told == []


def test_besides_those_that_stay_open_there_is_one_more_at_most() -> None:
    room = Room(0.0)
    room.use(2)
    room.changeover.step()
    assert room.models.opened == {"a-1", "b-1"}
    room.use(2, 3)
    room.changeover.step()
    assert room.models.opened == {"a-1", "b-1"}, "parts of recipe 2 are still on the belt"
    assert room.told == [(ErrorCode.RECIPE_CHANGING, "c-1")]
    room.use(3)
    room.changeover.step()
    assert room.models.opened == {"a-1", "c-1"}
    assert not room.nets["b-1"].is_open
    room.use(1)
    room.changeover.step()
    assert room.models.opened == {"a-1", "c-1"}, "it may be wanted again"


def test_a_model_that_does_not_load_is_a_fault_until_it_does_or_nobody_needs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = Room(0.0)
    room.nets["b-1"].refuses = "another SHA-256"
    room.use(2)
    room.changeover.step()
    assert room.told == [(ErrorCode.MODEL_NOT_LOADED, "b-1")]
    assert room.conditions.state is StationState.FAULT
    (view,) = room.see(1)
    assert view.failure is Reason.CHANGING
    monkeypatch.setattr("edge_inspector.stages.changeover.Backoff.due", always)
    room.changeover.step()
    assert room.told == [(ErrorCode.MODEL_NOT_LOADED, "b-1")], "it is told until it works"
    room.nets["b-1"].refuses = ""
    room.changeover.step()
    room.changeover.step()
    assert room.told == []
    assert room.see(2)[0].failure is Reason.NONE

    room.nets["c-1"].refuses = "damaged"
    room.use(3)
    room.changeover.step()
    assert room.told == [(ErrorCode.MODEL_NOT_LOADED, "c-1")]
    room.use(1)
    room.changeover.step()
    assert room.told == []


def always(_backoff: object, wait_s: float) -> bool:
    return wait_s > 0


def test_a_model_that_fails_is_opened_again_and_the_others_are_left_alone() -> None:
    room = Room()
    room.use(2)
    room.nets["b-1"].fails = True
    for number in range(2):
        (view,) = room.see(number)
        assert view.failure is Reason.INFERENCE_FAILED
    with pytest.raises(InferenceError):
        room.see(2)
    room.nets["b-1"].fails = room.nets["a-1"].is_open = room.nets["b-1"].is_open = False
    room.segment.start()
    assert (room.nets["a-1"].is_open, room.nets["b-1"].is_open) == (False, True)


def test_a_model_that_was_closed_in_between_fails_nobody() -> None:
    room = Room()

    class Closing(frozenset[str]):
        def __contains__(self, name: object) -> bool:
            found = super().__contains__(name)
            if name == "b-1":
                room.models.close("b-1")
            return found

    found = room.models.segment([np.zeros((40, 60), np.uint8)], [Closing({"a-1", "b-1"})])
    assert [list(each) for each in found] == [["a-1"]]


def test_all_are_closed_at_the_end() -> None:
    room = Room()
    room.models.close_all()
    assert not any(net.is_open for net in room.nets.values())
    assert not room.models.opened


def test_a_silent_model_is_told_by_its_name_until_no_recipe_needs_it() -> None:
    room = Room()
    room.nets["b-1"].says = 0
    room.use(2)
    for number in range(25):
        room.see(number)
    assert room.told == [(ErrorCode.MASKS_SILENT, "b-1")]
    room.use(1)
    room.see(30)
    assert room.told == []
