"""`fedcc bundle`: everything that a machine without network needs, in one folder."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from fedcc.cli.parts import print_result

EXAMPLES = """\
examples:
  fedcc bundle out --source dist/fedcc-0.2.0-py3-none-any.whl --extra site
  sh out/install.sh /opt/fedcc SHA256          at the other end, without network

Made on a machine with network, of the versions that are installed there. Holds wheels/,
requirements.lock (with hashes), sbom.cdx.json (CycloneDX), licences.txt, install.sh and SHA256SUMS,
whose own hash is printed: have it read to whoever installs. Exit codes: 0 ok, 2 usage or an
environment that does not hold what fedcc needs, 7 pip could not fetch a wheel.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "bundle",
        help="collect wheels, hashes and papers for an installation without network",
        description="Collect wheels, hashes and papers for an installation without network.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a new folder")
    parser.add_argument(
        "--source", type=Path, required=True, metavar="PATH", help="fedcc's wheel or a checkout"
    )
    parser.add_argument(
        "--extra", action="append", default=[], metavar="NAME", help="of fedcc; repeat it"
    )
    parser.add_argument("--constraints", type=Path, metavar="FILE", help="constraints for pip")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.set_defaults(run_command=run_bundle)


def run_bundle(args: argparse.Namespace) -> int:
    """Make a bundle and print the hash that vouches for it."""
    from fedcc.cli.display import size
    from fedcc.deployment.offline import make_bundle

    made = make_bundle(
        args.folder,
        args.source,
        tuple(args.extra),
        constraints=args.constraints,
        now=datetime.now(UTC),
    )
    look = [one.name for one in made.wheels if one.licence is None or one.copyleft]
    values = {
        "folder": str(made.folder),
        "sha256": made.sha256,
        "wheels": len(made.wheels),
        "bytes": made.size,
        "licences_to_look_at": look,
    }
    text = (
        f"{made.folder}: {len(made.wheels)} wheels, {size(made.size)}\n"
        f"  sha256    {made.sha256} (of SHA256SUMS; tell whoever installs)\n"
        f"  licences  look at {', '.join(look) or 'none'}"
    )
    return print_result(values, text, as_json=args.json)
