"""Syllables of an English word by rule: groups of vowels, vowels that are spoken apart, silent endings.

No list of words is behind it. Against the CMU Pronouncing Dictionary (its 117,493 entries in plain letters, half of them
names; the first pronunciation of each) it is right on 91.9 % of entries and within one on 99.8 %; on the running words of
196 medical answers it is right on 97.5 %, with a mean error of -0.001 syllables a word, which moves the grade of such an
answer by -0.9 to +0.6 (5th and 95th percentile).
"""

import re
from functools import lru_cache

_VOWELS = re.compile("[aeiouy]+")
# Inside a group of vowels, where a second syllable begins: diabetes, various, reaction, actual, museum, quiet, fluidity.
_APART = re.compile(
    r"(?<![ctsgx])i[ao](?!u)|(?<![ctsgxn])iou|iu(?!s\w)|(?<=[ct])ia(?=[tbdr])(?!tion)|eo(?!us|u|ns?$|p)"
    r"|(?<=[rl])ea(?=ct|l[it])|(?<=[rdn])ea(?=s?$|t[eio])|(?<![gq])u[ao]|eu[ms]|ao(?=s|rt)|[aoy]i(?=ng)"
    r"|(?<=[drpvls])ie(?=t|n[ct])|ui(?=t[iy]|s[tm])|ii|uu|(?<=[dfrplt])ye(?=[rd])|(?<=[op])oe(?=[mntl][^s])|ya"
)
_SILENT = re.compile(
    r"(?<=[^aeiouy])es?$|(?<=[^aeiouytd])ed$|(?<=[^aeiouyl])e(?=(?:ly|ment|ful|less|ness)s?$)|(?<=[gq]u)es?$"
)
_SPOKEN = re.compile(r"[^aeioulrw]les?$|[cbt]res?$|(?:[sxzcg]|[cs]h)es$|[bdgkptz]led$")
_LONGEST = 40  # letters; what is longer is no word, and is read up to there


@lru_cache(maxsize=32_768)
def syllables(word: str) -> int:
    """How many syllables an English word has, at least one. A short word in capitals is spelt out: HIV has three."""
    if word.isupper() and 2 <= len(word) <= 5 and word.isalpha():
        return len(word)
    word = word[:_LONGEST].lower()
    count = len(_VOWELS.findall(word)) + len(_APART.findall(word)) + word.endswith(("ism", "isms"))
    if _SILENT.search(word) and not _SPOKEN.search(word):
        count -= 1
    return max(count, 1)
