"""How a message reaches the file: typed with its writer's habits, or from a speech recogniser.

Both styles return the text and the exact place of every piece of personal data: the stretch
`text[start:end]` is the value as it stands there. Slips of the keyboard and of the recogniser fall
on other words only, so that a value stays checkable.
"""

from collections.abc import Mapping

from fedcc.data.world.grammar import Draw
from fedcc.data.world.utterances import Piece, Sentence

Span = tuple[int, int, str]
"""Start, end (exclusive) and type of personal data, in characters of the text."""

_QUESTION_WORDS: Mapping[str, frozenset[str]] = {
    "en": frozenset(
        "can could may how is are was am do does did will would what which where when why who "
        "after".split()
    ),
    "es": frozenset(
        "puedo cómo se hay dónde es pueden podrían podéis por qué cuál cuáles cuándo cuánto "
        "cuántos cuántas tienen hasta está".split()
    ),
    "pt": frozenset(
        "posso como dá há onde é podem poderiam conseguem porque que quais qual quando quanto "
        "quantos quantas têm até".split()
    ),
    "de": frozenset(
        "kann wie wo könnte darf muss können könnten würden warum wann welche was gibt ist bis "
        "wohin".split()
    ),
}
_SHORT_FORMS: Mapping[str, Mapping[str, str]] = {
    "en": {"please": "pls", "you": "u", "thanks": "thx", "are": "r", "because": "cos"},
    "es": {"por favor": "porfa", "que": "q", "gracias": "grax", "también": "tb"},
    "pt": {"por favor": "pf", "que": "q", "obrigado": "obg", "você": "vc", "também": "tb"},
    "de": {"und": "u", "bitte": "bidde", "nicht": "ned", "vielleicht": "vllt"},
}
_HESITATIONS: Mapping[str, tuple[str, ...]] = {
    "en": ("um", "uh", "you know", "like", "well", "so", "i mean", "yeah"),
    "es": ("eh", "pues", "bueno", "o sea", "este", "mira"),
    "pt": ("hum", "pois", "então", "tipo", "olhe", "quer dizer"),
    "de": ("äh", "ähm", "also", "ja", "genau", "sozusagen"),
}
_MISHEARD: Mapping[str, Mapping[str, str]] = {
    "en": {
        "sim": "sin", "router": "rooter", "bill": "build", "wifi": "why fi", "tariff": "terrace",
        "roaming": "roman", "port": "part", "refund": "re fund", "voicemail": "voice male",
        "their": "there", "two": "to", "data": "daughter", "esim": "e sim", "line": "lion",
    },
    "es": {"roaming": "román", "router": "ruter", "wifi": "güifi", "fibra": "libra"},
    "pt": {"router": "ruta", "roaming": "romã", "wifi": "uai fai", "fatura": "a tua"},
    "de": {"roaming": "räuming", "router": "ruder", "esim": "e sim", "tarif": "das riff"},
}  # fmt: skip
_NEIGHBOURS = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wertyuioopsdfghjkklxcvbnmn", strict=True))
_NO_MARKS = str.maketrans("", "", ".,?!:;¿¡")


def typed(sentences: list[Sentence], language: str, draw: Draw) -> tuple[str, list[Span]]:
    """Write a message as its writer types it: capitals, full stops, short forms, slips."""
    care = draw()  # one writer's habits: careful, middling or hasty
    capitals, stops = care < 0.62, care < 0.74
    slip_rate = 0.0 if care < 0.25 else 0.05 if care < 0.8 else 0.16
    parts: list[Piece] = []
    for number, sentence in enumerate(sentences):
        first_word = sentence[0].text.split(" ", 1)[0].rstrip(",").lower()
        asks = first_word in _QUESTION_WORDS[language]
        pieces = [_slipped(piece, language, care, slip_rate, draw) for piece in sentence]
        pieces = [_cased(piece, language, capitals, at == 0) for at, piece in enumerate(pieces)]
        last = number == len(sentences) - 1
        if asks and (stops or draw() < 0.4):
            ending = "?"
        elif stops:
            ending = "." if not last or draw() < 0.8 else ""
        else:
            ending = "" if last or draw() < 0.5 else ","
        parts += pieces
        if ending:
            parts.append(Piece(ending, None))
    return _joined(parts)


def _slipped(piece: Piece, language: str, care: float, rate: float, draw: Draw) -> Piece:
    """Shorten words and press wrong keys now and then; personal data stays as it is."""
    if piece.kind is not None:
        return piece
    text = piece.text
    if care > 0.85:
        short = _SHORT_FORMS[language]
        text = " ".join(short.get(word, word) if draw() < 0.6 else word for word in text.split())
    while draw() < rate * len(text) / 30:
        text = _wrong_key(text, draw)
    return Piece(text, None)


def _wrong_key(text: str, draw: Draw) -> str:
    """Swap, drop, double or mistype one letter inside a word."""
    at = 1 + int(draw() * max(len(text) - 2, 1))
    pair = text[at : at + 2]
    if len(pair) < 2 or not pair.isalpha() or not text[at - 1].isalpha():
        return text
    how = draw()
    if how < 0.35:
        return text[:at] + pair[::-1] + text[at + 2 :]
    if how < 0.60:
        return text[:at] + text[at + 1 :]
    if how < 0.78:
        return text[:at] + pair[0] + text[at:]
    return text[:at] + _NEIGHBOURS.get(pair[0], pair[0]) + text[at + 1 :]


def _cased(piece: Piece, language: str, capitals: bool, first: bool) -> Piece:
    """Capitalise as this writer does; hasty writers use small letters for names as well."""
    if not capitals:
        lower = piece.text.lower()
        return Piece(lower if piece.kind in (None, "name", "address") else piece.text, piece.kind)
    if piece.kind is not None:
        return piece
    text = piece.text
    if language == "en":
        text = f" {text} ".replace(" i ", " I ").replace(" i'", " I'").strip()
    return Piece(text[0].upper() + text[1:] if first else text, None)


def spoken(sentences: list[Sentence], language: str, draw: Draw) -> tuple[str, list[Span]]:
    """Write a message as a recogniser does: no marks, no capitals, with all hesitations."""
    parts: list[Piece] = []
    hesitates = 0.10 + 0.25 * draw()
    for sentence in sentences:
        for piece in sentence:
            text = piece.text.lower()
            if piece.kind is None:
                text = _heard(" ".join(text.translate(_NO_MARKS).split()), language, draw)
                if draw() < hesitates:
                    parts.append(Piece(_one_of(_HESITATIONS[language], draw), None))
            else:
                text = " ".join(text.translate(_NO_MARKS).replace("-", " ").split())
            if text:
                parts.append(Piece(text, piece.kind))
    return _joined(parts)


def _heard(text: str, language: str, draw: Draw) -> str:
    """Repeat a word, or write one that sounds alike, now and then."""
    if draw() < 0.09:
        head, _, rest = text.partition(" ")
        text = f"{head} {head} {rest}".rstrip()
    if draw() < 0.10:
        misheard = _MISHEARD[language]
        text = " ".join(misheard.get(word, word) for word in text.split(" "))
    if draw() < 0.08 and text.count(" ") > 3:
        words = text.split(" ")
        words.insert(1 + int(draw() * (len(words) - 1)), _one_of(_HESITATIONS[language], draw))
        text = " ".join(words)
    return text


def _one_of(words: tuple[str, ...], draw: Draw) -> str:
    return words[int(draw() * len(words))]


def _joined(parts: list[Piece]) -> tuple[str, list[Span]]:
    """Join pieces with single spaces, marks close to the word before, and note the spans."""
    out: list[str] = []
    spans: list[Span] = []
    length = 0
    for part in parts:
        if length and part.text[0] not in ".,?!:":
            out.append(" ")
            length += 1
        if part.kind is not None:
            spans.append((length, length + len(part.text), part.kind))
        out.append(part.text)
        length += len(part.text)
    return "".join(out), spans
