import argparse

class Manpage:
    date: str
    source: str
    manual: str
    description: str
    def __init__(self, parser: argparse.ArgumentParser) -> None: ...
