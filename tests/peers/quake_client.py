"""A client of Quake 3 that connects to a server, as ioquake3's own does (code/client/cl_main.c, qcommon/huffman.c).

It uses nothing of zeroscale. It gets a place on the server and then falls silent: it is dropped after `sv_timeout`.
"""

from __future__ import annotations

import socket
import time

HEADER = b"\xff\xff\xff\xff"


class Node:
    """A node of the tree, which is also in a list by weight."""

    def __init__(self, symbol: int | None, weight: int) -> None:
        self.symbol = symbol
        self.weight = weight
        self.parent: Node | None = None
        self.left: Node | None = None
        self.right: Node | None = None
        self.next: Node | None = None
        self.prev: Node | None = None
        self.head: list[Node | None] = [None]


class Huffman:
    """Adaptive Huffman coding (Vitter's), as `Huff_Compress`."""

    def __init__(self) -> None:
        self.new = self.tree = Node(None, 0)
        self.known: dict[int, Node] = {}
        self.bits: list[int] = []

    def compress(self, data: bytes) -> bytes:
        """Return the length, and the coded bytes."""
        for byte in data:
            node = self.known.get(byte)
            self._send(self.new if node is None else node)
            if node is None:
                self.bits += [byte >> place & 1 for place in range(7, -1, -1)]
            self._add(byte)
        coded = bytearray(len(self.bits) // 8 + 1)
        for place, bit in enumerate(self.bits):
            coded[place >> 3] |= bit << (place & 7)
        return len(data).to_bytes(2) + bytes(coded)

    def _send(self, node: Node) -> None:
        path = []
        while node.parent is not None:
            path.append(int(node.parent.right is node))
            node = node.parent
        self.bits += reversed(path)

    def _add(self, byte: int) -> None:
        if byte in self.known:
            self._increment(self.known[byte])
            return
        first, leaf, inner = self.new, Node(byte, 1), Node(None, 1)
        for node in (inner, leaf):
            node.next, node.prev = first.next, first
            if first.next is not None:
                first.next.prev = node
            if first.next is not None and first.next.weight == 1:
                node.head = first.next.head
            else:
                node.head = [inner]
            first.next = node
        if first.parent is None:
            self.tree = inner
        elif first.parent.left is first:
            first.parent.left = inner
        else:
            first.parent.right = inner
        inner.right, inner.left, inner.parent = leaf, first, first.parent
        first.parent = leaf.parent = inner
        self.known[byte] = leaf
        self._increment(inner.parent)

    def _increment(self, node: Node | None) -> None:
        if node is None:
            return
        if node.next is not None and node.next.weight == node.weight:
            leader = node.head[0]
            assert leader is not None
            if leader is not node.parent:
                self._swap(leader, node)
            _swap_in_list(leader, node)
        node.head[0] = node.prev if node.prev is not None and node.prev.weight == node.weight else None
        node.weight += 1
        node.head = node.next.head if node.next is not None and node.next.weight == node.weight else [node]
        if node.parent is not None:
            self._increment(node.parent)
            if node.prev is node.parent:
                _swap_in_list(node, node.parent)
                if node.head[0] is node:
                    node.head[0] = node.parent

    def _swap(self, one: Node, other: Node) -> None:
        parents = one.parent, other.parent
        for parent, old, new in ((parents[0], one, other), (parents[1], other, one)):
            if parent is None:
                self.tree = new
            elif parent.left is old:
                parent.left = new
            else:
                parent.right = new
        one.parent, other.parent = parents[1], parents[0]


def _swap_in_list(one: Node, other: Node) -> None:
    one.next, other.next = other.next, one.next
    one.prev, other.prev = other.prev, one.prev
    if one.next is one:
        one.next = other
    if other.next is other:
        other.next = one
    for node in (one, other):
        if node.next is not None:
            node.next.prev = node
        if node.prev is not None:
            node.prev.next = node


def connect(port: int, name: str, protocol: int, within: float) -> socket.socket:
    """Connect as a player, and repeat each step until the server answers; return the socket.

    :raises TimeoutError: it does not.
    """
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        udp.connect(("127.0.0.1", port))
        deadline = time.monotonic() + within
        answer = _answer(udp, HEADER + b"getchallenge 4711 Quake3Arena", b"challengeResponse", deadline)
        challenge = answer.split()[1].decode()
        info = {
            "challenge": challenge,
            "qport": "4711",
            "protocol": str(protocol),
            "name": name,
            "rate": "25000",
            "snaps": "20",
            "cl_guid": "0123456789ABCDEF" * 2,
        }
        text = '"' + "".join(f"\\{key}\\{value}" for key, value in info.items()) + '"'
        request = HEADER + b"connect " + Huffman().compress(text.encode())
        _answer(udp, request, b"connectResponse", deadline)
    except BaseException:
        udp.close()
        raise
    return udp


def _answer(udp: socket.socket, request: bytes, expected: bytes, deadline: float) -> bytes:
    udp.settimeout(1)
    while time.monotonic() < deadline:
        try:
            udp.send(request)
            answer = udp.recv(65535).removeprefix(HEADER)
        except (TimeoutError, ConnectionRefusedError):
            continue
        if answer.startswith(expected):
            return answer
    raise TimeoutError(f"no {expected.decode()}")
