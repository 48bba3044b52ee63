"""A document as PDF (extra `report`). It has the same content as its HTML, and no text can become anything else."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from edge_inspector.documents import NO_NUMBER, Document, Figure, Rows, Section, number_text
from edge_inspector.errors import DeviceError

# A font with the letters of most languages, where the system has it. Without one: the letters of Western Europe.
_FONTS: Final = (
    (
        Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
        Path("/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf"),
    ),
    (
        Path("/usr/share/fonts/TTF/DejaVuSans.ttf"),
        Path("/usr/share/fonts/TTF/DejaVuSans-Bold.ttf"),
    ),
)
_GREY: Final = (110, 110, 110)
_MARKS: Final = {"good": (0, 96, 0), "bad": (170, 0, 0)}
_MM_PER_PX: Final = 25.4 / 110
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_PERCENT: Final = re.compile(r"[\d.]+ %")
_LEAST: Final = "0000"  # as wide is the narrowest column
_LONG, _MOST = 40, 150  # letters: of a word that may be broken, and the most of a text that counts
_BESIDE_MM: Final = 1.5  # left and right of the text of a cell
_SPARE_MM: Final = 0.3  # for rounding
_LONGEST: Final = 2000  # characters of one cell. A longer one would not fit a page


def pdf_of(document: Document) -> bytes:
    """The PDF file. Raises DeviceError if the extra is not installed."""
    try:
        kind = import_module("fpdf").FPDF
    except ImportError as error:
        raise DeviceError("PDF needs a package: pip install 'edge-inspector[report]'. HTML does not") from error
    # The letters of Western Europe need no font file. Reading one takes a second of CPU time.
    page = _Page(kind(format="A4"), fonts=() if max(document.html(), default="") < "\u0100" else _FONTS)
    page.title(document.title)
    for block in document.blocks:
        page.add(block)
    return page.bytes()


class _Page:
    """Draws block after block. `fpdf` breaks the pages."""

    def __init__(self, pdf: Any, fonts: Sequence[tuple[Path, Path]]) -> None:
        self._pdf = pdf
        found = next((pair for pair in fonts if all(path.is_file() for path in pair)), None)
        self._font = "helvetica" if found is None else "body"
        if found is not None:
            pdf.add_font("body", "", str(found[0]))
            pdf.add_font("body", "B", str(found[1]))
        self._known = set(pdf.fonts["body"].cmap) if found is not None else None
        pdf.set_margin(18)
        pdf.set_auto_page_break(auto=True, margin=20)
        pdf.alias_nb_pages()
        self._heading = ""
        pdf.footer = self._footer
        pdf.set_creator("edge-inspector")

    def title(self, words: str) -> None:
        """The first line of the first page, and of the foot of each."""
        self._heading = self._safe(words)
        self._pdf.set_title(self._heading)
        self._pdf.add_page()
        self._write(words, 16, bold=True)

    def add(self, block: object) -> None:
        """Draw one block."""
        if isinstance(block, Section):
            self._pdf.ln(3)
            self._pdf.set_draw_color(*_GREY)
            if self._pdf.will_page_break(30):
                self._pdf.add_page()
            self._write(block.title, 12, bold=True)
            self._pdf.line(self._pdf.l_margin, self._pdf.y, self._pdf.w - self._pdf.r_margin, self._pdf.y)
            self._pdf.ln(1.5)
        elif isinstance(block, Rows):
            self._table(block)
        elif isinstance(block, Figure):
            self._figure(block)
        else:
            self._write(getattr(block, "words", ""), 9.5, colour=_MARKS.get(getattr(block, "mark", ""), (0, 0, 0)))

    def bytes(self) -> bytes:
        """The file."""
        return bytes(self._pdf.output())

    def _write(self, words: str, size: float, *, bold: bool = False, colour: tuple[int, int, int] = (0, 0, 0)) -> None:
        self._pdf.set_font(self._font, "B" if bold else "", size)
        self._pdf.set_text_color(*colour)
        self._pdf.multi_cell(0, size * 0.52, self._safe(words), align="L", new_x="LMARGIN", new_y="NEXT")
        self._pdf.ln(1)
        self._pdf.set_text_color(0, 0, 0)

    def _table(self, block: Rows) -> None:
        if not block.rows:
            return
        self._pdf.set_font(self._font, "", 8)
        self._pdf.set_draw_color(190, 190, 190)
        columns = len(block.rows[0])
        rows = [block.heads, *block.rows] if block.heads else block.rows
        widths = _widths(rows, columns, self._bold_mm, self._pdf.epw)
        with self._pdf.table(
            width=min(self._pdf.epw, sum(widths)),
            first_row_as_headings=bool(block.heads),
            num_heading_rows=1 if block.heads else 0,
            col_widths=widths,
            text_align=tuple(_align(block.rows, at) for at in range(columns)),
            line_height=4.2,
            padding=(0.7, _BESIDE_MM, 0.7, _BESIDE_MM),
            wrapmode="CHAR" if any(_long_word(row) for row in rows) else "WORD",
            align="LEFT",
        ) as table:
            for row in rows:
                drawn = table.row()
                for value in row:
                    text = number_text(value)
                    drawn.cell(self._safe(str(value) if text is None else text)[:_LONGEST])
        self._pdf.ln(2)

    def _bold_mm(self, text: str) -> float:
        """The width of a text as the head of a table has it, which is the widest."""
        self._pdf.set_font(self._font, "B", 8)
        width = float(self._pdf.get_string_width(self._safe(text)))
        self._pdf.set_font(self._font, "", 8)
        return width

    def _figure(self, block: Figure) -> None:
        width, height = _png_size(block.png)
        shown = min(width * _MM_PER_PX, self._pdf.epw)
        tall = shown * height / max(1, width)
        if self._pdf.will_page_break(tall + 6):
            self._pdf.add_page()
        self._pdf.image(io.BytesIO(block.png), w=shown, alt_text=self._safe(block.caption))
        self._write(block.caption, 8, colour=_GREY)

    def _footer(self) -> None:
        self._pdf.set_y(-14)
        self._pdf.set_font(self._font, "", 8)
        self._pdf.set_text_color(*_GREY)
        self._pdf.cell(0, 5, f"{self._heading[:90]}   {self._pdf.page_no()} / {{nb}}", align="R")
        self._pdf.set_text_color(0, 0, 0)

    def _safe(self, text: str) -> str:
        """The text. A letter that the font does not have is written as its number, so that nothing is lost."""
        return "".join(
            each if each == "\n" or self._has(each) else f"\\u{{{ord(each):x}}}" for each in text.replace("\t", " ")
        )

    def _has(self, letter: str) -> bool:
        if not letter.isprintable():
            return False
        return ord(letter) in self._known if self._known is not None else ord(letter) < 0x100


def _align(rows: tuple[tuple[object, ...], ...], column: int) -> str:
    """Numbers and percents stand at the right, and so does the dash in place of one."""
    return "RIGHT" if all(_numeric(row[column]) for row in rows) else "LEFT"


def _numeric(value: object) -> bool:
    return number_text(value) is not None or value == NO_NUMBER or bool(_PERCENT.fullmatch(str(value)))


def _widths(rows: Any, columns: int, measure: Callable[[str], float], all_mm: float) -> tuple[float, ...]:
    """Millimetres. Each column has room for its longest word. What is left goes to those with longer texts, as needed.

    A word of more than 40 letters may be broken, except a hash. A table that needs less than the page is narrower.
    """
    texts = [{number_text(row[at]) or str(row[at]) for row in rows} for at in range(columns)]
    words = [{word for text in column for word in text.split() if _whole(word)} for column in texts]
    least = [max(map(measure, (_LEAST, *found))) + 2 * _BESIDE_MM + _SPARE_MM for found in words]
    whole = [max(measure(text[:_MOST]) for text in column) + 2 * _BESIDE_MM + _SPARE_MM for column in texts]
    more = [max(0.0, wanted - mm) for wanted, mm in zip(whole, least, strict=True)]
    given = min(1.0, max(0.0, all_mm - sum(least)) / sum(more)) if any(more) else 0.0
    return tuple(mm + given * wish for mm, wish in zip(least, more, strict=True))


def _whole(word: str) -> bool:
    return len(word) <= _LONG or bool(_HASH.fullmatch(word))


def _long_word(row: Any) -> bool:
    return any(len(word) > _LONG for value in row for word in str(value).split())


def _png_size(png: bytes) -> tuple[int, int]:
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
