"""UDP servers in a thread, for clients and probes: what they answer is a function of the test."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator

from protocols.udp_captures import SERVERS

from zeroscale.protocols.source_parts import SINGLE, SplitForm, split
from zeroscale.protocols.source_query import Question

AnswerTo = Callable[[bytes], Iterable[bytes]]

CHALLENGE = b"\x11\x22\x33\x44"

INFO = b"\x49\x11Meadows\0Midgard\0valheim\0Valheim\0\x0a\0\x03\x20\x01dl\0\x01\x31.2.3\0\0"
"""A running server with three players, of whom one is a bot."""

PLAYERS = b"\x44\x03\0Ada\0\x03\0\0\0\0\0\x80?\x01Bob\xff\0\xfe\xff\xff\xff\0\0\0@\x02\0\0\0\0\0\0\0\0\0"
RULES = b"\x45\x02\0mode\0easy\0long\0" + b"x" * 3000 + b"\0"


class DatagramServer:
    """One UDP socket on the loopback, read by a thread.

    :ivar answer: what is sent back for a datagram; may be replaced.
    :ivar received: all datagrams, in their order.
    """

    def __init__(self, answer: AnswerTo, port: int = 0) -> None:
        self.answer = answer
        self.received: list[bytes] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self.errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while True:
                datagram, client = self._socket.recvfrom(1 << 16)
                if not datagram:
                    return
                self.received.append(datagram)
                for each in self.answer(datagram):
                    self._socket.sendto(each, client)
        except BaseException as error:
            self.errors.append(error)

    def close(self) -> None:
        """End the thread, and close the port."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(10)
        self._socket.close()
        assert not self.errors


@contextlib.contextmanager
def serving(answer: AnswerTo, port: int = 0) -> Iterator[DatagramServer]:
    """Run a server for as long as the context lasts."""
    server = DatagramServer(answer, port)
    try:
        yield server
    finally:
        server.close()


def silent(_: bytes) -> Iterable[bytes]:
    """Answer nothing."""
    return ()


def every_other(answer: AnswerTo) -> AnswerTo:
    """Lose the first datagram, and every other one after it."""
    count = 0

    def lossy(datagram: bytes) -> Iterable[bytes]:
        nonlocal count
        count += 1
        return () if count % 2 else answer(datagram)

    return lossy


def source(info: bytes = INFO, players: bytes | None = PLAYERS, rules: bytes | None = RULES) -> AnswerTo:
    """Answer as a running server of the Source query protocol does; None: this question never."""
    answers = {Question.info: info, Question.players: players, Question.rules: rules}

    def answer(datagram: bytes) -> Iterable[bytes]:
        found = answers.get(Question(datagram[4])) if datagram[4] in list(Question) else None
        if found is None:
            return ()
        return split(found, SplitForm.source) if datagram.endswith(CHALLENGE) else (SINGLE + b"\x41" + CHALLENGE,)

    return answer


def quake(datagram: bytes) -> Iterable[bytes]:
    """Answer as OpenArena did when it was recorded, with the challenge of the question."""
    words = datagram.removeprefix(SINGLE).split()
    name = {b"getinfo": "openarena getinfo", b"getstatus": "openarena getstatus"}.get(words[0] if words else b"")
    if name is not None:
        yield SERVERS[name].replace(b"abc12", words[1] if len(words) > 1 else b"")


FULL_STATISTICS = (
    b"splitnum\0\x80\0hostname\0\xa7aA Minecraft Server\0gametype\0SMP\0game_id\0MINECRAFT\0version\x001.21.4\0"
    b"plugins\0\0map\0world\0numplayers\x002\0maxplayers\x0020\0hostport\x0025565\0hostip\x00127.0.0.1\0\0\x01player_\0\0Ada\0Bob\0\0"
)


def minecraft(datagram: bytes) -> Iterable[bytes]:
    """Answer as a vanilla server with `enable-query` does."""
    kind, session, rest = datagram[2], datagram[3:7], datagram[7:]
    if kind == 9:
        yield b"\x09" + session + b"9513307\0"
    elif rest[:4] == (9513307).to_bytes(4):
        yield b"\x00" + session + FULL_STATISTICS


BEDROCK = "MCPE;\u00a7aA Bedrock server;2193;1.26.51;3;7;1796068234912;a level;Creative;1;19133;19133;0;"


def bedrock(datagram: bytes) -> Iterable[bytes]:
    """Answer a ping as bedrock-protocol does."""
    status = BEDROCK.encode()
    magic = datagram[9:25]
    yield b"\x1c" + datagram[1:9] + bytes(8) + magic + len(status).to_bytes(2) + status
