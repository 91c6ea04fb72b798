"""The help text has every option and fits a terminal."""

from __future__ import annotations

import pytest

from zeroscale.config.model import PROXY
from zeroscale.daemon.parser import MISSING, build_parser, default_of, options
from zeroscale.errors import ConfigError

OPTIONS = {option.name: option for option in options()}


@pytest.mark.parametrize("for_help", [True, False])
def test_help_lists_every_option(capsys: pytest.CaptureFixture[str], for_help: bool) -> None:
    with pytest.raises(SystemExit) as raised:
        build_parser("zeroscale", for_help=for_help).parse_args(["--help"])
    assert raised.value.code == 0
    text = capsys.readouterr().out
    for name in (*OPTIONS, "plugin-argument", "info", "debug", "config", "discover", "console", "version"):
        assert f"--{name}" in text
    assert "server_plugin" in text
    assert "_shutdown" not in text


def test_help_fits_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        build_parser("zeroscale").parse_args(["--help"])
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        build_parser("zeroscale").parse_args(["--version"])
    assert raised.value.code == 0
    assert capsys.readouterr().out.startswith("zeroscale ")


def test_keys_have_options_where_their_metadata_say_so() -> None:
    for_the_proxy = {option.name for option in options() if not option.is_about_server}
    assert for_the_proxy >= {"state-directory", "relay", "log-format", "log-addresses"}
    assert not for_the_proxy & {"idle-shutdown", "server-host", "text", "proxy-protocol-from"}
    assert not {"hosts", "unknown-host", "listen", "wake", "trusted"} & {*OPTIONS}
    nested = OPTIONS["proxy-protocol-from"]
    assert (nested.fields, nested.is_repeatable, nested.metavar) == (("proxy_protocol", "accept_from"), True, "NETWORK")
    assert (OPTIONS["log-format"].fields, OPTIONS["log-format"].key.group) == (("log", "format"), PROXY)


@pytest.mark.parametrize(
    ("name", "metavar", "default", "is_flag"),
    [
        ("idle-shutdown", "DURATION", "15; in a file, 15m for Minecraft", False),
        ("kill-timeout", "DURATION", "never", False),
        ("server-host", "HOST", "127.0.0.1", False),
        ("join", "{hold,kick}", "hold", False),
        ("send-proxy-protocol", "{v1,v2}", "none", False),
        ("forwarding", "DIRECTORY", "off", True),
        ("log-addresses", "{yes,no}", "yes", False),
        ("max-crashes", "N", "5", False),
        ("state-directory", "DIRECTORY", "/var/lib/zeroscale as root, else ~/.local/state/zeroscale", False),
    ],
)
def test_what_an_option_takes(name: str, metavar: str, default: str, is_flag: bool) -> None:
    option = OPTIONS[name]
    assert (option.default, option.is_flag) == (default, is_flag)
    assert is_flag or option.metavar == metavar


def test_every_value_is_a_text_and_what_is_not_given_is_none() -> None:
    parser = build_parser("zeroscale", for_help=False)
    args, rest = parser.parse_known_args(["-t", "soon", "--text", "a=b", "--text", "--forwarding", "demo", "--join"])
    assert (args.idle_shutdown, args.text, args.forwarding, args.join) == ("soon", ["a=b", MISSING], "yes", MISSING)
    assert (args.kill_timeout, args.legacy_hold, args.health_check, rest) == (None, None, None, ["demo"])


def test_a_mistake_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^(argument --info/-i: .*'5'|unrecognized .*-5); see 'zeroscale --h"):
        build_parser("zeroscale", for_help=False).parse_args(["-i5"])


def test_a_table_has_no_default() -> None:
    assert OPTIONS["text"].default == default_of(OPTIONS["text"].key) == ""
