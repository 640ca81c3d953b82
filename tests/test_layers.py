"""The layers: a package imports from lower rows only, and some libraries have few users."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "fedcc"

LEVEL = {
    "errors": 0,
    "config": 0,
    "rng": 0,
    "config_inputs": 0,
    "hash_chain": 0,
    "version": 0,
    "data": 1,
    "models": 1,
    "privacy": 1,
    "crypto": 1,
    "governance": 1,
    "deployment": 2,
    "tasks": 2,
    "training": 2,
    "federation": 3,
    "attacks": 4,
    "frontier": 4,
    "cli": 5,
    "__init__": 5,
    "__main__": 5,
}
ONLY_USER = {
    "flwr": {"federation"},
    "opacus": {"training"},
    "tenseal": {"crypto"},
    "hydra": {"config"},
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """The top part of fedcc that a file belongs to."""
    relative = path.relative_to(PACKAGE).with_suffix("")
    return relative.parts[0]


def imports_of(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield imported module names, and whether the import is for type checkers alone."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in typing_only
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "fedcc":
                for alias in node.names:
                    yield f"fedcc.{alias.name}", id(node) in typing_only
            else:
                yield str(node.module), id(node) in typing_only


def broken_rules(path: Path) -> list[str]:
    """Return what a file imports against the rules."""
    here = part_of(path)
    found = []
    for name, _ in imports_of(path):
        root, *rest = name.split(".")
        if root == "fedcc":
            there = rest[0] if rest else "__init__"
            there = there if there in LEVEL else "__init__"
            same = there == here or LEVEL[there] == LEVEL[here] == 0
            if not same and LEVEL[there] >= LEVEL[here] and LEVEL[here] < 5:
                found.append(f"{path.name}: {here} imports {there}")
        elif root in ONLY_USER and here not in ONLY_USER[root]:
            found.append(f"{path.name}: {here} imports {root}")
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_from_lower_layers_only(path: Path) -> None:
    assert part_of(path) in LEVEL, "a new part of fedcc needs a layer"

    assert broken_rules(path) == []


def test_the_rule_finds_an_upward_import(tmp_path: Path) -> None:
    (tmp_path / "privacy").mkdir()
    bad = tmp_path / "privacy" / "bad.py"
    bad.write_text("from fedcc.federation import strategy\nfrom fedcc.crypto import keys\n")
    globals()["PACKAGE"], kept = tmp_path, globals()["PACKAGE"]
    try:
        assert len(broken_rules(bad)) == 2
    finally:
        globals()["PACKAGE"] = kept


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_is_short_enough_to_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_importing_fedcc_loads_no_heavy_library() -> None:
    import subprocess
    import sys

    code = "import fedcc, sys; print([m for m in ('torch','flwr','tenseal') if m in sys.modules])"

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout

    assert printed.strip() == "[]"


@pytest.mark.parametrize(
    ("module", "has_torch"),
    [
        ("fedcc.federation.service.run_queue", False),
        ("fedcc.federation.flower_superlink", False),
        ("fedcc.federation.service.site_worker", True),  # the question can be answered with yes
    ],
)
def test_an_aggregator_never_loads_what_trains_models(module: str, has_torch: bool) -> None:
    code = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split()[-1] == str(has_torch)
