"""`python -m fedcc`."""

import sys

from fedcc.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
