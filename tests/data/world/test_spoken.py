"""Numbers in words, against spellings from grammars of the four languages."""

import pytest

from fedcc.data.world.spoken import digit_words, number_words, year_words

# Written by hand after the rules of the Real Academia Española (es), Ciberdúvidas (pt), Duden (de).
SPELLINGS = [
    (0, "zero", "cero", "zero", "null"),
    (1, "one", "uno", "um", "eins"),
    (16, "sixteen", "dieciséis", "dezasseis", "sechzehn"),
    (21, "twenty one", "veintiuno", "vinte e um", "einundzwanzig"),
    (30, "thirty", "treinta", "trinta", "dreißig"),
    (45, "forty five", "cuarenta y cinco", "quarenta e cinco", "fünfundvierzig"),
    (100, "one hundred", "cien", "cem", "einhundert"),
    (101, "one hundred one", "ciento uno", "cento e um", "einhunderteins"),
    (500, "five hundred", "quinientos", "quinhentos", "fünfhundert"),
    (999, "nine hundred ninety nine", "novecientos noventa y nueve",
     "novecentos e noventa e nove", "neunhundertneunundneunzig"),
    (1000, "one thousand", "mil", "mil", "eintausend"),
    (2004, "two thousand four", "dos mil cuatro", "dois mil e quatro", "zweitausendvier"),
    (1985, "one thousand nine hundred eighty five", "mil novecientos ochenta y cinco",
     "mil novecentos e oitenta e cinco", "eintausendneunhundertfünfundachtzig"),
]  # fmt: skip


@pytest.mark.parametrize(("number", "en", "es", "pt", "de"), SPELLINGS)
def test_numbers_are_spelled_as_in_the_language(
    number: int, en: str, es: str, pt: str, de: str
) -> None:
    assert [number_words(number, language) for language in ("en", "es", "pt", "de")] == [
        en,
        es,
        pt,
        de,
    ]


@pytest.mark.parametrize("language", ["en", "es", "pt", "de"])
def test_no_two_numbers_share_their_words(language: str) -> None:
    assert len({number_words(number, language) for number in range(10_000)}) == 10_000


@pytest.mark.parametrize("number", [-1, 10_000])
def test_a_number_out_of_range_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="0 to 9999"):
        number_words(number, "en")


@pytest.mark.parametrize(
    ("year", "language", "words"),
    [
        (1985, "en", "nineteen eighty five"),
        (1900, "en", "nineteen hundred"),
        (1906, "en", "nineteen oh six"),
        (2004, "en", "two thousand four"),
        (1985, "de", "neunzehnhundertfünfundachtzig"),
        (2004, "de", "zweitausendvier"),
        (1985, "es", "mil novecientos ochenta y cinco"),
    ],
)
def test_years_are_spoken_by_the_custom_of_the_language(
    year: int, language: str, words: str
) -> None:
    assert year_words(year, language) == words


def test_digits_are_spelled_one_by_one() -> None:
    assert digit_words("+44 77-0", "en") == "four four seven seven zero"
    assert digit_words("07700", "en", oh=True, double=True) == "oh double seven double oh"
    assert digit_words("ZZ4", "de") == "z z vier"
    assert digit_words("07700", "es", oh=True, double=True) == "cero siete siete cero cero"
