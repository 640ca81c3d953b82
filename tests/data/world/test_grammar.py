"""The grammar: what a notation derives, with which weights, and what it refuses."""

import itertools
from collections import Counter
from collections.abc import Callable

import pytest

from fedcc.data.world.grammar import Slot, compile_grammar, expand, surfaces
from fedcc.data.world.intents import INTENTS
from fedcc.data.world.interaction_rows import draws_of
from fedcc.data.world.places import LANGUAGES
from fedcc.data.world.utterances import wording
from fedcc.rng import generator

Draw = Callable[[], float]


@pytest.fixture
def draw() -> Draw:
    return draws_of(generator(0, "tests", "grammar"))


def derive(rules: dict[str, str], name: str, draw: Draw, slots: tuple[str, ...] = ()) -> str:
    pieces: list[str | Slot] = []
    expand(compile_grammar(rules, slots)[name], draw, pieces)
    return "".join(f"<{piece.name}>" if isinstance(piece, Slot) else piece for piece in pieces)


def test_every_derivation_of_a_nested_rule_occurs_and_no_other(draw: Draw) -> None:
    rules = {"ask": "[pay|settle [all of |]]<thing>\nno thanks", "thing": "[my |]bill"}
    expected = {"no thanks"} | {
        verb + thing
        for verb, thing in itertools.product(
            ("pay", "settle ", "settle all of "), ("my bill", "bill")
        )
    }

    found = {derive(rules, "ask", draw) for _ in range(500)}

    assert found == expected
    assert surfaces(compile_grammar(rules, ())["ask"]) == len(expected)


def test_alternatives_occur_by_their_weights(draw: Draw) -> None:
    counts = Counter(derive({"a": "[x^3|y|z^4]"}, "a", draw) for _ in range(8000))

    # Five standard deviations of a share of 8,000 draws are below 0.028.
    for letter, share in (("x", 3 / 8), ("y", 1 / 8), ("z", 4 / 8)):
        assert abs(counts[letter] / 8000 - share) < 0.028


def test_the_last_alternative_is_reached_by_the_largest_draw() -> None:
    assert derive({"a": "[x^3|y|z^5]"}, "a", lambda: 1 - 2**-53) == "z"
    assert derive({"a": "[x|y|z]"}, "a", lambda: 1 - 2**-53) == "z"


def test_slots_stay_in_place(draw: Draw) -> None:
    assert derive({"a": "it costs <amount> today"}, "a", draw, ("amount",)) == (
        "it costs <amount> today"
    )


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"a": "pay <bil>"}, "'<bil>' is neither"),
        ({"a": "[pay|settle"}, "not closed|unbalanced"),
        ({"a": "pay]"}, "unbalanced"),
        ({"a": "pay|settle"}, "bar outside"),
        ({"a": "pay < 3"}, "stray"),
        ({"a": "\n  \n"}, "empty"),
        ({"amount": "ten"}, "name of a slot"),
    ],
)
def test_a_faulty_notation_is_refused(rules: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compile_grammar(rules, ("amount",))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_a_request_for_every_intent(language: str) -> None:
    requests = wording(language).requests

    assert len(requests) == len(INTENTS)
    least = 1500 if language == "en" else 20  # English is the large grammar
    assert {INTENTS[i]: n for i, r in enumerate(requests) if (n := surfaces(r)) < least} == {}


def test_english_requests_have_thousands_of_surfaces_once_slots_are_filled() -> None:
    from fedcc.data.world.identities import Person
    from fedcc.data.world.styles import typed
    from fedcc.data.world.utterances import Caller

    draw = draws_of(generator(0, "tests", "surfaces"))
    person = Person("leeds", "GB", "en", 5000, tuple(range(8)))
    for intent in range(len(INTENTS)):
        texts = {
            typed(
                Caller(person, "£", spoken=False, draw=draw).utterance(intent, identified=False),
                "en",
                draw,
            )[0]
            for _ in range(1200)
        }

        # So few repetitions mean about 2,000 equally likely surfaces or more (birthday rule).
        assert len(texts) > 900, INTENTS[intent]
