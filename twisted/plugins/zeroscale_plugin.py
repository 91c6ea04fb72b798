"""Tells twistd of `twistd zeroscale`. It imports nothing of ours, so that listing plugins costs nothing."""

from twisted.application.service import ServiceMaker

zeroscale = ServiceMaker(
    "zeroscale", "zeroscale.daemon.tap", "A scale-to-zero proxy: the server sleeps while nobody plays.", "zeroscale"
)
