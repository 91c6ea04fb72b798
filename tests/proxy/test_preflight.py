"""All mistakes of a configuration, found before anything is started."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from harness import FakeReactor

from zeroscale.config.messages import Mistake, Mistakes
from zeroscale.config.model import Config, MetricsConfig, PortConfig, ServerConfig
from zeroscale.config.secret_refs import Secret
from zeroscale.errors import ConfigMistakes, MissingDependency
from zeroscale.plugins.loader import built_in_plugins
from zeroscale.proxy import preflight, service

SECRET = Secret("hunter2", "from /run/secrets/x")


def server(name: str, directory: Path, **values: Any) -> ServerConfig:
    defaults = {"plugin": "demo", "listen": ("25565",), "server_port": 25575, "working_directory": directory}
    return ServerConfig(name=name, **{**defaults, **values})


def checked(directory: Path, *servers: ServerConfig, file: Path | None = None, **values: Any) -> list[str]:
    config = Config(servers=servers, state_directory=directory / "state", **values)
    try:
        service.check(config, FakeReactor(), file)
    except ConfigMistakes as error:
        return list(error.mistakes)
    return []


def test_a_valid_configuration(tmp_path: Path) -> None:
    command = {"plugin": "generic", "plugin_positional": ("sleep", "9"), "listen": ("1",)}
    assert checked(tmp_path, server("a", tmp_path), server("b", tmp_path, **command)) == []
    assert not (tmp_path / "state").exists(), "the check creates no files"


def test_every_mistake_of_every_server_has_its_path(tmp_path: Path) -> None:
    (tmp_path / "a_file").touch()
    servers = (
        server("a", tmp_path, plugin="mincraft", listen=("tpc:1",), texts={"sleepin": "x", "failed": "{playr}"}),
        server("b", tmp_path / "gone", plugin_keywords={"start_second": "4"}),
        server("c d", tmp_path, plugin="minecraft", plugin_keywords={"memory": "lots"}, listen=("2",)),
        server("e", tmp_path, plugin="minecraft", listen=("3",)),
        server("f", tmp_path / "a_file", listen=("4",)),
    )
    lines = checked(tmp_path, *servers, file=Path("/z.toml"), metrics=MetricsConfig(listen="tpc:2"))
    expected = [
        "/z.toml: metrics.listen: cannot listen on 'tpc:2': ",
        "/z.toml: servers.a.listen: cannot listen on 'tpc:1': ",
        "/z.toml: servers.a.texts.sleepin: texts has no text 'sleepin': did you mean 'sleeping'",
        "/z.toml: servers.a.texts.failed: texts.failed has no variable {playr}: ",
        "/z.toml: servers.a.plugin: there is no plugin 'mincraft': did you mean 'minecraft'?",
        "/z.toml: servers.b.plugin_arguments: zeroscale.plugins.demo: it has no argument 'start_second' (did you mean ",
        f"/z.toml: servers.b.working_directory: working directory '{tmp_path}/gone' does not exist",
        '/z.toml: servers."c d".plugin_arguments: server name ',
        f"/z.toml: servers.e: there is no Minecraft server in {tmp_path}, neither server.jar nor ",
        f"/z.toml: servers.f.working_directory: working directory '{tmp_path}/a_file' is not a directory",
    ]
    assert len(lines) == len(expected)
    assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True)), lines


def test_fields_that_minecraft_servers_do_not_use_are_mistakes(tmp_path: Path) -> None:
    lines = checked(tmp_path, server("a", tmp_path, wake_on="tls"), file=Path("/z.toml"))
    mistake = "is for servers that do not speak Minecraft, and this one does; remove it"
    assert lines == [f"/z.toml: servers.a.wake_on: {mistake}"]
    lines = checked(tmp_path, server("a", tmp_path, wake_on="tls"))
    assert lines == [f"--wake-on: {mistake}"]


def test_listen_values_of_further_ports_are_checked(tmp_path: Path) -> None:
    ports = tuple(
        PortConfig(listen=(listen,), server_port=81) for listen in ("8123", "unix:/run/a", "systemd:map", "nonsense:1")
    )
    [line] = checked(tmp_path, server("a", tmp_path, ports=ports), file=Path("/z.toml"))
    assert line.startswith("/z.toml: servers.a.ports[3].listen: cannot listen on 'nonsense:1': ")


def test_a_further_port_whose_listen_value_could_not_be_read_is_not_checked(tmp_path: Path) -> None:
    ports = (PortConfig(listen=None, server_port=81),)  # type: ignore[arg-type]
    known = Mistakes([Mistake("servers.a.ports[0].listen", "known")])
    servers = (server("a", tmp_path, ports=ports),)
    with pytest.raises(ConfigMistakes) as raised:
        service.check(Config(servers=servers, state_directory=tmp_path), FakeReactor(), Path("/z.toml"), known)
    assert [str(mistake) for mistake in raised.value.mistakes] == ["servers.a.ports[0].listen: known"]


def test_minecraft_java_is_not_spoken_over_udp(tmp_path: Path) -> None:
    [line] = checked(tmp_path, server("a", tmp_path, listen=("udp:1",)), file=Path("/z.toml"))
    assert line.startswith("/z.toml: servers.a.listen: 'udp:1' is for UDP, and this server speaks Minecraft Java")


def test_udp_needs_linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"plugin": "generic", "plugin_positional": ("sleep", "9"), "listen": ("udp:1",)}
    assert checked(tmp_path, server("a", tmp_path, **values)) == []
    monkeypatch.setattr("sys.platform", "darwin")
    assert "UDP ports need Linux" in checked(tmp_path, server("a", tmp_path, **values))[0]


def test_fields_for_http_need_a_server_that_speaks_it(tmp_path: Path) -> None:
    for_http = {"waiting": "page", "health_path": "/healthz"}
    generic = {"plugin": "generic", "plugin_positional": ("sleep", "9"), **for_http}
    lines = checked(tmp_path, server("a", tmp_path, **generic), file=Path("/z.toml"))
    text = "is for HTTP: it needs protocol http or wake_on http"
    assert lines == [f"/z.toml: servers.a.waiting: {text}", f"/z.toml: servers.a.health_path: {text}"]
    assert checked(tmp_path, server("a", tmp_path, **generic, wake_on="http")) == []
    assert checked(tmp_path, server("a", tmp_path, **generic, protocol="http")) == []
    assert checked(tmp_path, server("a", tmp_path, plugin="stub_server:Web", **for_http)) == []
    assert checked(tmp_path, server("a", tmp_path, **for_http)) == [
        "--waiting: is for servers that do not speak Minecraft, and this one does; remove it",
        "--health-path: is for servers that do not speak Minecraft, and this one does; remove it",
    ]


def test_a_busy_command_that_does_not_exist_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "busy.sh").write_text("#!/bin/sh\n")
    (tmp_path / "busy.sh").chmod(0o755)
    lines = checked(tmp_path, server("a", tmp_path, busy_command=("busy.sh",)), file=Path("/z.toml"))
    assert lines == [
        f"/z.toml: servers.a.busy_command: there is no 'busy.sh' in PATH: for the one in {tmp_path} write ./busy.sh"
    ]
    lines = checked(tmp_path, server("a", tmp_path, busy_command=("./none.sh",)))
    assert lines == [f"--busy-command: cannot start {tmp_path}/none.sh: there is no such file"]
    assert checked(tmp_path, server("a", tmp_path, busy_command=("./busy.sh",))) == []
    assert checked(tmp_path, server("a", tmp_path / "gone", busy_command=("./busy.sh",))) == [
        f"working directory '{tmp_path}/gone' does not exist"
    ]


def test_without_a_file_nothing_has_a_path(tmp_path: Path) -> None:
    assert checked(tmp_path, server("a", tmp_path, plugin="mincraft")) == [
        "there is no plugin 'mincraft': did you mean 'minecraft'?"
    ]


def test_without_a_file_a_mistake_names_the_further_port(tmp_path: Path) -> None:
    ports = (PortConfig(listen=("8123",), server_port=81, hosts=("a.example.org",)),)
    [line] = checked(tmp_path, server("a", tmp_path, ports=ports))
    assert line.startswith("port 8123: its clients do not name the host they connect to")


def test_only_servers_whose_clients_name_the_host_can_share_a_port(tmp_path: Path) -> None:
    generic = {"plugin": "generic", "plugin_positional": ("sleep", "9")}
    (tmp_path / "c").mkdir()
    lines = checked(
        tmp_path,
        server("a", tmp_path),
        server("b", tmp_path, hosts=("b.example.org",), server_port=25576, **generic),
        server("c", tmp_path / "c", hosts=("c.example.org",), server_port=25577),
        file=Path("/z.toml"),
    )
    assert lines == [
        "/z.toml: servers.b.hosts: its clients do not name the host they connect to, as those of Minecraft, of HTTP "
        "(protocol or wake_on http) and of TLS (wake_on tls) do; remove hosts",
        "/z.toml: servers.b.listen: servers.a listens on 25565 as well, and clients are told apart by the host they "
        "name only with Minecraft, HTTP (protocol or wake_on http) and TLS (wake_on tls); give one of them another "
        "port",
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"plugin": "generic", "plugin_positional": ("x",), "plugin_keywords": {"stop_signal": SECRET}},
        {"plugin": "minecraft", "plugin_keywords": {"java": SECRET, "jar": "x.jar"}},
        {"plugin": "minecraft", "plugin_keywords": {"jar": SECRET}},
        {"plugin": "minecraft", "plugin_positional": ("java", SECRET, "--port", SECRET)},
    ],
)
def test_secrets_are_redacted_in_messages(tmp_path: Path, values: dict[str, Any]) -> None:
    (tmp_path / "x.jar").touch()
    [line] = checked(tmp_path, server("a", tmp_path, **values))
    assert "hunter2" not in line and "<from /run/secrets/x>" in line


def test_the_installed_reactor_is_the_default(tmp_path: Path) -> None:
    with pytest.raises(ConfigMistakes, match="no plugin"):
        service.check(Config(servers=(server("a", tmp_path, plugin="x"),), state_directory=tmp_path))


def test_two_minecraft_servers_need_two_directories(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    values = {"listen": ("1",), "server_port": 25576}
    [line] = checked(tmp_path, server("a", tmp_path), server("b", tmp_path / "link", **values), file=Path("/z.toml"))
    assert line.startswith(f"/z.toml: servers.b.working_directory: '{tmp_path}/link' is servers.a's as well; ")
    generic = {"plugin": "generic", "plugin_positional": ("sleep", "9"), **values}
    assert checked(tmp_path, server("a", tmp_path), server("b", tmp_path, **generic)) == []


@pytest.mark.parametrize(
    ("plugin", "first", "second", "name"),
    [
        ("docker", {"container": "mc"}, {"container": "mc", "protocol": "minecraft"}, "container mc at unix://"),
        ("systemd_unit", {"unit": "mc"}, {"unit": "mc.service"}, "unit mc.service"),
        ("wake_on_lan", {"mac": "00:11:22:AA:BB:CC", "stop": "true"}, {"mac": "001122aabbcc"}, "machine 00:11:22:aa"),
        ("command", {"start": "true", "stop": "true"}, {"start": "true", "stop": "true"}, "what true starts and true"),
    ],
)
def test_two_servers_with_one_container_unit_or_machine(
    tmp_path: Path, plugin: str, first: dict[str, str], second: dict[str, str], name: str
) -> None:
    values: dict[str, Any] = {"plugin": plugin, "server_host": "8.8.8.8"}
    values |= {"working_directory": tmp_path} if plugin == "command" else {"working_directory": None}
    servers = (
        server("a", tmp_path, plugin_keywords=first, **values),
        server("b", tmp_path, plugin_keywords=second, **values, listen=("1",), server_port=25576),
    )
    mistakes = [line for line in checked(tmp_path, *servers, file=Path("/z.toml")) if "servers.b" in line]
    [line] = [line for line in mistakes if "systemd cannot be reached" not in line]
    assert line.startswith(f"/z.toml: servers.b.plugin_arguments: {name}")
    assert "is servers.a's as well, and would be stopped under the clients of one when the other is idle" in line


def test_a_machine_that_no_server_suspends_may_have_several(tmp_path: Path) -> None:
    values: dict[str, Any] = {"plugin": "wake_on_lan", "plugin_keywords": {"mac": "001122aabbcc"}}
    values["server_host"] = "192.0.2.1"
    servers = server("a", tmp_path, **values), server("b", tmp_path, **values, listen=("1",), server_port=25576)
    assert checked(tmp_path, *servers) == []


def test_a_secret_is_not_shown_where_two_servers_have_it(tmp_path: Path) -> None:
    values: dict[str, Any] = {"plugin": "docker", "plugin_keywords": {"container": SECRET}, "working_directory": None}
    servers = server("a", tmp_path, **values), server("b", tmp_path, **values, listen=("1",), server_port=25576)
    [line] = checked(tmp_path, *servers)
    assert "hunter2" not in line and "<from /run/secrets/x>" in line


def test_a_directory_that_is_a_link_to_itself_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert "does not exist" in "".join(checked(tmp_path, server("a", tmp_path / "loop")))


def test_a_directory_that_cannot_be_looked_at_is_a_mistake(tmp_path: Path) -> None:
    [line] = checked(tmp_path, server("a", tmp_path / ("x" * 300)))
    assert line.endswith("cannot be used: File name too long")


def usage(config: Config) -> bool:
    with pytest.raises(ConfigMistakes) as raised:
        service.check(config, FakeReactor())
    return raised.value.usage


def test_what_is_only_missing_is_no_mistake_in_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, typo = server("a", tmp_path / "gone"), server("b", tmp_path, listen=("1",), texts={"sleping": "x"})
    assert not usage(Config(servers=(gone,), state_directory=tmp_path))
    assert usage(Config(servers=(typo,), state_directory=tmp_path))
    assert usage(Config(servers=(gone, typo), state_directory=tmp_path))

    def missing(name: str) -> None:
        raise MissingDependency("plugin docker needs aiodocker")

    monkeypatch.setattr(preflight, "find_plugin", missing)
    assert not usage(Config(servers=(server("a", tmp_path),), state_directory=tmp_path))


def test_what_has_a_mistake_already_is_not_checked_again(tmp_path: Path) -> None:
    servers = (
        server("a", tmp_path, plugin="minecraft", plugin_keywords={}),
        server("b", tmp_path, plugin="generic", listen=(), texts={"sleping": "x"}),
    )
    known = Mistakes([Mistake("servers.a.plugin_arguments.memory", "known"), Mistake("servers.b.listen", "known too")])
    with pytest.raises(ConfigMistakes) as raised:
        service.check(Config(servers=servers, state_directory=tmp_path), FakeReactor(), Path("/z.toml"), known)
    paths = [mistake.removeprefix("/z.toml: ").partition(": ")[0] for mistake in raised.value.mistakes]
    assert paths == [
        "servers.a.plugin_arguments.memory",
        "servers.b.listen",
        "servers.b.texts.sleping",
        "servers.b.plugin_arguments",
    ]


def test_a_plugins_arguments_are_checked_beside_a_mistake_in_the_address_or_the_directory(tmp_path: Path) -> None:
    arguments = {"start_seconds": "2x"}
    servers = (
        server("a", tmp_path, server_port=None, plugin_keywords=arguments),
        server("b", tmp_path, plugin_keywords={"foo": 1, "bar": 2}),
        server("c", tmp_path, server_port=None),
    )
    places = ("servers.a.server", "servers.b.working_directory", "servers.c.server", "servers.c.working_directory")
    known = Mistakes([Mistake(path, "known") for path in places])
    config = Config(servers=servers, state_directory=tmp_path)
    with pytest.raises(ConfigMistakes) as raised:
        service.check(config, FakeReactor(), Path("/z.toml"), known)
    assert [line.removeprefix("/z.toml: servers.")[:79] for line in raised.value.mistakes[len(places) :]] == [
        "a.plugin_arguments: zeroscale.plugins.demo: start_seconds='2x' is not a duration"[:79],
        "b.plugin_arguments: zeroscale.plugins.demo: it has no argument 'bar' and no argument 'foo'"[:79],
    ]


def test_what_needs_tls_is_a_mistake_where_it_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key.pem").touch()
    servers = (
        server("a", tmp_path, listen=("25565", f"ssl:1:privateKey={tmp_path}/key.pem"), texts={"sleepin": "x"}),
        server("b", tmp_path, plugin="docker", listen=("2",)),
        server("c", tmp_path, listen=("3",)),
        server("d", tmp_path, listen=("4",), plugin="demmo"),
        server("e", tmp_path, listen=("ssl:5",), plugin="no.such.module"),
        server("f", tmp_path, listen=("6",), plugin="harness"),
    )
    metrics = MetricsConfig(listen="tls:4")
    for module in ("OpenSSL", "ssl"):
        monkeypatch.setitem(sys.modules, module, None)
    needs = "needs TLS, which zeroscale left out when it started, as nothing needed it: "
    needs += "run 'zeroscalectl check' on the file, then restart zeroscale"
    assert checked(tmp_path, *servers, file=Path("/z.toml"), metrics=metrics) == [
        f"/z.toml: metrics.listen: 'tls:4' {needs}",
        f"/z.toml: servers.a.listen: 'ssl:1:privateKey={tmp_path}/key.pem' {needs}",
        f"/z.toml: servers.b.plugin: 'docker' {needs}",
        "/z.toml: servers.d.plugin: there is no plugin 'demmo': did you mean 'demo'?",
        f"/z.toml: servers.e.listen: 'ssl:5' {needs}",
        "/z.toml: servers.e.plugin: there is no plugin 'no.such.module': no module 'no' is installed or on PYTHONPATH; "
        f"there are {', '.join(built_in_plugins())}",
        f"/z.toml: servers.f.plugin: 'harness' {needs}",
    ]
