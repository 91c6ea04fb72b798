"""An exec plugin of a kubeconfig: a program that is asked for a token, or a client certificate.

As Kubernetes's documentation has it ("Authenticating", client-go credential plugins). The client library would leave a
program running that does not answer, have it read our own standard input, and look for its relative path where we run.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zeroscale.errors import PluginError
from zeroscale.process.oneshot import run_program

QUOTED = 200
"""Characters of what it says in a message."""


async def ask(section: Mapping[str, Any], directory: Path) -> dict[str, str]:
    """Runs the program to its end; cancelled, it ends it, and whatever it started.

    :param section: a user's `exec`.
    :param directory: the kubeconfig's: of this is a command with a `/` that is relative. One without is of the `PATH`.
    :returns: the same as a user's own credentials: `token`, or `client-certificate-data` and `client-key-data`.
    :raises PluginError: it cannot be run, or yields none.
    """
    command, version = str(section.get("command") or ""), section.get("apiVersion")
    if not command or not version:
        raise PluginError("its exec section needs a command and an apiVersion")
    if "/" in command:
        command = str(directory / command)
    question = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    environment = {"KUBERNETES_EXEC_INFO": json.dumps(question)}
    environment.update({str(each["name"]): str(each["value"]) for each in section.get("env") or []})
    raw = await _output_of([command, *map(str, section.get("args") or [])], environment)
    try:
        status = json.loads(raw)["status"]
        if "token" in status:
            return {"token": str(status["token"])}
        return {
            f"client-{part}-data": base64.b64encode(status[f"client{part.capitalize()}Data"].encode()).decode()
            for part in ("certificate", "key")
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PluginError(f"its exec plugin {command} gives neither a token nor a certificate with its key") from None


async def _output_of(argv: list[str], environment: Mapping[str, str]) -> bytes:
    try:
        done = await run_program(argv, environment=environment, capture=True)
    except OSError as error:
        raise PluginError(f"its exec plugin {argv[0]} cannot be run: {error.strerror}") from error
    if done.code != 0:
        complaint = " ".join(done.errors.decode(errors="replace").split())[:QUOTED]
        raise PluginError(f"its exec plugin {argv[0]} ended with {done.code}" + (f": {complaint}" if complaint else ""))
    return done.output
