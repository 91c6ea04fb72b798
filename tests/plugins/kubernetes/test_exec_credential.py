"""Exec plugins of a kubeconfig and the credentials that they print."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from plugins.process_fixture import until

from zeroscale.errors import PluginError
from zeroscale.plugins.kubernetes import exec_credential

VERSION = "client.authentication.k8s.io/v1"


def program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def gives(**status: str) -> str:
    return f"echo '{json.dumps({'apiVersion': VERSION, 'kind': 'ExecCredential', 'status': status})}'"


async def test_a_relative_command_is_of_the_kubeconfigs_directory(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "login", gives(token="secret"))
    assert await exec_credential.fetch_credential({"apiVersion": VERSION, "command": "./bin/login"}, tmp_path) == {
        "token": "secret"
    }


async def test_a_certificate_with_its_key(tmp_path: Path) -> None:
    program(tmp_path / "login", gives(clientCertificateData="crt", clientKeyData="key"))
    given = await exec_credential.fetch_credential({"apiVersion": VERSION, "command": "./login"}, tmp_path)
    assert {key: base64.b64decode(value) for key, value in given.items()} == {
        "client-certificate-data": b"crt",
        "client-key-data": b"key",
    }


async def test_it_is_asked_as_client_go_asks_and_reads_nothing_of_ours(tmp_path: Path) -> None:
    program(tmp_path / "login", 'cat > "$SEEN"; echo "$1 $KUBERNETES_EXEC_INFO" >> "$SEEN"; ' + gives(token="secret"))
    section = {"apiVersion": VERSION, "command": "./login", "args": [7], "interactiveMode": "IfAvailable"}
    section["env"] = [{"name": "SEEN", "value": str(tmp_path / "seen")}]
    await exec_credential.fetch_credential(section, tmp_path)
    argument, _, question = (tmp_path / "seen").read_text().partition(" ")
    assert argument == "7"
    assert json.loads(question) == {"apiVersion": VERSION, "kind": "ExecCredential", "spec": {"interactive": False}}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"command": "x"}, "needs a command and an apiVersion"),
        ({"apiVersion": VERSION, "command": "no-such-program"}, "no-such-program cannot be run: No such file"),
        ({"apiVersion": VERSION, "command": "echo", "args": ["words"]}, "echo gives neither a token nor a certificate"),
        ({"apiVersion": VERSION, "command": "echo", "args": ['{"status": null}']}, "echo gives neither a token"),
        ({"apiVersion": VERSION, "command": "false"}, "exec plugin false ended with 1$"),
    ],
)
async def test_an_exec_plugin_without_a_credential(section: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=message):
        await exec_credential.fetch_credential(section, tmp_path)


async def test_a_cancelled_one_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    code = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(10_000)"
    program(tmp_path / "login", f'"{sys.executable}" -c "{code}" "{tmp_path}/id"; exit 1')
    task = asyncio.ensure_future(
        exec_credential.fetch_credential({"apiVersion": VERSION, "command": "./login"}, tmp_path)
    )
    await until(lambda: (tmp_path / "id").is_file() and (tmp_path / "id").read_text())
    task.cancel()
    await asyncio.wait([task])
    process_id = int((tmp_path / "id").read_text())

    def is_gone() -> bool:
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return True
        return f"{process_id} " in (stat := Path(f"/proc/{process_id}/stat").read_text()) and ") Z " in stat

    await until(is_gone)
