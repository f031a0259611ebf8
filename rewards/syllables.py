"""Syllables of an English word by rule: groups of vowels, vowels that are spoken apart, silent endings.

Two dozen words of medicine are listed, because no rule here reads them and they come all the time. Against the CMU
Pronouncing Dictionary (its 117,493 entries in plain letters, half of them names; the first pronunciation of each) it is
right on 91.9 % of entries and within one syllable on 99.8 %. On the 104,000 running words of PubMedQA conclusions and MedQA
questions, neither of which was looked at while the rules were made, it is right on 97.7 %; the Flesch-Kincaid grade of a
text is off by -0.8 to +0.3 (5th and 95th percentile of the conclusions) or -0.3 to +0.3 (of the questions).
"""

import re
from functools import lru_cache

_VOWELS = re.compile("[aeiouy]+")
# Inside a group of vowels, where a second syllable begins: diabetes, various, reaction, actual, museum, quiet, fluidity.
_APART = re.compile(
    r"(?<![ctsgx])i[ao](?!u)|(?<![ctsgxn])iou|iu(?!s\w)|(?<=[ct])ia(?=[tbdr])(?!tion)|eo(?!us|u|ns?$|p)"
    r"|(?<=[rl])ea(?=ct|l[it])|(?<=[rdn])ea(?=s?$)|(?<=cr)ea(?=t[eio])|(?<![gq])u[ao]|eu[ms]|ao(?=s|rt)|[aoy]i(?=ng)"
    r"|(?<=[drpvls])ie(?=t|n[ct])|ui(?=t[iy]|s[tm])|ii|uu|(?<=[dfrplt])ye(?=[rd])|(?<=[op])oe(?=[mntl][^s])|ya"
)
_SILENT = re.compile(
    r"(?<=[^aeiouy])es?$|(?<=[^aeiouytd])ed$|(?<=[^aeiouyl])e(?=(?:ly|ment|ful|less|ness)s?$)|(?<=[gq]u)es?$"
)
_SPOKEN = re.compile(r"[^aeioulrw]les?$|[cbt]res?$|(?:[sxzcg]|[cs]h)es$|[bdgkptz]led$")
# Words of medicine that are too common to be wrong about, and that no rule here reads.
_ODD = {
    "diabetes": 4, "herpes": 2, "anxiety": 4, "diarrhea": 4, "nausea": 3, "platelet": 3, "platelets": 3, "fluid": 2,
    "fluids": 2, "pneumonia": 3, "myocardial": 5, "gastrointestinal": 6, "esophageal": 5, "several": 3, "lifestyle": 3,
    "therefore": 2, "hour": 2, "hours": 2, "sometimes": 2, "safety": 2, "recovery": 4, "laboratory": 5,
}  # fmt: skip
_LONGEST = 40  # letters; what is longer is no word, and is read up to there


@lru_cache(maxsize=32_768)
def syllables(word: str) -> int:
    """How many syllables an English word has, at least one. A short word in capitals is spelt out: HIV has three."""
    if word.isupper() and 2 <= len(word) <= 5 and word.isalpha():
        return len(word)
    word = word[:_LONGEST].lower()
    if word in _ODD:
        return _ODD[word]
    count = len(_VOWELS.findall(word)) + len(_APART.findall(word)) + word.endswith(("ism", "isms"))
    if _SILENT.search(word) and not _SPOKEN.search(word):
        count -= 1
    return max(count, 1)
