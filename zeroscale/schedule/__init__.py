"""Schedules by a clock on the wall: windows in which a server is kept awake or asleep. Moments are arguments."""
