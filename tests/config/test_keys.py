"""The metadata of configuration keys."""

from __future__ import annotations

from typing import Annotated

import msgspec

from zeroscale.config.keys import aliases_of, all_keys, key, keys_of, struct_of
from zeroscale.config.model import AdmissionConfig, Config, ServerConfig


class Inner(msgspec.Struct):
    plain: int = 0


class Sample(msgspec.Struct):
    wait: Annotated[
        Annotated[float, msgspec.Meta(ge=0, extra={"kind": "duration"})] | None,
        key("how long", group="a group", short="w", aliases=("delay",), labels=True),
    ] = None
    port: Annotated[int, key("where", name="server", aliases=("port",), hint="write server = 1")] = 1
    host: Annotated[str, key(part_of="server", aliases=("address",), hint="write it in server")] = ""
    secret: Annotated[str, key(internal=True, hint="it cannot be set")] = ""
    inner: Annotated[Inner, key("more")] = msgspec.field(default_factory=Inner)


def test_metadata_survives_on_optional_and_nested_types() -> None:
    wait = keys_of(Sample)["wait"]
    assert (wait.name, wait.help, wait.group, wait.short, wait.labels) == ("wait", "how long", "a group", "w", True)
    assert (wait.field.name, wait.field.default) == ("wait", None)
    assert keys_of(Inner)["plain"].help == ""


def test_keys_and_fields() -> None:
    assert list(keys_of(Sample)) == ["wait", "server", "inner"]
    assert [each.field.name for each in all_keys(Sample)] == ["wait", "port", "host", "secret", "inner"]
    assert struct_of(keys_of(Sample)["inner"].type) is Inner
    assert struct_of(keys_of(Sample)["wait"].type) is None


def test_aliases() -> None:
    assert {alias: each.hint for alias, each in aliases_of(Sample).items()} == {
        "delay": "",
        "port": "write server = 1",
        "address": "write it in server",
        "host": "write it in server",
        "secret": "it cannot be set",
    }


def test_an_alias_is_no_key_and_no_second_alias() -> None:
    for struct in (Config, ServerConfig, AdmissionConfig):
        aliases = [alias for each in all_keys(struct) for alias in each.aliases]
        assert len(aliases) == len(set(aliases))
        assert not set(aliases) & set(keys_of(struct))


def test_labels_may_set_these_keys_and_no_other() -> None:
    assert sorted(name for name, each in keys_of(ServerConfig).items() if each.labels) == [
        "admission",
        "health_path",
        "hold_limit",
        "idle_shutdown",
        "join",
        "keep_asleep",
        "keep_asleep_at_once",
        "keep_awake",
        "legacy_hold",
        "max_crashes",
        "minimum_online_time",
        "motd",
        "needs",
        "restart",
        "start_timeout",
        "status_protocol",
        "stop_timeout",
        "stop_warnings",
        "texts",
        "timezone",
        "transfer_as_login",
        "waiting",
        "wake_after",
    ]
