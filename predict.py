"""Starts `commands.predict`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("commands.predict", run_name="__main__", alter_sys=True)
