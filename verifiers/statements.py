"""Choices told by what is true of each option: "A, B and C are live; the exception is D", ABD正确，C错误, 除C外都对.

Each clause says of some labels that they are right or wrong, or concludes ("so D"). A clause that is not understood leaves
the whole open, unless a conclusion follows it. Where a question asks for what is wrong, what is wrong is chosen.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from medrl.verifiers.normalise import normal
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.scripts import is_latin
from medrl.verifiers.wording import REVERSED


class Told(NamedTuple):
    """The labels that an answer comes to; or, where it names none, those that it denies."""

    chosen: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()


_MAY = Pattern(
    r"都|均|皆|错|对|不|除|其余|其[他它]|只|唯|例外|故|所以|因此|\b(?:exception|so|therefore|thus|hence|leav\w+|all|"
    r"only|not|rest|others|"
    r"everything|true|false|correct|incorrect|wrong|odd|both|cannot)\b|n't\b",
    re.IGNORECASE,
)
_LIST = re.compile(r"(?<=[A-H])(?<![A-Za-z][A-H]) ?(?:[、,，/&]|,? and\b|和|与|及) ?(?=[A-H](?![A-Za-z]))")
_LIST_HAN = re.compile(r"(?<=[A-H])(?:[、,，]|和|与|及)(?=[A-H](?![A-Za-z]))")
_CLAUSES = re.compile(
    r"[,，;；。.!！\n]| [-–—]+ |——|(?<!all )(?<!every option )(?<!options )(?<!thing )\bbut\b|\b(?:whereas|while)\b|"
    r"(?<=[项对确误])[而但]",
    re.IGNORECASE,
)
_L = r"(?P<l>[A-H]{1,8})(?![A-Za-z])"
_EVERY = r"(?:都|均|皆|全部?|也|是|为)*"
_THE_REST = r"(?:其余|其[他它])(?:的|选项|各项|[两二三四五]项|[两二三四五]个)*"
_ALL_BUT = re.compile(r"(除了?[A-H](?:项|选项)?(?:以外|之外|外)?)[，,](?=其余|其[他它])")
_CONCLUDES = re.compile(
    rf"(?:(?:and |but )?(?:(?:[Ss]o|[Tt]herefore|[Tt]hus|[Hh]ence|leaving(?: only)?|(?:which|that) leaves(?: only)?),? ?"
    rf"(?:(?:the answer|it)(?: is| must be| has to be|'s) |(?:I |we )?(?:choose|pick|select) )?)(?:only )?(?:option )?{_L}|"
    rf"(?:故|所以|因此|因而|则|就|应该?|最终)*(?:只能|只剩下?|仅剩|应)?(?:选择?|剩下?|答案(?:是|为|"
    rf"选)?){_L.replace('<l>', '<h>')}(?:项|选项)?|"
    rf"(?:故|所以|因此|只能)(?:是|为){_L.replace('<l>', '<i>')}(?:项|选项)?)"
)
_DENIES = re.compile(
    rf"(?:[Ii]t is |[Ii]t's )?[Nn]ot (?:option )?{_L.replace('<l>', '<n>')}|"
    rf"[Ii]t isn't (?:option )?{_L.replace('<l>', '<m>')}|"
    rf"(?:[Ss]o |[Tt]herefore |[Tt]hus |[Hh]ence )?(?:[Ii]t|[Tt]he answer) "
    rf"(?:can't|cannot|can not|couldn't|must not) be (?:option )?{_L}|"
    rf"(?:故|所以|因此)?(?:不(?:能|应|可|该)?选|不(?:会|可能)是){_L.replace('<l>', '<h>')}(?:项|选项)?"
)
_ODD = re.compile(
    rf"(?:and )?(?:the )?(?:only )?(?:exception|odd one(?: out)?|outlier|(?:false|incorrect|wrong)(?: (?:one|statement|"
    rf"option))?)(?: is|:) {_L}|"
    rf"(?:错误?|不正确|不对|不属于|例外|有误)的?(?:选项|说法|一项|项)?(?:是|为){_L.replace('<l>', '<h>')}(?:项|选项)?",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    rf"(?:(?P<only>只有|仅有?|唯有|[Oo]nly ){_L}(?:项|选项)?|"
    rf"(?P<but>(?:除了?|除去){_L.replace('<l>', '<b>')}(?:项|选项)?(?:以外|之外|外)?(?:的?{_THE_REST})?|"
    rf"(?:[Aa]ll|[Ee]verything|[Aa]ll options|[Ee]very option)(?: of them)? (?:but|except(?: for)?) (?:option "
    rf")?{_L.replace('<l>', '<e>')})|"
    rf"(?P<rest>{_THE_REST}|(?:[Aa]ll )?(?:[Tt]he )?(?:rest|others?|other (?:options|choices|three|two|four)|remaining "
    rf"(?:options|ones)))|"
    rf"(?:[Oo]ptions? )?{_L.replace('<l>', '<s>')}(?:项|选项|[二两三四]项|[二两三四]者)?)"
    rf"(?: ?(?:is|are)(?: all| both| also)?(?: |$)|{_EVERY})(?P<what>.{{0,40}})"
)
_RIGHT = re.compile(r"(?:正确|对|成立|true|correct|right)的?", re.IGNORECASE)
_WRONG = re.compile(r"(?:错误?|不正确|不对|有误|不成立|false|wrong|incorrect|untrue)的?", re.IGNORECASE)
_OUT = re.compile(
    r"(?:可以?|应|被|可被)?(?:予以)?排除(?:在外)?|不(?:能|应)?选|excluded|ruled out|eliminated", re.IGNORECASE
)
_IN = re.compile(r"(?:应|要|该)?选|the answers?", re.IGNORECASE)
_NOT = re.compile(r"不(?=属|是|符|具|能|会|可)|不|非|not(?: |$)", re.IGNORECASE)
_ASKS_WRONG = Pattern(r"错误|不正确|不对|有误|\b(?:false|incorrect|untrue|wrong)\b", re.IGNORECASE)


def told(text: str, options: Mapping[str, str], question: str) -> Told | None:
    """What an answer of several clauses comes to, or None where it is no such answer or a clause leaves it open."""
    if not 2 < len(text) <= 300 or len(options) < 2 or not all(len(o) == 1 for o in options) or not _MAY.search(text):
        return None
    text = _lettered(text, tuple(options.items()))
    text = _ALL_BUT.sub(r"\1的", text)
    text = (_LIST_HAN if not text.isascii() else _LIST).sub("", text)
    clauses = [part for one in _CLAUSES.split(text) if (part := one.strip(" *_\"'“”()（）:："))]
    stem = _stem(question)
    reversed_ = bool(REVERSED.search(stem) or _ASKS_WRONG.search(stem))
    every = frozenset(options)
    right: set[str] = set()
    wrong: set[str] = set()
    chosen: set[str] = set()
    denied: set[str] = set()
    ended = open_ = False
    for number, clause in enumerate(clauses):
        ended = False
        found = _CONCLUDES.fullmatch(clause)
        if found:
            labels = frozenset(found["l"] or found["h"] or found["i"])
            if not labels <= every or (chosen and chosen != labels):
                return None
            chosen |= labels
            ended = number == len(clauses) - 1
            continue
        if deny := _DENIES.fullmatch(clause):
            denied |= set(deny["l"] or deny["h"] or deny["n"] or deny["m"])
            continue
        if number and number == len(clauses) - 1 and clause in every and (denied or wrong or open_) and not chosen:
            chosen |= {clause}  # "It cannot be B, because of the crystals. C."
            ended = True
            continue
        if odd := _ODD.fullmatch(clause):
            wrong |= set(odd["l"] or odd["h"])
            continue
        said = _said(clause, every, stem)
        if said is None:
            open_ = True
            continue
        if said[2]:  # what is chosen or left out outright
            chosen |= said[0]
            denied |= said[1]
        else:
            right |= said[0]
            wrong |= said[1]
        if said[3]:
            rest = every - right - wrong - chosen - denied
            {"right": right, "wrong": wrong, "in": chosen, "out": denied}[said[3]].update(rest)
    if not (right | wrong | chosen | denied) <= every or right & wrong or chosen & denied:
        return None
    if chosen:
        against = right if reversed_ else wrong
        return Told(frozenset(chosen)) if not chosen & against and (ended or not open_) else None
    if open_ and not denied:
        return None
    picked = wrong if reversed_ else right
    if picked and not (picked & denied) and not open_:
        return Told(frozenset(picked))
    out = denied | (right if reversed_ else wrong)
    if len(every - out) == 1 and not open_:
        return Told(every - out)
    return Told(denied=frozenset(denied)) if (denied and not (right | wrong) - denied) or (denied and open_) else None


def _stem(question: str) -> str:
    return question[: question.find("\n")] if "\n" in question else question


def asks_wrong(question: str) -> bool:
    """Whether a question asks which of its statements is wrong."""
    return bool(_ASKS_WRONG.search(_stem(question)))


def affirmed(text: str, options: Mapping[str, str], question: str) -> frozenset[str]:
    """The labels of which an answer says what its question denies: "C is a sign" where one asks what is no sign."""
    stem = _stem(question)
    if len(text) > 300 or not (_ASKS_NOT.search(stem) or _ASKS_WRONG.search(stem)):
        return frozenset()
    found: set[str] = set()
    for clause in _CLAUSES.split(_lettered(text, tuple(options.items()))):
        match = _ABOUT.fullmatch(clause.strip(" *_\"'“”()（）:："))
        what = match["what"].strip() if match and match["s"] else ""
        right = _RIGHT.fullmatch(what) is not None
        if (
            match
            and what
            and not _DENIAL.search(what)
            and _kind(what, stem) == "right"
            and (not right or what.rstrip("的") in stem)
        ):
            found |= set(match["s"])
    return frozenset(found)


_ASKS_NOT = Pattern(
    r"不(?:[是属符会能可具对应宜需见用适正支考存常推]|包括|出现|引起)|并非|除.{0,8}外|\b(?:not|except|never|least)\b|n't\b",
    re.IGNORECASE,
)
_DENIAL = re.compile(r"[不非无未没错误]|\b(?:not|no|never|except\w*|false|wrong|incorrect|untrue)\b", re.IGNORECASE)


def contraindicated(text: str, options: Mapping[str, str], question: str) -> frozenset[str]:
    """The labels that an answer calls contraindicated, where the question does not ask for that."""
    if len(text) > 300 or not _HARM.search(text) or _ASKS_HARM.search(_stem(question)):
        return frozenset()
    return frozenset(match["l"] for match in _HARMFUL.finditer(_lettered(text, tuple(options.items()))))


_HARM = Pattern(r"禁|不宜|contraindicat|forbidden|harmful|dangerous|inadvisable|be avoided|unsafe", re.IGNORECASE)
_ASKS_HARM = Pattern(
    r"[禁忌避]|不[宜应能可]|contraindicat|forbidden|harm|danger|avoid|unsafe|inadvisable|\b(?:not|except|least)\b",
    re.IGNORECASE,
)
_HARMFUL = re.compile(
    r"(?<![A-Za-z])(?P<l>[A-H])(?![A-Za-z])[.、:：)） ]{0,2}(?:项|选项)?[^,，;；。.无非没\n]{0,12}?"
    r"(?:禁忌|禁用|禁止|不宜|contraindicat|forbidden|harmful|dangerous|inadvisable|be avoided|unsafe)",
    re.IGNORECASE,
)


def _said(clause: str, every: frozenset[str], stem: str) -> tuple[frozenset[str], frozenset[str], bool, str] | None:
    """The labels that a clause calls right and wrong, whether outright (chosen, left out), and what the others are."""
    match = _ABOUT.fullmatch(clause)
    if match is None:
        return None
    what = match["what"].strip()
    kind = _kind(what or ("是" if clause.endswith("是") else ""), stem)
    none: frozenset[str] = frozenset()
    if kind is None or (kind == "in" and match["but"] and not match["what"]):
        kind = "in" if match["e"] and not match["what"].strip() else kind
    if kind is None:
        return None
    outright = kind in ("in", "out")
    positive = kind in ("right", "in")
    opposite = {"right": "wrong", "wrong": "right", "in": "out", "out": "in"}[kind]
    if match["rest"]:
        return none, none, outright, kind
    labels = frozenset(match["l"] or match["b"] or match["e"] or match["s"] or "")
    if match["but"]:
        labels = every - labels
    rest = opposite if match["only"] or match["but"] else ""
    return (labels, none, outright, rest) if positive else (none, labels, outright, rest)


def _kind(what: str, stem: str) -> str | None:
    """What a predicate says of its labels: right, wrong, in, out; None of any other."""
    for pattern, kind in ((_OUT, "out"), (_IN, "in"), (_WRONG, "wrong"), (_RIGHT, "right")):
        if pattern.fullmatch(what):
            return kind
    if REVERSED.search(stem) and "符合" in what:
        return None
    negated = _NOT.match(what)
    bare = what[negated.end() :] if negated else what
    if not bare:
        return "wrong" if negated else None
    if _RIGHT.fullmatch(bare):
        return "wrong" if negated else "right"
    if not bare.isascii():
        core = bare.removeprefix("是").removeprefix("属于").rstrip("的")
        held = (len(core) > 1 and core in stem) or bare in stem or bare in ("符合", "属于", "是", "符合题意")
    else:
        words = [word for word in normal(bare).split() if word not in ("a", "an", "the", "of", "these")]
        known = set(normal(stem).split()) | {f"{word}s" for word in normal(stem).split()}
        held = bool(words) and all(word in known or f"{word}s" in known for word in words)
    return ("wrong" if negated else "right") if held else None


def _lettered(text: str, options: tuple[tuple[str, str], ...]) -> str:
    """A text with each option's own words as its label; a label before its own words stands once."""
    for label, words in _longest(options):
        low, wanted, at = text.lower(), words.lower(), 0
        while len(low) == len(text) and (at := low.find(wanted, at)) >= 0:
            end = at + len(wanted)
            if not (
                (is_latin(low[at - 1 : at]) and is_latin(wanted[0]))
                or (is_latin(low[end : end + 1]) and is_latin(wanted[-1]))
            ):
                before = (
                    re.sub(rf"\(?{label}\)?[.、:：)）项 ]{{0,2}}$", "", text[:at])
                    if text[max(0, at - 4) : at].strip()
                    else text[:at]
                )
                text = f"{before}{label}{text[end:]}"
                low = text.lower()
                at = len(before)
            at += 1
    return text


@lru_cache(maxsize=256)
def _longest(options: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((one for one in options if len(one[1]) > 1), key=lambda one: -len(one[1])))
