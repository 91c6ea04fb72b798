"""`python tests/hostile SECONDS [--seed SEED]`: zeroscale among hostile clients and disturbances, for any time."""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hostile.run import main

parser = argparse.ArgumentParser(prog="python tests/hostile", description=(__doc__ or "").strip())
parser.add_argument("seconds", type=float, help="how long, besides a minute or two for the start and the end")
parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="repeat the run of this seed")
parser.add_argument("--directory", type=Path, help="an empty directory for the log; default: a new one in /tmp")
options = parser.parse_args()
sys.exit(main(options.seconds, options.seed, options.directory))
