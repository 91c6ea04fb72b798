"""A cluster's address and our credentials: from a kubeconfig, or from the service account of the pod we run in.

Which of them is used is decided once, in the constructor; the secrets are read again by every `load()`, since they
expire. Sends no request.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import kube_config
from kubernetes_asyncio.config.incluster_config import InClusterConfigLoader
from kubernetes_asyncio.config.kube_config import ConfigNode, KubeConfigLoader, KubeConfigMerger

from zeroscale.errors import ConfigError, PluginError
from zeroscale.plugins.kubernetes.exec_credential import fetch_credential
from zeroscale.system.files import read_configured

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet mounts a pod's token, the cluster's certificate authority and the pod's namespace."""

LOAD_TIMEOUT = 60.0
"""Seconds that a kubeconfig's exec plugin may take: it may ask a cloud's servers, but not a person."""

LARGEST_KUBECONFIG = 4 * 1024 * 1024
"""Bytes; one with a hundred clusters and their certificates has some 500 KiB."""

LARGEST_TOKEN = 64 * 1024
"""Bytes of a file with a token or a namespace; a token has some 2 KiB."""

DEFAULT_NAMESPACE = "default"

ANONYMOUS = "/"
"""Name of a user without credentials that we add to a kubeconfig; not a name that users have."""


class Credentials:
    """The credentials for one cluster.

    :ivar namespace: the default namespace: the context's, or the pod's own, or `default`.
    :ivar source: where they come from, for messages.
    :ivar cluster: the URL of its API, or `source` if that has none.
    """

    def __init__(
        self, kubeconfig: str | None = None, context: str | None = None, environment: Mapping[str, str] = os.environ
    ) -> None:
        """Choose the credentials.

        The first that exists is used: `kubeconfig`; `$KUBECONFIG`; a pod's service account, unless a `context` is
        given; `~/.kube/config`.

        :param kubeconfig: a path, or several joined by `:` as in `$KUBECONFIG`.
        :param context: a context of it; None: its current one.
        :param environment: the process's.
        :raises PluginError: there are none, or they are not valid.
        """
        self._environment = environment
        self._context = context
        given = kubeconfig or environment.get("KUBECONFIG")
        home = _expanded("~/.kube/config")
        in_cluster = bool(environment.get("KUBERNETES_SERVICE_HOST")) and (SERVICE_ACCOUNT / "token").is_file()
        self._paths: str | None = None
        if given:
            self._paths = given
        elif in_cluster and context is None:
            self.source = f"the service account in {SERVICE_ACCOUNT}"
            self.namespace = self._pod_namespace()
            host, port = environment["KUBERNETES_SERVICE_HOST"], environment.get("KUBERNETES_SERVICE_PORT", "443")
            self.cluster = f"https://{f'[{host}]' if ':' in host else host}:{port}"
            return
        elif home.is_file():
            self._paths = str(home)
        else:
            raise PluginError(
                "no Kubernetes cluster is configured: give kubeconfig=PATH, or run zeroscale in a pod with a service "
                "account"
            )
        self.source = self._paths
        self.namespace, cluster = self._namespace_and_cluster(by_argument=bool(kubeconfig))
        self.cluster = cluster.rstrip("/").lower() or self.source

    async def load(self) -> Configuration:
        """Read the secrets; run the exec plugin if the kubeconfig has one.

        :returns: the configuration for an `ApiClient`.
        :raises PluginError: they cannot be read now.
        """
        configuration = Configuration()
        # By default Python 3.13 refuses certificates without extensions that those of some clusters lack, and Go
        # accepts. Signature, host name and validity are verified all the same.
        configuration.disable_strict_ssl_verification = True
        try:
            async with asyncio.timeout(LOAD_TIMEOUT):
                if self._paths is None:
                    InClusterConfigLoader(
                        token_filename=str(SERVICE_ACCOUNT / "token"),
                        cert_filename=str(SERVICE_ACCOUNT / "ca.crt"),
                        environ=self._environment,
                        try_refresh_token=False,  # it is read again when the API no longer accepts it
                    ).load_and_set(configuration)
                else:
                    merged = _merge(self._paths)
                    if merged is None:
                        raise PluginError("it does not exist any more")
                    _forget_missing_files()
                    loader = _loader(merged, self._context)
                    await _fetch_secrets(merged, _user_of(loader))
                    await loader.load_and_set(configuration)
        except TimeoutError:
            raise PluginError(f"{self.source}: its exec plugin has not answered for {LOAD_TIMEOUT:.0f} s") from None
        except Exception as error:  # the file may hold anything, and the exec plugin do anything
            raise PluginError(f"{self.source} does not yield credentials: {_describe(error)}") from error
        if not configuration.host.startswith(("http://", "https://")):
            raise PluginError(f"{self.source}: server {configuration.host!r} is not a URL: write https://HOST:PORT")
        if "BearerToken" in configuration.api_key:  # the token's file may end with a newline
            configuration.api_key["BearerToken"] = " ".join(configuration.api_key["BearerToken"].split())
        return configuration

    def _pod_namespace(self) -> str:
        try:
            content = read_configured(SERVICE_ACCOUNT / "namespace", LARGEST_TOKEN)
        except ConfigError:
            return DEFAULT_NAMESPACE
        return content.decode(errors="replace").strip() or DEFAULT_NAMESPACE

    def _namespace_and_cluster(self, *, by_argument: bool) -> tuple[str, str]:
        assert self._paths is not None
        paths = [_expanded(path) for path in self._paths.split(":") if path]
        if not any(path.exists() for path in paths):
            source = "kubeconfig" if by_argument else "$KUBECONFIG"
            raise PluginError(f"{source}={self._paths!r} does not exist: give the path of a kubeconfig file")
        try:
            config = _merge(self._paths)
            assert config is not None  # some of the files exist
            known = [each["name"] for each in config.value.get("contexts") or []]
        except Exception as error:  # it may hold anything
            raise PluginError(f"{self._paths} is not a valid kubeconfig: {_describe(error)}") from error
        chosen = self._context or config.value.get("current-context")
        listed = ", ".join(map(str, known)) or "none"
        if not chosen:
            raise PluginError(f"{self._paths} has no current context: give context=NAME, of which there are: {listed}")
        if chosen not in known:
            raise PluginError(f"context={chosen!r} is not in {self._paths}: there are {listed}")
        try:
            context = _loader(config, chosen).current_context["context"]
            clusters = [each.value for each in config.value.get("clusters") or []]
            [cluster] = [each["cluster"] for each in clusters if each.get("name") == context["cluster"]]
            server = (cluster or {}).get("server") or ""
            return str(context.get("namespace") or DEFAULT_NAMESPACE), str(server)
        except Exception as error:  # it may hold anything
            raise PluginError(f"{self._paths}: context {chosen!r} is not complete: {_describe(error)}") from error


def _expanded(path: str) -> Path:
    """Return a path with `~` expanded; for a user without a home directory it is not."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _merge(paths: str) -> ConfigNode | None:
    """Merge all files as kubectl does: of what is in several of them the first counts. None: no file exists."""
    for path in paths.split(":"):
        if path and _expanded(path).exists():
            read_configured(_expanded(path), LARGEST_KUBECONFIG)  # the library would wait for a FIFO
    merger = KubeConfigMerger(paths)
    merged: ConfigNode | None = merger.config
    chosen = [config["current-context"] for config in merger.config_files.values() if config.get("current-context")]
    if merged is not None and chosen:  # the library takes the last
        merged.value["current-context"] = chosen[0]
    return merged


def _forget_missing_files() -> None:
    """Have the library write certificates to temporary files again that were deleted: it writes each only once."""
    for content, path in list(kube_config._temp_files.items()):
        if not Path(path).is_file():
            del kube_config._temp_files[content]


async def _fetch_secrets(merged: ConfigNode, name: str) -> None:
    """Replace a user's token file by its content, and its exec section by the credential that its program prints."""
    for each in merged.value["users"]:
        if isinstance(each, dict):  # the anonymous user
            continue
        user = each.value["user"]
        if each.value["name"] != name:
            continue
        if user.get("tokenFile"):  # it takes precedence over a token, as with kubectl
            path = _directory_of(each.path) / str(user.pop("tokenFile"))
            user["token"] = read_configured(path, LARGEST_TOKEN).decode()
        if user.get("exec"):
            user.update(await fetch_credential(user.pop("exec"), _directory_of(each.path)))


def _directory_of(path: str) -> Path:
    return Path(path).absolute().parent


def _loader(merged: ConfigNode, context: str | None) -> KubeConfigLoader:
    # kubectl sends no credentials where there are none; for https the library needs an empty user for that.
    users, contexts = ([each.value for each in merged.value[kind]] for kind in ("users", "contexts"))
    for user in users:
        user["user"] = user.get("user") or {}
    merged.value["users"].append({"name": ANONYMOUS, "user": {}})
    for each in contexts:
        each["context"]["user"] = each["context"].get("user") or ANONYMOUS
    return KubeConfigLoader(config_dict=merged, active_context=context, config_base_path=None)


def _user_of(loader: KubeConfigLoader) -> str:
    return str(loader.current_context["context"]["user"])


def _describe(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
