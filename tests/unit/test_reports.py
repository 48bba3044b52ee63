"""Reports: one content as HTML and PDF, whose texts can never become anything else; validation and shift report."""

import dataclasses
import hashlib
import json
import re
import threading
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from support.page import plant_of, serving, station_files
from support.verdicts import verdict

from edge_inspector import pdf
from edge_inspector.cli import main
from edge_inspector.codes import Decision
from edge_inspector.commands import progress, validate
from edge_inspector.documents import Document, Rate, Text, number_text
from edge_inspector.errors import DeviceError
from edge_inspector.records import Change, Delivery
from edge_inspector.store.audit import append
from edge_inspector.store.challenges import StoredChallenge, append_challenge
from edge_inspector.store.measured import Quantiles, StationFigures, measured
from edge_inspector.store.results_file import results_path
from edge_inspector.store.results_writer import ResultsWriter, StoredVerdict
from edge_inspector.training.data.folder import Folder
from edge_inspector.training.judging.detection import by_class, by_group, by_size, missed
from edge_inspector.training.judging.evidence import Evidence, TruePart, TrueView, gather
from edge_inspector.training.judging.limits import Limit
from edge_inspector.training.judging.splits import Judged
from edge_inspector.web.shift_pdf import ShiftReport

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
NASTY = "<script>alert(1)</script> \x07 你好 \\ (x) Tj \ud800"


def document(title: str = "Report") -> Document:
    made = Document(title, "of a station")
    made.section("Figures")
    made.text("well", "good")
    made.text(NASTY, "bad")
    made.table(["name", "n"], [("a", 1), ("b", 2.34567), (NASTY, 3)])
    made.table(["empty"], [])
    made.pairs([("hash", "ab" * 32), ("n", 7)])
    made.picture(bytes(cv2.imencode(".png", np.full((40, 60, 3), 9, np.uint8))[1]), "a picture")
    return made


def test_html_escapes_everything() -> None:
    text = document(NASTY.replace("\ud800", "")).html()
    assert "<script>" not in text
    assert '<td class="number">2.346</td>' in text
    assert '<p class="good">well</p>' in text
    assert "<th>hash</th>" in text


@pytest.mark.parametrize("fonts", [True, False])
def test_pdf_has_the_same_content_and_loses_no_letter(monkeypatch: pytest.MonkeyPatch, fonts: bool) -> None:  # noqa: FBT001 -- a parameter
    pytest.importorskip("fpdf")
    if not fonts:
        monkeypatch.setattr(pdf, "_FONTS", ())
    made = pdf.pdf_of(document())
    assert made.startswith(b"%PDF-")
    assert made.rstrip().endswith(b"%%EOF")
    if not fonts:  # with core fonts the page's text can be read without decoding glyphs
        streams = [zlib.decompress(each) for each in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", made, re.DOTALL)
                   if each[:1] == b"x"]  # fmt: skip
        page = b"".join(streams)
        assert b"well" in page
        assert b"u{4f60}" in page
        assert b"u{7}" in page


def test_many_rows_and_endless_words_break_into_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fpdf")
    monkeypatch.setattr(pdf, "_FONTS", ())
    made = document()
    made.table(["a", "b"], [("x" * 5000, "word " * 300)] * 2 + [("y", "z")] * 60)
    assert pdf.pdf_of(made).count(b"/Type /Page\n") > 2


def test_without_the_package_the_message_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(pdf, "import_module", gone)
    with pytest.raises(DeviceError, match=r"pip install 'edge-inspector\[report\]'"):
        pdf.pdf_of(document())


# Detection, in slices.


def evidence() -> Evidence:
    """Four bad parts with defects of 10, 20, 30 and 40 px, of which the smallest is missed, and two good ones."""
    areas = np.array([0.0, 20, 30, 40, 0, 25])[:, None, None]
    zeros = np.zeros((6, 1, 1))
    return Evidence(
        names=np.array([f"p{number}" for number in range(6)]),
        groups=np.array(["a", "a", "b", "b", "c", "c"]),
        areas=areas,
        peaks=np.zeros((6, 1)),
        true=np.array([[1], [1], [1], [1], [0], [0]], np.bool_),
        defective=np.array([1, 1, 1, 1, 0, 0], np.bool_),
        sizes=np.array([10.0, 20, 30, 40, 0, 0]),
        overlap=zeros,
        union=zeros,
        binary=np.zeros((6, 3)),
        confidences=np.array([0.5]),
    )


def test_slices_count_each_part_once_and_put_mistakes_first() -> None:
    seen, limits = evidence(), [Limit(0.5, 15.0)]
    groups = by_group(seen, limits)
    assert [(each.name, each.bad, each.escapes, each.good, each.false_rejects) for each in groups] == [
        ("a", 2, 1, 0, 0),
        ("c", 0, 0, 2, 1),
        ("b", 2, 0, 0, 0),
    ]
    sizes = by_size(seen, limits, 0.25)
    assert [(each.name, each.bad, each.escapes) for each in sizes] == [
        ("2.5 to 4.38 mm2", 1, 1),
        ("4.38 to 6.25 mm2", 1, 0),
        ("6.25 to 8.12 mm2", 1, 0),
        ("8.12 to 10 mm2", 1, 0),
    ]
    assert by_size(seen, limits, 1234.0)[-1].name.endswith("00 mm2"), "no power of ten"
    (crack,) = by_class(seen, limits, ["crack"])
    assert crack.recall[0] == 0.75
    assert missed(seen, limits) == ["p0"]


# The commands.


@pytest.fixture
def station(tmp_path: Path) -> Path:
    """A station with the tile model."""
    folder = tmp_path / "line"
    folder.mkdir()
    path = station_files(folder)
    simulated = r'driver = "simulated"\nsettings = { ms_per_frame.*\n'
    path.write_text(
        re.sub(simulated, 'driver = "onnx"\nsettings = { providers = ["cpu"], workers = 1 }\n', path.read_text())
    )
    for recipe in (folder / "recipe.toml", folder / "other.toml"):
        recipe.write_text(recipe.read_text().replace("[classes.defect]", "[classes.crack]"))
    return path


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """Four pictures of two groups, the last one with a defect."""
    folder = tmp_path / "squares"
    folder.mkdir()
    rng = np.random.default_rng(4)
    lines = ["image,mask,class,label,group,split"]
    for number in range(4):
        image = rng.integers(140, 170, (160, 240, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"i{number}.png"), image)
        lines.append(f"i{number}.png,,good,0,g{number // 2},val")
    mask = np.zeros((160, 240), np.uint8)
    mask[40:60, 40:80] = 255
    cv2.imwrite(str(folder / "m3.png"), mask)
    lines[-1] = "i3.png,m3.png,crack,1,g1,val"
    (folder / "index.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_a_dash_in_a_column_of_numbers_stands_where_numbers_stand() -> None:
    made = Document("Report")
    made.table(["name", "n"], [("a", 0.5), ("b", "-")])
    assert '<td class="number">-</td>' in made.html()
    rows = (("a", 0.5, "-", "85.2 %"), ("b", "-", "-", "-"))
    assert [pdf._align(rows, column) for column in range(4)] == ["LEFT", "RIGHT", "RIGHT", "RIGHT"]


def test_shares_have_the_same_decimals_whatever_they_are() -> None:
    assert [number_text(value) for value in (Rate(1.0), Rate(0.5), 1.0)] == ["1.000", "0.500", "1"]


def test_a_table_is_no_wider_than_it_needs() -> None:
    rows = [("class", "parts"), ("chip", 66), ("colour", 5)]
    assert sum(pdf._widths(rows, 2, lambda text: 1.65 * len(text), 174.0)) < 40


def test_what_is_bad_stands_before_everything_else() -> None:
    made = Document("Report", "of a station")
    made.section("Figures")
    made.text("well", "good")
    made.text("late", "bad")
    made.findings()
    shown = made.html()
    assert shown.index("Findings") < shown.index("late") < shown.index("Figures") < shown.rindex("late")
    fine = Document("Report")
    fine.findings()
    assert "None." in fine.html()


def test_dates_heads_and_hashes_are_not_broken() -> None:
    fpdf = pytest.importorskip("fpdf")
    page = fpdf.FPDF(format="A4")
    page.set_margin(18)
    page.set_font("helvetica", "B", 8)
    heads = ("begin", "end", "what", "why", "acknowledged by")
    date = "2026-12-01T01:14Z"
    events = [heads, (date, date, "E603 parts_not_inspected line", "a long story " * 20, "")]
    moves = [("then", "now", "parts"), ("REJECT", "NOT_INSPECTED", 2)]
    for rows, words in ((moves, ("REJECT", "NOT_INSPECTED", "parts")), (
        events, (date, date, "parts_not_inspected", "story", "acknowledged"),
    ), (
        [("file", "SHA-256"), ("/some/where/" * 9, "8a" * 32)], ("file", "8a" * 32),
    )):  # fmt: skip
        page.set_font("helvetica", "B", 8)
        widths = pdf._widths(rows, len(rows[0]), page.get_string_width, page.epw)
        assert sum(widths) < page.epw * 1.02
        for width, word in zip(widths, words, strict=True):
            page.set_font("helvetica", "", 8)
            assert page.get_string_width(word) + 3 < width * min(1.0, page.epw / sum(widths)), word


def test_validate_writes_one_document_with_everything_that_an_auditor_files(station: Path, squares: Path) -> None:
    state_dir = station.parent / "state"
    state_dir.mkdir(exist_ok=True)
    append(state_dir, Change("page:ann", "reset"), datetime(2026, 11, 30, tzinfo=UTC))
    campaign = station.parent / "chaos.json"
    runs = [{"run": number, "fault": "broker killed", "violated": []} for number in range(3)]
    campaign.write_text(json.dumps({"seed": 11, "runs": runs}))
    report = station.parent / "validation.html"
    argv = ["validate", str(station), str(squares), "--faults", str(campaign), "--html", str(report)]
    assert main(argv) == 0
    text = report.read_text()
    for words in (
        "4 parts of 2 groups, 1 of them bad",
        "By group",
        "By size of the largest defect",
        "The station has no results of this period",
        "position_tolerance_mm is",
        "broker killed",
        "The logbook has no fault in this period.",
        "0 challenges of this recipe",
        "1 changes. Hash of the last line:",
        "model, one picture, measured now (ms)",
        "This station checks no signatures",
        "No promises were broken in 3 runs.",
        "SHA-256 of its files",
        "Released by",
        f"{squares}: all 6 files",
        hashlib.sha256(station.read_bytes()).hexdigest(),
        hashlib.sha256((squares / "index.csv").read_bytes()).hexdigest(),
    ):
        assert words in text, words


@pytest.mark.parametrize("bound", [["--parts", "2"], ["--minutes", "0.000001"], ["--parts", "3", "--minutes", "9"]])
def test_a_validation_can_be_bounded_and_says_so(
    station: Path,
    squares: Path,
    bound: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = station.parent / "validation.html"
    assert main(["validate", str(station), str(squares), *bound, "--html", str(report)]) == 0
    seen = {"2": 2, "0.000001": 1, "3": 3}[bound[1]]
    assert f"a sample: {seen} of 4 parts, drawn at random" in report.read_text()
    told = capsys.readouterr().err
    assert "judging" in told
    assert "computing the hashes" in told


def test_a_sample_is_the_same_each_time_and_every_part_has_a_chance(squares: Path) -> None:
    assert list(validate._order(100, 7, None)) == list(validate._order(100, 7, None))
    assert sorted(validate._order(100, None, 5.0)) == list(range(100))
    assert list(validate._order(100, None, None)) == list(range(100))
    assert sorted(validate._order(5, 900, None)) == list(range(5))
    judged = Judged("squares", Folder(squares), "val")
    assert judged.count == 4
    assert [part.name for part in judged.parts([3, 1])] == ["i3.png", "i1.png"]


def test_the_rendered_parts_are_the_same_in_any_order() -> None:
    judged = Judged("rendered tile line", None, "val")
    assert judged.count == 2000
    first, last = judged.parts([0, 1999])
    assert (first.name, last.name) == ("95001/0", "95010/199")
    (again,) = judged.parts([1999])
    assert all(np.array_equal(one.image, other.image) for one, other in zip(last.views, again.views, strict=True))


def test_several_threads_gather_what_one_does() -> None:
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 255, (64, 64, 1), dtype=np.uint8) for _ in range(9)]
    parts = [
        TruePart(f"p{at}", f"g{at % 3}", at % 2 == 1, [TrueView(image, (image[:, :, 0] > 250).astype(np.uint8))])
        for at, image in enumerate(images)
    ]

    def predict(image: Any) -> Any:
        return image[::2, ::2, 0][np.newaxis]

    one, several = (gather(predict, classes=1, stride=2, parts=parts, workers=count) for count in (1, 3))
    for field in dataclasses.fields(Evidence):
        assert np.array_equal(getattr(one, field.name), getattr(several, field.name)), field.name


def test_how_far_a_command_is_is_told_even_while_one_step_takes_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 0.01)
    told = threading.Event()
    line = progress.Progress.line
    monkeypatch.setattr(progress.Progress, "line", lambda self: (told.set(), line(self))[1])
    with progress.Progress() as shown:
        shown.begin("drawing")
        assert told.wait(60), "nobody counted anything"
        assert re.fullmatch(r"  drawing, \d+ s", line(shown))
        shown.begin("judging 4 parts", 4)
        assert re.fullmatch(r"  0 of 4, \d+ s", line(shown))
        items = shown.counted("abcd")
        assert [next(items) for _ in range(3)] == ["a", "b", "c"]
        assert re.fullmatch(r"  2 of 4, \d+ s, about \d+ s more", line(shown))
    assert "judging 4 parts ...\n" in capsys.readouterr().err


def test_what_takes_too_long_ends_after_a_first_item() -> None:
    shown = progress.Progress()
    assert list(shown.counted("abc", most_s=0.0)) == ["a"]
    assert list(shown.counted("abc", most_s=1e9)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "content", ["", "[]", '{"runs": [1]}', '{"runs": [{"fault": 1, "violated": 0}]}', "[" * 99_999]
)
def test_what_is_no_campaign_is_refused_before_anything_is_measured(
    station: Path, squares: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    campaign = station.parent / "chaos.json"
    campaign.write_text(content)
    argv = ["validate", str(station), str(squares), "--faults", str(campaign), "--html", str(station.parent / "v.html")]
    assert main(argv) == 2
    assert "is no report of `make chaos" in capsys.readouterr().err


def figures_of(late: int, **left_ms: tuple[float, ...]) -> StationFigures:
    none = Quantiles(())
    links = {link: Quantiles(values) for link, values in left_ms.items()}
    return StationFigures(
        parts=3,
        inspected=3,
        late=late,
        first=NOON,
        last=NOON,
        latency_ms=none,
        left_ms=none,
        error_mm=none,
        links=links,
    )


@pytest.mark.parametrize(
    ("found", "marks"),
    [
        (figures_of(0, plc=(5.0, 90.0)), ["", "good"]),
        (figures_of(0, plc=(-4402.0, 90.0)), ["", "bad"]),
        (figures_of(2, plc=(-1.0,)), ["", "bad", "bad"]),
        (figures_of(0, broker=(-4402.0,)), ["", "good"]),
    ],
)
def test_a_verdict_that_came_to_the_plc_too_late_is_a_finding(found: StationFigures, marks: list[str]) -> None:
    roles = SimpleNamespace(vital=frozenset({"plc"}))
    station: Any = SimpleNamespace(roles=roles, file=SimpleNamespace(line=SimpleNamespace(reserve_ms=100)))
    made = Document("Report")
    validate._tell_late(made, station, found)
    assert [block.mark for block in made.blocks if isinstance(block, Text)] == marks


def test_a_station_with_another_model_than_its_folder_is_refused(
    tmp_path: Path, squares: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "line").mkdir()
    path = station_files(tmp_path / "line")
    assert main(["validate", str(path), str(squares), "--html", str(tmp_path / "v.html")]) == 2
    assert "segmenter.driver: does not run tile-1.1" in capsys.readouterr().err


def test_what_was_measured_is_told_with_its_spread(tmp_path: Path) -> None:
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    writer = ResultsWriter(results_path(tmp_path))
    verdicts = [verdict(seq, error_mm=seq / 10, late=seq == 3) for seq in (1, 2, 3)]
    verdicts.append(verdict(4, Decision.NOT_INSPECTED))
    writer.add([StoredVerdict(each, now + timedelta(minutes=each.seq), "", {}) for each in verdicts], [])
    writer.add([], [Delivery(verdicts[0].boot_id, 1, "plc", 2_100_000_000)])
    writer.close()
    found = measured(results_path(tmp_path), None, now + timedelta(minutes=10))
    assert (found.parts, found.inspected, found.first) == (4, 3, now + timedelta(minutes=1))
    assert found.error_mm.values == (0.1, 0.2, 0.3)
    assert [found.error_mm.at(share) for share in (0.0, 0.5, 1.0)] == [0.1, 0.2, 0.3]
    assert found.left_ms.values == (450.0,) * 3
    assert found.links == {"plc": Quantiles((400.0,))}
    assert measured(results_path(tmp_path), now + timedelta(days=1), None).latency_ms.at(0.5) != 0


def test_a_clock_set_back_in_the_middle_of_a_shift_turns_no_period_round(tmp_path: Path) -> None:
    noon = datetime(2026, 11, 30, 12, tzinfo=UTC)
    writer = ResultsWriter(results_path(tmp_path))
    for seq, minutes in enumerate((0, 30, -60, -50), 1):
        writer.add([StoredVerdict(verdict(seq), noon + timedelta(minutes=minutes), "", {})], [])
    writer.close()
    found = measured(results_path(tmp_path), None, None)
    assert (found.parts, found.first, found.last) == (4, noon - timedelta(hours=1), noon + timedelta(minutes=30))


def test_the_shift_report_is_a_pdf_of_the_same_engine(tmp_path: Path) -> None:
    pytest.importorskip("fpdf")
    plant = plant_of(tmp_path)
    with serving(plant) as page:
        answer = page.visitor().ask("GET", "/api/shift.pdf")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/pdf")
        assert answer.body.startswith(b"%PDF-")
        for wrong in ("since=noon", "since=2026-01-01T00:00Z&until=2025-01-01T00:00Z"):
            assert page.visitor().ask("GET", f"/api/shift.pdf?{wrong}").status == 400


def test_a_shift_report_says_first_what_was_bad(tmp_path: Path) -> None:
    plant = plant_of(tmp_path)
    begun, why = NOON + timedelta(minutes=5), "scratch 2 must be reject, and was accept"
    run = StoredChallenge(begun, "page:ann", 1, "c0ffee", expected=1, parts=(), why=why)
    append_challenge(plant.station.state_dir, run)
    text = ShiftReport(plant)._document(NOON, NOON + timedelta(hours=8)).html()
    assert text.index("Findings") < text.index(why) < text.index("Products") < text.rindex(why)
    assert "page:ann" not in text
    assert "None." in ShiftReport(plant)._document(NOON - timedelta(hours=8), NOON).html()


def test_a_page_without_the_package_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(pdf, "import_module", gone)
    with serving(plant_of(tmp_path)) as page:
        answer = page.visitor().ask("GET", "/api/shift.pdf")
        assert answer.status == 503
        assert "edge-inspector[report]" in answer.json["error"]
