"""What is left out cannot be imported, and what is imported on use is imported once, when it is used."""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path

import pytest

from zeroscale.system.left_out import import_on_use, is_left_out, leave_out

NAME = "a_module_of_this_test"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a module that has not been imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, NAME, sys)
    del sys.modules[NAME]  # so that the fixture's end removes what the test leaves there
    importlib.invalidate_caches()
    file = tmp_path / f"{NAME}.py"
    file.write_text("NUMBER = 1\n")
    return file


def test_a_module_that_is_left_out_cannot_be_imported(module: Path) -> None:
    leave_out([NAME])
    assert is_left_out(NAME)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(NAME)


def test_a_module_that_is_imported_already_stays(module: Path) -> None:
    imported = importlib.import_module(NAME)
    leave_out([NAME])
    assert not is_left_out(NAME)
    assert importlib.import_module(NAME) is imported


def test_a_module_that_was_never_imported_is_not_left_out(module: Path) -> None:
    assert not is_left_out(NAME)


def test_a_module_is_imported_when_one_of_its_names_is_used(module: Path) -> None:
    module.write_text("import threading\nthreading.imports = getattr(threading, 'imports', 0) + 1\nNUMBER = 1\n")
    import_on_use(NAME)
    imported = importlib.import_module(NAME)
    assert imported.__file__ == str(module)
    assert not hasattr(threading, "imports")
    try:
        assert imported.NUMBER == 1
        assert not hasattr(imported, "OTHER")
        assert importlib.import_module(NAME) is imported
        assert vars(threading)["imports"] == 1
    finally:
        del vars(threading)["imports"]


def test_a_module_of_a_package_is_imported_on_use(
    module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "a_package_of_this_test"
    package.mkdir()
    (package / "__init__.py").touch()
    module.rename(package / "inner.py")
    for name in (package.name, f"{package.name}.inner"):
        monkeypatch.setitem(sys.modules, name, sys)
        del sys.modules[name]
    import_on_use(f"{package.name}.inner")
    names: dict[str, object] = {}
    exec(f"from {package.name} import inner\nnumber = inner.NUMBER", names)
    assert names["number"] == 1


def test_a_module_with_names_of_its_own_on_demand_keeps_them(module: Path) -> None:
    module.write_text("def __getattr__(name):\n    return name * 2\n")
    import_on_use(NAME)
    imported = importlib.import_module(NAME)
    assert (imported.ab, imported.cd) == ("abab", "cdcd")


def test_a_module_that_asks_for_its_own_names_while_it_is_imported(module: Path) -> None:
    module.write_text("import sys\nFOUND = hasattr(sys.modules[__name__], 'LATER')\nLATER = 1\n")
    import_on_use(NAME)
    imported = importlib.import_module(NAME)
    assert (imported.FOUND, imported.LATER) == (False, 1)


def test_an_import_that_fails_fails_where_it_is_used(module: Path) -> None:
    module.write_text("1 / 0\n")
    import_on_use(NAME)
    imported = importlib.import_module(NAME)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            imported.NUMBER  # noqa: B018


def test_threads_that_use_it_at_once_wait_until_it_is_imported(module: Path) -> None:
    module.write_text("import threading\nthreading.Event().wait(0.05)\nNUMBER = 1\n")
    import_on_use(NAME)
    imported = importlib.import_module(NAME)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(imported.NUMBER)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 4


def test_a_module_that_is_imported_already_is_not_imported_on_use(module: Path) -> None:
    imported = importlib.import_module(NAME)
    import_on_use(NAME)
    assert sys.modules[NAME] is imported


def test_a_module_that_does_not_exist_is_still_missing(module: Path) -> None:
    module.unlink()
    import_on_use(NAME)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(NAME)
