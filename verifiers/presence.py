"""References that say that something is not there: "No infection", "PE is excluded", 无胆囊结石.

An answer says of the same thing that it is there, that it is not, or that it may be; only the second is right.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from medrl.types import Verdict
from medrl.verifiers.normalise import tokens
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.wording import Asked, says_nothing


class Presence(NamedTuple):
    """Whether a thing is there."""

    state: Literal["absent", "present", "unsure"]
    thing: str


_THING = r"(?P<{}>[^,.;:，。；：\n]{{0,60}}?)"
_T = iter(range(100))


def _thing() -> str:
    return _THING.format(f"t{next(_T)}")


_SIGNS = (
    r"(?:(?:clear |definite |radiological |clinical )?(?:signs?|evidence|features?|indications?|"
    r"suggestions?) of (?:an? |any )?)?"
)
_SURE = (
    r"(?:been |completely |definitely |safely |effectively |reliably |already |clearly |thereby |very |highly |most )*"
)
_BE = r"(?:is|are|was|were|has|have|has been|have been|can be|may be|'s)"
_UNSURE = (
    rf"{_thing()},? (?:can ?not|can't|could not|couldn't|is not|isn't|has not|hasn't)(?: yet)? (?:be |"
    rf"been )?{_SURE}(?:excluded|ruled out)",
    rf"(?:we |one |you |it |I )?(?:can ?not|can't|could not|does not|doesn't|do not|don't) (?:safely |"
    rf"yet )?(?:exclude|rule out) {_thing()}",
    rf"(?:possible|suspected|probable|likely) {_thing()}",
    rf"{_thing()} (?:is|remains|may be|might be|could be) (?:still )?(?:possible|likely|present|suspected|"
    rf"probable)(?: enough)?",
    rf"(?:尚?不能?|无法|未能|暂不能?|难以)(?:完全)?(?:排除|除外){_thing()}",
    rf"{_thing()}(?:尚|仍|还)?(?:不能|无法|未能|未|未被|没有?)(?:完全)?(?:被)?(?:排除|除外)",
    rf"(?:可疑|疑似|可能(?:有|为|存在)?|怀疑(?:有)?){_thing()}",
    rf"{_thing()}(?:可能性大|待排|待排除|可能)",
)
_ABSENT = (
    rf"(?:there (?:is|are|was|were) )?(?:no|without(?: any)?|absence of|negative for|free (?:of|"
    rf"from)) (?:an? )?{_SIGNS}{_thing()}"
    r"(?: (?:is|are|was|were) (?:seen|present|found|visible|identified|detected|evident|noted|demonstrated)| seen|"
    r" present| found| identified"
    r"| detected| evident| visible)?",
    rf"(?:(?:it|this|the \w+|he|she|they) )?(?:is |are |was |does |do |has |have )?(?:not|n't) (?:an? |any |have |"
    rf"show |have any |"
    rf"show any |a case of |due to )*{_SIGNS}{_thing()}",
    rf"{_thing()} (?:{_BE} )?{_SURE}(?:excluded|ruled out|absent|unlikely|not (?:present|seen|found|detected|"
    rf"identified|likely|evident|there))",
    rf"(?:excludes?|rules? out|excluded|ruled out|this excludes|this rules out) {_thing()}",
    rf"(?:并?无|没有|未见|未发现|未检出|未见到|未提示|不存在|不支持|未查见|未探及|未患|并未见|不伴)(?:明显|明确|"
    rf"任何|确切)?{_thing()}(?:征象|表现|的?证据|迹象|征|形成|存在)?",
    rf"{_thing()}(?:内|中|腔内|处|部)?(?:均?未见|未发现|未检出|未探及|不存在|阴性)(?:明显|明确)?",
    rf"(?:可以|已|已经|可|能|能够|基本)?(?:排除|除外)(?:了)?{_thing()}",
    rf"{_thing()}(?:已|可|可以|已经|被|已被|基本)(?:排除|除外)(?:了)?",
    rf"(?:不是|并非){_thing()}",
)
_PRESENT = (
    rf"(?:(?:it|this|the \w+|he|she) )(?:is|are|has|have|shows?|indicates?|confirms?) {_thing()}",
    rf"(?:有|存在|可见|确诊为?|诊断为?|提示|证实为?|考虑为?|见|合并|符合){_thing()}",
    rf"(?:there (?:is|are) )?(?:an? |definite |clear |confirmed |established |(?:clear |definite )?(?:signs?|"
    rf"evidence) of )*{_thing()}"
    rf"(?: (?:is|are|was|has been) (?:present|confirmed|diagnosed|established|seen|proven|certain|evident)|"
    rf" (?:confirmed|present|diagnosed))?",
)
State: TypeAlias = Literal["absent", "present", "unsure"]
_READ: tuple[tuple[State, tuple[str, ...]], ...] = (("unsure", _UNSURE), ("absent", _ABSENT), ("present", _PRESENT))
_STATES = tuple((state, re.compile(pattern, re.IGNORECASE)) for state, patterns in _READ for pattern in patterns)
_CLAUSES = re.compile(r"[,;，；。：:\n]|\.(?= |$)| (?:as|and) ", re.IGNORECASE)
_BUT = re.compile(
    r"\b(?:but|however|although|though|unless|except|yet|still|if|or|only|perhaps|maybe|in fact|actually)\b|"
    r"但|然而|不过|虽|除非|若|如|或|倾向|其实|仅|可能|反而|除了",
    re.IGNORECASE,
)
_MAY_DENY = Pattern(
    r"\b(?:no|not|without|absence|absent|negative for|free (?:of|from)|excluded?s?|rules?|ruled|unlikely)\b|无|没有|"
    r"未|不|排除|除外",
    re.IGNORECASE,
)


def presence_of(clause: str) -> Presence | None:
    """What one clause says of a thing."""
    clause = clause.strip(" .。,，!！")
    if not 1 < len(clause) <= 120:
        return None
    for state, pattern in _STATES:
        match = pattern.fullmatch(clause)
        if match:
            thing = next((value for value in match.groupdict().values() if value), "").strip()
            return None if thing and _LEFT.search(thing) else Presence(state, thing)
    return None


_LEFT = re.compile(
    r"\b(?:no|not|never|cannot|excluded?|ruled|change|longer|only|need|needed|required|difference|treatment)\b|"
    r"n't\b|不|无|未|没|排除|需|变化|差异",
    re.IGNORECASE,
)


@lru_cache(maxsize=4096)
def absent_thing(reference: str) -> str:
    """The thing that a reference says is not there; "" where it says anything else."""
    if len(reference) > 100 or not _MAY_DENY.search(reference) or _BUT.search(reference):
        return ""
    found = presence_of(reference)
    return found.thing if found and found.state == "absent" else ""


def by_presence(
    reference: str, text: str, same: Callable[[str, str], bool], asked: Asked, question: str
) -> Verdict | None:
    """The verdict where the reference says that a thing is not there and the answer speaks of the same thing, or None."""
    thing = absent_thing(reference) or (_asked_for(question) if _ABSENT_ALONE.fullmatch(reference) else "")
    if not thing or len(text) > 300:
        return None
    opens = _YES_NO.match(text)
    text = text[opens.end() :] if opens else text
    text = _CERTAIN.sub("", text)
    if opens and opens[0][:3].lower() == "yes" and not (_MAY_DENY.search(text) or _BUT.search(text)):
        wanted = set(tokens(thing))
        if wanted <= asked.words and wanted <= set(tokens(text)):
            return Verdict.wrong(f"says that {thing!r:.60} is there, which it is not")
    clauses = [clause for clause in _CLAUSES.split(_REASON.sub(r";\1 ", text)) if clause.strip(" .。!！")]
    states: list[str] = []
    unread = False
    for clause in clauses:
        found = presence_of(clause)
        if found and _is(found.thing, thing, same, asked):
            states.append(found.state)
        else:
            unread = unread or not _only_reason(clause, thing)
    if not states:
        return None
    if "absent" not in states:
        sort = "may be" if "unsure" in states else "is"
        return Verdict.wrong(f"says that {thing!r:.60} {sort} there, which it is not")
    if not unread and set(states) == {"absent"} and not _BUT.search(text) and presence_of(clauses[0]):
        return Verdict.right(f"says that {thing!r:.60} is not there")
    return None


@lru_cache(maxsize=1024)
def _asked_for(question: str) -> str:
    """The thing of which a question asks whether it is present or absent; "" of any other question."""
    found = list(_PRESENT_OR_ABSENT.finditer(question[-600:]))
    return (found[0]["thing"] or found[0]["han"]) if len(found) == 1 else ""


_ABSENT_ALONE = re.compile(r"(?:it is )?(?:absent|not present)[.]?|(?:不存在|缺如)。?", re.IGNORECASE)
_PRESENT_OR_ABSENT = re.compile(
    r"\b(?:is|are|was|were) (?:an? |the |any )?(?P<thing>[^?.,;:]{3,60}?) (?:present or absent|absent or present)\?|"
    r"(?P<han>[\u3400-\u9fff]{2,20}?)(?:是|为)?(?:存在还是不存在|存在或不存在|是否存在)",
    re.IGNORECASE,
)


def found_after_all(reference: str, text: str) -> bool:
    """Whether an answer says that what the reference denies was found: 未见X。后证实为X."""
    thing = absent_thing(reference).lower()
    return bool(thing) and any(
        thing in clause.lower() and _FOUND.search(clause) and not _MAY_DENY.search(clause)
        for clause in _CLAUSES.split(text.replace("!", ".").replace("！", "。"))
    )


_FOUND = re.compile(r"证实|确诊|实为|实际|confirm|prove[dn]|turned out|revealed|showed|demonstrated", re.IGNORECASE)
_REASON = re.compile(r" (because|since|given|so) ", re.IGNORECASE)
_OPENS_REASON = re.compile(r"\s*(?:(?:because|since|given)\b|因为|由于)", re.IGNORECASE)
_SO_NO_MEASURE = re.compile(
    r"(?:so |therefore |thus |hence )?no (?:need for |further )?(?:antibiotics?|treatment|therapy|surgery|anticoagula\w+|"
    r"drainage|operation|transfusion|chemotherapy|admission|follow-up|imaging)(?: (?:is )?(?:required|needed|indicated))?|"
    r"(?:故|因此|所以|因而)?(?:无需|不需要?|不必|无须)(?:治疗|手术|抗生素|抗凝|引流|用药|输血|住院|处理)(?:治疗)?",
    re.IGNORECASE,
)
_FAULT = re.compile(
    r"\b(?:wrong\w*|mistak\w+|false\w*|errors?|err|untrue|incorrect\w*)\b|not done|missed|错|误|假|不实|漏|[没未](?:做|查)",
    re.IGNORECASE,
)


_PLEASED = re.compile(
    r"\s*which is (?:reassuring|good news|a relief|as expected|normal)"
    r"(?: after (?:a|the) (?:fall|injury|accident|procedure|operation|surgery))?"
)


def _only_reason(clause: str, thing: str) -> bool:
    """Whether a clause gives a reason, or says that nothing is to be done, without the thing or a fault."""
    plain = clause.strip(" .。!！")
    opens = _OPENS_REASON.match(clause) or _SO_NO_MEASURE.fullmatch(plain) or _PLEASED.fullmatch(plain)
    return bool(opens) and thing.lower() not in clause.lower() and not _FAULT.search(clause)


_CERTAIN = re.compile(
    r"^(?:there is no doubt|there can be no doubt|it is (?:certain|clear|evident)|I am (?:sure|certain)) that ",
    re.IGNORECASE,
)
_YES_NO = re.compile(r"(?:yes|no|是的?|没有|否|不)[,，.。;] ?", re.IGNORECASE)


def _is(given: str, thing: str, same: Callable[[str, str], bool], asked: Asked) -> bool:
    """Whether a clause's thing is the reference's: another name, a part with the question for the rest, its adjective."""
    if same(given, thing):
        return True
    own, wanted = tokens(given), tokens(thing)
    if own in ([], ["it"], ["thi"], ["this"], ["that"]):  # "Excluded."
        return all(word in asked.words for word in wanted)
    if len(own) == 1 and len(wanted) == 1 and _one_stem(own[0], wanted[0]):
        return True
    left = "".join(wanted)
    if any(word > "\u3400" for word in own):
        rest = left.removesuffix("".join(own))
        return rest != left and len(own) > 1 and rest in asked.han.replace(" ", "")
    missing = [word for word in wanted if word not in own]
    return set(own) <= set(wanted) and own[-1] == wanted[-1] and says_nothing(missing, asked)


_ENDINGS = re.compile(r"(?:ed|ion|ous|ive|ant|ancy|ic|ia|osis|ation|ment|al|ure)$")


def _one_stem(one: str, other: str) -> bool:
    """Whether two words are one but for an ending that makes a noun an adjective: infected, infection."""
    stems = _ENDINGS.sub("", one), _ENDINGS.sub("", other)
    return stems[0] == stems[1] and len(stems[0]) > 4 and stems[0] not in (one, other)
