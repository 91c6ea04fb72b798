"""Dockerfile and compose example: the files that they name exist, and the configuration is valid."""

from __future__ import annotations

import json
import os
import re
import shlex
import tomllib
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import yaml
from pages import block, blocks

from zeroscale.config import loader
from zeroscale.config.model import DiscoveryConfig
from zeroscale.ctl.parser import build_parser
from zeroscale.daemon import options
from zeroscale.errors import ConfigError
from zeroscale.plugins.docker.labels import tables_of
from zeroscale.plugins.loader import construct, find_plugin

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "docs" / "container"
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
COMPOSE: Any = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())
LABELS: Any = yaml.safe_load((EXAMPLE / "compose.labels.yaml").read_text())
PAGE = "docs/container.md"
PROXIES = ("zeroscale", "docker-socket")


def instructions(name: str) -> list[str]:
    return [line.partition(" ")[2] for line in DOCKERFILE.splitlines() if line.startswith(f"{name} ")]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    sources = [word for line in instructions("COPY") if "--from" not in line for word in shlex.split(line)[:-1]]
    assert sorted(sources) == sorted(kept)
    assert [name for name in sources if not (ROOT / name).exists()] == []


def test_what_is_installed_is_offered() -> None:
    [extras] = re.findall(r"'\.\[(.*?)\]'", DOCKERFILE)
    for name in extras.split(","):
        assert f"\n{name} = [" in (ROOT / "pyproject.toml").read_text()


def test_it_is_not_root() -> None:
    [user] = instructions("USER")
    assert user != "root" and f" {user} " in instructions("RUN")[-1]
    assert DOCKERFILE.index("USER ") < DOCKERFILE.index("ENTRYPOINT ")


def test_its_command_is_understood() -> None:
    [entry], [command] = (list(map(json.loads, instructions(name))) for name in ("ENTRYPOINT", "CMD"))
    assert entry[0] == "zeroscale"
    with pytest.raises(ConfigError, match=r"^cannot read /etc/zeroscale/zeroscale\.toml: "):  # which is not there, here
        options.parse([*entry[1:], *command])


def test_it_is_asked_whether_it_is_well() -> None:
    [check] = instructions("HEALTHCHECK")
    words = json.loads(check.partition("CMD ")[2])
    assert words[0] == "zeroscalectl"
    assert build_parser().parse_args(words[1:])


@pytest.mark.parametrize("compose", [COMPOSE, LABELS], ids=["table", "labels"])
def test_a_save_is_not_cut(compose: Any) -> None:
    for name, service in compose["services"].items():
        if name != "docker-socket":
            assert (service["init"], service["stop_grace_period"]) == (True, "3m"), name


@pytest.mark.parametrize("compose", [COMPOSE, LABELS], ids=["table", "labels"])
def test_zeroscale_has_no_access_to_the_socket_but_through_the_filter(compose: Any) -> None:
    services = compose["services"]
    with_socket = [name for name, service in services.items() if "docker.sock" in str(service.get("volumes"))]
    assert with_socket == ["docker-socket"]
    assert services["docker-socket"]["networks"] == ["docker-socket"]
    assert compose["networks"]["docker-socket"] == {"internal": True}
    assert [name for name in services if "docker-socket" in services[name]["networks"]] == list(PROXIES)
    assert services["zeroscale"]["environment"]["DOCKER_HOST"] == "tcp://docker-socket:2375"
    for name in PROXIES:
        assert (services[name]["read_only"], services[name]["cap_drop"]) == (True, ["ALL"])


def test_both_examples_have_the_same_proxies() -> None:
    table, labels = COMPOSE["services"], LABELS["services"]
    assert table["docker-socket"] == labels["docker-socket"]
    own = ("command", "volumes")
    assert {**table["zeroscale"], **dict.fromkeys(own)} == {**labels["zeroscale"], **dict.fromkeys(own)}
    assert build_parser().parse_args(table["zeroscale"]["healthcheck"]["test"][2:])


def described(services: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the servers that services of a Compose file describe by labels, and the mistakes in these."""
    containers = [
        {
            "Name": f"/{name}",
            "Config": {"Labels": service["labels"]},
            "HostConfig": {"NetworkMode": "games"},
            "NetworkSettings": {"Networks": {"games": {"IPAddress": ""}}},
        }
        for name, service in services.items()
    ]
    return tables_of(containers, list(DiscoveryConfig().listen), {})


def test_the_labels_describe_servers() -> None:
    services = LABELS["services"]
    assert options.parse(services["zeroscale"]["command"])
    tables, mistakes = described({name: each for name, each in services.items() if name not in PROXIES})
    assert mistakes == []
    assert {name: table.get("hosts") for name, table in tables.items()} == {
        "survival": None,
        "creative": ["creative.example.org"],
    }


def test_the_page_shows_the_files() -> None:
    shown = [each for each in blocks("docs/container.md") if each.mark.startswith("file: ")]
    assert len(shown) == 3
    for each in shown:
        assert each.text == (ROOT / "docs" / each.mark.removeprefix("file: ")).read_text()


def test_the_labels_on_the_page_are_those_of_the_file() -> None:
    shown = yaml.safe_load(block(PAGE, "labels:\n").text)
    assert shown["labels"] == LABELS["services"]["creative"]["labels"]


def test_the_commands_for_compose_name_what_is_there() -> None:
    shown = [each.commands for page in (PAGE, "docs/recipes/web-app.md") for each in blocks(page)]
    lines = "".join(shown).replace("\\\n", "").splitlines()
    assert sum("docker compose" in line for line in lines) > 10
    for words in map(shlex.split, lines):
        if words[0] == "cd" and not words[1].startswith("/"):
            assert ROOT / words[1] == EXAMPLE
        if words[:2] == ["docker", "compose"] and "-f" in words:
            assert (EXAMPLE / words[words.index("-f") + 1]).exists()
        if "exec" in words:
            assert words[words.index("exec") + 1] in COMPOSE["services"]
        if "zeroscalectl" in words:
            assert build_parser().parse_args(words[words.index("zeroscalectl") + 1 :])


def test_both_examples_have_the_same_world() -> None:
    for compose in (COMPOSE, LABELS):
        assert compose["services"]["survival"]["volumes"] == ["survival:/data"]
        assert compose["networks"]["games"] == {"name": "games"}


def test_the_second_server_on_the_page() -> None:
    service = yaml.safe_load(block(PAGE, "services:\n  creative:").text)["services"]["creative"]
    table = tomllib.loads(block(PAGE, "[servers.creative]").text)["servers"]["creative"]
    assert service.keys() == COMPOSE["services"]["survival"].keys()
    arguments = tomllib.loads((EXAMPLE / "config" / "zeroscale.toml").read_text())["servers"]["survival"][
        "plugin_arguments"
    ]
    assert table["plugin_arguments"] == {**arguments, "container": service["container_name"]}


def test_the_web_application_in_containers() -> None:
    """As labels of compose.labels.yaml; a container with a host alone has the default port."""
    services = yaml.safe_load(block("docs/recipes/web-app.md", "services:\n  app:").text)["services"]
    tables, mistakes = described(services)
    assert mistakes == []
    assert {name: table["listen"] for name, table in tables.items()} == {"app": ["8080"], "db": ["5432"]}
    shown = yaml.safe_load(block(PAGE, "services:\n  modded:").text)["services"]
    tables, mistakes = described(shown)
    assert mistakes == []
    assert (tables["modded"]["listen"], tables["modded"]["plugin_arguments"]["network"]) == (["25565"], "games")


@pytest.mark.parametrize(
    "first_words", ["zeroscale kubernetes 25565", "zeroscale kubernetes 8080", "zeroscale systemd"]
)
def test_commands_of_zeroscale_that_need_others_are_understood(first_words: str) -> None:
    page = "docs/plugins.md" if "systemd" in first_words else "docs/kubernetes.md"
    words = shlex.split(block(page, first_words).text.replace("\\\n", ""))
    [server] = options.parse(words[1:]).config.servers
    assert server.plugin == words[1]
    assert server.plugin_keywords.keys() <= signature(find_plugin(server.plugin)).parameters.keys()


def test_the_example_fits_together() -> None:
    services = COMPOSE["services"]
    config = loader.read(EXAMPLE / "config" / "zeroscale.toml", os.environ, 987)
    [server] = config.servers
    keywords = server.plugin_keywords
    assert services["survival"]["container_name"] == keywords["container"]
    assert COMPOSE["networks"]["games"]["name"] == keywords["network"]
    assert services["zeroscale"]["ports"] == [f"{port}:{port}" for port in server.listen]
    assert (EXAMPLE / services["zeroscale"]["build"]).resolve() == ROOT
    assert services["survival"]["restart"] == "no"
    plugin = find_plugin(server.plugin)
    offered = {"server_host": "", "server_port": 0, "state_directory": "."}
    assert construct(plugin, server.plugin_positional, keywords, offered)
