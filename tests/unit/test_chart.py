"""The Helm chart: rendered by Helm itself, and checked by Kubernetes' own schemas."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from edge_inspector import __version__

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "edge-inspector"
PAGE = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text()
KUBERNETES = ("1.29", "1.33", kubernetes_validate.__version__)
STATION = (ROOT / "deploy" / "station.toml").read_text()
NEEDED: dict[str, Any] = {"node": "box-7", "config": {"files": {"station.toml": STATION, "recipe.toml": "id = 1\n"}}}
NAMED: dict[str, Any] = {"node": "box-7", "config": {"existingConfigMap": "line-1-files"}}
GIVEN: dict[str, dict[str, Any]] = {
    "the least": NEEDED,
    "files of others": {
        **NAMED,
        "existingSecret": "line-1-secrets",
        "state": {"existingClaim": "line-1-state"},
        "models": {"existingClaim": "models"},
    },
    "a GPU and a USB camera": {
        **NEEDED,
        "gpu": {"count": 1, "runtimeClass": "nvidia"},
        "devices": {"example.com/video": 2},
        "groups": [44],
        "startSeconds": 901,
    },
    "behind a service": {**NEEDED, "hostNetwork": False, "page": {"port": 9443, "tls": True}},
    "by digest, and by hand": {
        **NEEDED,
        "image": {
            "repository": "registry.plant:5000/edge-inspector",
            "digest": "sha256:" + "a" * 64,
            "pullSecrets": ["x"],
        },
        "update": "OnDelete",
        "keepOnDrain": False,
        "priorityClassName": "line",
        "tolerations": [{"key": "line", "operator": "Exists"}],
        "state": {"storageClass": "local-path", "size": "200Gi"},
    },
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no node": ({"config": NEEDED["config"]}, "node"),
    "no configuration": ({"node": "box-7"}, "config"),
    "two configurations": (
        {"node": "box-7", "config": {"existingConfigMap": "x", "files": {"station.toml": "x"}}},
        "config",
    ),
    "files without a station": ({"node": "box-7", "config": {"files": {"recipe.toml": "x"}}}, "config"),
    "two stations": ({**NEEDED, "replicas": 2}, "replicas"),
    "what nobody knows": ({**NEEDED, "gpu": {"cuont": 1}}, "cuont"),
    "the tag latest": ({**NEEDED, "image": {"repository": "x", "tag": "latest"}}, "tag"),
    "a digest that is none": ({**NEEDED, "image": {"repository": "x", "digest": "sha256:1"}}, "digest"),
    "a port that is none": ({**NEEDED, "page": {"port": 0}}, "port"),
    "no time to start": ({**NEEDED, "startSeconds": 0}, "startSeconds"),
    "a disk of many writers": ({**NEEDED, "state": {"accessMode": "ReadWriteMany"}}, "accessMode"),
    "a password": (
        {"node": "box-7", "config": {"files": {"station.toml": 'settings = { password = "secret" }'}}},
        "put it into the Secret of existingSecret",
    ),
    "a private key": (
        {"node": "box-7", "config": {"files": {"station.toml": "", "key.pem": "-----BEGIN PRIVATE KEY-----"}}},
        "key.pem has a private key in it",
    ),
}
needs_helm = pytest.mark.skipif(
    find_spec("helm_python") is None, reason="no wheel of helm-python-sdk for this processor"
)
pytestmark = needs_helm


@cache
def helm() -> Any:
    """What Helm makes of all cases."""
    cases = [*GIVEN.values(), *(values for values, _ in REFUSED.values())]
    found = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "support" / "helm_render.py"), str(CHART)],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GOMAXPROCS": "2"},
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def objects(name: str) -> Iterator[dict[str, Any]]:
    """The Kubernetes objects of one of the given cases."""
    found = helm()["cases"][list(GIVEN).index(name)]
    for file, text in found["manifests"].items():
        if file.endswith(".yaml"):
            yield from (each for each in yaml.safe_load_all(text) if each is not None)


def one(name: str, kind: str) -> Any:
    (found,) = [each for each in objects(name) if each["kind"] == kind]
    return found


def pod(name: str) -> Any:
    return one(name, "StatefulSet")["spec"]["template"]["spec"]


def container(name: str) -> Any:
    (found,) = pod(name)["containers"]
    return found


def test_helm_finds_no_fault_in_the_chart() -> None:
    worse_than_info = [each for each in helm()["lint"]["messages"] if each["severity"] > 1]
    assert (worse_than_info, helm()["lint"]["errors"]) == ([], [])


def test_the_chart_is_of_this_version() -> None:
    assert helm()["chart"]["appVersion"] == __version__
    assert container("the least")["image"] == f"edge-inspector:{__version__}"


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", GIVEN)
def test_what_the_chart_makes_is_valid_for_kubernetes(name: str, version: str) -> None:
    kinds = []
    for each in objects(name):
        kubernetes_validate.validate(each, version, strict=True)
        kinds.append(each["kind"])
    assert {"StatefulSet", "Service"} <= set(kinds)


def test_the_schemas_would_find_a_wrong_key() -> None:
    wrong = one("the least", "StatefulSet")
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES[-1], strict=True)


@pytest.mark.parametrize("name", REFUSED)
def test_nonsense_is_refused(name: str) -> None:
    found = helm()["cases"][len(GIVEN) + list(REFUSED).index(name)]
    assert REFUSED[name][1] in found.get("refused", "it was not refused")


@pytest.mark.parametrize("name", GIVEN)
def test_a_station_never_runs_twice(name: str) -> None:
    station = one(name, "StatefulSet")
    assert station["spec"]["replicas"] == 1
    assert "volumeClaimTemplates" not in station["spec"], "a second pod would get a state of its own"
    assert pod(name)["nodeSelector"] == {"kubernetes.io/hostname": "box-7"}
    claims = [each for each in objects(name) if each["kind"] == "PersistentVolumeClaim"]
    assert [each["spec"]["accessModes"] for each in claims] in ([], [["ReadWriteOncePod"]])
    assert "replicas" not in yaml.safe_load((CHART / "values.yaml").read_text())


@pytest.mark.parametrize("name", GIVEN)
def test_a_station_has_no_rights_that_it_does_not_need(name: str) -> None:
    spec, own = pod(name), container(name)["securityContext"]
    assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsNonRoot"]) == (10001, True)
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostPID", "hostIPC"} & set(spec)
    assert [each for each in spec["volumes"] if "hostPath" in each] == []
    writable = {each["mountPath"] for each in container(name)["volumeMounts"] if not each.get("readOnly")}
    assert writable == {"/var/lib/edge-inspector", "/tmp"}  # noqa: S108 -- in the container
    assert f"--uid {spec['securityContext']['runAsUser']}" in (ROOT / "deploy/containers/Dockerfile").read_text()


@pytest.mark.parametrize("name", GIVEN)
def test_no_secret_is_in_the_release(name: str) -> None:
    assert "Secret" not in [each["kind"] for each in objects(name)]
    sources = pod(name)["volumes"][0]["projected"]["sources"]
    secrets = [each["secret"]["name"] for each in sources if "secret" in each]
    assert secrets == ([GIVEN[name]["existingSecret"]] if "existingSecret" in GIVEN[name] else [])


def test_the_files_arrive_as_they_were_given() -> None:
    assert one("the least", "ConfigMap")["data"] == NEEDED["config"]["files"]
    (state,) = re.findall(r'state_dir = "(.*)"', STATION)
    (models,) = re.findall(r'models_dir = "(.*)"', STATION)
    mounted = {each["mountPath"] for each in container("files of others")["volumeMounts"]}
    assert {state, models, "/etc/edge-inspector"} <= mounted
    assert container("the least")["args"][-1] == "/etc/edge-inspector/station.toml"


@pytest.mark.parametrize("name", GIVEN)
def test_a_fault_of_the_line_never_restarts_the_station(name: str) -> None:
    station = container(name)
    paths = {kind: station[f"{kind}Probe"]["httpGet"]["path"] for kind in ("readiness", "liveness", "startup")}
    assert paths == {"readiness": "/healthz", "liveness": "/healthz?alive", "startup": "/healthz?alive"}
    assert station["readinessProbe"]["httpGet"]["port"] == "page"
    on_host = GIVEN[name].get("hostNetwork", True)
    assert station["readinessProbe"]["httpGet"].get("host") == ("127.0.0.1" if on_host else None)
    assert pod(name)["hostNetwork"] is on_host


def test_values_reach_the_pod() -> None:
    gpu, served, named = (
        container(name) for name in ("a GPU and a USB camera", "behind a service", "by digest, and by hand")
    )
    assert gpu["resources"]["limits"] == {"memory": "2Gi", "nvidia.com/gpu": 1, "example.com/video": 2}
    assert "cpu" not in gpu["resources"]["limits"], "the kernel would stop a busy station for a while"
    assert pod("a GPU and a USB camera")["runtimeClassName"] == "nvidia"
    assert pod("a GPU and a USB camera")["securityContext"]["supplementalGroups"] == [44]
    start = gpu["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 901
    assert (served["ports"][0]["containerPort"], served["livenessProbe"]["httpGet"]["scheme"]) == (9443, "HTTPS")
    assert named["image"] == "registry.plant:5000/edge-inspector@sha256:" + "a" * 64
    assert one("by digest, and by hand", "StatefulSet")["spec"]["updateStrategy"] == {"type": "OnDelete"}
    assert "PodDisruptionBudget" not in [each["kind"] for each in objects("by digest, and by hand")]
    assert one("the least", "PodDisruptionBudget")["spec"]["maxUnavailable"] == 0


def test_another_configuration_is_another_pod() -> None:
    marks = {
        one(name, "StatefulSet")["spec"]["template"]["metadata"]["annotations"]["edge-inspector/config"]
        for name in ("the least", "files of others")
    }
    assert len(marks) == 2


def test_every_value_is_in_the_schema_and_on_the_page() -> None:
    values, schema = (
        yaml.safe_load((CHART / "values.yaml").read_text()),
        json.loads((CHART / "values.schema.json").read_text()),
    )
    assert set(values) == set(schema["properties"]) - {"global"}
    for name, table in values.items():
        if isinstance(table, dict) and "properties" in schema["properties"][name]:
            assert set(table) == set(schema["properties"][name]["properties"])
    assert [name for name in values if f"`{name}" not in PAGE] == []
