"""The page below a path of a reverse proxy's, and in a frame of somebody else's page."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError
from support.page import Visitor, plant_of, serving

from edge_inspector.station.tables import WebTable
from edge_inspector.store.users import Role

STATIC = Path(__file__).parents[2] / "edge_inspector" / "web" / "static"


def references(visitor: Visitor, address: str) -> list[str]:
    """What the document at this address names, as the browser asks for it."""
    html = visitor.ask("GET", address).body.decode()
    found = re.findall(r'(?:href|src)="([^"#]+)"', html)
    assert found
    assert not [each for each in found if each.startswith("/")], "it would leave the proxy's path"
    folder = address.rpartition("/")[0]
    return [f"{folder}/{each}".replace(f"{folder}/../", folder.rpartition("/")[0] + "/") for each in found]


def test_the_document_names_its_files_from_where_it_is(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path)) as page:
        visitor = page.visitor()
        for address in ("/", "/parts", "/parts/2", "/review", "/health"):
            for path in references(visitor, address):
                assert visitor.ask("GET", path).status == 200, path


@pytest.mark.parametrize("left", ["/line-1", ""], ids=["path left by the proxy", "path taken away"])
def test_below_a_path_everything_is_there_whether_the_proxy_leaves_the_path_or_not(tmp_path: Path, left: str) -> None:
    with serving(plant_of(tmp_path, 'path = "/line-1"\n')) as page:
        visitor = page.visitor()
        for address in ("/", "/parts", "/parts/2"):
            for path in references(visitor, left + address):
                assert visitor.ask("GET", path).status == 200, path
        assert visitor.ask("GET", f"{left}/api/station").status == 200
        assert visitor.ask("GET", f"{left}/healthz", Host="anybody.example").status == 200
        assert visitor.ask("GET", f"{left}/api/station", Host="evil.example").status == 421
        assert visitor.ask("GET", "/line-10/api/station").status == 404
        moved = visitor.ask("GET", "/line-1")
        assert (moved.status, moved.headers["location"]) == (307, "/line-1/")


def test_the_cookie_is_for_the_path_alone(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path, 'path = "/line-1"\n')) as page:
        visitor = page.visitor(Role.VIEWER)
        answer = visitor.log_in("viewer")
        assert "Path=/line-1;" in answer.headers["set-cookie"]
        assert "Path=/line-1;" in visitor.ask("POST", "/api/logout").headers["set-cookie"]


def test_no_script_asks_for_what_is_outside_the_path() -> None:
    """What begins with a slash goes through one of these functions, or an attribute that `h` puts the path before."""
    through = re.compile(
        r"\b(?:at|get|post|send|ask|go|serverOf)\(|(?:href|src|url): |=== |includes\(|\bPAGES\b|path: /"
    )
    for script in set(STATIC.glob("*.js")) - {STATIC / "place.js"}:
        for line in script.read_text().splitlines():
            if re.search(r"[\"`]/(?:[a-z]|\"|\$)", line):
                assert through.search(line), f"{script.name}: {line.strip()}"


@pytest.mark.parametrize(
    ("setting", "policy", "older"),
    [
        ("", "frame-ancestors 'none'", "DENY"),
        ('frame_ancestors = ["self"]\n', "frame-ancestors 'self'", None),
        (
            'frame_ancestors = ["https://hmi.example", "http://10.0.0.5:3000"]\n',
            "frame-ancestors https://hmi.example http://10.0.0.5:3000",
            None,
        ),
    ],
)
def test_only_named_pages_may_show_it_in_a_frame(tmp_path: Path, setting: str, policy: str, older: str | None) -> None:
    with serving(plant_of(tmp_path, setting)) as page:
        headers = page.visitor().ask("GET", "/").headers
    assert headers["content-security-policy"].endswith(policy)
    assert headers.get("x-frame-options") == older


@pytest.mark.parametrize("path", ["line-1", "/", "/line-1/", "/line 1", "/a//b", "/line-1?x", '/"'])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        WebTable(path=path)


@pytest.mark.parametrize(
    "origin", ["*", "none", "hmi.example", "https://hmi.example/", "https://a.example; script-src *", "https://a b", ""]
)
def test_an_origin_that_is_none_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError):
        WebTable(frame_ancestors=[origin])
