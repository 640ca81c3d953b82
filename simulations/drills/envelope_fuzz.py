"""Send mutated envelopes and aggregates to the real checks, in child processes.

Three attackers. The *network* alters any part of a genuine envelope and can sign nothing: all of it
must be refused. A *site* alters header or payload and signs that: only an envelope whose public
fields are all true may pass, and its ciphertexts must be refused or add without harm. The
*aggregator* alters the sum that a site opens: refused, or some other sum (which the survivors'
signatures tell, not this drill). Each case goes through open_upload, AggregatorCipher.check and
.add, or SiteCipher.decrypt, whatever came before. A child that dies or hangs is counted.

    python simulations/drills/envelope_fuzz.py --cases 100000 --seed 1

What it printed last is beside it, in results/envelope_fuzz.txt.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, fields

import numpy as np

from fedcc.crypto.contexts import AggregatorCipher, SiteCipher, create_epoch_key, parameter_bytes
from fedcc.crypto.envelopes import Envelope, Expected, Header, open_upload, seal_upload
from fedcc.crypto.keys import SiteKeys
from fedcc.crypto.parameters import MASKED, ciphertext_bytes
from fedcc.errors import EnvelopeError

CASES_A_CHILD = 5000
LONGEST_SECONDS = 300  # for all cases of a child; they take some ten
TOKENS = (b"0", b"-", b"e9", b"true", b"null", b"NaN", b'"', b"[", b"{}", b"\\u0000", b"\xff" * 8)
TOLD = {f.name for f in fields(Expected)} | {"version", "profile", "lengths"}


class Stage:
    """A site, an aggregator and one genuine upload of one scheme."""

    def __init__(self, number: int) -> None:
        """Set the stage of child `number`."""
        scheme = MASKED[number % len(MASKED)]
        key, self.keys = create_epoch_key(scheme), SiteKeys.create()
        self.site = SiteCipher(scheme, key)
        self.aggregator = AggregatorCipher(parameter_bytes(key))
        self.chunks = self.site.encrypt(np.arange(5000))
        self.total = self.aggregator.add([self.chunks, self.chunks])
        same = {f.name: "ab" * 32 for f in fields(Expected) if f.type is str}
        counts = {"round_number": 3, "attempt": 1, "entry": 4, "n_parameters": 9999, "n_chunks": 2}
        size = ciphertext_bytes(scheme, aggregate=False)
        self.expected = Expected(**{**same, **counts, "chunk_bytes": size})
        self.genuine = self.sealed(self.chunks)
        said = asdict(Header.from_bytes(self.genuine.header))
        # What a site says of itself aside; the hash was held against the payload.
        self.truth = {name: said[name] for name in TOLD & said.keys()}

    def sealed(self, chunks: list[bytes]) -> Envelope:
        """Sign an upload, whatever is in it."""
        own = {"seed_commitment": bytes(32), "rounds_applied": 2}
        return seal_upload(self.keys, self.expected, chunks, **own)

    def receive(self, envelope: Envelope) -> str:
        """Do what the aggregator does, and tell what came of it."""
        found = asdict(open_upload(envelope, self.keys.identity, self.expected))
        if any(found[name] != value for name, value in self.truth.items()):
            return "ALTERED AND ACCEPTED"
        self.aggregator.check(envelope.chunks)
        self.aggregator.add([self.chunks, envelope.chunks])
        return "sound"


def mutated(rng: random.Random, content: bytes) -> bytes:
    """Return other bytes: flipped bits, a cut, an insertion, an overwritten stretch, or noise."""
    kind, place = rng.randrange(6), rng.randrange(len(content) + 1)
    if kind < 2:
        altered = bytearray(content)
        for _ in range(rng.choice([1, 1, 2, 8])):
            altered[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        return bytes(altered) if bytes(altered) != content else altered[:-1]
    part = rng.choice([rng.choice(TOKENS), rng.randbytes(rng.randrange(1, 40)), b""])
    taken = rng.choice([0, len(part), rng.randrange(64)]) if part else rng.randrange(1, 64)
    result = content[:place] + part + content[place + taken :]
    if kind == 5:
        result = rng.randbytes(rng.choice([len(content), rng.randrange(70_000)]))
    return result if result != content else content + b"\0"


def cases(stage: Stage, rng: random.Random) -> dict[str, Callable[[], str]]:
    """Return one mutation of each part by each attacker."""
    header, signature, chunks = stage.genuine.header, stage.genuine.signature, stage.chunks
    place = rng.randrange(2)
    other = [mutated(rng, chunk) if i == place else chunk for i, chunk in enumerate(chunks)]
    odd = rng.choice([chunks[::-1], chunks[:1], chunks + chunks[:1], [], [b"", *chunks]])
    lie = mutated(rng, header)
    signed = Envelope(lie, stage.keys.sign(b"fedcc/upload/v1|" + lie), chunks)
    total = [mutated(rng, chunk) if i == place else chunk for i, chunk in enumerate(stage.total)]

    def network(envelope: Envelope) -> Callable[[], str]:
        ends = {"sound": "ALTERED AND ACCEPTED"}
        return lambda: ends.get(end := stage.receive(envelope), end)

    return {
        "network, header": network(Envelope(lie, signature, chunks)),
        "network, signature": network(Envelope(header, mutated(rng, signature), chunks)),
        "network, payload": network(Envelope(header, signature, other)),
        "network, chunks": network(Envelope(header, signature, odd)),
        "site, header": lambda: stage.receive(signed),
        "site, payload": lambda: stage.receive(stage.sealed(other)),
        "site, chunks": lambda: stage.receive(stage.sealed(odd)),
        "aggregator, sum": lambda: str(stage.site.decrypt(total, 5000).size and "sound"),
    }


def work(number: int, count: int, seed: int) -> tuple[Counter[str], float]:
    """Run the cases of one child; return how they ended and the slowest one's seconds."""
    stage, rng = Stage(number), random.Random(seed * 1000 + number)
    found, slowest, done = Counter[str](), 0.0, 0
    while done < count:
        for name, action in cases(stage, rng).items():
            started = time.perf_counter()
            try:
                end = action()
            except EnvelopeError:
                end = "refused"
            except Exception as error:
                end = f"RAISED {type(error).__name__}"
            slowest, done = max(slowest, time.perf_counter() - started), done + 1
            found[f"{name}: {end}"] += 1
    return found, slowest


def main() -> int:
    """Run the drill and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", type=int, help="run the cases of one child here")
    args = parser.parse_args()
    if args.child is not None:
        print(json.dumps(work(args.child, args.cases, args.seed)))
        return 0
    found, slowest, lost = Counter[str](), 0.0, Counter[str]()
    for number in range(-(-args.cases // CASES_A_CHILD)):
        count = min(CASES_A_CHILD, args.cases - number * CASES_A_CHILD)
        options = ["--child", str(number), "--cases", str(count), "--seed", str(args.seed)]
        command = [sys.executable, __file__, *options]
        try:
            child = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            lost["hung"] += 1
            continue
        if child.returncode != 0:
            lost[f"died with {child.returncode}: {child.stderr[-200:]}"] += 1
            continue
        ends, longest = json.loads(child.stdout)
        found.update(ends)
        slowest = max(slowest, longest)
    print(f"{found.total()} mutated envelopes and sums, seed {args.seed}, {' and '.join(MASKED)}")
    for name, number in sorted(found.items()):
        print(f"  {name}: {number}")
    altered = sum(n for name, n in found.items() if "ALTERED" in name or "RAISED" in name)
    print(f"children that died or hung: {dict(lost) or 'none'}; slowest case {slowest:.3f} s")
    print(f"altered and accepted, or an error of another kind: {altered}")
    return 1 if lost or altered else 0


if __name__ == "__main__":
    sys.exit(main())
