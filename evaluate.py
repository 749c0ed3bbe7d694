"""Starts `commands.evaluate`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("commands.evaluate", run_name="__main__", alter_sys=True)
