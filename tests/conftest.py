"""What must hold for every test process."""

import signal

# A shell starts a job in the background with SIGINT ignored, and whoever is started from there ignores it too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
