"""Every exception of ours. Each message is one line that a person can act on."""


class ZeroscaleError(Exception):
    """The base of all of them; `str()` of any is fit to be shown to the operator."""


class ConfigError(ZeroscaleError):
    """What we were told cannot be done: a bad option, file, port or directory."""


class ProtocolError(ZeroscaleError):
    """The peer broke its protocol. The peer's fault: one log line, closed, nothing woken."""


class PluginError(ZeroscaleError):
    """A plugin cannot do what it was asked; the message says why and what mends it.

    Raised by plugins (also by those of other authors) from their constructor, `start()`, `stop()` or `wait()`.
    """


class StateError(ZeroscaleError):
    """What is kept on disk is held by somebody else, or cannot be written."""


class ServerUnavailable(ZeroscaleError):
    """The server will not become ready for those who wait: `str()` is the reason, for a player to read."""


class BackendError(ZeroscaleError):
    """The real server did not take the connection, or did not answer as its protocol demands."""


class RelayError(ZeroscaleError):
    """The relay cannot take or keep a pair of connections."""


class ControlError(ZeroscaleError):
    """The operator asked for what cannot be done now; the message says why."""
