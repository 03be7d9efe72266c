"""A child that Ctrl-C reaches, also where the tests run in the background of a shell, which lets its children ignore it."""

import signal


def interruptible() -> None:
    """For `preexec_fn` of a process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
