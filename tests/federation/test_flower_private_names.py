"""Which private names of Flower fedcc touches: all of them are listed here, and all are there.

A name is private if it is not one of `flwr.app`, `flwr.clientapp`, `flwr.serverapp`. The lists are
read from the code, so a name that is used and not listed fails, as does one that Flower renamed.
"""

import ast
import importlib
import inspect
from pathlib import Path

from flwr.superlink.grid import HttpGrid

import fedcc

PACKAGE = Path(fedcc.__file__).parent
PUBLIC = ("flwr.app", "flwr.clientapp", "flwr.serverapp", "flwr.serverapp.strategy")
# Modules whose own globals are replaced, and the names in them.
REPLACED = {
    ("flwr.supernode.fleet_http_connection", "HEARTBEAT_DEFAULT_INTERVAL"),
    ("flwr.supernode.fleet_http_connection", "make_simple_http_retry_invoker"),
    ("flwr.supercore.heartbeat", "HEARTBEAT_DEFAULT_INTERVAL"),
    ("flwr.supercore.heartbeat", "HEARTBEAT_CALL_TIMEOUT"),
    ("flwr.supercore.heartbeat", "exponential"),
    ("flwr.supercore.retry.http_retry", "MAX_RETRY_DELAY"),
    ("flwr.superlink.servicer.fleet.fleet_handlers", "HEARTBEAT_MIN_INTERVAL"),
    ("flwr.superlink.main", "_get_middleware"),
    ("flwr.server.superlink.linkstate.in_memory_linkstate", "generate_rand_int_from_bytes"),
    ("flwr.server.superlink.linkstate.linkstate_factory", "InMemoryLinkState"),
    ("flwr.supernode.main", "create_app"),
    ("flwr.supernode.start_client_internal", "_pull_and_store_message"),
    ("flwr.supernode.start_client_internal", "time"),
    ("httpcore._sync.connection", "default_ssl_context"),
}


def private_imports(path: Path) -> set[tuple[str, str]]:
    """Return module and name of everything of Flower's that a file imports and is not public."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "flwr":
            found |= {(str(node.module), alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {(one.name, "") for one in node.names if one.name.split(".")[0] == "flwr"}
    return {each for each in found if each[0] not in PUBLIC}


def texts_that_name_modules(path: Path) -> set[str]:
    """Return strings by which a module of Flower could be imported around the other check."""
    tree = ast.parse(path.read_text())
    texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
    return {text for text in texts if isinstance(text, str) and text.startswith("flwr.")}


def test_no_module_of_the_whole_package_but_those_called_flower_uses_a_private_name() -> None:
    users = {path for path in PACKAGE.rglob("*.py") if private_imports(path)}

    assert {path.relative_to(PACKAGE).as_posix() for path in users} == {
        "federation/flower_compat.py",
        "federation/flower_linkstate.py",
        "federation/flower_runs.py",
        "federation/flower_runtime.py",
        "federation/flower_superlink.py",
        "federation/flower_supernode.py",
    }


def test_no_private_module_is_reached_by_a_text() -> None:
    hidden = {path.name for path in PACKAGE.rglob("*.py") if texts_that_name_modules(path)}

    assert hidden == set()


def test_every_private_name_that_is_imported_is_there() -> None:
    names = {name for path in PACKAGE.rglob("flower_*.py") for name in private_imports(path)}

    assert len(names) > 30
    for module, name in sorted(names):
        found = importlib.import_module(module)
        is_there = not name or hasattr(found, name) or importlib.import_module(f"{module}.{name}")
        assert is_there, f"{module}.{name}"


def test_every_global_that_is_replaced_is_there_and_is_read_where_it_is_replaced() -> None:
    for module, name in sorted(REPLACED):
        found = importlib.import_module(module)
        assert name in vars(found), f"{module}.{name}"
        # Not only imported there: a global that nobody reads is replaced in vain.
        source = inspect.getsource(found)
        assert source.count(name) >= 2, f"{module}.{name}"


def test_the_private_attributes_that_are_used_are_there() -> None:
    assert "self._runtime_client" in inspect.getsource(HttpGrid)
    used = {
        node.attr
        for path in PACKAGE.rglob("flower_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and ast.unparse(node.value) != "self"
    }
    assert used == {"_runtime_client"}


def test_what_is_replaced_in_the_code_is_listed_here() -> None:
    """`vars(module)[name] = …` of every flower_*.py, by the name in the brackets."""
    replaced = set()
    for path in PACKAGE.rglob("flower_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            is_item = isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
            if is_item and ast.unparse(node.value).startswith("vars("):  # type: ignore[attr-defined]
                replaced.add(ast.unparse(node.slice))  # type: ignore[attr-defined]
    by_text = {text.strip("'") for text in replaced if text.startswith("'")}

    # `hasten` names its own in a table, which its unit test goes through.
    assert by_text == {name for _, name in REPLACED} - {
        "HEARTBEAT_DEFAULT_INTERVAL",
        "HEARTBEAT_CALL_TIMEOUT",
        "MAX_RETRY_DELAY",
    }
