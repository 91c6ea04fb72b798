"""The files below share/ of an installation: manual pages, and scripts by which shells complete the command lines.

`python -m zeroscale.daemon.share_files`, in a checkout, writes them anew from the parsers of both programs; it needs
argparse-manpage, of the extra `test`, and Python 3.11, whose help texts they have.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path

from zeroscale.ctl.commands.completion import SHELLS, script
from zeroscale.ctl.parser import build_parser as build_ctl_parser
from zeroscale.daemon.parser import build_parser
from zeroscale.version import VERSION

ROOT = Path(__file__).parent.parent.parent / "share"

SCRIPTS = {
    "bash": "bash-completion/completions/{program}",
    "fish": "fish/vendor_completions.d/{program}.fish",
    "zsh": "zsh/site-functions/_{program}",
}
"""Where the shells look for them, below any share/ directory of the system."""

RELEASED = "2026-12-01"
"""The date of the release, which the pages have."""

DESCRIPTIONS = {
    "zeroscale": "start a server when a player joins, and stop it when the last one has left",
    "zeroscalectl": "show and control game servers and the proxy in front of them",
}
"""By these lines apropos(1) finds the pages."""


def files() -> Mapping[str, str]:
    """Return the files by their paths below share/."""
    found = {}
    for program, parser in parsers().items():
        found[f"man/man1/{program}.1"] = manual_page(parser)
    for program, parser in parsers().items():  # anew: the script changes it
        for shell in SHELLS:
            found[SCRIPTS[shell].format(program=program)] = f"{script(parser, shell).rstrip()}\n"
    return found


def manual_page(parser: argparse.ArgumentParser) -> str:
    """Return the manual page of a program, in roff."""
    from argparse_manpage.manpage import Manpage

    page = Manpage(parser)
    page.date, page.source, page.manual = RELEASED, f"zeroscale {VERSION}", "zeroscale"
    page.description = DESCRIPTIONS[parser.prog]
    text = re.sub(rf" {parser.prog} (?=\[options\])", rf"\n.br\n.B {parser.prog}\n", str(page))
    text = re.sub("^(?=')", r"\\&", text, flags=re.MULTILINE)  # else it would be a macro
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).rstrip() + "\n"


def main() -> None:
    """Write all files."""
    for path, text in files().items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text)


def parsers() -> Mapping[str, argparse.ArgumentParser]:
    """Return the parsers of both programs."""
    return {"zeroscale": build_parser("zeroscale"), "zeroscalectl": build_ctl_parser()}


if __name__ == "__main__":
    main()
