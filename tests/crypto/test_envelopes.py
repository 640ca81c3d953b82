import json
from collections.abc import Callable
from dataclasses import asdict, replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fedcc.crypto.envelopes import (
    MAX_HEADER_BYTES,
    Envelope,
    Expected,
    Header,
    open_upload,
    seal_upload,
)
from fedcc.crypto.keys import SiteKeys
from fedcc.errors import EnvelopeError

KEYS = SiteKeys.create()
OTHER_SITE = SiteKeys.create()
CHUNKS = [b"first chunk", b"second chun"]
COMMITMENT = bytes(range(32))
EXPECTED = Expected(
    run="run-1",
    round_number=3,
    attempt=2,
    entry=4,
    site="braga",
    cohort_hash="c0" * 32,
    session="40" * 32,
    key_id="1d" * 16,
    parameters="9a" * 32,
    n_parameters=12_345,
    n_chunks=2,
    chunk_bytes=(11, 11),
)


def sealed_as(expected: Expected, chunks: list[bytes]) -> Envelope:
    own = {"seed_commitment": COMMITMENT, "rounds_applied": 2}  # what a site says of itself
    return seal_upload(KEYS, expected, chunks, **own)


SEALED = sealed_as(EXPECTED, CHUNKS)
HEADER = Header.from_bytes(SEALED.header)
TRUTH = asdict(HEADER)

# For every field a value of the right type that is not the truth.
LIES: dict[str, object] = {
    "version": 1,
    "profile": "fedcc-he-2",
    "run": "run-2",
    "round_number": 4,
    "attempt": 1,
    "entry": 5,
    "site": "faro",
    "cohort_hash": "c1" * 32,
    "session": "41" * 32,
    "key_id": "1e" * 16,
    "parameters": "9b" * 32,
    "n_parameters": 12_346,
    "lengths": [11, 12],
    "payload_sha256": "00" * 32,
    "seed_commitment": "not a hash",
    "rounds_applied": 3,  # a site cannot have applied the round that it uploads to
}


def canonical(values: dict[str, object]) -> bytes:
    """The wire form, written here a second time."""
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()


def signed(header: bytes, keys: SiteKeys = KEYS) -> Envelope:
    return Envelope(header, keys.sign(b"fedcc/upload/v1|" + header), CHUNKS)


def assert_refused(envelope: Envelope, expected: Expected = EXPECTED) -> None:
    with pytest.raises(EnvelopeError) as refusal:
        open_upload(envelope, KEYS.identity, expected)

    assert type(refusal.value) is EnvelopeError
    assert str(refusal.value) == "an envelope was refused"  # whatever was wrong


def test_an_upload_comes_back_as_it_was_sealed() -> None:
    header = open_upload(SEALED, KEYS.identity, EXPECTED)

    assert header == HEADER


def test_the_header_says_what_was_expected_and_sent() -> None:
    told = {name: value for name, value in asdict(EXPECTED).items() if name in TRUTH}

    assert TRUTH == told | {
        "version": 2,
        "profile": "fedcc-he-1",
        "lengths": [11, 11],
        # printf 'first chunk' | sha256sum, the same for the second, then over both digests
        "payload_sha256": "0fe846f7caa97a936c95024f9ad44999bcf5e73dc996760a30361741ea31f656",
        "seed_commitment": COMMITMENT.hex(),
        "rounds_applied": 2,
    }


def test_the_header_is_canonical_json() -> None:
    assert SEALED.header == canonical(TRUTH)


def test_every_field_of_the_header_is_lied_about_below() -> None:
    assert LIES.keys() == TRUTH.keys()


@pytest.mark.parametrize("field", LIES)
def test_an_altered_field_breaks_the_signature(field: str) -> None:
    altered = canonical(TRUTH | {field: LIES[field]})

    assert_refused(replace(SEALED, header=altered))


@pytest.mark.parametrize("field", LIES)
def test_an_altered_field_signed_by_another_site_is_refused(field: str) -> None:
    assert_refused(signed(canonical(TRUTH | {field: LIES[field]}), OTHER_SITE))


@pytest.mark.parametrize("field", LIES)
def test_a_site_cannot_lie_about_a_field_even_with_its_own_signature(field: str) -> None:
    assert_refused(signed(canonical(TRUTH | {field: LIES[field]})))


@pytest.mark.parametrize("field", LIES)
def test_a_header_without_a_field_is_refused(field: str) -> None:
    assert_refused(signed(canonical({k: v for k, v in TRUTH.items() if k != field})))


LOOKALIKES = [1, 1.0, True, None, "1", [11, 11], {}]


@pytest.mark.parametrize("field", LIES)
def test_a_field_of_another_type_is_refused(field: str) -> None:
    for value in LOOKALIKES:
        if type(value) is not type(TRUTH[field]):
            assert_refused(signed(canonical(TRUTH | {field: value})))


@pytest.mark.parametrize("field", [name for name, value in TRUTH.items() if type(value) is int])
def test_a_number_that_equals_the_truth_but_is_no_integer_is_refused(field: str) -> None:
    assert_refused(signed(canonical(TRUTH | {field: float(TRUTH[field])})))


def test_true_is_not_the_number_one() -> None:
    first = replace(EXPECTED, attempt=1)
    header = Header.from_bytes(sealed_as(first, CHUNKS).header)
    assert header.attempt == 1

    assert_refused(signed(canonical(asdict(header) | {"attempt": True})), first)


@pytest.mark.parametrize(
    "lengths", [[11.0, 11], [True, 11], [[11], 11], ["11", "11"], "11", {"11": 11}, [-11]]
)
def test_lengths_that_are_not_a_list_of_integers_are_refused(lengths: object) -> None:
    assert_refused(signed(canonical(TRUTH | {"lengths": lengths})))


def test_the_unaltered_header_signed_by_another_site_is_refused() -> None:
    assert_refused(signed(SEALED.header, OTHER_SITE))


@pytest.mark.parametrize("prefix", [b"", b"fedcc/upload/v2|"])
def test_a_signature_made_for_another_purpose_is_refused(prefix: bytes) -> None:
    assert_refused(replace(SEALED, signature=KEYS.sign(prefix + SEALED.header)))


# Replay: a genuine envelope where another one is expected

PLACES: dict[str, object] = {
    "run": "run-2",
    "round_number": 4,
    "attempt": 3,
    "entry": 5,
    "site": "faro",
    "cohort_hash": "c1" * 32,
    "session": "41" * 32,
    "key_id": "1e" * 16,
    "parameters": "9b" * 32,
    "n_parameters": 12_346,
    "n_chunks": 3,
    "chunk_bytes": (12, 20),
}


@pytest.mark.parametrize("field", PLACES)
def test_a_genuine_envelope_is_refused_at_any_other_place(field: str) -> None:
    assert_refused(SEALED, replace(EXPECTED, **{field: PLACES[field]}))


def test_every_expectation_is_tried_above() -> None:
    assert PLACES.keys() == asdict(EXPECTED).keys()


@pytest.mark.parametrize("rounds_applied", [-1, 3, 4])
def test_a_site_cannot_have_applied_rounds_that_are_not_closed(rounds_applied: int) -> None:
    assert_refused(signed(canonical(TRUTH | {"rounds_applied": rounds_applied})))


@pytest.mark.parametrize(
    "commitment", ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64, "0" * 63 + "\n"]
)
def test_a_commitment_that_is_no_hash_is_refused(commitment: str) -> None:
    assert_refused(signed(canonical(TRUTH | {"seed_commitment": commitment})))


# The payload

PAYLOADS: dict[str, list[bytes]] = {
    "none": [],
    "truncated": [CHUNKS[0], CHUNKS[1][:-1]],
    "a missing chunk": CHUNKS[:1],
    "an extra chunk": [*CHUNKS, CHUNKS[0]],
    "an empty extra chunk": [*CHUNKS, b""],
    "swapped chunks": CHUNKS[::-1],
    "one chunk twice": [CHUNKS[0], CHUNKS[0]],
    "a flipped bit": [CHUNKS[0], b"Second chun"],
    "a moved border": [CHUNKS[0] + CHUNKS[1][:1], CHUNKS[1][1:]],
    "joined": [CHUNKS[0] + CHUNKS[1], b""],
}


@pytest.mark.parametrize("chunks", PAYLOADS.values(), ids=PAYLOADS)
def test_another_payload_is_refused(chunks: list[bytes]) -> None:
    assert_refused(replace(SEALED, chunks=chunks))


@pytest.mark.parametrize("size", [0, 10, 12, 100_000])
def test_a_chunk_of_another_length_is_refused_even_if_its_site_signed_it(size: int) -> None:
    chunks = [CHUNKS[0], bytes(size)]
    sealed = sealed_as(EXPECTED, chunks)

    assert_refused(sealed)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_chunks_is_refused_even_if_its_site_signed_it(count: int) -> None:
    chunks = [bytes(11)] * count
    sealed = sealed_as(EXPECTED, chunks)

    assert_refused(sealed)


# Headers that no site writes

DEPTH = 20_000
TEXT = SEALED.header.decode()
HOSTILE_HEADERS: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"fedcc",
    "null": b"null",
    "a list": b"[1]",
    "a text": b'"header"',
    "no fields": b"{}",
    "not UTF-8": b"\xff\xfe" + SEALED.header,
    "with a byte order mark": b"\xef\xbb\xbf" + SEALED.header,
    "UTF-16": TEXT.encode("utf-16-le"),
    "UTF-32": TEXT.encode("utf-32"),
    "with spaces": json.dumps(TRUTH, sort_keys=True).encode(),
    "in another order": json.dumps(dict(reversed(TRUTH.items())), separators=(",", ":")).encode(),
    "trailing newline": SEALED.header + b"\n",
    "trailing bytes": SEALED.header + b"{}",
    "a field twice": TEXT.replace('{"attempt":2', '{"attempt":1,"attempt":2').encode(),
    "an unknown field": canonical(TRUTH | {"zone": 1}),
    "an escaped letter": TEXT.replace("braga", "br\\u0061ga").encode(),
    "NaN": canonical(TRUTH | {"rounds_applied": float("nan")}),
    "infinity": canonical(TRUTH | {"rounds_applied": float("inf")}),
    "an exponent": TEXT.replace('"attempt":2', '"attempt":2e0').encode(),
    "minus zero": TEXT.replace('"rounds_applied":2', '"rounds_applied":-0').encode(),
    "a huge number": TEXT.replace('"attempt":2', '"attempt":' + "9" * 5000).encode(),
    "a lone surrogate": canonical(TRUTH | {"site": "\ud800"}),
    "a nested list": b"[" * DEPTH + b"]" * DEPTH,
    "nested lengths": TEXT.replace("[11,11]", "[" * DEPTH + "]" * DEPTH).encode(),
    "barely nested lengths": TEXT.replace("[11,11]", "[" * 900 + "]" * 900).encode(),
    "a nested mapping": b'{"a":' * DEPTH + b"1" + b"}" * DEPTH,
    "giant": canonical(TRUTH | {"site": "x" * MAX_HEADER_BYTES}),
    "very giant": b" " * 50_000_000,
}


@pytest.mark.parametrize("header", HOSTILE_HEADERS.values(), ids=HOSTILE_HEADERS)
def test_a_header_in_any_but_the_canonical_form_is_refused(header: bytes) -> None:
    assert_refused(signed(header))


def test_a_header_that_is_too_long_is_refused_even_if_it_is_true() -> None:
    many = replace(EXPECTED, n_chunks=MAX_HEADER_BYTES // 2, chunk_bytes=(0, 0))
    chunks = [b""] * many.n_chunks  # two characters each in the list of lengths

    sealed = sealed_as(many, chunks)

    assert_refused(sealed, many)


def test_a_header_may_fill_what_is_allowed() -> None:
    many = replace(EXPECTED, n_chunks=MAX_HEADER_BYTES // 2 - 1000, chunk_bytes=(0, 0))
    chunks = [b""] * many.n_chunks

    sealed = sealed_as(many, chunks)

    assert open_upload(sealed, KEYS.identity, many).lengths == [0] * many.n_chunks


SIGNATURES = {"none": b"", "zeros": bytes(64), "short": bytes(63), "long": SEALED.signature + b"\0"}
IDENTITIES = {"none": b"", "zeros": bytes(32), "short": bytes(31), "another": OTHER_SITE.identity}


@pytest.mark.parametrize("signature", SIGNATURES.values(), ids=SIGNATURES)
def test_bytes_that_are_no_signature_are_refused(signature: bytes) -> None:
    assert_refused(replace(SEALED, signature=signature))


@pytest.mark.parametrize("identity", IDENTITIES.values(), ids=IDENTITIES)
def test_an_identity_that_is_not_the_signers_is_refused(identity: bytes) -> None:
    with pytest.raises(EnvelopeError, match="^an envelope was refused$"):
        open_upload(SEALED, identity, EXPECTED)


# Fuzzing: any change of any part, whoever signs

Mutation = Callable[[bytes], bytes]
OFFSET = st.integers(0, 10_000)


def flip_bit(offset: int, bit: int) -> Mutation:
    def mutate(content: bytes) -> bytes:
        place = offset % max(len(content), 1)
        return (
            content[:place]
            + bytes(b ^ (1 << bit) for b in content[place : place + 1])
            + (content[place + 1 :])
        )

    return mutate


def replace_slice(offset: int, length: int, insert: bytes) -> Mutation:
    def mutate(content: bytes) -> bytes:
        place = offset % (len(content) + 1)
        return content[:place] + insert + content[place + length :]

    return mutate


mutations = st.one_of(
    st.builds(flip_bit, OFFSET, st.integers(0, 7)),
    st.builds(replace_slice, OFFSET, st.integers(0, 60), st.binary(max_size=20)),
    st.builds(
        replace_slice,
        OFFSET,
        st.integers(0, 3),
        st.sampled_from(
            [b"0", b"-", b"e9", b".0", b"true", b"null", b"NaN", b'"', b"[", b"{", b","]
        ),
    ),
)


PARTS = {
    "header": SEALED.header,
    "signature": SEALED.signature,
    "first": CHUNKS[0],
    "second": CHUNKS[1],
}


def mutated(part: str, changes: list[Mutation]) -> dict[str, bytes]:
    content = PARTS[part]
    for change in changes:
        content = change(content)
    assume(content != PARTS[part])
    return PARTS | {part: content}


several = st.lists(mutations, min_size=1, max_size=3)


@settings(max_examples=2000, deadline=None)
@given(part=st.sampled_from(sorted(PARTS)), changes=several)
def test_no_mutated_envelope_is_ever_accepted(part: str, changes: list[Mutation]) -> None:
    parts = mutated(part, changes)

    assert_refused(Envelope(parts["header"], parts["signature"], [parts["first"], parts["second"]]))


@settings(max_examples=500, deadline=None)
@given(changes=several)
def test_a_mutated_header_that_its_site_signs_still_says_nothing_untrue(
    changes: list[Mutation],
) -> None:
    envelope = signed(mutated("header", changes)["header"])

    try:
        accepted = asdict(open_upload(envelope, KEYS.identity, EXPECTED))
    except EnvelopeError:
        return

    # A commitment and the number of applied rounds are the site's to say.
    free = {"seed_commitment", "rounds_applied"}
    assert {name for name, value in accepted.items() if value != TRUTH[name]} <= free
