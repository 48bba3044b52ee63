"""Figures on the code and its pages, for one or several checkouts: `python benchmarks/house.py [ROOT ...]`.

It reads the files and runs nothing, so it works on any commit: `git worktree add ../before COMMIT`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from statistics import median, quantiles

PACKAGE = "edge_inspector"
FEW = 4  # a reader can remember the order of this many parameters
ALIKE_LINES = 5  # shorter functions are alike by chance
BROAD = {"Exception", "BaseException"}
ROOTS = {"StationFile", "Recipe"}  # files that users write. Their tables are found from these two
DRIVERS = "DriverSettings"  # base of every driver's settings
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*|#>]|\d+\.) ?)")  # paragraphs, list items and table rows

Function = ast.FunctionDef | ast.AsyncFunctionDef
Modules = dict[str, ast.Module]


def figures(root: Path) -> dict[str, str]:
    """The figures of one checkout, by name."""
    files = sorted((root / PACKAGE).rglob("*.py"))
    texts = {_module(path.relative_to(root)): path.read_text(encoding="utf-8") for path in files}
    modules = {name: ast.parse(text) for name, text in texts.items()}
    nodes = [node for tree in modules.values() for node in ast.walk(tree)]
    functions = [node for node in nodes if isinstance(node, Function)]
    lengths = [_lines(each) for each in functions]
    lines, without = settings(modules)
    cycles = import_cycles(modules)
    docs = [root / "README.md", *(root / "docs").rglob("*.md")]
    others = [*root.glob("*.md"), *root.glob("*/README.md"), *root.glob("*/*/README.md")]
    return {
        "files": str(len(files)),
        "lines": str(sum(len(text.splitlines()) for text in texts.values())),
        "functions": str(len(functions)),
        "lines of a function: median, p95, max": f"{median(lengths):.0f}, {quantiles(lengths, n=20)[-1]:.0f}, "
        f"{max(lengths)}",
        f"constructors with more than {FEW} positional parameters": str(sum(map(_crowded, functions))),
        f"dataclasses and named tuples with more than {FEW} positional fields": str(sum(map(_wide, nodes))),
        "sentences with a semicolon: docs, README": _share(_pages(docs)),
        "sentences with a semicolon: other pages": _share(_pages(set(others) - set(docs))),
        "sentences with a semicolon: docstrings": _share(filter(None, map(_docstring, nodes))),
        "sentences with a semicolon: messages, help": _share(
            text for tree in modules.values() for text in messages(tree)
        ),
        "settings": str(lines),
        "settings without a line": str(without),
        "broad excepts": str(sum(map(_broad, nodes))),
        "import cycles": "; ".join([str(len(cycles)), *(" ".join(cycle) for cycle in cycles)]),
        "pairs of functions that differ in names only": str(duplicate_pairs(functions)),
    }


def settings(modules: Modules) -> tuple[int, int]:
    """How many settings there are, and how many of them have no line.

    A line is a docstring below the field. A class docstring that names the field counts, too.
    """
    classes = [node for tree in modules.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    tables = _tables(modules) + [each for each in classes if _derives(each, DRIVERS, classes)]
    explained = [
        (f"`{key}`" in (ast.get_docstring(table) or "") or line) for table in tables for key, line in _fields(table)
    ]
    return len(explained), explained.count(False)


def import_cycles(modules: Modules) -> list[list[str]]:
    """Groups of modules that import each other at their top level."""
    leads_to = {name: _imports(tree, modules) - {name} for name, tree in modules.items()}
    reached = {name: _reachable(name, leads_to) for name in modules}
    groups = {frozenset(other for other in reached[name] if name in reached[other]) for name in modules}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def duplicate_pairs(functions: Iterable[Function]) -> int:
    """Pairs of functions whose bodies are equal when all variables have one name."""
    bodies = Counter(filter(None, (_nameless(each) for each in functions if _lines(each) >= ALIKE_LINES)))
    return sum(count * (count - 1) // 2 for count in bodies.values())


def sentences(text: str) -> list[str]:
    """The sentences of a page or docstring, without code."""
    text = re.sub(r"`[^`\n]*`", "code", FENCE.sub("", text))
    blocks = (cell for block in BLOCK.split(text) for cell in (block.split("|") if "|" in block else [block]))
    parts = (part for block in blocks for part in re.split(r"(?<=[.!?])\s+", " ".join(block.split())))
    return [part for part in parts if len(part.split()) > 2]


def messages(tree: ast.Module) -> Iterator[str]:
    """The strings of a module that people may read: errors, log, help. Docstrings are not among them."""
    documented = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "value" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documented | parts:
            yield node.value


def _module(path: Path) -> str:
    return ".".join(part for part in path.with_suffix("").parts if part != "__init__")


def _lines(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _crowded(function: Function) -> bool:
    taken = function.args.posonlyargs + function.args.args
    return function.name == "__init__" and len(taken) - 1 > FEW


def _wide(node: ast.AST) -> bool:
    if not isinstance(node, ast.ClassDef):
        return False
    marks = [ast.unparse(each) for each in (*node.decorator_list, *node.bases)]
    if not any(mark.startswith(("dataclass", "NamedTuple")) and "kw_only=True" not in mark for mark in marks):
        return False
    body = takewhile(lambda each: "KW_ONLY" not in ast.unparse(each), node.body)
    fields = [ast.unparse(each) for each in body if isinstance(each, ast.AnnAssign)]
    return sum("ClassVar" not in field and "init=False" not in field for field in fields) > FEW


def _broad(node: ast.AST) -> bool:
    if not isinstance(node, ast.ExceptHandler):
        return False
    return node.type is None or any(isinstance(each, ast.Name) and each.id in BROAD for each in ast.walk(node.type))


def _docstring(node: ast.AST) -> str | None:
    documented = ast.Module | ast.ClassDef | Function
    return ast.get_docstring(node) if isinstance(node, documented) else None


def _pages(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        yield path.read_text(encoding="utf-8")


def _share(texts: Iterable[str]) -> str:
    found = [sentence for text in texts for sentence in sentences(text)]
    with_one = sum(";" in sentence for sentence in found)
    return f"{with_one / max(1, len(found)):.1%} of {len(found)}"


def _fields(table: ast.ClassDef) -> Iterator[tuple[str, bool]]:
    """Each field of a table, and whether a docstring stands below it. A class variable is no field."""
    for node, below in zip(table.body, [*table.body[1:], ast.Pass()], strict=True):
        if not isinstance(node, ast.AnnAssign) or ast.unparse(node.annotation).startswith("ClassVar"):
            continue
        if isinstance(node.target, ast.Name):
            value = below.value if isinstance(below, ast.Expr) else None
            yield node.target.id, isinstance(value, ast.Constant) and isinstance(value.value, str)


def _tables(modules: Modules) -> list[ast.ClassDef]:
    """The tables of the station file and the recipe. A file holds the root table and all tables that it uses."""
    found: dict[str, ast.ClassDef] = {}
    for tree in modules.values():
        here = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        waiting = [name for name in ROOTS if name in here]
        while waiting:
            table = found.setdefault(name := waiting.pop(), here[name])
            fields = [node.annotation for node in table.body if isinstance(node, ast.AnnAssign)]
            named = {each.id for field in fields for each in ast.walk(field) if isinstance(each, ast.Name)}
            waiting += [each for each in named & here.keys() if each not in found]
    return list(found.values())


def _derives(node: ast.ClassDef, base: str, classes: list[ast.ClassDef]) -> bool:
    bases = {ast.unparse(each) for each in node.bases}
    return base in bases or any(each.name in bases and _derives(each, base, classes) for each in classes)


def _imports(tree: ast.Module, modules: Modules) -> set[str]:
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{each.name}" for each in node.names}
            found |= (inner & modules.keys()) or {node.module}
    return found & modules.keys()


def _reachable(start: str, leads_to: dict[str, set[str]]) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        new = leads_to[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def _nameless(function: Function) -> str:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return re.sub(r"(Name\(id|arg\(arg)='\w+'", r"\1", "\n".join(map(ast.dump, body)))


def main(roots: list[str]) -> None:
    """Print a table with a column for each checkout."""
    columns = [figures(Path(root)) for root in roots or ["."]]
    print(f"| figure | {' | '.join(roots or ['here'])} |")
    print("|---" * (len(columns) + 1) + "|")
    for name in columns[0]:
        print(f"| {name} | {' | '.join(column[name] for column in columns)} |")


if __name__ == "__main__":
    main(sys.argv[1:])
