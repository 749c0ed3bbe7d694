"""Starts `commands.demo`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("commands.demo", run_name="__main__", alter_sys=True)
