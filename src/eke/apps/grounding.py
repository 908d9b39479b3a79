"""Does the source say so? Words, names and dates of a claim, looked up in the text it cites. Asks no model.

Words are compared by their beginnings (`writes`, `write`), scripts without spaces by pairs of characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

STOPWORDS = frozenset(
    """a about after again all also am an and any are as at be because been before but by can could did do does done for
    from get go going good had has have he her here him his how i if in into is it its just let like make may me more my
    need new no not now of off ok okay on one only or other our out over own please put said same say see she should so
    some somebody someone something still take than thank thanks that the their them then there these they this those to
    too two under up us very want was we well were what when where which while who why will with would yes yet you
    your""".split()  # noqa: SIM905
)
FIRST_PERSON = frozenset("i i'll i'm i'd i've me my ich mir je j'ai moi yo io eu 我 俺 咱 私 僕".split())  # noqa: SIM905
_STEM = 5  # letters that must agree: enough for `decide` and `decided`, too many for `plan` and `plane`
_ENDING = re.compile(r"(?:ing|ed|es|s|e)$")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_DENSE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")

_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_MONTH = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)"
)
_TIME_OF_DAY = r"(?:morning|noon|afternoon|evening|night)"
_SPAN = r"(?:week|month|quarter|year|sprint|meeting|release)"
_ORDINAL = (
    r"(?:\d{1,2}(?:st|nd|rd|th)?|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth"
    r"|thirteenth|fourteenth|fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|twentieth|thirtieth|twenty[- ]\w+)"
)
_WHEN = re.compile(
    rf"\b(?:\d{{4}}-\d\d-\d\d|\d{{1,2}}[./]\d{{1,2}}(?:[./]\d{{2,4}})?"
    rf"|(?:next |this |coming )?{_DAY}(?: {_TIME_OF_DAY})?(?:,? (?:the )?{_ORDINAL}(?: of {_MONTH})?)?"
    rf"|{_MONTH} (?:the )?{_ORDINAL}|(?:the )?{_ORDINAL} (?:of )?{_MONTH}"
    rf"|today|tonight|tomorrow(?: (?:morning|noon|afternoon|evening))?|this (?:morning|afternoon|evening)"
    rf"|(?:the )?(?:end|middle|start) of (?:the |this |next )?(?:day|{_SPAN}|{_MONTH})"
    rf"|(?:next|this|the coming) {_SPAN}|(?:in|within) (?:\w+ ){{1,2}}(?:minutes?|hours?|days?|{_SPAN}s?)"
    rf"|(?:in|by|until|before|end of|early|late) {_MONTH}(?! (?:the )?{_ORDINAL})"
    rf"|(?:at |by |until |before )?\d{{1,2}}(?::\d\d)? ?(?:am|pm|o'clock)"
    rf"|(?:by|until|before|at) noon)\b"
    r"|(?:今天|明天|后天|今晚|(?:本|这|下)?(?:周|星期|礼拜)[一二三四五六日天末]|(?:本|这|下)(?:周|个?月|季度)"
    r"|月底|年底|周末|\d{1,2}月(?:\d{1,2}[日号])?|\d{1,2}[日号])",
    re.IGNORECASE,
)


def words(text: str) -> list[str]:
    """Lower-case words; of scripts without spaces, pairs of characters."""
    found: list[str] = []
    for word in _WORD.findall(text.casefold().replace("’", "'")):
        if _DENSE.search(word) and len(word) > 2:
            found += [word[i : i + 2] for i in range(len(word) - 1)]
        else:
            found.append(word)
    return found


def content(text: str) -> set[str]:
    """The beginnings of the words that carry meaning."""
    return {_stem(w) for w in words(text) if w not in STOPWORDS and (len(w) > 2 or not w.isascii())}


def _stem(word: str) -> str:
    bare = _ENDING.sub("", word.removesuffix("'s"))
    return (bare if len(bare) > 2 else word)[:_STEM]


def support(claim: str, source: str) -> float:
    """Share of the claim's meaning words that the source has too, 0 to 1; 0 for a claim without any."""
    said = content(claim)
    return len(said & content(source)) / len(said) if said else 0.0


def numbers(text: str) -> set[str]:
    """Figures written in digits."""
    return set(re.findall(r"\d+(?:[.,:]\d+)*", text))


def dates(text: str) -> list[str]:
    """Phrases that say when, in the order they are said. English and Chinese, and figures in any language."""
    return [m.group().strip() for m in _WHEN.finditer(text)]


def says_name(text: str, name: str) -> bool:
    """Whether the text has that name as words of its own (`Ann`, not `Anna`); any one part of it will do."""
    if _DENSE.search(name):
        return name in text
    said = set(words(text)) | {w.removesuffix("'s") for w in words(text)}
    return any(part in said for part in words(name) if len(part) > 1)


def speaks_of_self(text: str) -> bool:
    """Whether the speaker says `I`."""
    return bool(FIRST_PERSON & set(words(text))) or any(c in text for c in "我俺私僕")


def says_date(text: str, phrase: str) -> bool:
    """Whether the phrase is about time and all of its words are in the text."""
    said = set(words(text))
    return bool(dates(phrase)) and all(w in said for w in words(phrase))


def names_in(text: str, names: Iterable[str]) -> list[str]:
    """Those of the names that the text says."""
    return [n for n in names if says_name(text, n)]
