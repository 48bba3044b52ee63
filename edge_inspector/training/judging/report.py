"""Writes one HTML file on a run or an evaluation. It contains plots, figures and pictures of the worst mistakes."""

import base64
import html
import io
import json
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.store.whole_file import draft_of
from edge_inspector.training.data.augment import TrainingSample
from edge_inspector.training.data.folder import Image
from edge_inspector.training.judging.evidence import Evidence, Predict, TruePart
from edge_inspector.training.judging.figures import figures
from edge_inspector.training.judging.limits import Limit, level_of, rates, rejected, scaled

_WORST: Final = 12
_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:right}"
    "td:first-child,th:first-child{text-align:left}img{max-width:100%}figure{display:inline-block;margin:.5em}"
)


SHOWN_FILE: Final = "shown.png"
_SHOWN: Final = (2, 8)
"""Rows and columns of the sheet of patches."""


def write_shown(run: Path, draw: Callable[[], TrainingSample]) -> None:
    """Write `shown.png`: patches as the net gets them, and below each the same one with its defects outlined."""
    rows, columns = _SHOWN
    sheet = np.vstack([np.hstack([_labelled(draw()) for _ in range(columns)]) for _ in range(rows)])
    with draft_of(run / SHOWN_FILE) as draft:
        draft.write_bytes(bytes(cv2.imencode(".png", sheet)[1]))


def write_run_report(
    run: Path,
    classes: Sequence[str],
    limits: Sequence[Limit],
    parts: Iterable[TruePart],
    *,
    about_labels: Sequence[str] = (),
) -> None:
    """Write `report.html` of a finished run: its data and settings, the held-out results, the worst mistakes.

    `about_labels` are the sections about its labels. They come first, because wrong labels make the rest wrong.
    """
    seen = Evidence.load(run / "held-out.npz")
    curves = {
        path.name.removesuffix(".losses.json"): json.loads(path.read_text(encoding="utf-8"))["loss"]
        for path in sorted(run.glob("*.losses.json"))
    }
    learned = {name: losses for name, losses in curves.items() if losses}
    elsewhere = json.loads((run / "figures.json").read_text(encoding="utf-8"))["elsewhere"]
    body = [
        *about_labels,
        section("Settings", _table(json.loads((run / "run.json").read_text(encoding="utf-8")).items())),
        section("Training patches", _embedded((run / SHOWN_FILE).read_bytes())),
        *([section("Loss", _plot(lambda axes: _draw_losses(axes, learned)))] if learned else []),
        *_judgement(seen, classes, limits),
        *([section("On each fold, with limits chosen on the others", _table(elsewhere.items()))] if elsewhere else []),
        section("Worst mistakes, held out", _pictures(seen, limits, parts, None)),
    ]
    write_page(run / "report.html", f"Training run {run.name}", body)


def write_evaluation_report(
    path: Path,
    *,
    title: str,
    classes: Sequence[str],
    limits: Sequence[Limit],
    seen: Evidence,
    parts: Iterable[TruePart],
    predict: Predict,
    about_labels: Sequence[str] = (),
) -> None:
    """Write a page on one model and one split. Pictures show the truth in green and the model's result in red."""
    body = [
        *about_labels,
        *_judgement(seen, classes, limits),
        section("Worst mistakes", _pictures(seen, limits, parts, predict)),
    ]
    write_page(path, title, body)


def _judgement(seen: Evidence, classes: Sequence[str], limits: Sequence[Limit]) -> list[str]:
    found = figures(seen, classes, limits)
    rows = [(name, getattr(found, name)) for name in type(found).__slots__]
    chosen = [
        (name, f"p >= {limit.min_confidence}, {limit.min_area_px:.0f} px")
        for name, limit in zip(classes, limits, strict=True)
    ]
    return [
        section("Figures", _table(rows)),
        section("Limits", _table(chosen)),
        section(
            "Recall by false rejects, all areas scaled by one factor",
            _plot(lambda axes: _draw_trade(axes, seen, limits)),
        ),
    ]


def _draw_losses(axes: Any, curves: dict[str, list[float]]) -> None:
    for name, losses in curves.items():
        width = max(1, len(losses) // 100)
        smooth = np.convolve(losses, np.ones(width) / width, "valid")
        axes.plot(np.arange(len(smooth)) + width, smooth, label=name)
    axes.set(xlabel="step", ylabel="loss")
    axes.legend()


def _draw_trade(axes: Any, seen: Evidence, limits: Sequence[Limit]) -> None:
    points = [rates(seen, scaled(limits, float(factor))) for factor in np.geomspace(0.02, 50.0, 200)]
    axes.plot([100 * refused for _, refused in points], [100 * caught for caught, _ in points])
    caught, refused = rates(seen, limits)
    axes.plot([100 * refused], [100 * caught], "o", label="as chosen")
    axes.set(xlabel="false rejects, %", ylabel="part recall, %")
    axes.legend()


def _plot(draw: Callable[[Any], None]) -> str:
    try:
        figure_class = import_module("matplotlib.figure").Figure
    except ImportError as error:
        raise ConfigError([Fault("matplotlib", "is missing: pip install 'edge-inspector[training]'")]) from error
    figure = figure_class(figsize=(8, 3.6), layout="constrained")
    draw(figure.add_subplot())
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return _embedded(buffer.getvalue())


def _pictures(seen: Evidence, limits: Sequence[Limit], parts: Iterable[TruePart], predict: Predict | None) -> str:
    """The worst mistakes."""
    wrong = rejected(seen, limits) != seen.defective
    closeness = np.max(
        [seen.areas[:, k, level_of(seen, limit)] / max(1.0, limit.min_area_px) for k, limit in enumerate(limits)],
        axis=0,
    )
    # The smaller its largest region, the worse an escape. The larger, the worse a false reject.
    badness = np.where(seen.defective, 1.0 / (closeness + 0.01), closeness)
    order = [int(one) for one in np.argsort(-badness) if wrong[one]][:_WORST]
    wanted = {str(seen.names[one]): rank for rank, one in enumerate(order)}
    shown = sorted((wanted[part.name], _picture(part, predict)) for part in parts if part.name in wanted)
    return "".join(text for _, text in shown) or "<p>None.</p>"


def _labelled(sample: TrainingSample) -> Image:
    plain = coloured(sample.image)
    both = np.vstack([plain, outlined(plain, sample.classes > 0, (0, 200, 0))])
    return np.asarray(cv2.copyMakeBorder(both, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255, 255, 255)), np.uint8)


def coloured(image: Image) -> Image:
    """The picture with three channels."""
    return image if image.shape[2] == 3 else np.repeat(image, 3, axis=2)


def _picture(part: TruePart, predict: Predict | None) -> str:
    panels = []
    for view in part.views[:4]:
        panel = outlined(coloured(view.image), view.classes > 0, (0, 200, 0))
        if predict is not None:
            mask = np.asarray(predict(view.image).max(axis=0))
            grown = cv2.resize(mask, view.classes.shape[::-1], interpolation=cv2.INTER_NEAREST)
            panel = outlined(panel, np.asarray(grown) >= 128, (0, 0, 255))
        panels.append(f'<img src="{embedded_source(small_png(panel))}" alt="">')
    what = "escaped" if part.defective else "false reject"
    return f"<figure>{''.join(panels)}<figcaption>{what}: {html.escape(part.name)}</figcaption></figure>"


def outlined(panel: Image, mask: Any, colour: tuple[int, int, int]) -> Image:
    """A copy of a colour picture with the regions of a mask outlined."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return np.asarray(cv2.drawContours(np.ascontiguousarray(panel).copy(), outlines, -1, colour, 1), np.uint8)


def small_png(image: Image) -> bytes:
    """The picture as PNG, at most 420 pixels long."""
    longest = max(image.shape[:2])
    if longest > 420:
        size = tuple(max(1, round(side * 420 / longest)) for side in image.shape[1::-1])
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return bytes(cv2.imencode(".png", image)[1])


def _embedded(png: bytes) -> str:
    return f'<img src="{embedded_source(png)}" alt="">'


def embedded_source(png: bytes) -> str:
    """A PNG as the address of an image in the page itself."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _table(rows: Iterable[tuple[str, Any]]) -> str:
    cells = (f"<tr><td>{html.escape(str(key))}</td><td>{html.escape(_text(value))}</td></tr>" for key, value in rows)
    return f"<table>{''.join(cells)}</table>"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return str(value)


def section(title: str, content: str) -> str:
    """A heading with what belongs to it."""
    return f"<h2>{html.escape(title)}</h2>{content}"


def write_page(path: Path, title: str, body: Iterable[str]) -> None:
    """Write one HTML file that needs no other."""
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    page = f"<h1>{html.escape(title)}</h1>{''.join(body)}"
    path.write_text(f'<!doctype html><html lang="en"><head>{head}</head><body>{page}</body></html>', encoding="utf-8")
