"""Choices that name no label of their own: by place (第三项, the last option), by exclusion (排除A、C、D), or all."""

import re
from collections.abc import Mapping

_PLACES = {word: place for words in ("一二三四五六七八", "12345678") for place, word in enumerate(words)}
_ORDINALS = {word: place for place, word in enumerate("first second third fourth fifth sixth".split())}
_PLACE = re.compile(
    r"(?:我?(?:选择?|认为是)|应选|答案[是为选])?第(?P<han>[一二三四五六七八1-8])(?:个选项|项|个|选项)|"
    r"(?:(?:I (?:choose|pick)|it is|the answer is) )?(?:the )?(?P<word>first|second|third|fourth|fifth|sixth|last) "
    r"(?:option|choice|answer|one)",
    re.IGNORECASE,
)
_LABELS = r"(?P<labels>[A-Z](?:\s?[、,，和及]?\s?[A-Z]){0,6})(?:项|选项)?"
_EVERY = r"(?:全部?|都|均|皆)"
_ALL = re.compile(
    rf"(?:以上|上述|所有|全部)?(?:的)?(?:(?P<han>[两三四五六七])(?:个|种|项|者))?(?:选项|答案)?{_EVERY}?"
    r"(?:应?选|正确|对|是|可以?|行|属于|符合|成立)的?|"
    r"(?:all|every one) of (?:the above|them|these)(?: (?:is|are) (?:correct|right|true))?|"
    r"all(?: (?P<number>three|four|five|six))?(?: options| choices| answers)?(?: are (?:correct|right|true))?",
    re.IGNORECASE,
)
_COUNTS = {
    word: count
    for words in ("两三四五六七", ("two", "three", "four", "five", "six"))
    for count, word in enumerate(words, 2)
}
_MEANS_ALL = re.compile(rf"以上|上述|所有|个选项|{_EVERY}[是对选正可行属符成]|\b(?:all|every one)\b", re.IGNORECASE)
# 四种都是活疫苗，全选: a statement of all, and then the choice of all.
_STATES_ALL = re.compile(
    r"(?:这|以上|上述|所有|全部)?[两三四五六七]?[个种项类者]?[^，,。；;A-Z不无非未除]{0,10}[都均皆][^，,。；;A-Z不无非未除]{1,16}[，,。；;]"
    r"(?:故|所以|因此|应|应该)?(?P<all>全部?选|都选|全对|都对|全部正确)"
)
_OTHERS = r"(?:其余|其[他它]|剩下|剩余)(?:的|各项|选项|各选项|项)?"
_BUT = re.compile(
    rf"(?:(?:只有|仅有?)?{_LABELS}{_EVERY}?不选|"
    rf"除了?{_LABELS.replace('labels', 'but')}(?:以外|之外|外)?)[,，]?{_OTHERS}{_EVERY}?(?:应?选|正确|对)"
)
_EXCLUDED = re.compile(
    rf"(?:(?:可以?|应|先)?排除(?:了|掉)?{_LABELS}|"
    rf"{_LABELS.replace('labels', 'before')}{_EVERY}?(?:可以?|应|被|可被)?(?:予以)?排除)"
    r"(?:(?:[,，。]|之?后)(?:故|所以|因此)?(?:应)?(?:只剩下?|剩下?|选)(?P<left>[A-Z])(?:项|选项)?)?|"
    rf"{_LABELS.replace('labels', 'denied')}{_EVERY}?不(?:是|对|选|属于|正确|符合)"
    r"[,，。](?:故|所以|因此)?(?:只剩下?|剩下?|只能选|选)(?P<only>[A-Z])(?:项|选项)?"
)
# None of them, or any: an answer that chooses nothing.
_NOTHING = re.compile(
    rf"(?:以上|上述|所有|这些)?(?:[两三四五六七](?:个|种|项|者))?(?:选项|答案)?{_EVERY}(?:不是|不对|不正确|错误?|不选|不属于|不符合)的?|"
    r"没有(?:一个|任何)?(?:正确|合适|符合|对)的?(?:选项|答案)?|"
    rf"(?:以上|上述)?(?:选项|答案)?{_EVERY}有?可能|(?:选不出来?|无法(?:确定|判断|选择|作答|选出)|随便选一?个?)(?:答案|选项)?|"
    r"none of (?:the above|them|these)(?: (?:is|are) (?:correct|right|true))?|no (?:correct|right) (?:option|answer)",
    re.IGNORECASE,
)
_EITHER = re.compile(
    r"(?:可能)?(?:是|选|为)?(?P<one>[A-Z])(?:项|选项)?[,，]?(?:(?:或者?|也|又)(?:有?可能)?(?:是|选|为)?)"
    rf"(?P<other>[A-Z])(?:项|选项)?(?:{_EVERY}?(?:有可能|可能|可以|行|对|正确))?"
)
_ENDS = " .。！!"


def by_place_or_exclusion(text: str, options: Mapping[str, str]) -> frozenset[str] | None:
    """The labels that an answer means without opening with them; None of any other answer."""
    bare, labels = text.strip(_ENDS), list(options)
    if len(bare) > 60:
        return None
    place = _PLACE.fullmatch(bare)
    if place:
        word = place["han"] or place["word"].lower()
        number = len(labels) - 1 if word == "last" else _PLACES.get(word, _ORDINALS.get(word, len(labels)))
        return frozenset(labels[number : number + 1]) or None
    last = _STATES_ALL.fullmatch(bare)
    bare = last["all"] if last else bare
    every = _ALL.fullmatch(bare) if _MEANS_ALL.search(bare) else None
    if every and not any(map(_MEANS_ALL.search, options.values())):
        count = _COUNTS.get((every["han"] or every["number"] or "").lower(), len(labels))
        return frozenset(labels) if count == len(labels) else None
    but = _BUT.fullmatch(bare)
    if but:
        return _without(but["labels"] or but["but"], options)
    excluded = _EXCLUDED.fullmatch(bare)
    if excluded is None:
        return None
    left = _without(excluded["labels"] or excluded["before"] or excluded["denied"], options)
    kept = excluded["left"] or excluded["only"]
    return left if left and len(left) == 1 and (not kept or left == {kept}) else None


def chooses_none(text: str, options: Mapping[str, str]) -> bool:
    """Whether an answer chooses nothing, or leaves two open: 都不对, 无法确定, C或者B都有可能. Options may say so too."""
    bare = text.strip(_ENDS)
    if len(bare) > 40:
        return False
    if _NOTHING.fullmatch(bare):
        return not any(map(_NOTHING.fullmatch, options.values())) and not any(map(_SAYS_NONE.search, options.values()))
    either = _EITHER.fullmatch(bare)
    return either is not None and either["one"] != either["other"] and {either["one"], either["other"]} <= set(options)


_SAYS_NONE = re.compile(rf"以上|上述|{_EVERY}(?:不|错|可)|无法|不能确定|\b(?:none|neither|all) of\b", re.IGNORECASE)


def _without(written: str, options: Mapping[str, str]) -> frozenset[str] | None:
    """All labels but those, if they are labels."""
    out = {letter for letter in written if letter.isascii() and letter.isupper()}
    return frozenset(set(options) - out) if out and out < set(options) else None
