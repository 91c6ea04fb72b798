"""The notifications of a running proxy: what the configuration's `[[notify]]` tables mean.

Imported only where there is one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from twisted.internet.defer import Deferred

from zeroscale.config.messages import Mistake, join, show
from zeroscale.config.model import Config, NotifyConfig
from zeroscale.errors import ConfigError, ControlError, PluginError, suggest
from zeroscale.events import EVENTS
from zeroscale.notify.delivery import APPRISE
from zeroscale.notify.http_url import parse_http_url
from zeroscale.notify.notifier import Notifier
from zeroscale.notify.payload import templates
from zeroscale.notify.signature import signature_key
from zeroscale.notify.target import DeliveryOutcome, Kind, Target
from zeroscale.process.environment import ChildEnvironment
from zeroscale.process.spawn import check_program
from zeroscale.proxy.thread_call import call_in_thread
from zeroscale.reactor import Reactor
from zeroscale.reports import NotificationReport
from zeroscale.system.files import NAME

logger = logging.getLogger("zeroscale.notify")

KINDS: tuple[Kind, ...] = ("url", "discord", "apprise", "command")


class Notifications:
    """Sends events to the targets of a configuration. The constructor starts nothing.

    :param reactor: its thread gets the outcomes of tests.
    :param state_directory: where what waits is kept.
    """

    def __init__(self, reactor: Reactor, state_directory: Path) -> None:
        self._reactor = reactor
        self._targets: dict[str, Target] = {}
        self._notifier = Notifier(state_directory)
        self.observe = self._notifier.observe

    def apply(self, config: Config) -> Sequence[str]:
        """Send events to the targets of this configuration, and return what that changes."""
        before, self._targets = self._targets, {target.name: target for target in targets(config)}
        self._notifier.configure(self._targets.values())
        names = sorted(before.keys() | self._targets.keys())
        return [
            f"notify {name}: {change}"
            for name in names
            if (change := _change(before.get(name), self._targets.get(name)))
        ]

    def close(self) -> Deferred[None]:
        """Deliver what can be delivered soon, and keep the rest for the next start; this may take some seconds."""
        return call_in_thread(self._reactor, self._notifier.close)

    def test(self, name: str | None) -> Deferred[Sequence[NotificationReport]]:
        """Send a test, and wait for the outcome.

        :param name: of which target; None: of all.
        :raises ControlError: there is none of this name, or no thread for it.
        """
        if name is not None and name not in self._targets:
            hint = suggest(name, self._targets, show=str) or f"there are: {', '.join(self._targets)}"
            raise ControlError(f"there is no notification {show(name)}; {hint}")
        names = [*self._targets] if name is None else [name]
        done: Deferred[Sequence[NotificationReport]] = Deferred()
        outcomes: dict[str, DeliveryOutcome] = {}

        def ended(target: str, outcome: DeliveryOutcome) -> None:
            outcomes[target] = outcome
            if len(outcomes) == len(names) and not done.called:
                done.callback([NotificationReport(name=each, problem=outcomes[each].problem) for each in names])

        try:
            for each in names:
                self._notifier.test(
                    each,
                    lambda outcome, each=each: self._reactor.callFromThread(ended, each, outcome),  # type: ignore[misc]
                )
        except RuntimeError as error:
            raise ControlError(f"no thread can be started: {error}") from None
        return done


def targets(config: Config) -> Sequence[Target]:
    """Return the targets of a configuration that has no mistakes."""
    return [_target(notify) for notify in config.notify]


def mistakes(config: Config, is_bad: Callable[[str], bool] = lambda path: False) -> Iterator[Mistake]:
    """Find the mistakes of a configuration's notifications. No text of one has a URL or a secret in it.

    :param is_bad: returns whether the value at a path has a mistake already.
    """
    names: dict[str, str] = {}
    known = {server.name for server in config.servers}
    for index, notify in enumerate(config.notify):
        path = f"notify[{index}]"
        if is_bad(path):
            continue
        kind, name = _kind(notify), _name(notify)
        if NAME.fullmatch(name) is None:
            text = f"{show(name)} is not a name of up to 100 letters, digits and . _ + @ -"
            yield Mistake(f"{path}.name", text)
        elif name in names:
            yield Mistake(f"{path}.name", f"{names[name]} is called {show(name)}, too: each needs a name of its own")
        names.setdefault(name, path)
        for server in notify.servers if not config.discovery.enabled else ():
            if server not in known:
                hint = suggest(server, known, show=show) or f"there are {', '.join(map(show, sorted(known)))}"
                yield Mistake(f"{path}.servers", f"there is no server {show(server)}; {hint}")
        yield from _text_mistakes(f"{path}.texts", notify)
        yield from _target_mistakes(path, kind, notify)


def _text_mistakes(path: str, notify: NotifyConfig) -> Iterator[Mistake]:
    for event, text in notify.texts.items():
        if event not in EVENTS:
            hint = suggest(event, EVENTS, show=show) or f"there are {', '.join(EVENTS)}"
            yield Mistake(join(path, event), f"there is no such event; {hint}")
            continue
        try:
            templates({event: text})
        except ConfigError as error:
            yield Mistake(join(path, event), str(error))


def _target_mistakes(path: str, kind: Kind, notify: NotifyConfig) -> Iterator[Mistake]:
    try:
        match kind:
            case "url" | "discord":
                parse_http_url(notify.url or notify.discord or "")
            case "apprise" if find_spec("apprise") is None:
                text = "needs the library apprise: install zeroscale's extra notify"
                yield Mistake(f"{path}.apprise", text, environment=True)
            case "command":
                check_program(notify.command, _directory(notify), ChildEnvironment().build())
    except ValueError as error:
        yield Mistake(f"{path}.{kind}", f"is not a URL that can be used: {error}")
    except PluginError as error:
        yield Mistake(f"{path}.command", str(error), environment=True)
    try:
        signature_key(notify.secret or "")
    except ValueError:
        yield Mistake(f"{path}.secret", "what follows whsec_ is not base64")


def _target(notify: NotifyConfig) -> Target:
    kind = _kind(notify)
    return Target(
        name=_name(notify),
        kind=kind,
        url=parse_http_url(notify.url or notify.discord or "") if kind in ("url", "discord") else None,
        command=APPRISE if kind == "apprise" else notify.command,
        directory=_directory(notify),
        apprise=notify.apprise or "",
        key=None if notify.secret is None else signature_key(notify.secret),
        servers=frozenset(notify.servers) or None,
        events=frozenset(notify.events),
        addresses=notify.addresses,
        texts=notify.texts,
        timeout=notify.timeout,
    )


def _kind(notify: NotifyConfig) -> Kind:
    return next(kind for kind in KINDS if getattr(notify, kind))


def _directory(notify: NotifyConfig) -> Path:
    return notify.directory or Path.cwd()


def _name(notify: NotifyConfig) -> str:
    return notify.name or _kind(notify)


def _change(before: Target | None, after: Target | None) -> str:
    if before == after:
        return ""
    return "added" if before is None else "removed" if after is None else "changed"
