"""Chinese answers that leave out what the question has, or say it again: 乳头状癌 where the type of a 甲状腺癌 is asked for.

Each is written out in full, and then held against the reference like any other answer.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from medrl.types import Verdict
from medrl.verifiers.claims import by_concepts
from medrl.verifiers.concepts import Vocabulary
from medrl.verifiers.normalise import compact
from medrl.verifiers.opposites import NEGATIONS, POLES
from medrl.verifiers.parts import Reference
from medrl.verifiers.scripts import has_han
from medrl.verifiers.wording import Asked, last_sentence

_MOST = 20  # characters of a name
_ASKS_SORT = re.compile("类型|分型|分类|病理|组织学|哪一?[种类型亚]|何[种型类]|什么类?型|几型|亚型")
_OFFERS = re.compile("[、或]|中最?可能")  # several, which may share the noun
_ASKS_FORM = re.compile("剂型|制剂")
_SORT = re.compile(".{1,6}[型性度级期类状样相]")
_DENIED_BEFORE = re.compile(
    "(?:不(?:是|像|伴|考虑|支持|能诊断)|[非无未没]|排除|除外|否认|既往|曾|家族史|父|母|姐|妹|兄|弟)[^，。；,;]{0,8}$"
)
_DENIED_BEHIND = re.compile("[^，。；,;]{0,12}(?:阴性|正常|未回报|除外|排除|不支持|未见|[无未不否]|术后|切除|史)")
_HAN = re.compile("[\u3400-\u9fffⅠ-Ⅻ0-9A-Za-z]+")


def by_han_ellipsis(head: str, reference: Reference, known: Vocabulary, question: str, asked: Asked) -> Verdict | None:
    """The verdict on a Chinese name that the question completes, or that says the question's own word besides; or None."""
    term = reference.terms[0]
    if not asked.han or not has_han(term) or not 1 < len(head) <= 2 * _MOST or len(term) > _MOST:
        return None
    names = {compact(one) for one in reference.terms}
    for whole in _wholes(head, term, question, known):
        if compact(whole) in names:
            return Verdict.right(f"with the words of the question it is {term!r:.60}")
        verdict = by_concepts(whole, reference, known, asked) if known.ids(whole) else None
        if verdict:
            return verdict
    return None


@lru_cache(maxsize=1024)
def _wholes(head: str, term: str, question: str, known: Vocabulary) -> tuple[str, ...]:
    """The names that an answer may stand for."""
    last = last_sentence(question)
    heads = [head] if has_han(head) else _in_han(head, known)
    found: list[str] = []
    for one in heads:
        if not _HAN.fullmatch(one) or compact(one) == compact(term):
            continue
        if _ASKS_SORT.search(last) and not _OFFERS.search(last):
            found += _of_organ(one, term, last)
            found += _of_sort(one, term, last)
        if _ASKS_FORM.search(last) and term.endswith(one) and len(one) > 2 and term.removesuffix(one) in question:
            found.append(term)
        found += _said_inside(one, term, question)
    return tuple(dict.fromkeys(found))


def _in_han(head: str, known: Vocabulary) -> list[str]:
    """The Chinese names of what an English answer names."""
    ids = known.ids(head) if _SORTED.search(head) else ()
    return [name for one in ids if one >= 0 for name in known.concepts[one].names if has_han(name)]


_SORTED = re.compile(r"(?:carcinoma|cancer|sarcoma|adenoma|lymphoma|tumou?r|anemia|anaemia)s?$", re.IGNORECASE)


def _of_organ(head: str, term: str, last: str) -> Iterator[str]:
    """A sort of what the question names with its organ, 甲状腺癌, without that organ or with it: 乳头状癌, 食管鳞癌."""
    for noun in (term[-2:], term[-1:]):
        for at in range(1, 6):
            organ = term[:at]
            if len(organ) + len(noun) < len(term) and _named(organ + noun, last) and not head.startswith(organ):
                yield organ + head
                if head[-1:] in "状样性型" and not head.endswith(noun):
                    yield organ + head.removesuffix("型") + noun
                break
            organ = head[:at]
            if (
                head.endswith(noun)
                and len(organ) + len(noun) < len(head)
                and not term.startswith(organ)
                and _named(organ + noun, last)
            ):
                yield head[at:]
                break


def _named(name: str, question: str) -> bool:
    """Whether a question names a thing without denying it. 炎症 is no 炎 of an organ."""
    at = question.find(name)
    organ_poles = any(c in POLES or c in NEGATIONS for c in name[:-1])
    return (
        at >= 0
        and not organ_poles
        and question[at + len(name) : at + len(name) + 1] not in ("症", "性")
        and not _denied(name, at, question)
    )


def _denied(name: str, at: int, question: str) -> bool:
    """Whether a question denies what it names at a place, or tells it of the past or of another."""
    return bool(_DENIED_BEFORE.search(question[:at]) or _DENIED_BEHIND.match(question, at + len(name)))


def _of_sort(head: str, term: str, last: str) -> Iterator[str]:
    """A sort alone, whose noun the question has: 2型 for 2型呼吸衰竭."""
    if not _SORT.fullmatch(head):
        return
    for size in range(2, len(term)):
        noun = term[-size:]
        if noun in last and term[-size - 1] in "型性度级期类状样相" and not head.endswith(noun):
            yield head + noun


def _said_inside(head: str, term: str, question: str) -> Iterator[str]:
    """The reference with a place of the question inside: 十二指肠球部溃疡, where that tells of a 球部溃疡."""
    more = len(head) - len(term)
    if more < 2 or len(term) < 3:
        return
    same = next((i for i in range(len(term)) if head[i] != term[i]), len(term))
    for at in range(1, min(same, len(term) - 1) + 1):
        inside = head[at : at + more]
        if (
            head[at + more :] == term[at:]
            and inside[-1] in "部段叶区壁窦"
            and not any(c in POLES or c in NEGATIONS for c in inside)
        ):
            found = question.find(inside)
            if found >= 0 and not _denied(inside, found, question):
                yield term
                return
