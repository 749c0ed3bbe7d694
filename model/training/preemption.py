"""Being asked to stop: SIGTERM from a scheduler, or Ctrl-C."""

import signal

# sysexits.h EX_TEMPFAIL: nothing is broken, start the same command again.
EXIT_STARTS_AGAIN = 75


class StopRequest:
    """Remembers SIGTERM and the first SIGINT while it is entered as a context.

    Calling it returns whether one has come. A second Ctrl-C stops at once. Needs the
    main thread, as Python's signal handlers do.
    """

    def __init__(self):
        self._requested = False
        self._earlier = {}

    def __call__(self):
        """Returns True once a signal has come."""
        return self._requested

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self._earlier[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception):
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        if self._requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._requested = True
