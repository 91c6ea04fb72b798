"""The command line: the basic form, and every option."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.config.model import Config, LogConfig, PortConfig, ProxyProtocolConfig, ServerConfig
from zeroscale.daemon.options import examine, former_name, parse, server_name
from zeroscale.errors import ConfigError, ConfigMistakes
from zeroscale.process.environment import ChildEnvironment
from zeroscale.proxy.factory import child_environment
from zeroscale.system.files import NAME

BASIC = ["minecraft", "25565", "25575"]


def server(*words: str) -> ServerConfig:
    return parse([*BASIC, *words]).config.servers[0]


def mistake(*words: str) -> str:
    with pytest.raises(ConfigError) as raised:
        parse(words)
    text = str(raised.value)
    assert "\n" not in text
    return text


def test_the_defaults() -> None:
    invocation = parse(BASIC)
    only = invocation.config.servers[0]
    assert invocation.log_level == logging.WARNING
    assert (only.plugin, only.listen, only.server_port) == ("minecraft", ("25565",), 25575)
    assert (only.idle_shutdown, only.minimum_online_time, only.on_command_line) == (None, None, True)
    assert (only.server_host, only.join) == ("127.0.0.1", "hold")
    assert (only.start_timeout, only.stop_timeout, only.kill_timeout) == (300.0, 150.0, None)
    assert (only.plugin_positional, only.plugin_keywords) == ((), {})
    assert only.directory == Path.cwd()
    assert (only.name, only.former_name) == ("minecraft-25565", "minecraft-25575")


@pytest.mark.parametrize("words", [["-t", "900"], ["--idle_shutdown", "900"], ["--idle-shutdown=900"], ["-t900"]])
def test_idle_shutdown(words: list[str]) -> None:
    assert server(*words).idle_shutdown == 900.0


@pytest.mark.parametrize(
    ("words", "level"),
    [
        (["--info"], logging.INFO),
        (["-i"], logging.INFO),
        (["--debug"], logging.DEBUG),
        (["-d"], logging.DEBUG),
        (["-di"], logging.DEBUG),
        (["-i", "-d"], logging.DEBUG),
    ],
)
def test_log_level(words: list[str], level: int) -> None:
    assert parse([*BASIC, *words]).log_level == level
    assert parse([*words, *BASIC]).log_level == level


@pytest.mark.parametrize(
    "words",
    [
        ["-a", "-Xmx4G"],
        ["-a-Xmx4G"],
        ["--plugin_argument", "-Xmx4G"],
        ["--plugin-argument", "-Xmx4G"],
        ["--plugin_argument=-Xmx4G"],
        ["-ia", "-Xmx4G"],
        ["-dia-Xmx4G"],
    ],
)
def test_a_plugin_argument_may_begin_with_a_dash(words: list[str]) -> None:
    assert server(*words).plugin_positional == ("-Xmx4G",)


@pytest.mark.parametrize("value", ["--", "-a", "-h", "--help", "--debug", "-", "", "--foo=bar", "25565"])
def test_the_word_after_a_is_its_value_whatever_it_is(value: str) -> None:
    assert server("-a", value, "-a", "last").plugin_positional == (value, "last")


@given(values=st.lists(st.text().filter(lambda text: "=" not in text), min_size=2))
def test_any_values_reach_the_plugin_in_order(values: list[str]) -> None:
    words = [word for value in values for word in ("-a", value)]
    assert server(*words).plugin_positional == tuple(values)
    assert parse([*words, *BASIC]).config.servers[0].plugin_positional == tuple(values)


def test_name_and_value_is_a_keyword_where_the_name_can_be_one() -> None:
    parsed = server(
        "-a", "memory=4G", "-a", "--foo=bar", "-a", "a b=c", "-a", "1x=y", "-a", "if=/dev/zero", "-a", "e=a=b"
    )
    assert parsed.plugin_keywords == {"memory": "4G", "e": "a=b"}
    assert parsed.plugin_positional == ("--foo=bar", "a b=c", "1x=y", "if=/dev/zero")


def test_a_single_positional_with_spaces_is_split_as_a_shell_would() -> None:
    parsed = server("-a", "java -Dname='a b' -jar server.jar", "-a", "memory=4G 5G")
    assert parsed.plugin_positional == ("java", "-Dname=a b", "-jar", "server.jar")
    assert parsed.plugin_keywords == {"memory": "4G 5G"}
    assert server("-a", "one word", "-a", "another").plugin_positional == ("one word", "another")
    assert "quotation" in mistake(*BASIC, "-a", "java 'unbalanced")


def test_every_other_option() -> None:
    words = "-H ::1 --join kick --hold-limit 20 --wake_after answer --start_timeout 1 --stop-timeout 2 --kill-timeout 3"
    parsed = server(*words.split())
    assert (parsed.server_host, parsed.join, parsed.hold_limit, parsed.wake_after) == ("::1", "kick", 20.0, "answer")
    assert (parsed.start_timeout, parsed.stop_timeout, parsed.kill_timeout) == (1.0, 2.0, 3.0)
    assert parse([*BASIC, "--relay", "transport"]).config.relay == "transport"


def test_paths_are_absolute_and_start_from_the_directory_given(tmp_path: Path) -> None:
    parsed = parse([*BASIC, "-w", "world", "--state-directory", "state"], directory=tmp_path).config
    assert parsed.servers[0].working_directory == tmp_path / "world"
    assert parsed.state_directory == tmp_path / "state"
    assert parse(BASIC, directory=tmp_path).config.servers[0].working_directory is None
    assert parse(BASIC, directory=tmp_path).config.servers[0].directory == tmp_path
    assert parse([*BASIC, "-w", "/srv"], directory=tmp_path).config.servers[0].working_directory == Path("/srv")


@pytest.mark.parametrize(("user", "expected"), [(0, "/var/lib/zeroscale"), (1000, "/home/steve/states/zeroscale")])
def test_the_state_directory_depends_on_the_user(monkeypatch: pytest.MonkeyPatch, user: int, expected: str) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/steve/states")
    assert parse(BASIC).config.state_directory == Path(expected)


def test_an_endpoint_string_may_stand_for_the_port() -> None:
    assert parse(["generic", "unix:/run/game.sock", "25575"]).config.servers[0].listen == ("unix:/run/game.sock",)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "server_plugin, listen_port, server_port"),
        (["minecraft", "25565"], "server_port"),
        (["minecraft", "0", "25575"], 'listen_port: "0" is not a port from 1 to 65535'),
        (["minecraft", "65536", "25575"], 'listen_port: "65536" is not a port'),
        (["minecraft", "here", "25575"], '"here"'),
        (["minecraft", "25565", "65536"], "server_port: 65536 is not a whole number from 1 to 65535"),
        (["minecraft", "25565", "-1"], "server_port: -1"),
        (["minecraft", "25565", "9" * 5000], "not a whole number"),
        (["minecraft", "25565", "25565"], "server_port: port 25565 is what clients connect to, see listen_port"),
        ([*BASIC, "-t", "soon"], '--idle-shutdown: "soon" is not a duration: a number of seconds, or such as'),
        ([*BASIC, "-t", "nan"], '"nan"'),
        ([*BASIC, "-t", "-5"], '"-5"'),
        ([*BASIC, "-a"], "-a: a value must follow"),
        ([*BASIC, "-a", "memory=1G", "-a", "memory=2G"], "memory is given twice"),
        ([*BASIC, "--idle", "5"], "--idle; did you mean --idle-shutdown?"),
        ([*BASIC, "--idle-shutdwon=5"], "did you mean --idle-shutdown?"),
        ([*BASIC, "--xyz"], "unrecognized arguments: --xyz; see 'zeroscale --help'"),
        ([*BASIC, "--join", "maybe"], "maybe"),
        ([*BASIC, "another"], "another"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(words: list[str], named: str) -> None:
    assert named in mistake(*words)


@pytest.mark.parametrize(("words", "seconds"), [("900", 900.0), ("15m", 900.0), ("1h30m", 5400.0), ("500ms", 0.5)])
def test_durations(words: str, seconds: float) -> None:
    assert parse([*BASIC, "-t", words]).config.servers[0].idle_shutdown == seconds


@pytest.mark.parametrize(
    ("plugin", "name"),
    [("minecraft", "minecraft-1"), ("my.plugins.terraria", "terraria-1"), ("a/b c", "a-b-c-1"), ("...", "server-1")],
)
def test_a_servers_name_is_fit_for_a_file(plugin: str, name: str) -> None:
    assert server_name(plugin, "1") == name
    assert former_name(plugin, "1") == name


@pytest.mark.parametrize(
    ("listen", "name"),
    [
        ("25565", "generic-25565"),
        ("tcp:25565", "generic-tcp-25565"),
        ("tcp:25565:interface=127.0.0.1", "generic-tcp-25565-interface-127.0.0.1"),
        (r"tcp6:25565:interface=\:\:1", "generic-tcp6-25565-interface-1"),
        ("unix:/run/game.sock", "generic-unix-run-game.sock"),
        ("systemd:survival", "generic-systemd-survival"),
        (f"unix:/{'x' * 100}/a.sock", f"generic-{'x' * 53}-a.sock"),
    ],
)
def test_a_server_is_called_after_where_it_listens(listen: str, name: str) -> None:
    assert server_name("generic", listen) == name
    assert NAME.fullmatch(name)


def test_a_name_of_ones_own() -> None:
    only = server("--name", "survival")
    assert (only.name, only.former_name) == ("survival", "minecraft-25575")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--name", "a/b"], 'name: "a/b" cannot be a server\'s name'),
        (["--name", ".."], 'name: ".." cannot be a server\'s name'),
        (["--name="], 'name: "" cannot be a server\'s name'),
        (["--name", "a" * 101], "use up to 100 letters"),
        (["--name"], "--name: a value must follow"),
    ],
)
def test_names_that_cannot_be(words: list[str], text: str) -> None:
    with pytest.raises(ConfigMistakes) as raised:
        parse([*BASIC, *words])
    assert text in str(raised.value)


def test_a_file_has_names_of_its_own(tmp_path: Path) -> None:
    mistakes = [str(each) for each in examine(["--config", str(tmp_path / "a.toml"), "--name", "survival"]).mistakes]
    assert "--name: write it in the file that --config names, as it is about one server" in mistakes


def test_texts() -> None:
    assert server("--text", "sleeping=&6Zzz = zzz", "--text", r"sleeping_hover=one\ntwo").texts == {
        "sleeping": "&6Zzz = zzz",
        "sleeping_hover": "one\ntwo",
    }
    assert "NAME=TEXT" in mistake(*BASIC, "--text", "sleeping")
    assert "NAME=TEXT" in mistake(*BASIC, "--text", "=text")


def test_idle_and_crash_options() -> None:
    words = "--idle_action pause+stop --pause-stop-after 5 --on_exit leave --max-crashes 2 --motd replace"
    parsed = server(*words.split())
    assert (parsed.idle_action, parsed.pause_stop_after, parsed.on_exit) == ("pause+stop", 5.0, "leave")
    assert (parsed.max_crashes, parsed.motd) == (2, "replace")
    assert server("--minimum_online_time", "60").minimum_online_time == 60.0
    assert parse([*BASIC, "--console"]).console and not parse(BASIC).console
    assert '"many" is not a whole number' in mistake(*BASIC, "--max_crashes", "many")


def test_schedules() -> None:
    words = [
        "--keep-awake",
        "Mon-Fri 16:00-22:00",
        "--keep_awake",
        "Sat,Sun 10:00-24:00",
        "--timezone",
        "Europe/Berlin",
    ]
    parsed = server(*words, "--keep-asleep", "daily 1:00-7:00", "--keep-asleep-at-once")
    assert parsed.keep_awake == ("Mon-Fri 16:00-22:00", "Sat,Sun 10:00-24:00")
    assert (parsed.keep_asleep, parsed.keep_asleep_at_once) == (("daily 01:00-07:00",), True)
    assert (parsed.timezone, server().timezone) == ("Europe/Berlin", None)
    assert mistake(*BASIC, "--timezone", "Berlin").startswith(
        '--timezone: "Berlin" is not the name of a time zone, such as "Europe/Berlin"'
    )
    parsed = server("--restart", "0 5 * * *", "--stop-warnings", "5m", "--stop_warnings", "30s")
    assert (parsed.restart, parsed.stop_warnings) == ("0 5 * * *", (300.0, 30.0))
    assert server().stop_warnings == (600.0, 300.0, 60.0)
    parsed = server("--busy-command", "pgrep -f 'a b'", "--stop-warning-command", "broadcast {text}")
    assert (parsed.busy_command, parsed.stop_warning_command) == (("pgrep", "-f", "a b"), "broadcast {text}")


def test_log_format_and_addresses() -> None:
    assert parse(BASIC).config.log == LogConfig()
    parsed = parse([*BASIC, "--log_format", "json", "--log_addresses", "no"]).config.log
    assert parsed == LogConfig(format="json", addresses=False)
    with pytest.raises(ConfigError, match='"perhaps" is not yes or no'):
        parse([*BASIC, "--log_addresses", "perhaps"])


def test_servers_that_do_not_speak_minecraft() -> None:
    words = "--wake-on http --wake_timeout 2 --waiting page --ready http:/health=200 --health-check 192.0.2.1"
    words += " --health-path /healthz"
    parsed = server(*words.split(), "--health_check", "10.0.0.0/8")
    assert (parsed.wake_on, parsed.wake_timeout, parsed.waiting) == ("http", 2.0, "page")
    assert (parsed.ready, parsed.health_check) == ("http:/health=200", ("192.0.2.1", "10.0.0.0/8"))
    assert (parsed.health_path, server().health_path) == ("/healthz", None)
    assert (server().wake_on, server().wake_timeout, server().waiting, server().ready) == (
        None,
        5.0,
        "auto",
        "connect",
    )
    assert "is not one of connect" in mistake(*BASIC, "--wake_on", "tsl")


def test_discovery_needs_no_positional_words(tmp_path: Path) -> None:
    parsed = parse(["--discover", "docker", "--state-directory", "state", "-i"], directory=tmp_path)
    assert (parsed.config.servers, parsed.config.state_directory) == ((), tmp_path / "state")
    assert (parsed.config.discovery.docker, parsed.config.discovery.kubernetes) == (True, False)
    both = parse(
        ["--discover", "docker", "--discover=kubernetes", "--relay", "transport", "--log_format", "json"]
    ).config
    assert (both.discovery.docker, both.discovery.kubernetes, both.relay) == (True, True, "transport")
    assert both.log == LogConfig(format="json")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--discover"], '"" is not "docker" or "kubernetes"'),
        (["--discover", "nothing"], '"nothing" is not "docker"'),
        (["--discover", "docker", *BASIC], "with --discover servers are described elsewhere: leave out"),
        (["--discover", "docker", "-t", "9"], "--idle-shutdown: write it in the labels of the servers"),
        (["--discover", "docker", "--config", "a.toml"], "with --config the file's"),
    ],
)
def test_options_that_cannot_be_used_with_discovery(words: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse(words)


def test_real_addresses() -> None:
    assert server().proxy_protocol == ProxyProtocolConfig()
    words = "--proxy_protocol_from 10.0.0.0/8 --proxy-protocol-from 2001:db8::7 --send_proxy_protocol v2"
    parsed = server(*words.split()).proxy_protocol
    assert parsed == ProxyProtocolConfig(accept_from=("10.0.0.0/8", "2001:db8::7"), send="v2")
    assert '"v3"' in mistake(*BASIC, "--send_proxy_protocol", "v3")
    assert '--proxy-protocol-from: "10.0.0.0/33" is not an address or a network' in mistake(
        *BASIC, "--proxy_protocol_from", "10.0.0.0/33"
    )


FILE = '[servers.{name}]\nplugin = "minecraft"\nlisten = 25565\nserver = 25575\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "zeroscale.toml"
    path.write_text(FILE.format(name="survival"))
    return path


def names(config: Config) -> list[str]:
    return [server.name for server in config.servers]


def test_a_file_in_place_of_a_server(file: Path) -> None:
    parsed = parse(["--config", str(file)])
    assert (names(parsed.config), parsed.config_file, parsed.log_level) == (["survival"], file, logging.WARNING)
    assert parse(["-i", f"--config={file}"]).log_level == logging.INFO
    assert parse(["--config", file.name], directory=file.parent).config_file == file


def test_the_command_line_overrides_the_file(file: Path) -> None:
    file.write_text('relay = "splice"\nstate_directory = "state"\nlog = {format = "text", addresses = false}\n')
    with file.open("a") as more:
        more.write(FILE.format(name="survival"))
    plain = parse(["--config", str(file)]).config
    assert (plain.relay, plain.state_directory, plain.log.format) == ("splice", file.parent / "state", "text")
    words = ["--relay", "transport", "--state-directory", "other", "--log-format", "json", "--console", "--debug"]
    parsed = parse(["--config", str(file), *words], directory=Path("/srv"))
    assert (parsed.config.relay, parsed.config.state_directory) == ("transport", Path("/srv/other"))
    assert (parsed.config.log.format, parsed.config.log.addresses) == ("json", False)
    assert (parsed.console, parsed.log_level) == (True, logging.DEBUG)
    shown = parse(["--config", str(file), "--log-addresses", "yes"]).config.log
    assert (shown.format, shown.addresses) == ("text", True)


def test_it_is_read_again(file: Path) -> None:
    parsed = parse(["--config", str(file), "--relay", "transport", "--log_format", "json"])
    file.write_text(FILE.format(name="creative"))
    again = parsed.read_again()
    assert (names(parsed.config), names(again), again.relay, again.log.format) == (
        ["survival"],
        ["creative"],
        "transport",
        "json",
    )
    file.write_text("relay = 5")
    with pytest.raises(ConfigMistakes):
        parsed.read_again()


def test_a_reload_reports_all_mistakes_of_the_file(file: Path) -> None:
    invocation = parse(["--config", str(file), "--relay", "transport"])
    file.write_text(FILE.format(name="a").replace("minecraft", "unknown") + 'join = "hols"\n')
    with pytest.raises(ConfigMistakes) as raised:
        invocation.read_again()
    join, plugin = raised.value.mistakes
    assert join.startswith(f'{file}: servers.a.join: "hols" is not')
    assert plugin.startswith(f"{file}: servers.a.plugin: there is no plugin 'unknown'")


def test_no_child_inherits_a_variable_that_the_file_names(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILE_SECRET", "one")
    monkeypatch.setenv("LATER_SECRET", "two")
    monkeypatch.setenv("OTHER", "three")
    with_secret = FILE.format(name="a") + '[servers.a.environment]\nTOKEN = {{ env = "{}" }}\n'
    file.write_text(with_secret.format("FILE_SECRET"))
    invocation = parse(["--config", str(file)])
    assert invocation.config.servers[0].environment == {"TOKEN": "one"}
    inherited = ChildEnvironment().build()
    assert ("FILE_SECRET" in inherited, "LATER_SECRET" in inherited, inherited["OTHER"]) == (False, True, "three")
    assert child_environment(invocation.config.servers[0]).build()["TOKEN"] == "one"
    for name, value in (("FILE_SECRET", "one"), ("LATER_SECRET", "two"), ("FILE_SECRET", "one")):
        file.write_text(with_secret.format(name))
        assert invocation.read_again().servers[0].environment == {"TOKEN": value}
        assert name not in ChildEnvironment().build()


def test_without_a_file_there_is_nothing_else_to_read() -> None:
    parsed = parse(["minecraft", "25565", "25575"])
    assert parsed.config_file is None
    assert parsed.read_again() is parsed.config


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["minecraft", "25565", "25575"], "leave out minecraft 25565 25575"),
        (["-t", "900"], "--idle-shutdown: write it in the file"),
        (["--join=kick", "-a", "memory=4G", "--forwarding"], "--forwarding, --join, --plugin-argument: write it"),
        (["--text", "sleeping=x"], "--text: write it in the file"),
        (["--port", "1=2"], "--port: write it in the file"),
        (["--no-such-option"], "unrecognized arguments: --no-such-option"),
        (["--relay", "fast"], '--relay: "fast" is not "auto", "splice" or "transport"'),
        (["--", "minecraft"], "leave out minecraft"),
        (["minecraft", "--"], "leave out minecraft"),
    ],
)
def test_options_about_one_server_cannot_be_used_with_a_file(file: Path, words: list[str], expected: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(["--config", str(file), *words])
    assert expected in str(raised.value) and "\n" not in str(raised.value)


def test_aliases_come_before_likeness() -> None:
    assert "did you mean --idle-shutdown?" in mistake(*BASIC, "--idle-timeout", "5")
    assert "did you mean --plugin-argument?" in mistake(*BASIC, "--plugin-arg", "5")


def test_a_word_after_an_unknown_option_may_be_its_value() -> None:
    assert mistake("--idle-timeout", "5", *BASIC).count("\n") == 0
    with pytest.raises(ConfigMistakes) as raised:
        parse(["--xyz", *BASIC, "--zyx", "5", "6", "7"])
    assert [line.partition(";")[0] for line in raised.value.mistakes] == [
        "unrecognized arguments: --xyz",
        "unrecognized arguments: --zyx",
        "unrecognized arguments: 7",
    ]


def test_beside_a_file_a_word_after_an_unknown_option_is_its_value(file: Path) -> None:
    with pytest.raises(ConfigMistakes) as raised:
        parse(["--config", str(file), "--idle-timeout", "5"])
    assert raised.value.mistakes == ("unrecognized arguments: --idle-timeout; did you mean --idle-shutdown?",)


def test_all_mistakes_are_reported_and_the_rest_can_be_checked_further() -> None:
    invocation = examine(
        [
            *BASIC,
            "--join",
            "hols",
            "--waiting=page",
            "--wake-on=tls",
            "-t",
            "--health-check",
            "x",
            "-a",
            "a=1",
            "-a",
            "a=2",
        ]
    )
    assert [str(mistake).partition(": ")[0] for mistake in invocation.mistakes] == [
        "--idle-shutdown",
        "--join",
        "--health-check",
        "--plugin-argument/-a",
        "--waiting",
    ]
    assert "it needs --wake-on http" in str([*invocation.mistakes][-1])
    assert not invocation.mistakes.is_bad("servers.minecraft-25565.plugin_arguments"), "the others are checked"
    [only] = invocation.config.servers
    assert (only.plugin, only.server_port, only.idle_shutdown, only.waiting) == ("minecraft", 25575, None, "page")


@pytest.mark.parametrize("words", [["--config"], ["--config="]])
def test_a_file_without_a_name(words: list[str]) -> None:
    with pytest.raises(ConfigError, match="--config"):
        parse(words)


def test_all_mistakes_of_the_file_are_reported(file: Path) -> None:
    file.write_text("relay = 5\nlog = 5\n")
    with pytest.raises(ConfigMistakes) as raised:
        parse(["--config", str(file)])
    assert len(raised.value.mistakes) == 3


def test_further_ports() -> None:
    ports = server(
        "--port",
        "8123=8100,protocol=http,wakes,keeps-awake=no,waiting=page-only",
        "--port=udp:19132=19133,protocol=bedrock",
        "--port",
        r"8124 8125=unix:run/a.sock,wakes,wake_on=regex:a{1\,2}",
    ).ports
    web, bedrock, other = ports
    assert web == PortConfig(
        listen=("8123",),
        server_port=8100,
        protocol="http",
        wakes=True,
        keeps_awake=False,
        waiting="page-only",
    )
    assert (bedrock.listen, bedrock.server_port, bedrock.protocol) == (("udp:19132",), 19133, "bedrock")
    assert (other.listen, other.server_path) == (("8124", "8125"), str(Path("run/a.sock").absolute()))
    assert other.wake_on == "regex:a{1,2}"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--port"], "--port: a value must follow"),
        (["--port", "8123"], '--port: "8123" is not LISTEN=SERVER[,KEY=VALUE...], such as '),
        (["--port", "1=2,wakez"], '--port "1=2,wakez": wakez: there is no such key; did you mean "wakes"?'),
        (["--port", "1=2,protocol=htp"], '--port "1=2,protocol=htp": protocol: "htp" is not '),
        (["--port", "1=0"], '--port "1=0": server: "0" is not where this port of the real server is'),
        (["--port", "1=2,wake_on=data"], '--port "1=2,wake_on=data": wake_on: is for a port whose clients wake'),
        (["--port", f"1=unix:/{'x' * 107}"], f'--port "1=unix:/{"x" * 52}..."'),
        (["--port", "25575=1"], '--port "25575=1": listen: "25575" is the port of its own server'),
        (["--port", "x", "--port", "99999=1"], '--port "99999=1": listen[0]: "99999" is not a port'),
        (["--port", "1=25565"], 'listen_port: "25565" is the port of its own server'),
        (["--port", "x", "--port", "7=7"], '--port: "x" is not LISTEN=SERVER'),
        (["--port", "x", "--port", "7=7"], '--port "7=7": listen: "7" is the port of its own server'),
        (["--port", "7=1", "--port", "7=2"], '--port "7=2": hosts: is missing, and --port "7=1" has none either'),
        (["--port", "1=2"] * 51, "--port: is given 51 times; at most 50 are possible"),
    ],
)
def test_mistakes_in_further_ports(words: list[str], expected: str) -> None:
    mistakes = [str(each) for each in examine([*BASIC, *words]).mistakes]
    assert [each for each in mistakes if each.startswith(expected)] != [], mistakes


def test_a_current_directory_that_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    removed = tmp_path / "removed"
    removed.mkdir()
    monkeypatch.chdir(removed)
    removed.rmdir()
    with pytest.raises(ConfigError, match="the current directory has been removed: change to another one"):
        examine(["demo", "25565", "25575"])
    with pytest.raises(SystemExit) as end:
        examine(["--version"])
    assert end.value.code == 0
