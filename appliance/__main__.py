"""`python -m appliance` is the command line."""

import gc
import os
import sys

# BLAS would start a thread for every core at its import; a scan of vectors is bound by memory, and `threads` is ours.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


# A start makes hundreds of thousands of objects that stay: collecting after every 700 takes a sixth of its time.
COLLECT_AFTER = (50_000, 20, 50)


def main() -> None:
    """Run the command line and exit with its code."""
    gc.set_threshold(*COLLECT_AFTER)
    from appliance.allocator import settle_allocator
    from appliance.cli.root import cli
    from appliance.signals import end_in_order

    settle_allocator()
    end_in_order()
    cli.main(args=sys.argv[1:], prog_name="rag-appliance")


if __name__ == "__main__":
    main()
