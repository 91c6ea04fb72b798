"""Send the proxy's own replies to a client: status, pings, kicks, and the plugin's reply."""

from __future__ import annotations

from zeroscale.frontend.closing import ConnectionCloser
from zeroscale.frontend.connection_record import LONGEST_HOST, ConnectionRecord
from zeroscale.frontend.context import ListenerSettings
from zeroscale.frontend.decision import HoldDecision, RefuseDecision, RoutedEvent
from zeroscale.frontend.interfaces import Backend, IStreamTransport
from zeroscale.frontend.timer import Timer
from zeroscale.protocols.conversation import (
    BadRequest,
    Component,
    Conversation,
    HealthCheckRequested,
    HostNamed,
    LoginRequested,
    PingRequested,
    StatusReply,
    StatusRequested,
)


class Answers:
    """Sends replies to one client, and closes its connection after the last one.

    :param time_limit: ends the connection if the ping does not follow the status in time.
    :ivar answered_status: a status request has been answered.
    """

    def __init__(
        self,
        transport: IStreamTransport,
        conversation: Conversation,
        record: ConnectionRecord,
        closer: ConnectionCloser,
        listener: ListenerSettings,
        time_limit: Timer,
    ) -> None:
        self._transport = transport
        self._conversation = conversation
        self._record = record
        self._closer = closer
        self._listener = listener
        self._time_limit = time_limit
        self.answered_status = False

    def status(self, backend: Backend) -> None:
        """Answer a status request for a server."""
        self._record.log_debug("Answered the status of %s for the server", self._record.address)
        self._send_status(backend.messages.status(backend.server.view, self._listener.context.reactor.seconds()))

    def ping(self) -> None:
        """Answer a ping; nothing may follow it, so there is no need to linger, which would take longer."""
        self._transport.write(self._conversation.pong())
        self._closer.close("status" if self.answered_status else "ping")

    def reply_at_once(self, event: HealthCheckRequested | BadRequest) -> None:
        """Answer a health check, or a request for no server; its client may still be sending."""
        self._transport.write(event.reply)
        if isinstance(event, BadRequest):
            self._closer.close_lingering("refused", event.problem)
        else:
            self._closer.close_lingering("health-check")

    def unrouted(self, event: RoutedEvent, host: str) -> None:
        """Answer a client whose host matches no server, without revealing anything to scanners."""
        detail = repr(host[:LONGEST_HOST])
        match event:
            case StatusRequested() if self._listener.context.answer_unknown_host:
                self._send_status(self._listener.messages().unknown_host_status(host))
            case PingRequested() if self.answered_status:
                self.ping()
            case LoginRequested(name=name) if self._listener.context.answer_unknown_host:
                self._record.player = name
                self.send_kick("unknown-host", self._listener.messages().unknown_host_kick(host, name), detail)
            case HostNamed():
                self.send_kick("unknown-host", self._listener.messages().unknown_host_kick(host, ""), detail)
            case _:
                self._closer.abort("unknown-host", detail)

    def plugin_reply(self, backend: Backend, decided: HoldDecision | RefuseDecision) -> bool:
        """Answer a client of a protocol other than Minecraft with the plugin's reply.

        :returns: False where there is none to send, and the join has to go on.
        """
        if isinstance(decided, RefuseDecision) and decided.refusal is not None:
            return False
        waiting = backend.policy.waiting
        reply = backend.fake_status() if waiting in ("auto", "answer") else None
        if reply is None and waiting != "answer":
            return False
        if isinstance(decided, RefuseDecision) and decided.reason:
            self._record.count_refusal(decided.reason, "")
        if isinstance(decided, HoldDecision) or decided.wakes:
            backend.server.wake(self._record.wake_cause)
        self._transport.write(reply or b"")
        self._record.log_debug("Answered %s for the server", self._record.address)
        self._closer.close_lingering("answered")
        return True

    def send_kick(self, outcome: str, message: Component, detail: str = "", *, warn: bool = False) -> None:
        """Send a message, and close."""
        self._transport.write(self._conversation.kick(message))
        self._closer.close_lingering(outcome, detail, warn=warn)

    def _send_status(self, reply: StatusReply) -> None:
        self._transport.write(self._conversation.status(reply))
        self.answered_status = True
        if self._conversation.closes_after_status:
            self._closer.close_lingering("status")
        else:
            self._time_limit.start(self._listener.context.handshake_timeout, self._closer.close_lingering, "status")
