"""A Python program without garbage collection: `without_collection.py PYTHON PROGRAM ARGUMENT..`.

On SIGUSR2 it looks for what only a collection could free, writes the types into the file `GARBAGE_REPORT` and
frees it. Standard library only; started by its path. (PYTHON is who would have run the program.)
"""

import collections
import gc
import json
import os
import runpy
import signal
import sys

REPORT = os.environ["GARBAGE_REPORT"]


def look(number, stack):
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    found = [f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage]
    gc.garbage.clear()
    gc.collect()
    with open(REPORT + ".new", "w") as file:
        file.write(json.dumps(collections.Counter(found)))
    os.rename(REPORT + ".new", REPORT)


gc.disable()
signal.signal(signal.SIGUSR2, look)
del sys.argv[:2]
runpy.run_path(sys.argv[0], run_name="__main__")
