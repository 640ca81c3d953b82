"""What a caller says: opening, story, detour, request, identification and closing, in parts.

A text is the request of its intent plus material that does not give the intent away: a story that
callers with other wishes of the same topic tell too, and at times a detour that names another
matter only to set it aside. So near matters overlap as they do in real centres, while a careful
reader can still tell every text's intent.

Measured on 9,000 rows of seed 0, a quarter of the customers held out, logistic regression (C = 10):
0.86 with MiniLM sentence vectors (English 0.91, Spanish 0.76, Portuguese 0.72, German 0.56: that
encoder knows English), 0.82 with wordllama vectors, 0.97 with counts of words and word pairs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import NamedTuple

from fedcc.data.world import (
    wording_de,
    wording_en,
    wording_en_money,
    wording_en_service,
    wording_es,
    wording_pt,
)
from fedcc.data.world.grammar import Choice, Draw, Grammar, Slot, compile_grammar, expand
from fedcc.data.world.identities import PII_TYPES, VALUES, Person
from fedcc.data.world.intents import CATALOGUE, TOPICS, Topic
from fedcc.data.world.slots import FILLERS

SMALL: Mapping[str, ModuleType] = {"es": wording_es, "pt": wording_pt, "de": wording_de}
_SLOTS = {*FILLERS, *(f"pii_{kind}" for kind in PII_TYPES), "topic"}

_STORY_SHARE, _DETOUR_SHARE, _IDENTIFY_SHARE = 0.12, 0.03, 0.16
_OPENING_SHARE, _CLOSING_SHARE, _CROSS_SHARE = 0.30, 0.15, 0.02


class Piece(NamedTuple):
    """A stretch of text; `kind` is the type of personal data, or `None` for other words."""

    text: str
    kind: str | None


Sentence = list[Piece]


@dataclass(frozen=True)
class Wording:
    """The grammar of one language with its rules by use; topics fall back to shared rules."""

    requests: tuple[Choice, ...]
    opening: Choice
    closing: Choice
    cross: Choice | None
    stories: Mapping[Topic, Choice]
    detour: Choice | None
    identify: Choice
    identify_topic: Mapping[Topic, Choice]
    topic_words: tuple[tuple[str, Choice], ...]


def framed(lines: str, frames: Mapping[str, str]) -> str:
    """Write the marks ~ and ! at the start of lines out as the frames of a request."""
    written = []
    for line in lines.splitlines():
        line = line.strip()
        if line:
            written.append(frames[line[0]] + line[1:] if line[0] in frames else line)
    return "\n".join(written)


@cache
def wording(language: str) -> Wording:
    """Return the compiled grammar of a language; compiled at its first use."""
    if language == "en":
        shared, frames, topics = wording_en.SHARED, wording_en.FRAMES, wording_en.TOPIC_WORDS
        matters = wording_en_money.MATTERS | wording_en_service.MATTERS
    else:
        module = SMALL[language]
        shared, frames, topics = module.SHARED, module.FRAMES, module.TOPIC_WORDS
        matters = module.MATTERS
    rules = dict(shared)
    rules |= {name: framed(lines, frames) for name, lines in matters.items()}
    rules |= {f"topic_{name}": words for name, words in topics.items()}
    grammar = compile_grammar(rules, _SLOTS)
    return Wording(
        requests=tuple(grammar[intent.name] for intent in CATALOGUE),
        opening=grammar["opening"],
        closing=grammar["closing"],
        cross=grammar.get("cross"),
        stories=_by_topic(grammar, "story", fallback="story"),
        detour=grammar.get("detour"),
        identify=grammar["identify"],
        identify_topic=_by_topic(grammar, "identify", fallback="identify"),
        topic_words=tuple((name, grammar[f"topic_{name}"]) for name in topics),
    )


def _by_topic(grammar: Grammar, use: str, *, fallback: str) -> Mapping[Topic, Choice]:
    return {topic: grammar.get(f"{topic}_{use}") or grammar[fallback] for topic in TOPICS}


class Caller:
    """Says sentences as one person in one style, from one stream of draws."""

    def __init__(self, person: Person, currency: str, *, spoken: bool, draw: Draw) -> None:
        """Take the person, the sign of the currency and the style."""
        self._person, self._currency, self._spoken = person, currency, spoken
        self._draw = draw
        self._wording = wording(person.language)

    def utterance(self, intent: int, *, identified: bool = True) -> list[Sentence]:
        """Say one whole message with that intent.

        Args:
            intent: position in the catalogue.
            identified: whether the caller may give personal data; `False` for public text.
        """
        draw, words, topic = self._draw, self._wording, CATALOGUE[intent].topic
        said: list[Sentence] = []
        request = self._say(words.requests[intent], intent)
        story = draw() < _STORY_SHARE
        if draw() < _OPENING_SHARE:
            said.append(self._say(words.opening, intent))
        if story and draw() < 0.75:
            said.append(self._say(words.stories[topic], intent))
            story = False
        if words.detour is not None and draw() < _DETOUR_SHARE:
            said.append(self._say(words.detour, intent))
        said.append(request)
        if story:
            said.append(self._say(words.stories[topic], intent))
        if words.cross is not None and draw() < _CROSS_SHARE:
            said.append(self._say(words.cross, intent))
        if identified and draw() < _IDENTIFY_SHARE:
            said.insert(self._place(len(said)), self._identification(topic, intent))
        if draw() < _CLOSING_SHARE:
            said.append(self._say(words.closing, intent))
        return said

    def _place(self, sentences: int) -> int:
        """Return where the identification goes: often first or last, never at random."""
        return sentences if self._draw() < 0.6 else min(1, sentences)

    def _identification(self, topic: Topic, intent: int) -> Sentence:
        rule = self._wording.identify
        if self._draw() < 0.35:
            rule = self._wording.identify_topic[topic]
        return self._say(rule, intent)

    def _say(self, rule: Choice, intent: int) -> Sentence:
        """Expand a rule and fill its slots; neighbouring words join into one piece."""
        parts: list[str | Slot] = []
        expand(rule, self._draw, parts)
        sentence: Sentence = []
        words: list[str] = []
        for part in parts:
            if isinstance(part, str):
                words.append(part)
                continue
            name = part.name
            if name.startswith("pii_"):
                _flush(words, sentence)
                value = VALUES[name[4:]](self._person, self._spoken, self._draw)
                sentence.append(Piece(value, name[4:]))
            elif name == "topic":
                words.append(self._other_topic(intent))
            else:
                language = self._person.language
                words.append(FILLERS[name](language, self._currency, self._spoken, self._draw))
        _flush(words, sentence)
        return sentence

    def _other_topic(self, intent: int) -> str:
        """Name a matter other than the caller's own."""
        topics = self._wording.topic_words
        at = int(self._draw() * len(topics))
        if topics[at][0] == CATALOGUE[intent].name:
            at = (at + 1) % len(topics)
        return "".join(piece.text for piece in self._say(topics[at][1], intent))


def _flush(words: list[str], sentence: Sentence) -> None:
    """Join the words so far into a piece with single spaces, commas close to their word."""
    text = " ".join("".join(words).split())
    if text:
        if " ," in text or " :" in text:
            text = text.replace(" ,", ",").replace(" :", ":")
        sentence.append(Piece(text, None))
    words.clear()
