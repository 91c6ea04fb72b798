"""What `zeroscalectl systemd install` and `uninstall` do, as steps. Nothing is changed here."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from zeroscale.ctl import setup_steps
from zeroscale.ctl.config_template import OF_SERVICE, file_text, manual_steps
from zeroscale.ctl.directory_scan import DirectoryScan
from zeroscale.errors import ConfigError
from zeroscale.system.files import resolved

UNIT = "zeroscale.service"
SERVICE_USER = "zeroscale"
HOME_DIRECTORIES = ("/home", "/root", "/run/user")
"""What `ProtectHome=` hides."""

WRITABLE = Path("/srv")
"""What the unit may write to without a drop-in."""

UNIT_PROGRAMS = "/usr/local/bin"
"""Where the unit of the examples has the programs."""

PROGRAMS = ("zeroscale", "zeroscalectl")
PROGRAMS_REMEDY = "install zeroscale under /opt, with the system's own Python, as docs/systemd.md shows"

LAST_LINES = ("journalctl", "--unit", UNIT, "--lines", "5", "--output", "cat", "--no-pager")
"""What the service has logged last: why it did not start."""

MARK = "# Written by 'zeroscalectl systemd install', which writes it anew."
"""Begins the files that are ours to change and to remove."""

LARGEST_UNIT = 64 * 1024
"""The most characters that are read of a unit of somebody else."""

UNIT_HEAD = f"{MARK} For your own changes: systemctl edit {UNIT}\n"
DROP_IN = f"""\
{MARK} Put your own changes into another file here.
[Service]
User={{user}}
"""


class Places(Struct, frozen=True):
    """Where everything is on this machine.

    :ivar prefix: the environment in which zeroscale is installed.
    :ivar examples: the directory of the example units.
    :ivar python: the interpreter, with all links resolved.
    :ivar package: the directory that has the package `zeroscale`.
    :ivar is_environment: nothing else is installed in `prefix`, so that it may be removed as a whole.
    """

    prefix: Path
    examples: Path
    python: Path
    package: Path
    is_environment: bool = True
    units: Path = Path("/etc/systemd/system")
    programs: Path = Path("/usr/local/bin")
    share: Path = Path("/usr/local/share")
    config: Path = Path("/etc/zeroscale.toml")
    state: Path = Path("/var/lib/zeroscale")
    control_groups: Path = Path("/sys/fs/cgroup")

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

    :ivar servers: the servers' directories that were given, examined; the first one is written into a new
        configuration file.
    :ivar user: the user that runs the servers.
    :ivar configured: the directories that the configuration names already.
    :ivar start: start it now, not only at the next boot.
    """

    servers: Sequence[DirectoryScan]
    user: str
    configured: Sequence[Path] = ()
    start: bool = True

    @property
    def directories(self) -> Sequence[Path]:
        """The directories that the servers write to."""
        return list(dict.fromkeys([*self.configured, *(found.directory for found in self.servers)]))


def install_steps(install: Install, places: Places) -> Iterator[setup_steps.Step]:
    """Return the steps that install the service.

    :raises ConfigError: the service could not run as it is to be installed.
    """
    _check_programs(places)
    yield setup_steps.MakeUser(install.user, places.state)
    yield setup_steps.CheckAccess(install.user, places.python, "the Python that runs zeroscale", PROGRAMS_REMEDY)
    yield setup_steps.CheckAccess(install.user, places.package / "zeroscale", "zeroscale itself", PROGRAMS_REMEDY)
    for found in install.servers:
        remedy = "move the server to /srv, or give --user NAME, a user who may"
        yield setup_steps.CheckAccess(install.user, found.directory.parent, "the server's parent directory", remedy)
        yield setup_steps.GiveTo(found.directory, install.user)
        remedy = f"chown -R {install.user}: {found.directory}"
        yield setup_steps.CheckAccess(install.user, found.directory, "the server's directory", remedy, may="-w")
    if install.servers:
        first = install.servers[0]
        text = file_text(first, str(first.directory), OF_SERVICE.format(file=places.config))
        yield setup_steps.WriteFile(places.config, text, keep=True)
    yield setup_steps.WriteFile(places.unit, unit_text(places), mark=MARK)
    yield setup_steps.WriteFile(places.drop_in, drop_in_text(install), mark=MARK)
    for path, target in _links(places):
        yield setup_steps.MakeLink(path, target)
    yield setup_steps.Run(["systemctl", "daemon-reload"])
    yield setup_steps.Run(["systemctl", "enable", UNIT])
    if install.start:
        yield setup_steps.Run(["systemctl", "start", UNIT], explain=LAST_LINES)


def uninstall_steps(places: Places) -> Iterator[setup_steps.Step]:
    """Return the steps that stop the service, and remove what `install_steps` has added to the system's directories.

    :raises ConfigError: there is a unit that `install_steps` has not written.
    """
    if places.unit.exists():
        if not setup_steps.begins_with(places.unit, MARK):
            raise ConfigError(
                f"{places.unit} was not written by 'zeroscalectl systemd install': systemctl disable --now {UNIT}; "
                f"rm {places.unit}; systemctl daemon-reload"
            )
        yield setup_steps.Run(["systemctl", "disable", "--now", UNIT])
    yield setup_steps.Remove(places.drop_in, with_directory=True)
    yield setup_steps.Remove(places.unit)
    for path, target in _links(places):
        if path.is_symlink() and path.readlink() == target:
            yield setup_steps.Remove(path)
    yield setup_steps.Run(["systemctl", "daemon-reload"])


def left_behind(places: Places, user: str, *, planned: bool = False) -> Iterator[str]:
    """Return what `uninstall_steps` leaves, in words, with how to remove it.

    :param user: the user that has run the servers.
    :param planned: the steps have not been done, so that what they would stop and remove is still there.
    """
    running = [] if planned else _processes(places.control_groups)
    if running:
        yield f'servers that still run (on_exit = "leave"); SIGTERM saves and stops them: kill {" ".join(running)}'
    for path in sorted((*places.units.glob("zeroscale*"), *places.units.glob(f"{UNIT}.d/*"))):
        if not path.is_dir() and not (planned and path in (places.unit, places.drop_in)):
            yield f"a file that is not of 'zeroscalectl systemd install': rm {path}"
    yield "the servers' directories"
    for what, path in (("the configuration", places.config), ("the history and other state", places.state)):
        if path.exists():
            yield f"{what}: rm {'-r ' if path.is_dir() else ''}{path}"
    if user == SERVICE_USER and setup_steps.user_id(user) is not None:
        yield f"the user {user}, who may own the servers' files: userdel {user}"
    if places.is_environment:
        yield f"the program: rm -r {places.prefix}"
    else:
        yield f"the program: {places.prefix}/bin/pip uninstall zeroscale-proxy"


def missing_in(config_directories: Iterable[Path], servers: Sequence[DirectoryScan], config: Path) -> Iterator[str]:
    """Return what to do about servers that a configuration file does not have yet, in words."""
    known = set(config_directories)
    for found in servers:
        if found.directory not in known:
            yield (
                f"add the server in {found.directory} to {config}: 'zeroscalectl init {found.directory} --output -' "
                "prints its table; it needs a port or hosts of its own"
            )


def configured_directories(config: Path) -> list[Path]:
    """Return the working directories that a configuration file names; [] without a file.

    :raises ConfigError: it cannot be read.
    """
    try:
        servers = tomllib.loads(config.read_text("utf-8-sig")).get("servers", {})
        tables = list(servers.values()) if isinstance(servers, dict) else []
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise ConfigError(f"{config}: {error}") from None
    named = [table.get("working_directory") for table in tables if isinstance(table, dict)]
    return [(config.parent / each).resolve() for each in named if isinstance(each, str)]


def installed_user(places: Places) -> str | None:
    """Return the user that an earlier `install_steps` has set; None: there was none."""
    try:
        found = re.search(r"^User=(.+)$", places.drop_in.read_text("utf-8"), re.MULTILINE)
    except (OSError, UnicodeError):
        return None
    return found[1] if found else None


def needed_first(servers: Sequence[DirectoryScan], user: str) -> list[str]:
    """Return what the operator has to do before the servers can run, in words."""
    steps = [step for found in servers for step in manual_steps(found)]
    directories = [found.directory for found in servers if found.directory.stat().st_uid != 0]
    roots = [(each, setup_steps.file_of_root(each)) for each in directories]
    return steps + [f"root owns {file}: chown -R {user}: {each}" for each, file in roots if file is not None]


def enabled_units(units: Path, directories: Sequence[Path]) -> Iterator[str]:
    """Return what to do about services of others that are started at each boot and name a server's directory, in words.

    :param units: the directory of the system's units.
    :param directories: the servers' directories, with all links resolved.
    """
    for name in sorted({link.name for kind in ("wants", "requires") for link in units.glob(f"*.{kind}/*.service")}):
        template, at, instance = name.removesuffix(".service").partition("@")
        try:
            with (units / f"{template}{'@.service' if at else '.service'}").open(encoding="utf-8") as file:
                text = file.read(LARGEST_UNIT)
        except (OSError, UnicodeError):
            continue
        named = list(_named_paths(text.replace("%i", instance).replace("%I", instance)))
        for directory in directories:
            if name != UNIT and any(path.is_relative_to(directory) for path in named):
                yield (
                    f"systemctl disable {shlex.quote(name)} (it is enabled and names {directory}: if it starts that "
                    "server, it would do so at the next boot)"
                )
                break


def _named_paths(unit: str) -> Iterator[Path]:
    """Return the paths that a unit works in, or names in its commands, with all links resolved."""
    unit = re.sub(r"\\\n", " ", unit)
    for key, value in re.findall(r"^(WorkingDirectory|ExecStart)[ \t]*=[ \t]*(.*?)[ \t]*$", unit, re.MULTILINE):
        whole = [value.lstrip("-").strip("\"'")] if key == "WorkingDirectory" else []
        for text in whole or re.findall(r"/[^\s\"';&|]+", value):
            if text.startswith("/") and "\0" not in text:
                yield resolved(Path(text))


def unit_text(places: Places) -> str:
    """Return the unit of the examples, with this machine's paths."""
    text = (places.examples / "systemd" / UNIT).read_text("utf-8")
    text = text.replace(f"{UNIT_PROGRAMS}/", f"{places.prefix}/bin/")
    _by_hand, begin, rest = text.partition("[Unit]\n")
    rest = rest.replace("Documentation=man:systemd.service(5)", "Documentation=man:zeroscale(1)")
    return UNIT_HEAD + begin + rest.replace("/etc/zeroscale.toml", str(places.config))


def drop_in_text(install: Install) -> str:
    """Return the drop-in: the user, and what servers outside of /srv need."""
    text = DROP_IN.format(user=install.user)
    outside = [each for each in install.directories if not each.is_relative_to(WRITABLE)]
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


def _processes(control_groups: Path) -> list[str]:
    """Return the ids of the processes of the unit, with the second version of control groups or with the first."""
    for hierarchy in (".", "systemd"):
        try:
            return (control_groups / hierarchy / "system.slice" / UNIT / "cgroup.procs").read_text("ascii").split()
        except OSError:
            continue
    return []


def _check_programs(places: Places) -> None:
    """Check that a service could run the programs.

    :raises ConfigError: it could not.
    """
    for path in (places.prefix, places.python, places.package):
        if _is_in_home(path):
            raise ConfigError(f"zeroscale needs {path}, and a service cannot see home directories: {PROGRAMS_REMEDY}")
    for name in PROGRAMS:
        if not (places.prefix / "bin" / name).exists():
            raise ConfigError(f"there is no {places.prefix / 'bin' / name}: {PROGRAMS_REMEDY}")


def _links(places: Places) -> Iterator[tuple[Path, Path]]:
    """Return the links and their targets: the programs, their completion and their pages."""
    if places.programs != places.prefix / "bin":
        for name in PROGRAMS:
            yield places.programs / name, places.prefix / "bin" / name
    if places.share == places.prefix / "share":
        return
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
