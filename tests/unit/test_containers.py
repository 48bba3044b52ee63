"""The container files, as far as they can be held to account without an engine: every name in them leads somewhere."""

import json
import os
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from support.page import certified, needs_openssl, plant_of, serving

ROOT = Path(__file__).parents[2]
HERE = ROOT / "deploy" / "containers"
PINNED = re.compile(r":v?\d+\.\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}$")
MADE_BY_HAND = {"./station", "./secrets/mosquitto-passwords", "./secrets/grafana-password"}


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((HERE / "compose.yml").read_text())
    return loaded


def services() -> list[Any]:
    return [pytest.param(service, id=name) for name, service in compose()["services"].items()]


@pytest.mark.parametrize("service", services())
def test_a_service_has_no_rights_it_does_not_need_and_a_fixed_version(service: dict[str, Any]) -> None:
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("privileged") is None
    assert "build" in service or PINNED.search(service["image"])


@pytest.mark.parametrize("service", services())
def test_what_a_service_mounts_exists_or_is_a_volume(service: dict[str, Any]) -> None:
    for mount in service["volumes"]:
        source, _, rest = mount.partition(":")
        if not source.startswith("."):
            assert source in compose()["volumes"]
        elif source not in MADE_BY_HAND:
            assert (HERE / source).exists(), mount
        if source.startswith("."):
            assert rest.endswith(":ro"), mount


def test_what_is_made_by_hand_is_in_the_how_to_and_never_in_git() -> None:
    page = (ROOT / "docs" / "how-to" / "containers.md").read_text()
    ignored = (ROOT / ".gitignore").read_text()
    for name in MADE_BY_HAND:
        assert name.removeprefix("./") in page
        assert f"/deploy/containers/{name.split('/')[1]}/" in ignored


def test_every_image_of_others_is_named_by_digest() -> None:
    named = {name: service["image"] for name, service in compose()["services"].items() if "build" not in service}
    text = (HERE / "Dockerfile").read_text()
    (python,) = re.findall(r"^ARG PYTHON=(.*)$", text, re.MULTILINE)
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["python:${PYTHON}"] * 2
    named["python"] = f"python:{python}"
    assert set(named) == {"broker", "prometheus", "grafana", "python"}
    assert [image for image in named.values() if not PINNED.search(image)] == []
    page = (ROOT / "docs" / "how-to" / "containers.md").read_text()
    assert "apt-get install" in text, "this is what no digest covers, and the page says so"
    assert "packages of Debian" in page


def pin(folder: Path, digest: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script on copies of the files, with a registry that knows one digest only."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "docker").write_text(f'#!/bin/sh\n[ "$3 $5" = "inspect --format" ] && echo "{digest}"\n')
    (tools / "docker").chmod(0o755)
    for name in ("compose.yml", "Dockerfile"):
        if not (folder / name).exists():
            (folder / name).write_text((HERE / name).read_text())
    return subprocess.run(
        [sys.executable, str(HERE / "pin_images.py"), "--folder", str(folder), *arguments],
        env={"PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_command_writes_the_digests_that_the_registry_has_now(tmp_path: Path) -> None:
    new = "sha256:" + "5" * 64
    asked = pin(tmp_path, new, "--check")
    assert asked.returncode == 1
    assert asked.stdout.count("and it was sha256:") == 4
    assert (tmp_path / "compose.yml").read_text() == (HERE / "compose.yml").read_text()
    assert pin(tmp_path, new).returncode == 0
    assert (tmp_path / "compose.yml").read_text().count(f"@{new}") == 3
    assert f"-slim-bookworm@{new}\n" in (tmp_path / "Dockerfile").read_text()
    assert pin(tmp_path, new, "--check").returncode == 0


def test_without_an_answer_of_the_registry_nothing_is_written(tmp_path: Path) -> None:
    asked = pin(tmp_path, "<no value>")
    assert asked.returncode == 1
    assert "no digest from the registry" in asked.stderr
    assert (tmp_path / "compose.yml").read_text() == (HERE / "compose.yml").read_text()


def test_nothing_is_fetched_when_grafana_starts() -> None:
    environment = compose()["services"]["grafana"]["environment"]
    assert environment["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"
    assert {
        environment[f"GF_ANALYTICS_{name}"]
        for name in ("REPORTING_ENABLED", "CHECK_FOR_UPDATES", "CHECK_FOR_PLUGIN_UPDATES")
    } == {"false"}


def test_the_dockerfile_copies_what_exists_runs_as_nobody_and_is_what_compose_builds() -> None:
    lines = (HERE / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line.strip() and not line.startswith("#")]
    assert {step for step, _ in steps} <= {
        "ARG", "FROM", "COPY", "RUN", "ENV", "USER", "VOLUME", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD",
    }  # fmt: skip
    assert [rest for step, rest in steps if step == "USER"] == ["edge-inspector"]
    assert not any("ADD" in step or ":latest" in rest for step, rest in steps)
    build = compose()["services"]["station"]["build"]
    assert (HERE / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()


@pytest.mark.parametrize("encrypted", [False, pytest.param(True, marks=needs_openssl)])
def test_the_health_check_hears_a_page_with_and_without_tls(tmp_path: Path, *, encrypted: bool) -> None:
    with serving(plant_of(tmp_path, certified(tmp_path) if encrypted else "")) as page:
        assert page.worker.alive
        assert health_check(page.port) == 0


def test_the_health_check_tells_a_station_that_is_not_well(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path, healthy=(False, {"state": "fault"}))) as page:
        assert health_check(page.port) != 0
    assert health_check(page.port) != 0, "nobody is there any more"


def health_check(port: int) -> int:
    """The exit status of the Dockerfile's command."""
    text = (HERE / "Dockerfile").read_text().replace("\\\n", " ")
    (command,) = re.findall(r"^HEALTHCHECK .* CMD (.*)$", text, re.MULTILINE)
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(["sh", "-c", command.replace("9108", str(port))], env=path, check=False).returncode


def test_the_build_context_has_what_the_package_is_built_from_and_nothing_secret() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    wanted = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    assert {
        "edge_inspector",
        "models",
        "pyproject.toml",
        "constraints.txt",
        "README.md",
        "LICENSE",
        "deploy/locks",
    } == wanted
    assert all((ROOT / name).exists() for name in wanted)


def test_compose_accepts_every_key_of_the_file() -> None:
    schema = json.loads((files("check_jsonschema.builtin_schemas.vendor") / "compose-spec.json").read_text())
    checked = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in checked.iter_errors(compose())] == []
    wrong = compose()
    wrong["services"]["station"]["read_onyl"] = True
    assert [error.message for error in checked.iter_errors(wrong)] != []
