"""`python -m vitra_lib` is the command `vitra`."""

import sys

from vitra_lib.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
