"""`fedcc simulate`: a whole federation on this machine."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fedcc
from fedcc import config
from fedcc.cli.display import Display, print_result
from fedcc.errors import ConfigError

if TYPE_CHECKING:
    from fedcc.federation.simulation import RunResult

EXAMPLES = """\
examples:
  fedcc simulate                                    churn on real telco data, 5 sites, epsilon 1
  fedcc simulate sites=10 privacy=balanced          10 sites, epsilon 3
  fedcc simulate privacy.epsilon=2 model=hinge      a budget and a model of your own
  fedcc simulate data=telco data.path=FILE.csv      IBM's original CSV file
  fedcc simulate --config-dir mine data=calls       your data, described in mine/data/calls.yaml
  fedcc simulate task=intent                        intents on a generated (synthetic) world
  fedcc simulate task=intent data=banking77 data.path=FOLDER sites=20
  fedcc simulate task=intent encoder=hashing training=one_round cache=none
  fedcc simulate data.partition=dirichlet data.alpha=0.1 baselines=true
  fedcc simulate privacy.noise=local                every update private on its own
  fedcc simulate privacy.min_sites=4 'federation.drop=[{site: 2, round: 3}]'
  fedcc simulate sites=3 engine=superlink           the same apps on Flower's SuperLink, loopback
  fedcc simulate --multirun privacy=strict,balanced,explore seed=1,2,3
  fedcc simulate --resume runs/churn-20260101T120000Z-1a2b3c

keys (defaults in configs/, `fedcc simulate --show` prints all):
  sites=K rounds=R seed=N baselines=true run.dir=DIR run.report=false ledger.dir=DIR
  site.policy=FILE (what the sites admit)   'site.max_epsilon={site-2: 0.5}'
  privacy=strict|balanced|explore|none   privacy.epsilon privacy.delta privacy.noise=shared|local
      privacy.min_sites privacy.tolerated_collusion privacy.reserved_retries
      privacy.excess_components
  crypto=bfv|ckks_packed|ckks|none   crypto.lanes=2|3 crypto.grid_steps crypto.unseeded
      crypto.neighbours=N (masks with N sites only: for many sites)   crypto.rotate_every=ROUNDS
  task=churn|intent
  data=NAME   data.path data.partition=natural|iid|dirichlet data.alpha data.min_rows
      data.split_seed data.public_rows data.source.rows (generated data)
  encoder=minilm|wordllama|hashing   cache=disk|none cache.dir
  model=linear|hinge|fourier|mlp|text   training.max_grad_norm
      training=full_batch|interactions|label_init|one_round
  federation.drop federation.organisations federation.timeout_seconds
      federation.roster=FILE federation.admin_fingerprint=TEXT (organisations of a real consortium)
  engine=inprocess|ray|superlink   engine.start_timeout_seconds engine.poll_seconds
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "simulate",
        help="train across simulated sites on this machine",
        description="Train one model across simulated sites: Flower carries the messages, Opacus "
        "clips gradients, TenSEAL encrypts what leaves a site.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings, see below")
    parser.add_argument("--multirun", action="store_true", help="run every point of a sweep a,b,c")
    parser.add_argument("--config-dir", type=Path, metavar="DIR", help="your own options")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="continue an interrupted run")
    parser.add_argument("--json", action="store_true", help="print summary.json instead of a table")
    parser.add_argument("--show", action="store_true", help="print the resolved config and stop")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.set_defaults(run_command=run_simulate)


def run_simulate(args: argparse.Namespace) -> int:
    """Run one simulation, or one per point of a sweep; the exit code is the first failure's."""
    if args.resume is not None and (args.multirun or args.config_dir is not None):
        raise ConfigError("--resume takes its settings from the run; give it alone.")
    points = config.sweep_points(args.overrides) if args.multirun else [args.overrides]
    if not args.multirun and args.resume is None:
        _refuse_sweep(args.overrides)
    if args.resume is None:
        # Every point is composed before the first one runs, so a typo ends the sweep at once.
        composed = [config.compose("simulate", point, args.config_dir) for point in points]
        if args.show:
            return _show(composed)
    codes = [_run_point(args, point, index, len(points)) for index, point in enumerate(points)]
    return next((code for code in codes if code), 0)


def _run_point(args: argparse.Namespace, point: list[str], index: int, count: int) -> int:
    if count > 1:
        point = _own_folder(point, index)
        if not args.json:
            print(f"[{index + 1}/{count}] {' '.join(point)}", flush=True)
    with Display(quiet=args.json) as display:
        result = fedcc.simulate(
            point, config_dir=args.config_dir, resume=args.resume, progress=display.show
        )
    if args.json:
        compact = count > 1 or args.multirun
        print(json.dumps(result.summary, indent=None if compact else 2), flush=True)
    else:
        print_result(result)
    return _report_error(result, args.debug)


def _report_error(result: "RunResult", debug: bool) -> int:
    if result.error is not None:
        if debug:
            raise result.error
        print(f"fedcc: {result.error}", file=sys.stderr)
    return result.exit_code


def _own_folder(point: list[str], index: int) -> list[str]:
    """Give each point of a sweep its own folder inside `run.dir`."""
    return [_with_number(text, index) if text.startswith("run.dir=") else text for text in point]


def _with_number(override: str, index: int) -> str:
    quoted = override[-1] in "'\""
    return f"{override[:-1]}/{index}{override[-1]}" if quoted else f"{override}/{index}"


def _refuse_sweep(overrides: list[str]) -> None:
    if len(config.sweep_points(overrides)) > 1:
        raise ConfigError("a list of values such as seed=1,2 needs --multirun.")


def _show(composed: list[dict[str, Any]]) -> int:
    from omegaconf import OmegaConf

    for values in composed:
        print(OmegaConf.to_yaml(OmegaConf.create(values)), end="")
    return 0
