import json
import subprocess
import sys
from pathlib import Path

import pytest

from fedcc.crypto.parameters import ENCRYPTED

CHILD = Path(__file__).parent / "hostile_ciphertexts.py"
REFUSED = "EnvelopeError: a ciphertext was refused"

# Coefficients are any numbers below the modulus, so altering some gives another sound ciphertext;
# that it is not the site's own is for the signature to find (test_envelopes.py).
MAY_BE_SOUND = {
    "flipped bits",
    "flipped bits at the start",
    "flipped bits at the end",
}


@pytest.fixture(scope="module", params=ENCRYPTED)
def child(request: pytest.FixtureRequest) -> subprocess.CompletedProcess[str]:
    """Run several hundred hostile inputs where a crash of native code cannot hide."""
    command = [sys.executable, str(CHILD), request.param]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def outcomes(child: subprocess.CompletedProcess[str]) -> list[tuple[str, str, str]]:
    return [tuple(json.loads(line)) for line in child.stdout.splitlines()]


def test_no_hostile_bytes_end_the_process(child) -> None:
    assert child.returncode == 0, child.stderr


def test_hundreds_of_hostile_ciphertexts_were_tried(child) -> None:
    tried = [name for name, action, _ in outcomes(child) if action == "check"]

    assert len(tried) >= 400


def test_every_hostile_ciphertext_is_refused_with_the_same_words(child) -> None:
    kinds = MAY_BE_SOUND | {"context"}

    rest = {(name, end) for name, _, end in outcomes(child) if name not in kinds}

    assert {end for _, end in rest} == {REFUSED}


def test_an_altered_ciphertext_is_refused_with_the_same_words_or_sound(child) -> None:
    ends = {end for name, _, end in outcomes(child) if name in MAY_BE_SOUND}

    assert ends <= {REFUSED, "accepted"}


def test_every_damaged_or_foreign_context_or_key_is_refused(child) -> None:
    ends = {end for name, _, end in outcomes(child) if name == "context"}

    assert ends <= {
        "EnvelopeError: the epoch key cannot be used",
        "EnvelopeError: the HE parameters cannot be used",
        "EnvelopeError: the HE parameters hold a key; the aggregator must not have one",
    }
