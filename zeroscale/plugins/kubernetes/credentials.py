"""Where a cluster is and how we prove who we are there: a kubeconfig, or the service account of the pod we run in.

Which of them counts is decided once, when it is constructed; the secrets themselves are read anew by every `load()`,
for they expire. It knows no request.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import kube_config
from kubernetes_asyncio.config.incluster_config import InClusterConfigLoader
from kubernetes_asyncio.config.kube_config import KubeConfigLoader, KubeConfigMerger

from zeroscale.errors import PluginError
from zeroscale.plugins.kubernetes import exec_credential as kubernetes_exec

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet mounts a pod's token, the cluster's certificate authority and the pod's namespace."""

LOAD_TIMEOUT = 60.0
"""Seconds that a kubeconfig's exec plugin may take: it may ask a cloud's servers, but nobody can type a password."""

DEFAULT_NAMESPACE = "default"

NOBODY = "/"
"""A user of a kubeconfig who has no credentials; not a name that anybody gives."""


class Credentials:
    """One cluster, and who we are there.

    :ivar namespace: the one that is meant where none is given: the context's, or the pod's own, or `default`.
    :ivar where: which of them was chosen, for messages.
    """

    def __init__(
        self, kubeconfig: str | None = None, context: str | None = None, environment: Mapping[str, str] = os.environ
    ) -> None:
        """Decides which credentials count, in this order: `kubeconfig`; what `$KUBECONFIG` names; a pod's service
        account; `~/.kube/config`. With a `context`, the service account is passed over.

        :param kubeconfig: a path, or several joined by `:` as in `$KUBECONFIG`.
        :param context: a context of it; None: its current one.
        :param environment: the process's.
        :raises PluginError: there are none, or they cannot be understood.
        """
        self._environment = environment
        self._context = context
        given = kubeconfig or environment.get("KUBECONFIG")
        home = Path("~/.kube/config").expanduser()
        in_cluster = bool(environment.get("KUBERNETES_SERVICE_HOST")) and (SERVICE_ACCOUNT / "token").is_file()
        self._paths: str | None = None
        if given:
            self._paths = given
        elif in_cluster and context is None:
            self.where = f"the service account in {SERVICE_ACCOUNT}"
            self.namespace = self._own_namespace()
            return
        elif home.is_file():
            self._paths = str(home)
        else:
            raise PluginError(
                "no cluster to talk to: give kubeconfig=PATH, or run zeroscale in a pod with a service account"
            )
        self.where = self._paths
        self.namespace = self._namespace_of_context(named=bool(kubeconfig))

    async def load(self) -> Configuration:
        """Reads the secrets, and asks an exec plugin for them where the kubeconfig names one.

        :returns: what an `ApiClient` is made of.
        :raises PluginError: they cannot be had now.
        """
        configuration = Configuration()
        # Python 3.13 refuses, if left to itself, certificates without extensions that some clusters' do not have.
        # Go does not, nor need we: who signed it, for whom and until when is verified all the same.
        configuration.disable_strict_ssl_verification = True
        try:
            async with asyncio.timeout(LOAD_TIMEOUT):
                if self._paths is None:
                    InClusterConfigLoader(
                        token_filename=str(SERVICE_ACCOUNT / "token"),
                        cert_filename=str(SERVICE_ACCOUNT / "ca.crt"),
                        environ=self._environment,
                        try_refresh_token=False,  # it is read anew when the API no longer takes it
                    ).load_and_set(configuration)
                else:
                    merged = _merged(self._paths)
                    if merged is None:
                        raise PluginError("it does not exist any more")
                    _forget_lost_files()
                    loader = _loader(merged, self._context)
                    await _ask_exec_plugin(merged, loader.current_context)
                    await loader.load_and_set(configuration)
        except TimeoutError:
            raise PluginError(f"{self.where}: its exec plugin has not answered for {LOAD_TIMEOUT:.0f} s") from None
        except Exception as error:  # whatever a file of the user's, or a program that it names, made of it
            raise PluginError(f"{self.where} does not yield credentials: {_in_words(error)}") from error
        if not configuration.host.startswith(("http://", "https://")):
            raise PluginError(f"{self.where}: server {configuration.host!r} is no URL: write https://HOST:PORT")
        if "BearerToken" in configuration.api_key:  # a file may end with the end of a line, which is not the token's
            configuration.api_key["BearerToken"] = " ".join(configuration.api_key["BearerToken"].split())
        return configuration

    def _own_namespace(self) -> str:
        try:
            return (SERVICE_ACCOUNT / "namespace").read_text().strip() or DEFAULT_NAMESPACE
        except OSError:
            return DEFAULT_NAMESPACE

    def _namespace_of_context(self, *, named: bool) -> str:
        assert self._paths is not None
        paths = [Path(path).expanduser() for path in self._paths.split(":") if path]
        if not any(path.is_file() for path in paths):
            source = "kubeconfig" if named else "$KUBECONFIG"
            raise PluginError(f"{source}={self._paths!r} does not exist: give the path of a kubeconfig file")
        try:
            config = _merged(self._paths)
            known = [each["name"] for each in config.value.get("contexts") or []]
        except Exception as error:  # it may hold anything
            raise PluginError(f"{self._paths} is no kubeconfig that can be read: {_in_words(error)}") from error
        chosen = self._context or config.value.get("current-context")
        listed = ", ".join(map(str, known)) or "none"
        if not chosen:
            raise PluginError(f"{self._paths} has no current context: give context=NAME, of which there are: {listed}")
        if chosen not in known:
            raise PluginError(f"context={chosen!r} is not in {self._paths}: there are {listed}")
        try:
            context: Any = _loader(config, chosen).current_context
            return str(context["context"].get("namespace") or DEFAULT_NAMESPACE)
        except Exception as error:  # it may hold anything
            raise PluginError(f"{self._paths}: context {chosen!r} is not whole: {_in_words(error)}") from error


def _merged(paths: str) -> Any:
    """All files as one, as kubectl has it: of what is in several of them the first counts."""
    merger = KubeConfigMerger(paths)
    merged: Any = merger.config
    chosen = [config["current-context"] for config in merger.config_files.values() if config.get("current-context")]
    if chosen:  # the library takes the last
        merged.value["current-context"] = chosen[0]
    return merged


def _forget_lost_files() -> None:
    """The library writes certificates to files, once, and would never miss one that somebody who tidies `/tmp` took."""
    for content, path in list(kube_config._temp_files.items()):
        if not Path(path).is_file():
            del kube_config._temp_files[content]


async def _ask_exec_plugin(merged: Any, context: Any) -> None:
    """Puts what the user's exec plugin gives in the place of its section."""
    for each in merged.value["users"]:
        if isinstance(each, dict):  # nobody
            continue
        user = each.value["user"]
        if each.value["name"] == context["context"]["user"] and user.get("exec"):
            user.update(await kubernetes_exec.ask(user.pop("exec"), _directory_of(each.path)))


def _directory_of(path: str) -> Path:
    return Path(path).absolute().parent


def _loader(merged: Any, context: str | None) -> KubeConfigLoader:
    # kubectl asks without credentials where there are none; for https the library wants an empty user for that.
    users, contexts = ([each.value for each in merged.value[kind]] for kind in ("users", "contexts"))
    for user in users:
        user["user"] = user.get("user") or {}
        if user["user"].get("tokenFile"):  # which goes before a token beside it, as kubectl has it
            user["user"].pop("token", None)
    merged.value["users"].append({"name": NOBODY, "user": {}})
    for each in contexts:
        each["context"]["user"] = each["context"].get("user") or NOBODY
    return KubeConfigLoader(config_dict=merged, active_context=context, config_base_path=None)


def _in_words(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
