"""A fake `systemctl` with one unit, whose state is files in a directory; its messages are those of systemd 252."""

from __future__ import annotations

from pathlib import Path

from plugins.process_fixture import until

SCRIPT = """#!/bin/sh
cd '{directory}' || exit 1
echo "$*" >>calls
for word; do case $word in show|start|stop|freeze|thaw) verb=$word ;; esac; done
while [ -e slow ]; do touch asked; sleep 0.01; done
if [ -e broken ]; then echo 'Failed to connect to bus: No such file or directory' >&2; exit 1; fi
set_state() {{
  sed "s/^ActiveState=.*/ActiveState=$1/; s/^Result=.*/Result=success/; s/^InvocationID=.*/InvocationID=$2/" \
    unit >unit.new && mv unit.new unit
}}
if [ "$verb" = show ]; then
  cat unit
  if [ -e frozen ]; then echo FreezerState=frozen; else echo FreezerState=running; fi
  exit
fi
if [ -e denied ]; then echo "Failed to $verb game.service: Interactive authentication required." >&2; exit 4; fi
case $verb in
  start)
    if [ -e failing ]; then set_state failed; echo 'Job for game.service failed.' >&2; exit 1; fi
    set_state active $$ ;;
  stop)
    if ! grep -q deactivating unit; then
      set_state deactivating "$(sed -n s/^InvocationID=//p unit)"
      # systemd itself goes on with a stop when systemctl has ended.
      (while [ -e held ]; do sleep 0.01; done; rm -f frozen; set_state inactive '') </dev/null >/dev/null 2>&1 &
      touch stopping
    fi
    while grep -q deactivating unit; do sleep 0.01; done ;;
  freeze) touch frozen ;;
  thaw) rm -f frozen ;;
esac
"""

UNIT = {
    "Id": "game.service",
    "LoadState": "loaded",
    "ActiveState": "inactive",
    "SubState": "dead",
    "InvocationID": "",
    "Result": "success",
    "ExecMainCode": "0",
    "ExecMainStatus": "0",
}


class Systemctl:
    """The program, and what it finds.

    :param directory: for both; the program is to be found in PATH.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        program = directory / "systemctl"
        program.write_text(SCRIPT.format(directory=directory))
        program.chmod(0o700)
        self._write(UNIT)

    @property
    def runs(self) -> bool:
        """Whether the unit is active."""
        return self._properties["ActiveState"] not in ("inactive", "failed")

    @property
    def calls(self) -> list[str]:
        """The arguments of each call of the program."""
        return (self._directory / "calls").read_text().splitlines()

    def set(self, **properties: object) -> None:
        """Set properties of the unit."""
        self._write({**self._properties, **{name: str(value) for name, value in properties.items()}})

    def has(self, switch: str) -> bool:
        """Return whether a switch is set: slow, broken, denied, failing, held, frozen; by the program: asked."""
        return (self._directory / switch).exists()

    def switch(self, name: str, to: bool) -> None:
        """Set a switch."""
        if to:
            (self._directory / name).touch()
        else:
            (self._directory / name).unlink(missing_ok=True)

    async def until(self, switch: str) -> None:
        """Wait until the program has set a switch."""
        await until(lambda: self.has(switch))

    @property
    def _properties(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in (self._directory / "unit").read_text().splitlines())

    def _write(self, properties: dict[str, str]) -> None:
        beside = self._directory / "unit.ours"
        beside.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        beside.replace(self._directory / "unit")
