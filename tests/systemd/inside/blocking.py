"""The generic plugin, except that a line on its console blocks the whole proxy, like a bug."""

import time

from zeroscale.plugins import generic


class Server(generic.Server):
    async def send(self, line: str) -> None:
        time.sleep(3600)  # noqa: ASYNC251 - that is the defect
