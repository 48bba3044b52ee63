"""A document for people: one HTML file that needs nothing else, and prints well. `pdf.py` makes a PDF of the same.

Everything that is put in is text, and no text can become markup.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

NO_NUMBER: Final = "-"
"""What stands in a column of numbers where there is none."""

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;color:#111;background:#fff;max-width:62em;margin:2em auto;padding:0 1em}
h1{font-size:1.7em;margin-bottom:.2em}h2{font-size:1.2em;margin-top:1.8em;border-bottom:1px solid #999}
table{border-collapse:collapse;margin:.6em 0}td,th{border:1px solid #bbb;padding:.2em .6em;text-align:left;
vertical-align:top;overflow-wrap:anywhere}th{background:#eee}td.number{text-align:right;font-variant-numeric:tabular-nums}
figure{display:inline-block;margin:.4em;max-width:30em}img{max-width:100%}figcaption{font-size:.85em}
.bad{color:#a00;font-weight:bold}.good{color:#060;font-weight:bold}
@page{size:A4;margin:18mm}
@media print{body{font-size:10pt;margin:0;max-width:none;padding:0}h2{break-after:avoid}tr,figure{break-inside:avoid}
thead{display:table-header-group}}
"""


class Rate(float):
    """A share from 0 to 1. Tables show three decimals of it, so that 1 and 0.998 can be compared."""


@dataclass(frozen=True, slots=True)
class Section:
    """The begin of a section."""

    title: str


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph. `mark` is "good", "bad" or nothing."""

    words: str
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """A table. Without `heads` the first column has the names."""

    heads: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture as PNG."""

    png: bytes
    caption: str


Block = Section | Text | Rows | Figure


class Document:
    """Sections, texts, tables and pictures, one after the other."""

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.blocks: list[Block] = []
        if subtitle:
            self.text(subtitle)

    def section(self, title: str) -> None:
        """Begin a section."""
        self.blocks.append(Section(title))

    def text(self, words: str, mark: str = "") -> None:
        """Add a paragraph. `mark` is "good", "bad" or nothing."""
        self.blocks.append(Text(words, mark))

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Add a table. Numbers stand at the right."""
        self.blocks.append(Rows(tuple(heads), tuple(map(tuple, rows))))

    def pairs(self, rows: Iterable[tuple[str, object]]) -> None:
        """Add a table of names and values."""
        self.blocks.append(Rows((), tuple(rows)))

    def picture(self, png: bytes, caption: str) -> None:
        """Add a picture."""
        self.blocks.append(Figure(png, caption))

    def findings(self) -> None:
        """Put everything that is marked as bad before the first section, because it is what a reader must see."""
        bad = [block for block in self.blocks if isinstance(block, Text) and block.mark == "bad"]
        told = bad or [Text("None.", "good")]
        first = next((at for at, block in enumerate(self.blocks) if isinstance(block, Section)), len(self.blocks))
        self.blocks[first:first] = [Section("Findings"), *told]

    def html(self) -> str:
        """The whole file."""
        title = html.escape(self.title)
        head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        body = f"<h1>{title}</h1>" + "".join(map(_html, self.blocks))
        return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def number_text(value: object) -> str | None:
    """A number as tables show it. None for anything else."""
    if isinstance(value, Rate):
        return f"{value:.3f}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _html(block: Block) -> str:
    if isinstance(block, Section):
        return f"<h2>{html.escape(block.title)}</h2>"
    if isinstance(block, Text):
        return f'<p class="{html.escape(block.mark)}">{html.escape(block.words)}</p>'
    if isinstance(block, Figure):
        shown, code = html.escape(block.caption), base64.b64encode(block.png).decode()
        return (
            f'<figure><img alt="{shown}" src="data:image/png;base64,{code}"><figcaption>{shown}</figcaption></figure>'
        )
    if not block.heads:
        rows = "".join(f"<tr><th>{html.escape(str(name))}</th>{_cell(value)}</tr>" for name, value in block.rows)
        return f"<table><tbody>{rows}</tbody></table>"
    head = "".join(f"<th>{html.escape(each)}</th>" for each in block.heads)
    rows = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in block.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(value: object) -> str:
    number = number_text(value)
    if number is None and value != NO_NUMBER:
        return f"<td>{html.escape(str(value))}</td>"
    return f'<td class="number">{number or NO_NUMBER}</td>'
