"""Read a start script: what it runs, whether it passes its arguments on, and the heap size that it sets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from zeroscale.minecraft.server_files import read_script

JAVA_ARGUMENTS_FILE = "user_jvm_args.txt"
"""The operator's arguments for Java, which run.sh of Forge and NeoForge takes with `java @FILE`."""

_LOADER_FILE = rf"@\S*{re.escape(JAVA_ARGUMENTS_FILE)}|unix_args\.txt"
_STARTS_US = r"\bzeroscale(?=[ \t]+[-\w])"
_JAVA = r"(?m)^\s*(?:exec\s+)?java\s"
_CHANGES_PATH = r"(?m)\bPATH=|(?:^|[;&|])[ \t]*(?:\.|source|eval)[ \t]"
_HEAP = r"-(?:Xmx|mx|XX:MaxHeapSize=).+"
_HEAP_IN_TEXT = r"""(?:^|[\s"'=])(-(?:Xmx|mx(?=[\d$])|XX:MaxHeapSize=)[^\s"']*)"""

_WORD = r"""(?sx)
    \#[^\r\n]*                                          # a comment
    | (?P<word>
        (?: "(?:\\(?:\r\n|.)|[^"\\\r\n])*"?             # in quotes, which the end of the line ends as well
          | '(?:\\(?:\r\n|.)|[^'\\\r\n])*'?
          | [^ \t\f\r\n\#"']
        )+
      )
    """
_QUOTED = r"""(?s)(["'])((?:\\.|(?!\1).)*)\1?"""
_ESCAPE = r"(?s)\\(?:(?:\r\n|[\r\n])[ \t\f]*|(.))"


class StartScript(Struct, frozen=True):
    """A shell script that starts a server.

    :ivar path: where it is.
    :ivar interpreter: what runs it if it is not executable, as scripts from archives: sh or bash.
    :ivar text: its beginning, without the lines that are comments.
    """

    path: Path
    interpreter: str
    text: str

    @property
    def starts_loader(self) -> bool:
        """Whether it names the files of Java arguments that Forge's and NeoForge's installers make."""
        return re.search(_LOADER_FILE, self.text) is not None

    @property
    def starts_zeroscale(self) -> bool:
        """Whether it starts zeroscale itself, and is no server's."""
        return re.search(_STARTS_US, self.text) is not None

    @property
    def needs_java(self) -> bool:
        """Whether it runs the java that is first in PATH, and does not change PATH itself, as far as can be seen."""
        return re.search(_JAVA, self.text) is not None and re.search(_CHANGES_PATH, self.text) is None

    @property
    def passes_arguments(self) -> bool:
        """Whether it passes its own arguments on."""
        return re.search(r"\$[@*]", self.text) is not None

    def heap(self) -> tuple[Path, str] | None:
        """Return the option for the largest heap, with the file in which it is; None: the script sets no heap."""
        file = self.path.with_name(JAVA_ARGUMENTS_FILE)
        if (heap := heap_in_file(file)) is not None:
            return file, heap
        return (self.path, heap) if (heap := heap_in_text(self.text)) else None


def read_start_script(path: Path) -> StartScript:
    """Read a script.

    :raises OSError: it cannot be read.
    """
    lines = read_script(path).splitlines()
    interpreter = "bash" if lines and re.match("#!.*bash", lines[0]) else "sh"
    return StartScript(path, interpreter, "\n".join(line for line in lines if not line.lstrip().startswith("#")))


def heap_in_text(text: str) -> str | None:
    """Return the option for the largest heap in a script, or in a variable; None if there is none."""
    found = re.search(_HEAP_IN_TEXT, text)
    return found[1] if found else None


def heap_in_file(path: Path) -> str | None:
    """Return the option for the largest heap in a file that is given as `java @FILE`; None if there is none.

    Of several the last one counts. A file that cannot be read has none.
    """
    try:
        text = read_script(path)
    except OSError:
        return None
    found = [word for word in java_arguments(text) if re.fullmatch(_HEAP, word)]
    return found[-1] if found else None


def java_arguments(text: str) -> Iterator[str]:
    """Return the arguments in a file that is given as `java @FILE`.

    They are separated by white space, may be quoted, and # begins a comment until the end of the line (the manual of
    `java`, "java Command-Line Argument Files"). Java 17 and 25 lose the word that a # directly follows.
    """
    for found in re.finditer(_WORD, text):
        if found["word"] and not text.startswith("#", found.end()):
            yield re.sub(
                _QUOTED, lambda quoted: re.sub(_ESCAPE, lambda escape: escape[1] or "", quoted[2]), found["word"]
            )
