"""Web servers with real clients: browsers get a page, everything else waits; health checks wake nothing."""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from peers.harness import HERE, PeerHarness, Proxy
from peers.programs import Program, answers, wait_until
from ports import free_port

pytestmark = [pytest.mark.slow]

BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 "
    "Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "de-DE,de;q=0.9,en;q=0.8",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-User": "?1",
    "Sec-Fetch-Dest": "document",
    "Upgrade-Insecure-Requests": "1",
}
UPLOAD = random.Random(17).randbytes(1 << 20)
PAGES = ["--wake-on", "http", "--waiting", "page", "--ready", "connect"]


def web_server(harness: PeerHarness, name: str, *switches: str, start: float = 1.0, options: list[str]) -> Proxy:
    """Start a proxy in front of Node's web server."""
    port = free_port()
    command: list[str | Path] = ["node", HERE / "web_server.mjs", str(port), f"{start:g}", *switches]
    return harness.proxy("generic", name, command, port, options=options)


def browse(port: int, path: str = "/") -> tuple[int, str]:
    """Return what a browser sees."""
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=BROWSER)
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def curl(*words: str, stdin: bytes = b"") -> bytes:
    """Run curl; return what it prints."""
    done = subprocess.run(["curl", "-sS", *words], input=stdin, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def node(kind: str, port: int) -> Any:
    """Run one of Node's own clients; return what it got."""
    command: list[str | Path] = [
        "node",
        "--no-warnings",
        "--experimental-websocket",
        HERE / "web_client.mjs",
        kind,
        str(port),
    ]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return json.loads(done.stdout)


@pytest.mark.peers("curl", "node")
def test_programs_wait_for_the_web_server_while_a_browser_sees_the_page(harness: PeerHarness) -> None:
    proxy = web_server(harness, "web", start=2.0, options=PAGES)
    url = f"http://127.0.0.1:{proxy.port}"
    proxy.assert_asleep()
    with ThreadPoolExecutor() as threads:
        get = threads.submit(curl, f"{url}/get")
        upload = threads.submit(curl, "--data-binary", "@-", f"{url}/upload", stdin=UPLOAD)
        fetched = threads.submit(node, "fetch", proxy.port)
        websocket = threads.submit(node, "websocket", proxy.port)
        status, page = browse(proxy.port)
        assert status == 503 and "Waking up" in page and "This page reloads itself" in page
        assert json.loads(get.result())["url"] == "/get"
        sha256 = hashlib.sha256(UPLOAD).hexdigest()
        assert json.loads(upload.result()) == {"method": "POST", "url": "/upload", "sha256": sha256}
        assert fetched.result()["status"] == 200 and fetched.result()["body"]["url"] == "/api"
        assert websocket.result() == {"text": "hello"}
    assert browse(proxy.port)[0] == 200
    proxy.wait_until_asleep()
    outcomes = re.findall(r"127\.0\.0\.1:\d+: (\S+) after", proxy.text())
    assert set(outcomes) <= {"page", "closed", "client-reset"} and outcomes.count("page") == 1
    assert sum(": starting: " in line for line in proxy.lines) == 1
    proxy.end()


@pytest.mark.peers("curl", "node")
@pytest.mark.parametrize("client", ["curl", "node"])
def test_http2_without_tls_waits_for_the_web_server(client: str, harness: PeerHarness) -> None:
    proxy = web_server(harness, f"http2-{client}", "--http2", options=PAGES)
    if client == "node":
        assert node("http2", proxy.port)["body"]["url"] == "/api"
    else:
        assert json.loads(curl("--http2-prior-knowledge", f"http://127.0.0.1:{proxy.port}/api"))["url"] == "/api"
    proxy.wait_until_asleep()
    proxy.end()


@pytest.mark.peers("curl", "node")
def test_what_waited_in_vain_gets_a_503(harness: PeerHarness) -> None:
    proxy = web_server(harness, "vain", start=20.0, options=[*PAGES, "--hold-limit", "1"])
    reply = curl("-i", f"http://127.0.0.1:{proxy.port}/").decode()
    assert reply.startswith("HTTP/1.1 503 ") and re.search(r"^Retry-After: \d+\r$", reply, re.MULTILINE)
    assert "Content-Type: text/plain" in reply and "reloads" not in reply
    assert "error" in node("websocket", proxy.port)
    assert sum(": held-too-long after" in line for line in proxy.lines) == 2
    proxy.end()


HEALTH = ["--wake-on", "http", "--health-path", "/healthz", "--ready", "connect"]

LOAD_BALANCER = """
global
    log stdout format raw local0
defaults
    mode http
    log global
    option log-health-checks
    option httpchk {check}
    http-check expect status 200
    timeout connect 20s
    timeout check 20s
    timeout client 30s
    timeout server 30s
listen balancer
    bind 127.0.0.1:{port}
    server web 127.0.0.1:{target} source {source} check inter 200ms {header}
"""
HEADERS_FROM = "127.0.0.4"


@pytest.mark.peers("haproxy", "curl", "node")
@pytest.mark.parametrize(
    ("check", "header"),
    [("GET /healthz", ""), ("/healthz", "send-proxy-v2 check-send-proxy"), ("HEAD /healthz", "send-proxy")],
)
def test_the_checks_of_haproxy_never_reach_the_server(
    check: str, header: str, harness: PeerHarness, tmp_path: Path
) -> None:
    proxy = web_server(harness, f"balanced-{header[:13]}", options=[*HEALTH, "--proxy-protocol-from", HEADERS_FROM])
    port, file = free_port(), tmp_path / "haproxy.cfg"
    source = HEADERS_FROM if header else "127.0.0.5"
    file.write_text(LOAD_BALANCER.format(check=check, port=port, target=proxy.port, source=source, header=header))
    balancer = harness.track(Program(["haproxy", "-db", "-f", file], tmp_path))
    balancer.wait_for("succeeded, reason: Layer7 check passed, code: 200")
    seen = 0
    for _ in range(5):
        seen = proxy.wait_for(": health-check after", after=seen)
    proxy.assert_asleep()
    assert ": starting: " not in proxy.text()
    assert json.loads(curl(f"http://127.0.0.1:{port}/api"))["url"] == "/api"
    proxy.wait_for(": health-check after", after=len(proxy.lines))
    proxy.wait_until_asleep()  # though HAProxy goes on checking
    assert sum(": starting: " in line for line in proxy.lines) == 1
    assert "failed" not in balancer.text()
    proxy.end()


@pytest.mark.peers("nginx", "curl", "node")
def test_checks_that_nginx_passes_on(harness: PeerHarness, tmp_path: Path) -> None:
    proxy = web_server(harness, "nginx", options=HEALTH)
    port, file = free_port(), tmp_path / "nginx.conf"
    file.write_text(f"""
daemon off; master_process off;
pid {tmp_path}/nginx.pid;
error_log {tmp_path}/error.log info;
events {{}}
http {{
    access_log off;
    client_body_temp_path {tmp_path};
    upstream web {{ server 127.0.0.1:{proxy.port}; keepalive 4; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
""")
    nginx = harness.track(Program(["nginx", "-p", str(tmp_path), "-e", "stderr", "-c", str(file)], tmp_path))
    nginx.wait_until_ready(lambda: answers(port), "nginx listens")
    for method in ("GET", "HEAD", "OPTIONS"):
        words = ["-I"] if method == "HEAD" else ["-X", method]
        head, _, body = curl("-i", *words, f"http://127.0.0.1:{port}/healthz").decode().partition("\r\n\r\n")
        assert head.startswith("HTTP/1.1 200 ") and body == ("" if method == "HEAD" else "ok\n")
    proxy.assert_asleep()
    assert json.loads(curl(f"http://127.0.0.1:{port}/api"))["url"] == "/api"
    proxy.wait_for(": starting: ")
    proxy.end()


@pytest.mark.peers("curl", "node")
def test_what_curl_and_node_send_as_a_health_check(harness: PeerHarness) -> None:
    proxy = web_server(harness, "checked", options=HEALTH)
    url = f"http://127.0.0.1:{proxy.port}/healthz"
    for words in ([], ["--http1.0"], ["--http2"], ["-H", "Accept: text/html"], ["--request-target", url]):
        assert curl(*words, url) == b"ok\n"
    assert (
        curl("-w", "%{http_code}", "-x", f"http://127.0.0.1:{proxy.port}", "http://example.org/healthz") == b"ok\n200"
    )
    proxy.assert_asleep()
    assert ": starting: " not in proxy.text()
    proxy.end()


@pytest.mark.peers("curl")
def test_page_only_makes_no_program_wait(harness: PeerHarness) -> None:
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    options = ["--wake-on", "http", "--waiting", "page-only", "--ready", "http:/"]
    proxy = harness.proxy("generic", "page-only", command, port, options=options)
    url = f"http://127.0.0.1:{proxy.port}/"
    reply = curl("-i", url).decode()
    assert reply.startswith("HTTP/1.1 503 ") and reply.endswith("\r\n\r\nWaking up\n")
    proxy.wait_for(": unavailable after")
    assert b"Directory listing" in curl("-f", "--retry", "9", "--retry-connrefused", url)
    wait_until(lambda: browse(proxy.port)[0] == 200, "the application answers", program=proxy)
    proxy.wait_until_asleep()
    proxy.end()
