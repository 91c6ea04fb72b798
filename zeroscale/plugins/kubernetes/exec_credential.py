"""Run an exec plugin of a kubeconfig: a program that prints a token or a client certificate.

By Kubernetes's documentation ("Authenticating", client-go credential plugins). The client library is not used for it:
it leaves a program running that does not answer, lets it read our standard input, and looks for a relative path in our
working directory.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

from zeroscale.errors import PluginError
from zeroscale.plugins.support.json_object import JsonObject, list_at, member, object_at, text_at
from zeroscale.process.environment import ChildEnvironment
from zeroscale.process.oneshot import run_program

LONGEST_QUOTE = 200
"""Characters of its error output that are quoted in a message."""


async def fetch_credential(section: JsonObject, directory: Path) -> dict[str, str]:
    """Run the program to its end; when cancelled, kill it with everything that it started.

    :param section: a user's `exec`.
    :param directory: the kubeconfig's; a relative command with a `/` is relative to it, one without is found in PATH.
    :returns: members of a kubeconfig's user: `token`, or `client-certificate-data` and `client-key-data`.
    :raises PluginError: it cannot be run, or prints no credential.
    """
    command, version = str(section.get("command") or ""), section.get("apiVersion")
    if not command or not version:
        raise PluginError("its exec section needs a command and an apiVersion")
    if "/" in command:
        command = str(directory / command)
    request = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    environment = {"KUBERNETES_EXEC_INFO": json.dumps(request)}
    environment.update({str(member(each, "name")): str(member(each, "value")) for each in list_at(section, "env")})
    raw = await _output_of([command, *map(str, list_at(section, "args"))], environment)
    try:
        status = object_at(json.loads(raw), "status")
    except ValueError:  # no JSON
        status = {}
    token, certificate, key = (text_at(status, name) for name in ("token", "clientCertificateData", "clientKeyData"))
    if token:
        return {"token": token}
    if not certificate or not key:
        raise PluginError(f"its exec plugin {command} gives neither a token nor a certificate with its key")
    return {
        f"client-{part}-data": base64.b64encode(pem.encode()).decode()
        for part, pem in (("certificate", certificate), ("key", key))
    }


async def _output_of(argv: list[str], environment: Mapping[str, str]) -> bytes:
    try:
        done = await run_program(argv, environment=ChildEnvironment().build(environment), capture=True)
    except OSError as error:
        raise PluginError(f"its exec plugin {argv[0]} cannot be run: {error.strerror}") from error
    if done.code != 0:
        errors = " ".join(done.errors.decode(errors="replace").split())[:LONGEST_QUOTE]
        raise PluginError(f"its exec plugin {argv[0]} ended with {done.code}" + (f": {errors}" if errors else ""))
    return done.output
