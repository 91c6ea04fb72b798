from __future__ import annotations

from pathlib import Path

import pytest

from zeroscale.system.accounts import account_name


@pytest.mark.parametrize(("user", "name"), [(0, "root"), (1000, "max"), (100, "100"), (7, "7")])
def test_the_name_of_an_account(tmp_path: Path, user: int, name: str) -> None:
    passwd = tmp_path / "passwd"
    passwd.write_bytes(b"root:x:0:0:root:/root:/bin/bash\n# 100\nbroken\n\nmax:x:1000:100:M\xe4x:/home/max:/bin/sh\n")
    assert account_name(user, passwd) == name


def test_without_the_file_it_is_the_number(tmp_path: Path) -> None:
    assert account_name(1000, tmp_path / "missing") == "1000"


def test_the_file_of_this_machine() -> None:
    assert account_name(0) == "root"
