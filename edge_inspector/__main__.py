"""`python -m edge_inspector`."""

import sys

from edge_inspector.cli import main

sys.exit(main())
