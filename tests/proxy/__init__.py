"""The gateway behind nginx: no client sees what a direct one would not.

The configuration is the example of docs/ops.md itself; `nginx.py` changes ports, paths and the idle time-out.
"""
