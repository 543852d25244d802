"""What holds for every test, however the tests were started."""

import signal

# A shell has what it runs in the background ignore Ctrl-C, and what we start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
