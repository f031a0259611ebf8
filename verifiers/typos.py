"""Mend a misspelt name against the vocabulary, and against nothing else.

Letters near to each other decide nothing by themselves: hydroxyzine and hydralazine are near. A name is mended only where
it is unknown, long enough, and near to one concept alone.
"""

import operator
import re
from array import array
from collections.abc import Sequence
from functools import lru_cache, reduce
from typing import NamedTuple

from medrl.verifiers.concepts import Vocabulary
from medrl.verifiers.normalise import compact, joined, tokens
from medrl.verifiers.opposites import opposed

_DIGIT = re.compile(r"\d")
_SHORTEST = 6  # letters of a name that may be mended
_MARGIN = 2  # how many edits further off the next concept must be


def may_be_mended(name: str) -> bool:
    """Whether a text is of the kind that may be a misspelt name: Latin letters, not too few and not too many."""
    return _SHORTEST <= len(name) <= 60 and name.isascii() and not _DIGIT.search(name)


def repaired(text: str, known: Vocabulary) -> str | None:
    """The name that a whole text misspells, or None where it is known, short, or could be two concepts' name.

    One edit (a letter more, less, other, or two swapped) is allowed up to eight letters, two from nine on. Digits and
    what turns a term round (hypo-, hyper-, left, right) are never edits.
    """
    words = tokens(text)
    name = joined(words)
    if len(words) > 5 or not may_be_mended(name):
        return None
    if all(word in known.index.words for word in words) or name in known.others or known.ids(text):
        return None
    from rapidfuzz.distance import OSA
    from rapidfuzz.process import extract

    most = 1 if len(name) < 9 else 2
    alike = _by_ends(known).get((name[0], name[-1], len(name)), ())
    closest = extract(name, alike, processor=None, scorer=OSA.distance, score_cutoff=most, limit=1)
    if not closest:
        return None
    furthest = closest[0][1] + _MARGIN - 1  # what is further off than that is no rival
    near = _rivals(name, furthest, known)
    found = extract(name, near, processor=None, scorer=OSA.distance, score_cutoff=furthest, limit=8)
    best, distance = str(found[0][0]), found[0][1]
    if best[-1] != name[-1] or ("rna" in best) != ("rna" in name):
        return None
    meant = known.ids(best)
    if len(meant) != 1 or any(off < distance + _MARGIN and known.ids(str(one)) != meant for one, off, _ in found):
        return None
    name = known.index.latin[best]
    return None if opposed(words, tokens(name)) else name


# Characters that are written for one another, by sound or by look, and that no two names differ in.
_ALIKE = {
    one: group
    for group in (
        "荨寻浔 麻痳 炎焱 胰姨 腺线限 物务 搏博膊 综宗棕 征症 挛孪峦 瘢斑班 疱泡 痿萎 癫颠 痫闲 蛛珠 喹奎 呤吟 "
        "嘧密 啶定淀 嘌飘漂 哌派 唑坐座 噻塞赛 咪米 鞘稍 嗜噬 酪络洛 骶抵 髋宽 髌宾 踝裸 腘国 桡挠 瓣办辨 栓拴 痉径 憩息 "
        "疖节 痈拥 疽咀 癣藓 痔持 霉酶 痢利 疟虐 绦涤 癌岩 瘤留 肿种 疸胆 孢胞抱 弛驰 璧壁 鳞磷 "
        "腮鳃 喉候 赘缀 褥辱 臀殿 溃馈 糜靡 淤瘀 眶框 滤虑 缩宿 脱托 蛋旦 痹痺 颅卢 髓随 窦豆 腭愕 咽烟 "
        "萄陶 肽太 嗪秦 吡比 呋夫 呱胍 羟经 巯流 铋必 佝拘 偻楼 疥芥 "
        "虱风 衡横 厥撅 痪换 瘫摊 谵瞻 妄忘 躁燥 郁忧 癔臆 "
    ).split()
    for one in group
}


def misspelt(text: str, name: str) -> bool:
    """Whether a Chinese text is a name but for one character that is often written for the right one: 寻麻疹."""
    one, other = compact(text), compact(name)
    if len(one) != len(other) or len(one) < 3:
        return False
    strange = [(a, b) for a, b in zip(one, other, strict=True) if a != b]
    if len(strange) != 1 or strange[0][1] not in _ALIKE.get(strange[0][0], ""):
        return False
    return strange[0][0] not in "征症" or "综合" in one  # 贝尔征 is a sign, 贝尔症 a palsy; 综合症 is 综合征


def prepare(known: Vocabulary) -> None:
    """Read what the first mending would else wait for."""
    from rapidfuzz import distance, process  # noqa: F401

    _by_ends(known)
    _by_length(known)


@lru_cache(maxsize=8)
def _by_ends(known: Vocabulary) -> dict[tuple[str, str, int], Sequence[str]]:
    """Names by their first letter, which is seldom misspelt, their last, and each length that is at most two off.

    Another ending is another word: schizophrenic, schizophrenia.
    """
    alike: dict[tuple[str, str, int], list[str]] = {}
    for name in known.index.latin:
        for length in range(len(name) - 2, len(name) + 3):
            alike.setdefault((name[:1], name[-1:], length), []).append(name)
    return {key: tuple(names) for key, names in alike.items()}


def _rivals(name: str, edits: int, known: Vocabulary) -> list[str]:
    """Every name that so many edits may make of this one, in the vocabulary's order: each trades at most one letter."""
    own, lengths = _letters(name), _by_length(known)
    found = [
        (place, one)
        for length in range(len(name) - edits, len(name) + edits + 1)
        for place, one, letters in zip(*lengths.get(length, ((), (), ())), strict=True)
        if (letters ^ own).bit_count() <= 2 * edits
    ]
    return [one for _, one in sorted(found)]


def _letters(name: str) -> int:
    """Which characters a name has, one bit each; a few share one."""
    return reduce(operator.or_, (1 << ord(character) % 64 for character in name), 0)


class _Names(NamedTuple):
    """Names of one length, each with its place among all and with its letters."""

    places: "array[int]"
    names: list[str]
    letters: "array[int]"


@lru_cache(maxsize=8)
def _by_length(known: Vocabulary) -> dict[int, _Names]:
    lengths: dict[int, _Names] = {}
    for place, name in enumerate(known.index.latin):
        alike = lengths.setdefault(len(name), _Names(array("I"), [], array("Q")))
        alike.places.append(place)
        alike.names.append(name)
        alike.letters.append(_letters(name))
    return lengths
