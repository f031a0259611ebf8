"""Texts that are nearly one that is there already, found in linear time.

Self-Instruct (arXiv 2212.10560) compares every pair by ROUGE-L above 0.7; here pairs that share shingles are found by
minhash (Broder 1997), and only these are compared.
"""

import re
import unicodedata
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

BANDS, PER_BAND = 32, 3
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_]+")


@dataclass
class NearDuplicates:
    """Which texts are nearly ones seen before: Jaccard of their shingles (three words, or characters in Chinese) over `most`.

    Minhash with 32 bands of 3 finds a pair of Jaccard s with probability 1 - (1 - s^3)^32: 98.6 % at 0.5, 88 % at 0.4, 23 %
    at 0.2; what is found is compared exactly. Time and memory are linear in the texts and their lengths.
    """

    most: float = 0.5
    """Highest Jaccard of two texts that are both kept. Typical 0.4 to 0.7."""
    kept: list["array[int]"] = field(default_factory=list)
    buckets: dict[int, list[int]] = field(default_factory=dict)

    def new(self, text: str) -> bool:
        """Whether no text seen so far is nearly this one."""
        return self._new(shingles(text), None)

    def add(self, text: str) -> bool:
        """The same, and a new one is remembered."""
        mine = shingles(text)
        keys = list(_bands(mine))
        if not self._new(mine, keys):
            return False
        for key in keys:
            self.buckets.setdefault(key, []).append(len(self.kept))
        self.kept.append(array("Q", mine))
        return True

    def _new(self, mine: frozenset[int], keys: list[int] | None) -> bool:
        near = {at for key in keys or _bands(mine) for at in self.buckets.get(key, ())}
        for at in near:
            shared = sum(one in mine for one in self.kept[at])
            if shared > self.most * (len(mine) + len(self.kept[at]) - shared):
                return False
        return True


def shingles(text: str) -> frozenset[int]:
    """Numbers of the runs of three words (or Chinese characters) of a text; of a shorter text, of all of it."""
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    runs = [words[at : at + 3] for at in range(max(1, len(words) - 2))]
    return frozenset(int.from_bytes(blake2b(" ".join(run).encode(), digest_size=8).digest(), "big") for run in runs)


_MIX = [(2 * at + 1) * 0x9E3779B97F4A7C15 % 2**64 | 1 for at in range(1, BANDS * PER_BAND + 1)]
_ADD = [at * 0xD1B54A32D192ED03 % 2**64 for at in range(BANDS * PER_BAND)]


def _bands(found: frozenset[int]) -> Iterator[int]:
    """One number for each band; two bands that happen to have one number cost a comparison, and decide nothing."""
    least = [min(((one * mix + add) % 2**64) >> 11 for one in found) for mix, add in zip(_MIX, _ADD, strict=True)]
    for band in range(BANDS):
        yield hash((band, *least[band * PER_BAND : (band + 1) * PER_BAND]))
