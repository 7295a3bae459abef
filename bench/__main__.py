"""``python -m acutance.bench CASE`` is ``acutance bench CASE``."""

import sys

from ..cli import main

main(["bench", *sys.argv[1:]])
