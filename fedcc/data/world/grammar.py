"""A small grammar of weighted alternatives: from notation to nested choices to pieces of text.

Notation of a rule, one alternative a line:

    i want to [pay|settle] my bill            one of the alternatives in brackets, which nest
    my [old |]phone                           an empty alternative makes a word optional
    [yes^3|no]                                the weight of an alternative (1 where none is named)
    it costs <amount>                         another rule, or a slot that the speaker fills

Expansion draws every choice from the stream that is handed in and changes nothing else.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

Draw = Callable[[], float]
"""Returns the next uniform number in [0, 1)."""

_MOST_MERGED = 256  # texts that neighbouring choices may be written out as
_TOKEN = re.compile(r"\[|\]|\||\^\d+|<[a-z_]+>|[^\[\]|^<]+")


@dataclass(frozen=True)
class Slot:
    """A place that the speaker fills."""

    name: str


@dataclass(eq=False, slots=True)
class Choice:
    """Weighted alternatives; each is a sequence of literal texts, slots and further choices.

    `bounds` holds the cumulative shares of the alternatives, or nothing where all weigh the same.
    `texts` repeats them where all are plain text of one weight, which most choices are.
    """

    alternatives: list[tuple["str | Slot | Choice", ...]] = field(default_factory=list)
    bounds: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


Grammar = Mapping[str, Choice]


def compile_grammar(rules: Mapping[str, str], slots: Collection[str]) -> Grammar:
    """Turn the notation of all rules into linked choices.

    Args:
        rules: rule name to its alternatives, one a line; blank lines are skipped.
        slots: names that the speaker fills; no rule may have such a name.

    Raises:
        ValueError: for an unknown name, an unbalanced bracket or a rule without alternatives.
    """
    grammar = {name: Choice() for name in rules}
    for name, text in rules.items():
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if name in slots or not lines:
            raise ValueError(f"rule '{name}' is empty or has the name of a slot")
        weighted = [_parse_line(line, name, grammar, slots) for line in lines]
        _fill(grammar[name], weighted)
    done: set[int] = set()
    for choice in grammar.values():
        _merge(choice, done)
    return grammar


def _parse_line(
    line: str, rule: str, grammar: Mapping[str, Choice], slots: Collection[str]
) -> tuple[tuple[str | Slot | Choice, ...], float]:
    tokens = _TOKEN.findall(line)
    if "".join(tokens) != line:
        raise ValueError(f"rule '{rule}': a stray character in '{line}'")
    tokens.append("]")
    parsed, rest = _parse_choice(tokens, 0, rule, grammar, slots)
    if rest != len(tokens):
        raise ValueError(f"rule '{rule}': unbalanced brackets in '{line}'")
    if len(parsed) != 1:
        raise ValueError(f"rule '{rule}': a bar outside of brackets in '{line}'")
    return parsed[0]


def _parse_choice(
    tokens: list[str], start: int, rule: str, grammar: Mapping[str, Choice], slots: Collection[str]
) -> tuple[list[tuple[tuple[str | Slot | Choice, ...], float]], int]:
    """Read alternatives up to their closing bracket; return them and the position after it."""
    done: list[tuple[tuple[str | Slot | Choice, ...], float]] = []
    items: list[str | Slot | Choice] = []
    weight, at = 1.0, start
    while at < len(tokens):
        token = tokens[at]
        at += 1
        if token in ("|", "]"):
            done.append((tuple(items), weight))
            items, weight = [], 1.0
            if token == "]":
                return done, at
        elif token == "[":
            inner, at = _parse_choice(tokens, at, rule, grammar, slots)
            items.append(_fill(Choice(), inner))
        elif token[0] == "^":
            weight = float(token[1:])
        elif token[0] == "<":
            items.append(_named(token[1:-1], rule, grammar, slots))
        else:
            items.append(token)
    raise ValueError(f"rule '{rule}': a bracket is not closed")


def _named(
    name: str, rule: str, grammar: Mapping[str, Choice], slots: Collection[str]
) -> Slot | Choice:
    if name in grammar:
        return grammar[name]
    if name in slots:
        return Slot(name)
    raise ValueError(f"rule '{rule}': '<{name}>' is neither a rule nor a slot")


def _fill(choice: Choice, weighted: list[tuple[tuple[str | Slot | Choice, ...], float]]) -> Choice:
    choice.alternatives = [items for items, _ in weighted]
    weights = [weight for _, weight in weighted]
    if len(set(weights)) > 1:
        total = sum(weights)
        # The last bound is open: a rounded sum below 1 must not leave a draw without alternative.
        choice.bounds = [bound / total for bound in accumulate(weights[:-1])]
    elif all(isinstance(item, str) for items in choice.alternatives for item in items):
        choice.texts = ["".join(map(str, items)) for items in choice.alternatives]
    return choice


def _merge(choice: Choice, done: set[int]) -> None:
    """Write neighbouring plain choices out as one, which halves the time that expansion takes.

    Choices of one weight are independent, so all their combinations are equally likely and the
    distribution of the derivations stays the same.
    """
    if id(choice) in done:
        return
    done.add(id(choice))
    for number, items in enumerate(choice.alternatives):
        merged: list[str | Slot | Choice] = []
        run = [""]
        for item in items:
            if isinstance(item, Choice):
                _merge(item, done)
            texts = item.texts if isinstance(item, Choice) else [item] * isinstance(item, str)
            if texts and len(run) * len(texts) <= _MOST_MERGED:
                run = [before + str(text) for before in run for text in texts]
                continue
            merged += _of_run(run)
            run = list(map(str, texts)) if 0 < len(texts) <= _MOST_MERGED else [""]
            if run == [""]:
                merged.append(item)
        choice.alternatives[number] = (*merged, *_of_run(run))
    only = choice.alternatives[0]
    if len(choice.alternatives) == len(only) == 1 and isinstance(only[0], Choice):
        choice.alternatives, choice.bounds = only[0].alternatives, only[0].bounds
        choice.texts = only[0].texts


def _of_run(run: list[str]) -> list[str | Slot | Choice]:
    if len(run) > 1:
        return [Choice(alternatives=[(text,) for text in run], texts=run)]
    return [run[0]] if run[0] else []


def expand(choice: Choice, draw: Draw, pieces: list[str | Slot]) -> None:
    """Append one random derivation of `choice` to `pieces`: literal texts and slots, in order."""
    alternatives = choice.alternatives
    if choice.bounds:
        items = alternatives[bisect_right(choice.bounds, draw())]
    else:
        items = alternatives[int(draw() * len(alternatives))]
    for item in items:
        if type(item) is not Choice:
            pieces.append(item)  # type: ignore[arg-type]
        elif texts := item.texts:
            pieces.append(texts[int(draw() * len(texts))])
        else:
            expand(item, draw, pieces)


def surfaces(choice: Choice) -> int:
    """Return how many derivations a choice has, a slot counted as one."""
    total = 0
    for items in choice.alternatives:
        ways = 1
        for item in items:
            ways *= surfaces(item) if isinstance(item, Choice) else 1
        total += ways
    return total
