"""Numbers, dates and addresses as a speech recogniser writes them: words without punctuation.

Covers English (`en`), Spanish (`es`), Portuguese (`pt`) and German (`de`) for whole numbers below
10,000, which is enough for prices, dates, house numbers and years.
"""

from collections.abc import Mapping

DIGITS: Mapping[str, tuple[str, ...]] = {
    "en": tuple("zero one two three four five six seven eight nine".split()),
    "es": tuple("cero uno dos tres cuatro cinco seis siete ocho nueve".split()),
    "pt": tuple("zero um dois três quatro cinco seis sete oito nove".split()),
    "de": tuple("null eins zwei drei vier fünf sechs sieben acht neun".split()),
}
_TEENS: Mapping[str, tuple[str, ...]] = {
    "en": tuple(
        "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
    ),
    "es": tuple(
        "diez once doce trece catorce quince dieciséis diecisiete dieciocho diecinueve".split()
    ),
    "pt": tuple("dez onze doze treze catorze quinze dezasseis dezassete dezoito dezanove".split()),
    "de": tuple(
        "zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn".split()
    ),
}
_TENS: Mapping[str, tuple[str, ...]] = {
    "en": tuple("twenty thirty forty fifty sixty seventy eighty ninety".split()),
    "es": tuple("veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa".split()),
    "pt": tuple("vinte trinta quarenta cinquenta sessenta setenta oitenta noventa".split()),
    "de": tuple("zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()),
}
_HUNDREDS: Mapping[str, tuple[str, ...]] = {
    "es": tuple(
        "ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos "
        "ochocientos novecientos".split()
    ),
    "pt": tuple(
        "cento duzentos trezentos quatrocentos quinhentos seiscentos setecentos oitocentos "
        "novecentos".split()
    ),
}
_SPANISH_TWENTIES = (
    "veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete "
    "veintiocho veintinueve"
).split()


def number_words(number: int, language: str) -> str:
    """Return a whole number from 0 to 9999 in words.

    Raises:
        ValueError: for a number outside that range.
    """
    if not 0 <= number <= 9999:
        raise ValueError(f"number must lie in 0 to 9999, got {number}")
    if number < 100:
        return _below_hundred(number, language)
    if number < 1000:
        return _below_thousand(number, language)
    thousands, rest = divmod(number, 1000)
    if language == "de":
        head = ("ein" if thousands == 1 else DIGITS["de"][thousands]) + "tausend"
        return head + (number_words(rest, "de") if rest else "")
    if language == "en":
        head = f"{DIGITS['en'][thousands]} thousand"
        return f"{head} {number_words(rest, 'en')}" if rest else head
    head = "mil" if thousands == 1 else f"{DIGITS[language][thousands]} mil"
    # Portuguese joins with "e" unless hundreds with something behind them follow.
    joined = " e " if language == "pt" and (rest <= 100 or rest % 100 == 0) else " "
    return head + joined + number_words(rest, language) if rest else head


def _below_hundred(number: int, language: str) -> str:
    if number < 10:
        return DIGITS[language][number]
    if number < 20:
        return _TEENS[language][number - 10]
    if language == "es" and number < 30:
        return _SPANISH_TWENTIES[number - 20]
    tens, ones = _TENS[language][number // 10 - 2], number % 10
    if ones == 0:
        return tens
    one = DIGITS[language][ones]
    if language == "de":
        return ("ein" if ones == 1 else one) + "und" + tens
    joint = {"en": " ", "es": " y ", "pt": " e "}[language]
    return tens + joint + one


def _below_thousand(number: int, language: str) -> str:
    hundreds, rest = divmod(number, 100)
    if language == "de":
        head = ("ein" if hundreds == 1 else DIGITS["de"][hundreds]) + "hundert"
        return head + (_below_hundred(rest, "de") if rest else "")
    if language == "en":
        head = f"{DIGITS['en'][hundreds]} hundred"
        return f"{head} {_below_hundred(rest, 'en')}" if rest else head
    if number == 100:
        return "cien" if language == "es" else "cem"
    head = _HUNDREDS[language][hundreds - 1]
    if rest == 0:
        return head
    return f"{head} {'' if language == 'es' else 'e '}{_below_hundred(rest, language)}"


def year_words(year: int, language: str) -> str:
    """Return a year as it is spoken: in English and German before 2000 by its two halves."""
    if 1100 <= year < 2000 and language in ("en", "de"):
        century, rest = divmod(year, 100)
        if language == "de":
            head = _below_hundred(century, "de") + "hundert"
            return head + (_below_hundred(rest, "de") if rest else "")
        if rest == 0:
            return f"{_below_hundred(century, 'en')} hundred"
        between = " oh " if rest < 10 else " "
        return _below_hundred(century, "en") + between + _below_hundred(rest, "en")
    return number_words(year, language)


def digit_words(digits: str, language: str, *, oh: bool = False, double: bool = False) -> str:
    """Spell out digits and letters one by one, other characters are skipped.

    Args:
        digits: for instance `"+44 7700 900123"` or `"ZZ4 7QT"`.
        language: of the words.
        oh: English callers say "oh" for zero.
        double: English callers say "double five" for 55.
    """
    names = list(DIGITS[language])
    if oh and language == "en":
        names[0] = "oh"
    kept = [character for character in digits if character.isalnum()]
    words, at = [], 0
    while at < len(kept):
        word = names[int(kept[at])] if kept[at].isdigit() else kept[at].lower()
        twice = double and language == "en" and kept[at : at + 2] == [kept[at]] * 2
        words.append(f"double {word}" if twice else word)
        at += 2 if twice else 1
    return " ".join(words)
