"""What is chosen in a directory; tests/fixtures/server_directories has whole directories as people have them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from jars import FABRIC, FORGE, PAPER, VANILLA, main_class, version, write_jar

from zeroscale.minecraft.server_choice import ServerChoice, choose_server
from zeroscale.system.privileges import Owner, acting_as

LOADER_SCRIPT = 'java @user_jvm_args.txt @libraries/net/minecraftforge/forge/1/unix_args.txt "$@"\n'
KINDS = {"vanilla": VANILLA, "fabric": FABRIC, "forge": FORGE, "paper": PAPER, "bad": None}
KINDS["installer"] = main_class("net.fabricmc.installer.Main")


def directory(path: Path, **files: str) -> Path:
    """Make files, with `__` for a dot and `_` for a hyphen in their names; a jar's content is one of `KINDS`."""
    for name, content in files.items():
        file = path / name.replace("__", ".").replace("_", "-")
        if file.suffix == ".jar":
            write_jar(file, KINDS[content])
        else:
            file.write_text(content)
    return path


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        ({"server__jar": "vanilla"}, "server.jar"),
        ({"a__jar": "vanilla"}, "a.jar"),
        ({"a__jar": "paper", "server__jar": "vanilla"}, "server.jar"),
        ({"a__jar": "fabric", "server__jar": "vanilla"}, "a.jar"),
        ({"a__jar": "forge", "server__jar": "paper"}, "a.jar"),
        ({"a__jar": "vanilla", "server__jar": "fabric"}, "server.jar"),
        ({"a__jar": "fabric", "server__jar": "vanilla", "run__sh": LOADER_SCRIPT}, "run.sh"),
        ({"server__jar": "vanilla", "run__sh": "java @user_jvm_args.txt\n"}, "run.sh"),
        ({"server__jar": "vanilla", "run__sh": "java @libraries/x/unix_args.txt\n"}, "run.sh"),
        ({"server__jar": "vanilla", "run__sh": "# java @user_jvm_args.txt\njava -jar server.jar"}, "server.jar"),
        ({"server__jar": "vanilla", "run__sh": "java -jar x.jar", "start__sh": LOADER_SCRIPT}, "server.jar"),
        ({"a__jar": "fabric", "run__sh": "java -jar a.jar"}, "a.jar"),
        ({"a__jar": "paper", "run__sh": "java -jar a.jar"}, "run.sh"),
        ({"a__jar": "paper", "start__sh": "java -jar a.jar"}, "start.sh"),
        ({"run__sh": "./start.sh", "start__sh": "java -jar a.jar"}, "run.sh"),
        ({"a__jar": "paper", "start__sh": "exec zeroscale minecraft 25565 25575"}, "a.jar"),
        ({"a__jar": "paper", "b_installer__jar": "bad", "c_shim__jar": "forge"}, "a.jar"),
        ({"a__jar": "paper", "fabric_installer_1__jar": "installer"}, "a.jar"),
        ({"a__jar": "paper", "b_shim__jar": "forge", "c_installer__jar": "forge"}, "a.jar"),
        ({"server__jar": "bad"}, "server.jar"),
        ({"a__jar": "bad"}, "a.jar"),
    ],
)
def test_the_order(tmp_path: Path, files: dict[str, str], chosen: str) -> None:
    choice = choose_server(directory(tmp_path, **files))
    assert choice.refusal is None
    assert (choice.jar or choice.script, choice.jar is None) == (chosen, chosen.endswith(".sh"))


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"a__jar": "fabric", "server__jar": "forge", "c__jar": "paper"}, "server.jar (there is server.jar, a.jar)"),
        ({"a__jar": "paper", "b__jar": "vanilla"}, "a.jar (there is a.jar, b.jar)"),
        ({"a__jar": "bad", "b__jar": "paper", "c_installer__jar": "bad"}, "a.jar (there is a.jar, b.jar)"),
    ],
)
def test_two_of_one_rank(tmp_path: Path, files: dict[str, str], named: str) -> None:
    choice = choose_server(directory(tmp_path, **files))
    assert (choice.jar, choice.script) == (None, None)
    assert choice.refusal is not None and f"choose a jar, such as -a jar={named}" in choice.refusal


def test_two_names_of_one_file_are_one_jar(tmp_path: Path) -> None:
    directory(tmp_path, a__jar="fabric")
    (tmp_path / "b.jar").hardlink_to(tmp_path / "a.jar")
    assert choose_server(tmp_path).jar == "a.jar"
    (tmp_path / "server.jar").symlink_to("a.jar")
    assert choose_server(tmp_path).jar == "server.jar"
    (tmp_path / "c.jar").symlink_to("gone.jar")
    assert choose_server(tmp_path).jar == "server.jar"


def test_files_that_another_system_hides_are_not_jars(tmp_path: Path) -> None:
    directory(tmp_path, a__jar="paper", **{"__b.jar": "paper"})
    assert (tmp_path / ".b.jar").exists()
    assert choose_server(tmp_path).jar == "a.jar"


@pytest.mark.parametrize("trace", ["mods/jei.jar", "libraries/net/minecraftforge/x", "libraries/net/neoforged/forge/x"])
@pytest.mark.parametrize("name", ["server.jar", "minecraft_server.1.20.jar"])
def test_the_vanilla_server_of_a_modded_world(tmp_path: Path, trace: str, name: str) -> None:
    write_jar(tmp_path / name, VANILLA, version())
    (tmp_path / trace).parent.mkdir(parents=True)
    (tmp_path / trace).touch()
    choice = choose_server(tmp_path)
    assert choice.refusal is not None and choice.jar is None
    assert choice.refusal.startswith(
        f"{name} in {tmp_path} is the vanilla server, but {'/'.join(trace.split('/')[:-1])}"
    )
    assert choice.refusal.endswith(f"-a jar={name} starts the vanilla server all the same")
    assert choose_server(tmp_path, name).jar == name


@pytest.mark.parametrize("content", ["paper", "bad", "fabric"])
def test_another_server_with_mods_is_started(tmp_path: Path, content: str) -> None:
    directory(tmp_path, server__jar=content)
    (tmp_path / "mods").mkdir()
    (tmp_path / "mods" / "jei.jar").touch()
    assert choose_server(tmp_path).jar == "server.jar"


@pytest.mark.parametrize("trace", ["mods/readme.txt", "libraries/net/neoforged/AutoRenamingTool/x", "plugins/x.jar"])
def test_what_is_no_sign_of_a_loader(tmp_path: Path, trace: str) -> None:
    directory(tmp_path, server__jar="vanilla")
    (tmp_path / trace).parent.mkdir(parents=True)
    (tmp_path / trace).touch()
    assert choose_server(tmp_path).jar == "server.jar"


@pytest.mark.parametrize(
    ("properties", "left"),
    [
        ("serverJar=vanilla.jar", "a.jar"),
        ("serverJar=./vanilla.jar", "a.jar"),
        ("serverJar=a.jar", None),
        ("", None),
        ("serverJar=/elsewhere/vanilla.jar", None),
    ],
)
@pytest.mark.parametrize("file", ["fabric-server-launcher.properties", "quilt-server-launcher.properties"])
def test_the_vanilla_jar_of_a_loader_is_no_candidate(
    tmp_path: Path, file: str, properties: str, left: str | None
) -> None:
    directory(tmp_path, a__jar="paper", vanilla__jar="vanilla")
    (tmp_path / file).write_text(properties)
    assert choose_server(tmp_path).jar == left


def test_the_vanilla_jar_of_a_loader_is_known_by_any_path_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "server").mkdir()
    directory(tmp_path / "server", server__jar="vanilla", fabric_server_launcher__properties="serverJar=server.jar")
    (tmp_path / "other" / "link").symlink_to(tmp_path / "server")
    for path in (tmp_path / "server", tmp_path / "other" / ".." / "server", tmp_path / "other" / "link"):
        choice = choose_server(path)
        assert choice.refusal is not None and "whose launcher is missing" in choice.refusal


def test_without_a_name_the_vanilla_jar_of_a_loader_is_server_jar(tmp_path: Path) -> None:
    directory(tmp_path, server__jar="vanilla", a__jar="paper", fabric_server_launcher__properties="#\n")
    assert choose_server(tmp_path).jar == "a.jar"


def test_a_jar_that_is_asked_for(tmp_path: Path) -> None:
    directory(tmp_path, server__jar="vanilla", a_installer__jar="bad", run__sh=LOADER_SCRIPT)
    assert choose_server(tmp_path, "a-installer.jar").jar == "a-installer.jar"
    assert choose_server(tmp_path, str(tmp_path / "server.jar")).jar == str(tmp_path / "server.jar")
    assert choose_server(tmp_path, "a-installer.jar").warnings == ()
    assert choose_server(tmp_path, "b.jar") == ServerChoice(
        refusal=f"jar=b.jar: there is no file {tmp_path}/b.jar (there is server.jar, a-installer.jar)"
    )


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "neither server.jar nor another jar nor run.sh: put it there, or give its directory"),
        ({"x_installer__jar": "bad"}, "x-installer.jar is an installer; run it there first"),
        (
            {"x_installer__jar": "bad", "y_shim__jar": "bad"},
            "y-shim.jar is started by run.sh, which is missing; -a jar=y-shim.jar starts it",
        ),
        (
            {"server__jar": "vanilla", "quilt_server_launcher__properties": "serverJar=server.jar"},
            "server.jar is the vanilla server of a mod loader whose launcher is missing, and a modded world is "
            "destroyed when it is started without its mods; -a jar=server.jar starts the vanilla server all the same",
        ),
    ],
)
def test_nothing_to_start(tmp_path: Path, files: dict[str, str], message: str) -> None:
    choice = choose_server(directory(tmp_path, **files))
    assert choice.refusal is not None and choice.refusal.startswith(f"there is no Minecraft server in {tmp_path}")
    assert choice.refusal.endswith(message)


def test_no_directory(tmp_path: Path) -> None:
    refusal = choose_server(tmp_path / "gone").refusal
    assert refusal is not None and "there is no Minecraft server in" in refusal


def test_a_command_for_a_loader_without_its_script(tmp_path: Path) -> None:
    arguments = tmp_path / "libraries" / "net" / "neoforged" / "neoforge" / "21.1.1" / "unix_args.txt"
    arguments.parent.mkdir(parents=True)
    arguments.touch()
    refusal = choose_server(tmp_path).refusal
    assert refusal is not None
    assert "-a 'java @libraries/net/neoforged/neoforge/21.1.1/unix_args.txt nogui' starts the loader" in refusal
    directory(tmp_path, server__jar="vanilla")
    (tmp_path / "user_jvm_args.txt").touch()
    refusal = choose_server(tmp_path).refusal
    assert refusal is not None and "-a 'java @user_jvm_args.txt @libraries/net/neoforged/" in refusal


def test_scripts_are_named_where_the_vanilla_server_is_refused(tmp_path: Path) -> None:
    directory(tmp_path, server__jar="vanilla", start__sh="java -jar forge.jar")
    (tmp_path / "mods").mkdir()
    (tmp_path / "mods" / "jei.jar").touch()
    refusal = choose_server(tmp_path).refusal
    assert refusal is not None and "; -a ./start.sh runs start.sh; " in refusal


def test_what_else_is_there(tmp_path: Path) -> None:
    directory(tmp_path, server__jar="paper", a__jar="vanilla", b_installer__jar="bad", start__sh="java", run__sh="java")
    choice = choose_server(tmp_path)
    assert (choice.other_jars, choice.other_scripts) == (("a.jar",), ("run.sh", "start.sh"))
    (tmp_path / "server.jar").unlink()
    choice = choose_server(tmp_path)
    assert (choice.script, choice.other_jars, choice.other_scripts) == ("run.sh", ("a.jar",), ("start.sh",))


def test_a_manifest_that_cannot_be_read(tmp_path: Path) -> None:
    directory(tmp_path, server__jar="vanilla")
    (tmp_path / "fabric.jar").write_text("<html>404</html>")
    choice = choose_server(tmp_path)
    assert choice.jar == "server.jar"
    assert choice.warnings == (
        f"cannot read the manifest of {tmp_path}/fabric.jar: it is no valid zip archive (File is not "
        f"a zip file); server.jar is started all the "
        "same",
    )
    (tmp_path / "server.jar").write_text("")
    assert len(choose_server(tmp_path).warnings) == 2


def test_a_script_that_cannot_be_read_is_still_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    directory(tmp_path, run__sh=LOADER_SCRIPT)
    monkeypatch.setattr("zeroscale.minecraft.start_script.read_script", fail)
    assert choose_server(tmp_path).script == "run.sh"


@pytest.mark.parametrize(
    ("manifest", "files", "needs", "java"),
    [
        (VANILLA, version(21), True, 21),
        (VANILLA, {"version.json": '{"id": "1.16.5"}'}, True, None),
        (VANILLA, {}, False, None),
        (PAPER, version(21), False, 21),
        (None, version(21), False, None),
    ],
)
def test_the_eula_and_the_java_of_a_jar(
    tmp_path: Path, manifest: str | None, files: dict[str, str], needs: bool, java: int | None
) -> None:
    write_jar(tmp_path / "server.jar", manifest, files)
    choice = choose_server(tmp_path)
    assert (choice.needs_eula, choice.java_version) == (needs, java)
    assert choose_server(tmp_path, "server.jar").java_version == java


@pytest.mark.parametrize(
    ("manifest", "properties", "game"),
    [
        (FABRIC, None, "server.jar"),
        (FABRIC, "serverJar=game/vanilla.jar", "game/vanilla.jar"),
        (main_class("cpw.mods.X", Class_Path="libraries/a.jar minecraft%5Fserver.jar"), None, "minecraft_server.jar"),
    ],
)
def test_the_java_of_a_loader_is_that_of_its_game(
    tmp_path: Path, manifest: str, properties: str | None, game: str
) -> None:
    write_jar(tmp_path / "launcher.jar", manifest)
    write_jar(tmp_path / game, VANILLA, version(25))
    if properties is not None:
        (tmp_path / "fabric-server-launcher.properties").write_text(properties)
    choice = choose_server(tmp_path)
    assert (choice.jar, choice.java_version, choice.needs_eula) == ("launcher.jar", 25, False)
    assert choose_server(tmp_path, "launcher.jar").java_version == 25


@contextmanager
def as_another_user(directory: Path) -> Iterator[None]:
    """Act as a user to whom modes apply, and who can enter the directory's parents."""
    for each in directory.parents[:-2]:  # pytest's are private
        each.chmod(0o755)
    choose_server(directory)  # imports what is imported late, which that user may not be able to
    with acting_as(Owner(65534, 65534)):
        yield


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as another user")


@needs_root
@pytest.mark.parametrize("closed", [".", "mods", "libraries"])
def test_nothing_is_started_where_a_loader_may_be_hidden(tmp_path: Path, closed: str) -> None:
    path = tmp_path / "server"
    write_jar(path / "server.jar", VANILLA)
    write_jar(path / closed / "jei.jar.disabled", VANILLA)
    (path / closed).chmod(0o700)
    with as_another_user(path):
        choice = choose_server(path)
    assert choice.refusal is not None and choice.jar is None
    assert choice.refusal.startswith(f"cannot look into {path / closed}")
    assert choice.refusal.endswith(": Permission denied")


@needs_root
def test_a_jar_behind_a_closed_directory(tmp_path: Path) -> None:
    path = tmp_path / "server"
    write_jar(tmp_path / "private" / "old.jar", VANILLA)
    write_jar(path / "server.jar", PAPER)
    (path / "old.jar").symlink_to("../private/old.jar")
    (tmp_path / "private").chmod(0o700)
    with as_another_user(path):
        choice, asked_for = choose_server(path), choose_server(path, "old.jar")
    assert (choice.jar, choice.refusal) == ("server.jar", None)
    unreadable = f"cannot read the manifest of {path / 'old.jar'}: Permission denied; server.jar is started"
    assert choice.warnings[0].startswith(unreadable)
    assert asked_for.refusal == f"cannot look into {path / 'old.jar'}: Permission denied"


@needs_root
def test_a_jar_that_is_asked_for_needs_no_list_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "server"
    write_jar(path / "server.jar", PAPER)
    path.chmod(0o711)
    with as_another_user(path):
        assert choose_server(path, "server.jar").jar == "server.jar"
        assert choose_server(path).refusal == f"cannot look into {path}: Permission denied"
