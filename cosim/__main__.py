"""``python -m cosim`` is the command ``cosim``."""

from cosim.cli.app import main

main()
