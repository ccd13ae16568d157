"""Where the frozen program starts: the command line, or `-m MODULE` for the child processes of its own."""

import runpy
import sys

from appliance.__main__ import main

CHILDREN = ("appliance", "bench.client", "bench.raw_server", "appliance.ingest.readers", "appliance.inference.trial")

if __name__ == "__main__":
    if sys.argv[1:2] == ["-m"] and sys.argv[2:3] and sys.argv[2] in CHILDREN:
        module = sys.argv[2]
        sys.argv = sys.argv[2:]
        runpy.run_module(module, run_name="__main__")
    else:
        main()
