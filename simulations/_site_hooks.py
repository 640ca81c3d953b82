"""Becomes `sitecustomize.py` of a drill's processes; each hook needs a variable of its own.

FEDCC_DRILL_FAILS   a file; while it is there, the training of a site raises
FEDCC_DRILL_SEEN    a folder; what a site adds to each sum, and each sum that it applies, go there
FEDCC_DRILL_STUCK   seconds after which what hangs is started again, instead of the installed ones
"""

import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

SECRET_TEXT = "row 4711 of Maria Silva"  # of an exception that must stay at its site


def fail(module: Any) -> None:
    """Let training raise while the file is there."""
    real = module.noised_update

    def noised_update(*arguments: Any, **named: Any) -> Any:
        if os.path.exists(os.environ["FEDCC_DRILL_FAILS"]):
            raise RuntimeError(SECRET_TEXT)
        return real(*arguments, **named)

    module.noised_update = noised_update


def keep(module: Any) -> None:
    """Keep what is added and what is applied; a simulation's own hooks see it."""
    plain = module.Watch

    class Watch(plain):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.on_upload, self.on_applied = uploaded, applied

    def uploaded(note: Any) -> None:
        _write("added", note.round_number, note.attempt, note.site, values=note.update)

    def applied(note: Any) -> None:
        closed, total = note.closed, note.gradient_sum + note.opened_noise
        place = ("applied", closed.round_number, closed.attempt, note.site)
        _write(*place, values=total, survivors=list(closed.survivors))

    module.Watch = Watch


def _write(kind: str, round_number: int, attempt: int, site: str, **arrays: Any) -> None:
    import numpy as np

    path = os.path.join(
        os.environ["FEDCC_DRILL_SEEN"], f"{kind}.{round_number}.{attempt}.{site}.npz"
    )
    np.savez(f"{path}.partial.npz", **arrays)
    os.replace(f"{path}.partial.npz", path)


def hurry(module: Any) -> None:
    """Wait less for what hangs."""
    real = module.service_settings
    seconds = float(os.environ["FEDCC_DRILL_STUCK"])
    module.service_settings = lambda: replace(
        real(), stuck_seconds=seconds, timeout_seconds=seconds - 1, load_seconds=1.0
    )


HOOKS: Mapping[str, tuple[str, Callable[[Any], None]]] = {
    "fedcc.federation.local_update": ("FEDCC_DRILL_FAILS", fail),
    "fedcc.federation.site_parts": ("FEDCC_DRILL_SEEN", keep),
    "fedcc.federation.service.settings": ("FEDCC_DRILL_STUCK", hurry),
}


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules that are hooked, and hooks them once they are loaded."""

    def __init__(self) -> None:
        self._left = {name: hook for name, (key, hook) in HOOKS.items() if key in os.environ}

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        """Return the specification of a module that is to be hooked, and no other."""
        hook = self._left.pop(name, None)
        spec = None if hook is None else importlib.util.find_spec(name)
        if hook is None or spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            hook(module)

        vars(spec.loader)["exec_module"] = exec_module
        return spec


if __name__ == "sitecustomize":
    sys.meta_path.insert(0, Finder())
