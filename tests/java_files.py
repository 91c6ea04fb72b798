"""Files that Java reads, and what it finds in them: tests/peers/test_java.py has a real one read them."""

from __future__ import annotations

ARGUMENT_FILES: list[tuple[str, list[str]]] = [
    ("-Xmx64m", ["-Xmx64m"]),
    ("# -Xmx64m", []),
    ("  #-Xmx64m\n-Dx=1", ["-Dx=1"]),
    ("-Dx=a#b -Xmx64m\n-Dy=1", ["-Dy=1"]),
    ("-Xmx64m# 64 MiB\n-Dx=1", ["-Dx=1"]),
    ("-Dx=1 # -Xmx64m\n-Dy=2", ["-Dx=1", "-Dy=2"]),
    ("#\r-Xmx64m", ["-Xmx64m"]),
    ("-Dx=1\f-Xmx64m\t-Dy=2\r\n-Dz=3", ["-Dx=1", "-Xmx64m", "-Dy=2", "-Dz=3"]),
    ("-Dx=1\v-Xmx64m", ["-Dx=1\v-Xmx64m"]),
    ('"-Xmx64m"', ["-Xmx64m"]),
    ("'-Xmx64m'", ["-Xmx64m"]),
    ('-Dx="a -Xmx64m" -Dy=1', ["-Dx=a -Xmx64m", "-Dy=1"]),
    ("-Dx=\"a'b\" -Dy='c\"d'", ["-Dx=a'b", '-Dy=c"d']),
    ('"-Xmx\\064m"', ["-Xmx064m"]),
    ('"-Dx=a\\\\b\\"c"', ['-Dx=a\\b"c']),
    ('"-Xm\\\n   x64m"', ["-Xmx64m"]),
    ("-Dx=a\\b", ["-Dx=a\\b"]),
    ('-Dx="a b', ["-Dx=a b"]),
    ("", []),
]
"""The text of a file that is given as `java @FILE`, and its words."""

MANIFESTS: list[tuple[bytes, str]] = [
    (b"Manifest-Version: 1.0\nMain-Class: a.B\n", "a.B"),
    (b"Manifest-Version: 1.0\rMain-Class: a.B\r", "a.B"),
    (b"Manifest-Version: 1.0\r\nMain-Class: a.\r\n B\r\n", "a.B"),
    (b"Manifest-Version: 1.0\nMain-Class: a.\n B\n.C\n".replace(b".C", b" .C"), "a.B.C"),
    (b"main-class:   a.B  \n", "a.B"),
    (b"Main-Class: a/B\n", "a.B"),
    (b"Main-Class: " + b"a" * 400 + b"\n", "a" * 400),
    (b"Main-Class: a.B\nClass-Path: x.jar\n\nName: x\nMain-Class: c.D\n", "a.B"),
    (b"Manifest-Version: 1.0\n\nName: x\nMain-Class: a.B\n", ""),
    (b"Manifest-Version: 1.0\n", ""),
]
"""Manifests, and the main class that `java -jar` runs; empty: none."""
