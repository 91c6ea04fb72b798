"""What `zeroscalectl systemd install` and `uninstall` do, as steps. Nothing is changed here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from zeroscale.ctl import setup_steps
from zeroscale.ctl.config_template import file_text, manual_steps
from zeroscale.ctl.directory_scan import DirectoryScan
from zeroscale.errors import ConfigError

UNIT = "zeroscale.service"
SERVICE_USER = "zeroscale"
HOME_DIRECTORIES = ("/home", "/root", "/run/user")
"""What `ProtectHome=` hides."""

WRITABLE = Path("/srv")
"""What the unit may write to without a drop-in."""

UNIT_PROGRAMS = "/usr/local/bin"
"""Where the unit of the examples has the programs."""

LAST_LINES = ("journalctl", "--unit", UNIT, "--lines", "5", "--output", "cat", "--no-pager")
"""What the service has logged last: why it did not start."""

DROP_IN = """\
# Written by 'zeroscalectl systemd install', which writes it anew. Put your own changes into another file here.
[Service]
User={user}
"""


class Places(Struct, frozen=True):
    """Where everything is on this machine.

    :ivar prefix: the environment in which zeroscale is installed.
    :ivar examples: the directory of the example units.
    """

    prefix: Path
    examples: Path
    units: Path = Path("/etc/systemd/system")
    programs: Path = Path("/usr/local/bin")
    share: Path = Path("/usr/local/share")
    config: Path = Path("/etc/zeroscale.toml")
    state: Path = Path("/var/lib/zeroscale")

    @property
    def unit(self) -> Path:
        """The unit file."""
        return self.units / UNIT

    @property
    def drop_in(self) -> Path:
        """The drop-in with what depends on the machine."""
        return self.units / f"{UNIT}.d" / "10-install.conf"


class Install(Struct, frozen=True):
    """What is to be installed.

    :ivar servers: the servers' directories, examined; the first one is written into a new configuration file.
    :ivar user: the user that runs the servers.
    :ivar start: start it, and at each boot.
    """

    servers: Sequence[DirectoryScan]
    user: str
    start: bool = True


def install_steps(install: Install, places: Places) -> Iterator[setup_steps.Step]:
    """Return the steps that install the service.

    :raises ConfigError: the service could not run as it is to be installed.
    """
    _check_prefix(places.prefix)
    yield setup_steps.MakeUser(install.user, places.state)
    for found in install.servers:
        yield setup_steps.GiveTo(found.directory, install.user)
    if install.servers:
        first = install.servers[0]
        yield setup_steps.WriteFile(places.config, file_text(first, str(first.directory)), keep=True)
    yield setup_steps.WriteFile(places.unit, unit_text(places))
    yield setup_steps.WriteFile(places.drop_in, drop_in_text(install))
    for path, target in _links(places):
        yield setup_steps.MakeLink(path, target)
    yield setup_steps.Run(["systemctl", "daemon-reload"])
    yield setup_steps.Run(["systemctl", "enable", UNIT])
    if install.start:
        yield setup_steps.Run(["systemctl", "start", UNIT], explain=LAST_LINES)


def uninstall_steps(places: Places) -> Iterator[setup_steps.Step]:
    """Return the steps that stop the service, and remove what `install_steps` has added to the system's directories."""
    if places.unit.exists():
        yield setup_steps.Run(["systemctl", "disable", "--now", UNIT])
    yield setup_steps.Remove(places.drop_in, with_directory=True)
    yield setup_steps.Remove(places.unit)
    for path, target in _links(places):
        if path.is_symlink() and path.readlink() == target:
            yield setup_steps.Remove(path)
    yield setup_steps.Run(["systemctl", "daemon-reload"])


def left_behind(places: Places) -> Iterator[str]:
    """Return what `uninstall_steps` leaves, in words, with how to remove it."""
    yield f"the servers' directories, {places.config} and {places.state}"
    yield f"the user, who may own servers: userdel {SERVICE_USER}"
    yield f"the program: rm -r {places.prefix}"


def needed_first(install: Install) -> list[str]:
    """Return what the operator has to do before the service can run, in words."""
    return [step for found in install.servers for step in manual_steps(found)]


def unit_text(places: Places) -> str:
    """Return the unit of the examples, with this machine's paths."""
    text = (places.examples / "systemd" / UNIT).read_text("utf-8")
    text = text.replace(f"{UNIT_PROGRAMS}/", f"{places.prefix}/bin/")
    return text.replace("/etc/zeroscale.toml", str(places.config))


def drop_in_text(install: Install) -> str:
    """Return the drop-in: the user, and what servers outside of /srv need."""
    text = DROP_IN.format(user=install.user)
    directories = [found.directory for found in install.servers]
    outside = [each for each in directories if not each.is_relative_to(WRITABLE)]
    if any(_is_in_home(each) for each in outside):
        text += "# Else home directories are hidden; the server may use a Java from there.\nProtectHome=read-only\n"
    for directory in outside:
        text += f"ReadWritePaths={_escaped(directory)}\n"
    return text


def user_for(directories: Sequence[Path], owners: Sequence[str], asked: str | None) -> str:
    """Return the user that runs the servers.

    :param owners: the names of the directories' owners.
    :param asked: the user that was asked for; None: the owner of the directories, else `SERVICE_USER`.
    :raises ConfigError: the directories belong to several users, or to another one.
    """
    people = {owner: directory for directory, owner in zip(directories, owners, strict=True) if owner != "root"}
    user = asked or next(iter(people), SERVICE_USER)
    if user == "root":
        raise ConfigError("game servers must not run as root: give --user NAME, the user who is to own their files")
    for owner, directory in people.items():
        if owner != user:
            raise ConfigError(
                f"{directory} belongs to {owner}, and the servers are to run as {user}: give --user {owner}, or run "
                f"'chown -R {user}: {directory}' first"
            )
    return user


def _check_prefix(prefix: Path) -> None:
    if _is_in_home(prefix):
        raise ConfigError(
            f"zeroscale is installed in {prefix}, and a service cannot see home directories: install it under /opt, "
            "as docs/systemd.md shows"
        )


def _links(places: Places) -> Iterator[tuple[Path, Path]]:
    """Return the links and their targets: the programs, their completion and their pages."""
    for name in ("zeroscale", "zeroscalectl"):
        yield places.programs / name, places.prefix / "bin" / name
    own = places.prefix / "share"
    for pattern in ("man/man1/zeroscale*", "bash-completion/*/zeroscale*", "zsh/*/_zeroscale*", "fish/*/zeroscale*"):
        for path in sorted(own.glob(pattern)):
            yield places.share / path.relative_to(own), path


def _is_in_home(path: Path) -> bool:
    return any(path.is_relative_to(home) for home in HOME_DIRECTORIES)


def _escaped(path: Path) -> str:
    """Return a path as a unit file has it: in quotes, `%` doubled."""
    text = str(path).replace("%", "%%")
    return text if re.fullmatch(r"[\w./@%+:-]+", text) else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
