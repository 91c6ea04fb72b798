"""The Helm chart in charts/, by Helm itself, and the base for kustomize in docs/kubernetes/."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pages import block

from zeroscale.config import loader

ROOT = Path(__file__).parent.parent
CHART = ROOT / "charts" / "zeroscale"
PAGE = "docs/recipes/kubernetes.md"
MANIFESTS = ROOT / "docs" / "kubernetes"

HELM = "helm.sh/helm/v3/cmd/helm@v3.22.0"
LONGEST_BUILD = 900
"""Seconds; it takes about two minutes of two cores."""


@pytest.fixture(scope="module")
def helm() -> str:
    """Helm: that of the machine, or one that is built from its Go module once, and kept."""
    found = shutil.which("helm")
    if found is not None:
        return found
    cache = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zeroscale-tests" / HELM.rpartition("@")[2]
    )
    if not (cache / "helm").exists():
        environment = {**os.environ, "GOBIN": str(cache), "GOFLAGS": "-mod=mod"}
        subprocess.run(["go", "install", HELM], check=True, env=environment, timeout=LONGEST_BUILD, capture_output=True)
    return str(cache / "helm")


def rendered(helm: str, *options: str) -> dict[str, dict[str, Any]]:
    """The manifests by their kinds."""
    command = [helm, "template", "zeroscale", str(CHART), "--namespace", "games", *options]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {each["kind"]: each for each in yaml.safe_load_all(output)}


def container(manifests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    [found] = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def config_of(manifests: dict[str, dict[str, Any]]) -> Any:
    text = manifests["ConfigMap"]["data"]["zeroscale.toml"]
    return loader.parse(text, Path("/etc/zeroscale"), {}, 65532)


def rules(path: Path) -> Any:
    return next(each["rules"] for each in yaml.safe_load_all(path.read_text()) if each["kind"] == "Role")


@pytest.mark.slow
@pytest.mark.peers("go")
def test_the_chart(helm: str) -> None:
    subprocess.run([helm, "lint", "--strict", str(CHART)], check=True, capture_output=True)
    manifests = rendered(helm)
    assert manifests.keys() == {
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "ConfigMap",
        "PersistentVolumeClaim",
        "Deployment",
        "Service",
    }
    assert config_of(manifests).discovery.enabled == ("kubernetes",)
    assert manifests["Role"]["rules"] == rules(MANIFESTS / "rbac-discovery.yaml")
    mounts = {each["name"] for each in container(manifests)["volumeMounts"]}
    volumes = manifests["Deployment"]["spec"]["template"]["spec"]["volumes"]
    assert mounts == {each["name"] for each in volumes}
    selector = manifests["Service"]["spec"]["selector"]
    assert selector.items() <= manifests["Deployment"]["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.slow
@pytest.mark.peers("go")
def test_its_values(helm: str, tmp_path: Path) -> None:
    values = {
        "config": '[servers.a]\nplugin = "kubernetes"\nlisten = 25565\nserver = "a.games.svc:25565"\n',
        "persistence": {"enabled": False},
        "rbac": {"create": False},
        "service": {"type": "ClusterIP"},
        "ports": [{"name": "java", "port": 25565}, {"name": "bedrock", "port": 19132, "protocol": "UDP"}],
    }
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    manifests = rendered(helm, "--values", str(tmp_path / "values.yaml"))
    assert manifests.keys() == {"ConfigMap", "Deployment", "Service"}
    assert [server.name for server in config_of(manifests).servers] == ["a"]
    service = manifests["Service"]["spec"]
    assert "externalTrafficPolicy" not in service
    assert [(each["port"], each["protocol"]) for each in service["ports"]] == [(25565, "TCP"), (19132, "UDP")]
    assert [each["name"] for each in container(manifests)["ports"]] == ["java", "bedrock"]


@pytest.mark.slow
@pytest.mark.peers("go")
def test_the_command_that_shows_what_is_made(helm: str) -> None:
    command = block(PAGE, "helm template zeroscale charts/zeroscale").text
    output = subprocess.run(
        ["bash", "-ec", command],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{Path(helm).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    manifests = {each["kind"]: each for each in yaml.safe_load_all(output)}
    assert container(manifests)["image"].startswith("registry.example.org/zeroscale:")


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not here")
def test_the_kustomization_of_the_page(tmp_path: Path) -> None:
    own = tmp_path / "mine"
    own.mkdir()
    shutil.copytree(MANIFESTS, tmp_path / "zeroscale" / "docs" / "kubernetes")
    (own / "kustomization.yaml").write_text(block(PAGE, "apiVersion: kustomize.config").text)
    command = ["bash", "-ec", block(PAGE, "kubectl kustomize .").text]
    output = subprocess.run(command, cwd=own, capture_output=True, text=True, check=True).stdout
    manifests = {each["kind"]: each for each in yaml.safe_load_all(output)}
    assert container(manifests)["image"] == "registry.example.com/mine/zeroscale:0.1.0"
    assert {each["metadata"]["namespace"] for each in manifests.values()} == {"games"}


def test_the_base_for_kustomize_names_files_that_fit_together() -> None:
    base = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())
    resources = [each for name in base["resources"] for each in yaml.safe_load_all((MANIFESTS / name).read_text())]
    assert sorted(each["kind"] for each in resources) == [
        "Deployment",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
    ]
    [made] = base["configMapGenerator"]
    [deployment] = [each for each in resources if each["kind"] == "Deployment"]
    spec = deployment["spec"]["template"]["spec"]
    assert {"name": "config", "configMap": {"name": made["name"]}} in spec["volumes"]
    assert spec["containers"][0]["image"] == base["images"][0]["name"]
    name, _, file = made["files"][0].partition("=")
    assert name in spec["containers"][0]["args"][1]
    config = loader.parse((MANIFESTS / file).read_text(), Path("/etc/zeroscale"), {}, 65532)
    assert config.discovery.enabled == ("kubernetes",)
