"""Which credentials are used, and errors of those that cannot be read."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml
from plugins.kubernetes.fake_cluster import Cluster

from zeroscale.errors import PluginError
from zeroscale.plugins.kubernetes import credentials as kubernetes_credentials
from zeroscale.plugins.kubernetes.api import Api, ApiRefused, ApiRequest, ApiUnavailable
from zeroscale.plugins.kubernetes.credentials import LARGEST_KUBECONFIG, Credentials

IN_A_POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
LIST = ApiRequest("list", "statefulsets", "apps", "games")


@pytest.fixture(autouse=True)
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create the service account's files, and a home directory without a kubeconfig."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    directory = tmp_path / "serviceaccount"
    directory.mkdir()
    (directory / "token").write_text("first")
    (directory / "namespace").write_text("games\n")
    (directory / "ca.crt").write_text("not read before it is needed")
    monkeypatch.setattr(kubernetes_credentials, "SERVICE_ACCOUNT", directory)
    return directory


def write(path: Path, **changes: Any) -> Path:
    """Write a kubeconfig with two contexts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "home",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [
            {"name": "home", "context": {"cluster": "c", "user": "u", "namespace": "minecraft"}},
            {"name": "work", "context": {"cluster": "c", "user": "u"}},
        ],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        **changes,
    }
    path.write_text(yaml.safe_dump(whole))
    return path


def test_a_kubeconfig_that_is_given_comes_first(tmp_path: Path) -> None:
    path = write(tmp_path / "k")
    credentials = Credentials(str(path), environment={**IN_A_POD, "KUBECONFIG": "/other"})
    assert credentials.source == str(path)
    assert credentials.namespace == "minecraft"
    assert Credentials(str(path), "work", environment={}).namespace == "default"


def test_which_cluster_it_is(tmp_path: Path, account: Path) -> None:
    path = str(write(tmp_path / "k"))
    assert Credentials(path, environment={}).cluster == "http://127.0.0.1:1"
    assert Credentials(path, "work", environment={}).cluster == "http://127.0.0.1:1"
    other = [{"name": "c", "cluster": {"server": "https://API.example.org:6443/"}}]
    assert Credentials(str(write(tmp_path / "o", clusters=other)), environment={}).cluster == (
        "https://api.example.org:6443"
    )
    assert Credentials(environment=IN_A_POD).cluster == "https://10.0.0.1:443"
    in_ipv6 = {**IN_A_POD, "KUBERNETES_SERVICE_HOST": "fd00::1"}
    assert Credentials(environment=in_ipv6).cluster == "https://[fd00::1]:443"


def test_a_cluster_without_an_address_is_named_by_its_file(tmp_path: Path) -> None:
    path = write(tmp_path / "k", clusters=[{"name": "c", "cluster": {}}])
    assert Credentials(str(path), environment={}).cluster == str(path)


def test_then_what_the_environment_names(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", contexts=[], users=[], clusters=[]), write(tmp_path / "two")
    credentials = Credentials(environment={**IN_A_POD, "KUBECONFIG": f"{one}:{two}"})
    assert credentials.namespace == "minecraft", "several files are one"


def test_then_the_pods_own(tmp_path: Path, account: Path) -> None:
    write(tmp_path / "home" / ".kube" / "config")
    credentials = Credentials(environment=IN_A_POD)
    assert credentials.source == f"the service account in {account}"
    assert credentials.namespace == "games"
    (account / "namespace").unlink()
    assert Credentials(environment=IN_A_POD).namespace == "default"


def test_a_user_without_a_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_entry(user_id: int) -> NoReturn:
        raise KeyError(user_id)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", no_entry)
    with pytest.raises(PluginError, match="no Kubernetes cluster is configured"):
        Credentials(environment={})
    with pytest.raises(PluginError, match="does not exist"):
        Credentials("~/config", environment={})


def test_then_the_home_directorys_as_well_for_a_context(tmp_path: Path) -> None:
    write(tmp_path / "home" / ".kube" / "config")
    assert Credentials(environment={}).namespace == "minecraft"
    assert Credentials(context="work", environment=IN_A_POD).namespace == "default"


def test_none_at_all_is_an_error() -> None:
    with pytest.raises(
        PluginError, match="no Kubernetes cluster is configured: give kubeconfig=PATH, or run zeroscale in a pod"
    ):
        Credentials(environment={})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"current-context": None}, "has no current context: give context=NAME, of which there are: home, work"),
        ({"current-context": "gone"}, "context='gone' is not in"),
        ({"contexts": None}, "there are none"),
        ({"clusters": []}, "context 'home' is not complete: Invalid kube-config file. Expected object with name c in"),
        ({"contexts": [{"name": "home"}]}, "context 'home' is not complete"),
    ],
)
def test_a_kubeconfig_that_is_not_complete(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError) as raised:
        Credentials(str(write(tmp_path / "k", **changes)), environment={})
    assert message in str(raised.value)


@pytest.mark.parametrize("text", ["", "[", "just words", "- a\n- b"])
def test_a_file_that_is_no_kubeconfig(tmp_path: Path, text: str) -> None:
    path = tmp_path / "k"
    path.write_text(text)
    with pytest.raises(PluginError, match="is not a valid kubeconfig") as raised:
        Credentials(str(path), environment={})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["fifo", "long"])
def test_a_file_that_cannot_be_read_whole_is_refused_also_among_others(tmp_path: Path, kind: str) -> None:
    good, bad = write(tmp_path / "good"), tmp_path / "bad"
    if kind == "fifo":
        os.mkfifo(bad)
    else:
        bad.write_bytes(b"#" * (LARGEST_KUBECONFIG + 1))
    with pytest.raises(PluginError, match=rf"cannot read {bad}: it is (not a regular file|longer than)"):
        Credentials(environment={"KUBECONFIG": f"{good}:{bad}"})


@pytest.mark.parametrize("kind", ["fifo", "long"])
async def test_a_token_file_that_cannot_be_read_whole_is_an_error(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "k", users=[{"name": "u", "user": {"tokenFile": "token"}}])
    if kind == "fifo":
        os.mkfifo(tmp_path / "token")
    else:
        (tmp_path / "token").write_bytes(b"x" * 100_000)
    with pytest.raises(PluginError, match=r"cannot read .*/token: it is (not a regular file|longer than)"):
        await Credentials(str(path), environment={}).load()


def test_a_file_that_the_environment_names_and_that_is_not_there() -> None:
    with pytest.raises(PluginError, match=r"^\$KUBECONFIG='/no/such' does not exist"):
        Credentials(environment={"KUBECONFIG": "/no/such"})


async def test_a_service_accounts_token_and_authority(account: Path) -> None:
    configuration = await Credentials(environment=IN_A_POD).load()
    assert configuration.host == "https://10.0.0.1:443"
    assert configuration.ssl_ca_cert == str(account / "ca.crt")
    assert await configuration.get_api_key_with_prefix("BearerToken") == "Bearer first"


async def test_space_around_a_token_is_not_part_of_it(account: Path, tmp_path: Path) -> None:
    """A file written by `echo` ends with a newline; a header with a newline is refused before it is sent."""
    (account / "token").write_text("first\n")
    assert await (await Credentials(environment=IN_A_POD).load()).get_api_key_with_prefix("BearerToken") == (
        "Bearer first"
    )
    (tmp_path / "token").write_text(" second\n")
    path = write(tmp_path / "k", users=[{"name": "u", "user": {"tokenFile": "token"}}])
    configuration = await Credentials(str(path), environment={}).load()
    assert await configuration.get_api_key_with_prefix("BearerToken") == "Bearer second"


@pytest.mark.parametrize("user", [{"user": "u"}, {"user": "v"}, {"user": ""}, {}])
async def test_an_anonymous_user_over_tls(tmp_path: Path, user: dict[str, str]) -> None:
    """As with kubectl, a user without credentials sends none."""
    path = write(
        tmp_path / "k",
        clusters=[{"name": "c", "cluster": {"server": "https://api.example.org/", "insecure-skip-tls-verify": True}}],
        contexts=[{"name": "home", "context": {"cluster": "c", **user}}],
        users=[{"name": "u", "user": None}, {"name": "v", "user": {}}],
    )
    configuration = await Credentials(str(path), environment={}).load()
    assert configuration.host == "https://api.example.org"
    assert configuration.cert_file is None
    assert not configuration.api_key


async def test_paths_are_of_the_kubeconfigs_own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pki").mkdir()
    for name in ("ca", "crt", "key"):
        (tmp_path / "pki" / name).write_text(name)
    cluster = {"server": "https://api.example.org", "certificate-authority": "pki/ca"}
    user = {"client-certificate": "pki/crt", "client-key": "pki/key"}
    write(tmp_path / "k", clusters=[{"name": "c", "cluster": cluster}], users=[{"name": "u", "user": user}])
    monkeypatch.chdir(tmp_path)
    configuration = await Credentials("k", environment={}).load()
    files = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
    assert [holds(Path(path))[0] for path in files] == [b"ca", b"crt", b"key"]


def holds(path: Path) -> tuple[bytes, int]:
    return path.read_bytes(), path.stat().st_mode & 0o777


async def test_a_client_certificate_and_what_a_cluster_is_verified_by(tmp_path: Path) -> None:
    data = base64.b64encode(b"a certificate").decode()
    cluster = {"server": "https://api.example.org", "certificate-authority-data": data, "tls-server-name": "kubernetes"}
    user = {"client-certificate-data": data, "client-key-data": data}
    path = write(tmp_path / "k", clusters=[{"name": "c", "cluster": cluster}], users=[{"name": "u", "user": user}])
    credentials = Credentials(str(path), environment={})
    configuration = await credentials.load()
    files = [Path(path) for path in (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)]
    assert list(map(holds, files)) == [(b"a certificate", 0o600)] * 3
    assert configuration.tls_server_name == "kubernetes"
    assert configuration.verify_ssl
    with pytest.raises(PluginError, match="its certificates cannot be used"):
        await Api(credentials).send(LIST)


async def test_a_cluster_that_is_not_verified_because_its_kubeconfig_says_so(tmp_path: Path) -> None:
    cluster = {"server": "https://api.example.org", "insecure-skip-tls-verify": True}
    path = write(tmp_path / "k", clusters=[{"name": "c", "cluster": cluster}])
    assert not (await Credentials(str(path), environment={}).load()).verify_ssl


def exec_plugin(code: str) -> dict[str, Any]:
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": ["-c", code],
            "interactiveMode": "Never",
        }
    }


async def test_a_token_that_has_expired_is_asked_of_the_exec_plugin_anew(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    code = (
        f"import json; d = {json.dumps(credential)}; d['status'] = {{'token': open({str(token)!r}).read()}}; "
        "print(json.dumps(d))"
    )
    cluster = Cluster(token="old")
    await cluster.open()
    try:
        api = Api(Credentials(str(cluster.kubeconfig(tmp_path, **exec_plugin(code))), environment={}))
        await api.send(LIST)
        token.write_text("new")
        cluster.token = "new"
        await api.send(LIST)
        assert cluster.asked["list", "statefulsets"] == 3
        cluster.token = "another"
        with pytest.raises(ApiRefused, match="does not accept our credentials: are they still valid") as raised:
            await api.send(LIST)
        assert raised.value.status == 401
        assert "new" not in str(raised.value)
        await api.close()
    finally:
        await cluster.shut()


async def test_a_context_that_several_files_name_is_the_firsts(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one"), write(tmp_path / "two", **{"current-context": "work"})
    empty = write(tmp_path / "three", **{"current-context": ""})
    assert Credentials(environment={"KUBECONFIG": f"{one}:{two}:{empty}"}).namespace == "minecraft"
    assert Credentials(environment={"KUBECONFIG": f"{empty}:{two}:{one}"}).namespace == "default"


async def test_a_token_file_takes_precedence_over_a_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("rotated")
    path = write(tmp_path / "k", users=[{"name": "u", "user": {"token": "old", "tokenFile": "token"}}])
    configuration = await Credentials(str(path), environment={}).load()
    assert await configuration.get_api_key_with_prefix("BearerToken") == "Bearer rotated"


async def test_certificates_are_written_again_after_others_removed_their_files(tmp_path: Path) -> None:
    data = base64.b64encode(b"an authority of this test").decode()
    cluster = {"server": "https://api.example.org", "certificate-authority-data": data}
    credentials = Credentials(str(write(tmp_path / "k", clusters=[{"name": "c", "cluster": cluster}])), environment={})
    remove((await credentials.load()).ssl_ca_cert)
    assert holds(Path((await credentials.load()).ssl_ca_cert)) == (b"an authority of this test", 0o600)


def remove(path: str) -> None:
    Path(path).unlink()


async def test_a_kubeconfig_that_was_removed_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "k")
    credentials = Credentials(str(path), environment={})
    path.unlink()
    with pytest.raises(PluginError, match="does not yield credentials: it does not exist any more"):
        await credentials.load()


async def test_a_server_that_is_no_url(tmp_path: Path) -> None:
    path = write(tmp_path / "k", clusters=[{"name": "c", "cluster": {"server": "10.0.0.1:6443"}}])
    with pytest.raises(PluginError, match=r"server '10\.0\.0\.1:6443' is not a URL: write https://HOST:PORT"):
        await Credentials(str(path), environment={}).load()


async def test_an_exec_plugin_that_fails_is_quoted(tmp_path: Path) -> None:
    path = write(tmp_path / "k", users=[{"name": "u", "user": exec_plugin("raise SystemExit('log in first')")}])
    with pytest.raises(PluginError, match=r"does not yield credentials: its exec plugin .* ended with 1: log in first"):
        await Credentials(str(path), environment={}).load()


async def test_an_exec_plugin_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_credentials, "LOAD_TIMEOUT", 0.0)
    path = write(tmp_path / "k", users=[{"name": "u", "user": exec_plugin("input()")}])
    with pytest.raises(PluginError, match="its exec plugin has not answered"):
        await Credentials(str(path), environment={}).load()


@pytest.mark.peers("openssl")
async def test_a_pods_own_credentials_over_tls(account: Path) -> None:
    key, authority = account / "key.pem", account / "ca.crt"
    make_certificate(key, authority)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority, key)
    cluster = Cluster(token="first")
    await cluster.open(context)
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(cluster.port)}
    api = Api(Credentials(environment=environment))
    try:
        await api.send(LIST)
        (account / "token").write_text("second")
        cluster.token = "second"
        await api.send(LIST)
        assert cluster.asked["list", "statefulsets"] == 3, "the kubelet had written a new token"
    finally:
        await api.close()
    make_certificate(key, authority)
    try:
        with pytest.raises(ApiUnavailable, match="certificate verify failed"):
            await api.send(LIST)
    finally:
        await api.close()
        await cluster.shut()


def make_certificate(key: Path, certificate: Path) -> None:
    request = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=cluster -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*request.split(), *files], check=True, capture_output=True)
