"""Starts `commands.demo`."""

import sys

if __name__ == "__main__":
    # Not above: processes that draw scenes import this file, and need no TensorFlow.
    from commands.demo import main

    sys.exit(main())
