"""Which parts of a configuration need TLS.

TLS takes a third of the memory of a sleeping proxy, so it is left out of a process that does not need it.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from zeroscale.config.messages import join
from zeroscale.config.model import Config, ServerConfig

TWISTED = "OpenSSL"
"""The module that Twisted's TLS needs: pyOpenSSL."""

ASYNCIO = "ssl"
"""The module that asyncio's TLS needs; prometheus-client and clients of HTTP import it, too."""

TLS_MODULES = frozenset({TWISTED, ASYNCIO})

ENDPOINTS_WITHOUT = frozenset({"tcp", "tcp6", "unix", "systemd", "udp"})
"""Kinds of endpoint strings that do not need TLS. Of those that are plugins of other authors nothing is known."""

PLUGINS = {
    "command": (),
    "demo": (),
    "docker": (ASYNCIO,),
    "generic": (),
    "kubernetes": (ASYNCIO,),
    "minecraft": (),
    "systemd_unit": (),
    "wake_on_lan": (),
}
"""The modules that each built-in plugin needs. Those of other authors may need any."""


class TlsUse(Struct, frozen=True):
    """A value of a configuration that needs TLS.

    :ivar path: its path in the configuration.
    :ivar value: the value.
    :ivar module: the module that must not be left out.
    """

    path: str
    value: str
    module: str


def unneeded_modules(config: Config) -> frozenset[str]:
    """Return the modules of `TLS_MODULES` that nothing in a configuration needs."""
    return TLS_MODULES - {use.module for use in tls_uses(config)}


def tls_uses(config: Config) -> Iterator[TlsUse]:
    """Find what in a configuration needs TLS."""
    if config.metrics.listen is not None:
        yield TlsUse("metrics.listen", config.metrics.listen, ASYNCIO)
        yield from endpoint_uses("metrics.listen", config.metrics.listen)
    for server in config.servers:
        yield from server_uses(server)
    yield from notify_uses(config)
    for name in config.discovery.enabled:  # the servers that are found may have any endpoint
        yield from (TlsUse(join("discovery", name), name, module) for module in sorted(TLS_MODULES))


def notify_uses(config: Config) -> Iterator[TlsUse]:
    """Find which notifications need TLS. Their URLs are not shown, since they may have tokens in them."""
    for index, notify in enumerate(config.notify):
        for name, url in (("url", notify.url), ("discord", notify.discord)):
            if url is not None and url.lower().startswith("https:"):
                yield TlsUse(f"notify[{index}].{name}", "https", ASYNCIO)


def server_uses(server: ServerConfig) -> Iterator[TlsUse]:
    """Find what of a server needs TLS."""
    path = join("servers", server.name)
    for index, port in enumerate(server.all_ports, -1):
        at = "listen" if port.is_main else f"ports[{index}].listen"
        for listen in port.listen or ():  # a value with a mistake is None
            yield from endpoint_uses(f"{path}.{at}", listen)
    for module in PLUGINS.get(server.plugin.replace("-", "_"), sorted(TLS_MODULES)):
        yield TlsUse(join(path, "plugin"), server.plugin, module)


def endpoint_uses(path: str, listen: str) -> Iterator[TlsUse]:
    """Find out whether a `listen` value needs TLS."""
    kind, colon, _ = listen.partition(":")
    if colon and kind not in ENDPOINTS_WITHOUT:
        yield TlsUse(path, listen, TWISTED)
