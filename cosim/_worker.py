"""The worker process of one adapter, ``python -m cosim._worker DESCRIPTOR``; it never imports the user's script."""

import sys

from cosim.engine.hosts import serve

if __name__ == "__main__":
    serve(int(sys.argv[1]))
