"""Starts `commands.export`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("commands.export", run_name="__main__", alter_sys=True)
