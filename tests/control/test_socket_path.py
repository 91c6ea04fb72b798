"""The path of the admin socket."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeroscale.control.socket_path import ControlSocket, default_socket, parse_listen, socket_directories
from zeroscale.errors import ConfigError

STATE = Path("/home/steve/.local/state/zeroscale")


@pytest.mark.parametrize(
    ("user_id", "environment", "path"),
    [
        (0, {"XDG_RUNTIME_DIR": "/run/user/0"}, "/run/zeroscale/demo-1.sock"),
        (1000, {"XDG_RUNTIME_DIR": "/run/user/1000"}, "/run/user/1000/zeroscale/demo-1.sock"),
        (1000, {"XDG_RUNTIME_DIR": "here"}, f"{STATE}/demo-1.sock"),
        (1000, {}, f"{STATE}/demo-1.sock"),
        (
            1000,
            {"RUNTIME_DIRECTORY": "/run/a:/run/b", "XDG_RUNTIME_DIR": "/x"},
            "/run/a/demo-1.sock",
        ),
    ],
)
def test_the_default_path(user_id: int, environment: dict[str, str], path: str) -> None:
    assert default_socket("demo-1", STATE, environment, user_id) == ControlSocket(Path(path), 0o660)


def test_directories_where_sockets_are_searched() -> None:
    runtime = {"XDG_RUNTIME_DIR": "/run/user/1000"}
    assert socket_directories(STATE, runtime) == (Path("/run/zeroscale"), Path("/run/user/1000/zeroscale"), STATE)
    assert socket_directories(STATE, {}) == (Path("/run/zeroscale"), STATE)


@pytest.mark.parametrize("name", ["a" * 86, "\u00e9" * 43])
def test_a_path_has_at_most_107_bytes(name: str) -> None:
    assert len(str(default_socket(name, STATE, {}, 0).path).encode()) == 106
    assert default_socket(name + "a", STATE, {}, 0)
    with pytest.raises(ConfigError, match="has 108 bytes, but a socket may have at most 107"):
        default_socket(name + "aa", STATE, {}, 0)


@pytest.mark.parametrize(
    ("text", "control_socket"),
    [
        ("unix:/run/z.sock", ControlSocket(Path("/run/z.sock"), 0o660)),
        ("unix:/run/z.sock:mode=600", ControlSocket(Path("/run/z.sock"), 0o600)),
        ("unix:/run/z.sock:mode=0o666", ControlSocket(Path("/run/z.sock"), 0o666)),
        ("unix:/run/z.sock:mode=0660", ControlSocket(Path("/run/z.sock"), 0o660)),
        ("unix:/run/a\\:b.sock", ControlSocket(Path("/run/a:b.sock"), 0o660)),
    ],
)
def test_configured_paths(text: str, control_socket: ControlSocket) -> None:
    assert parse_listen(text) == control_socket


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("25565", "write unix:/run/zeroscale/control.sock"),
        ("tcp:1", "write unix:/run/zeroscale/control.sock"),
        ("unix", "write unix:/run/zeroscale/control.sock"),
        ("unix:", "must be an absolute path"),
        ("unix:here.sock", "'here.sock' must be an absolute path"),
        ("unix:/z:mode=rw", "'mode=rw' in 'unix:/z:mode=rw' is not understood"),
        ("unix:/z:mode=888", "is not understood"),
        ("unix:/z:lockfile=0", "is not understood"),
        (f"unix:/{'z' * 107}", "has 108 bytes"),
    ],
)
def test_invalid_configured_paths(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_listen(text)
