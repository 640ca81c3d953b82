"""Entry point of the processes that a simulation starts; none of them outlives it.

python -m fedcc.federation.engines.child PARENT superlink [Flower's arguments]
python -m fedcc.federation.engines.child PARENT supernode POLL [Flower's arguments]
python -m fedcc.federation.engines.child PARENT site RUN INDEX RESUMED ADDRESS SECRET POLL
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with(parent: int) -> None:
    """Have the kernel end this process when its parent ends, however that happens."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the simulation that started this process is gone")


def serve_site(run: str, index: str, resumed: str, address: str, secret: str, poll: str) -> None:
    """Hold one site and answer its SuperNode's messages; see `flower_runtime.serve_tasks`."""
    from fedcc.federation.engines.site_process import take_up
    from fedcc.federation.flower_runtime import serve_tasks

    process = take_up(Path(run), resumed=resumed == "resumed")
    serve_tasks(address, Path(secret), process.answer, float(poll))


def main(arguments: Sequence[str]) -> None:
    """Become the named process."""
    parent, kind, *rest = arguments
    die_with(int(parent))
    if kind == "site":
        serve_site(*rest)
        return
    from fedcc.federation import flower_runtime

    if kind == "superlink":
        sys.argv = ["flower-superlink", *rest]
        flower_runtime.run_superlink()
    elif kind == "supernode":
        sys.argv = ["flower-supernode", *rest[1:]]
        flower_runtime.run_supernode(float(rest[0]))
    else:
        sys.exit(f"no such process: {kind}")


if __name__ == "__main__":
    main(sys.argv[1:])
