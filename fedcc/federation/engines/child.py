"""Entry point of the processes that a simulation starts; none of them outlives it.

python -m fedcc.federation.engines.child LOCK superlink [Flower's arguments]
python -m fedcc.federation.engines.child LOCK supernode POLL [Flower's arguments]
python -m fedcc.federation.engines.child LOCK site RUN INDEX RESUMED ADDRESS SECRET POLL
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from fedcc.federation.engines.alive import end_with_holder


def serve_site(run: str, index: str, resumed: str, address: str, secret: str, poll: str) -> None:
    """Hold one site and answer its SuperNode's messages; see `flower_runtime.serve_tasks`."""
    from fedcc.federation.engines.site_process import take_up
    from fedcc.federation.flower_runtime import serve_tasks

    process = take_up(Path(run), resumed=resumed == "resumed")
    serve_tasks(address, Path(secret), process.answer, float(poll))


def main(arguments: Sequence[str]) -> None:
    """Become the named process."""
    lock, kind, *rest = arguments
    end_with_holder(Path(lock))
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
