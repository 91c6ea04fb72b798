"""`python -m zeroscale` is the `zeroscale` command."""

import sys

from zeroscale.daemon.main import main

if __name__ == "__main__":
    sys.exit(main())
