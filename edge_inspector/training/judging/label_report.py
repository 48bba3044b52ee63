"""What a run says about its labels: suspects with thumbnails, and the model beside two annotators."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_inspector.training.data.folder import Image
from edge_inspector.training.judging.evidence import TruePart, TrueView
from edge_inspector.training.judging.hygiene import Opinions
from edge_inspector.training.judging.people import PAIRS, SideBySide
from edge_inspector.training.judging.report import coloured, embedded_source, outlined, section, small_png, write_page
from edge_inspector.training.judging.suspects import Suspect

_SHOWN: Final = 48
_GREEN, _RED = (0, 200, 0), (0, 0, 255)
_ABOUT = (
    "<p>Green is the label, red is what a net saw that did not learn from this picture. Correct "
    "<code>index.csv</code> and the masks, or write in the column <code>note</code> why a picture is doubtful: then it "
    "is not learned from.</p>"
)


def suspects_section(found: Sequence[tuple[int, Suspect]], heard: Opinions, parts: Iterable[TruePart]) -> str:
    """The surest suspects with pictures. `found` has their places in what was `heard`."""
    if not found:
        return section("Labels to look at", "<p>None stands out.</p>")
    wanted = {each.name: (rank, at, each) for rank, (at, each) in enumerate(found[:_SHOWN])}
    shown = sorted(
        (rank, _figure(view, each, heard.map_of(at)))
        for name, view in _views(parts)
        if name in wanted
        for rank, at, each in [wanted[name]]
    )
    more = f"<p>{len(found)} in all, the surest {_SHOWN} are shown.</p>" if len(found) > _SHOWN else ""
    return section("Labels to look at", _ABOUT + more + "".join(text for _, text in shown))


def nobody_was_heard() -> str:
    """The section of a run whose folds were judged by an older version."""
    return section("Labels to look at", "<p>An older version made this run. It did not keep what its nets said.</p>")


def write_suspects_page(path: Path, title: str, content: str) -> None:
    """Write the page of `model suspects`."""
    write_page(path, title, [content])


def people_section(found: SideBySide) -> str:
    """Three rows, one for each two of model and annotators, and what follows."""
    names = list(found.iou)
    heading = "".join(
        f"<th>{html.escape(each)}</th>" for each in ("", *(f"IoU {name}" for name in names), "same verdict")
    )
    rows = (
        f"<tr><td>{pair}</td>"
        + "".join(f"<td>{found.iou[name][at]:.3f}</td>" for name in names)
        + f"<td>{found.same[at]:.3f}</td></tr>"
        for at, pair in enumerate(PAIRS)
    )
    told = (
        f"<p>{found.views} pictures of {found.parts} parts. People lead the model by {found.lead:+.3f} IoU, 95 % "
        f"within [{found.lead_95[0]:+.3f}, {found.lead_95[1]:+.3f}].</p><p><b>{html.escape(found.conclusion)}.</b></p>"
    )
    return section("Two annotators and the model", f"<table><tr>{heading}</tr>{''.join(rows)}</table>{told}")


def _views(parts: Iterable[TruePart]) -> Iterator[tuple[str, TrueView]]:
    for part in parts:
        for view in part.views:
            yield view.name or part.name, view


def _figure(view: TrueView, suspect: Suspect, likely: Image) -> str:
    panel = outlined(coloured(view.image), view.classes > 0, _GREEN)
    grown = cv2.resize(likely, view.classes.shape[::-1], interpolation=cv2.INTER_NEAREST)
    panel = outlined(panel, np.asarray(grown) >= 128, _RED)
    kind = f" ({suspect.kind})" if suspect.kind else ""
    told = f"{100 * suspect.sure:.0f} %: {suspect.what}{kind}: {suspect.name}"
    image = f'<img src="{embedded_source(small_png(panel))}" alt="">'
    return f"<figure>{image}<figcaption>{html.escape(told)}</figcaption></figure>"
