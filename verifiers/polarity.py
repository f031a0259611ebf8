"""Yes or no out of a statement of what may, must or need not be done: "not contraindicated", 没有必要停止, 不得不停.

Negations, modal verbs and verbs that stop something are read as operators, never counted blindly: 不能不停 must stop, and
"no need to stop" lets go on. What a statement speaks of must be what the question asks about, or nothing in particular.
"""

import re
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from medrl.verifiers.normalise import normal
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.wording import last_sentence

Side: TypeAlias = Literal["yes", "no", "maybe"]
Asks: TypeAlias = Literal["may", "must", ""]


class Stance(NamedTuple):
    """What a statement says, and whether it says no more than was asked."""

    side: Side
    exact: bool


_MAY = Pattern(
    r"\b(?:can|may|could|safe(?:ly)?|allowed|permitted|permissible|usable|acceptable|compatible|suitable|ok|okay)\b|"
    r"可否|可以|能否|能不能|可不可以|能够|是否(?:可|能)|(?<![只不])能.{1,30}[吗么]|可.{1,30}[吗么]",
    re.IGNORECASE,
)
_MUST = Pattern(
    r"\b(?:should|must|needs?|needed|required?|necessary|recommended|indicated|advis\w+|ought)\b|"
    r"应否|应当|应该|应(?!用|激|力|答)|必须|需要|是否需|有必要|要不要|宜",
    re.IGNORECASE,
)
_ASKS_NO = re.compile(
    r"[不没无非未勿禁忌停拒慎戒撤错误]|避免|危险|有害|推迟|延[迟后期]|暂缓|[中终]止|中断|放弃|限制(?!型)|减[少量停]|降低|"
    r"\b(?:not|never|no|avoid\w*|stop\w*|withh\w+|withdraw\w*|discontinu\w+|contraindicat\w+|without|unsafe|held|hold|"
    r"defer\w*|delay\w*|postpon\w*|refus\w*|den(?:y|ied)|omit\w*|omission|forgo\w*|skip\w*|cease\w*|cessation|"
    r"interrupt\w*|suspend\w*|against|restrict\w*|limit\w*|lower\w*|reduc\w*|decreas\w*|abst\w+|forbidden|prohibited|"
    r"banned|harm\w*|danger\w*|wrong|incorrect|inappropriate|inadvisable|un(?:necessary|acceptable|suitable))\b|n't\b",
    re.IGNORECASE,
)
# No negations, though they look like one.
_NAMES = re.compile(
    "未[满婚成]|不(?:全|稳定?|良|明|足|孕|育|规则|典型)|无(?:症状|痛|菌|创)|非(?:小细胞|霍奇金|甾体|ST)|"
    "停[经搏]|骤停|呼吸暂停"
)
_TAG = re.compile(r"[,，](?:这?(?:是|样|种\w{1,2})?)(?:对|是|正确|好)(?:[吗么吧]|不对|不是|不好)\W*$")
# What judges a statement, which stands before it: 不能停药的说法是否正确？
_JUDGES = re.compile("[正准]确|说法|观点|合理|恰当|合适|妥当|成立|属实|真的|可取")
_DOUBTS = re.compile(
    r"\b(?:but|however|unless|except|although|only|if|sometimes|rarely|whether|depends|with caution|caution\w*)\b|"
    r"但|除非|除外|不过|然而|虽|仅|只有|如果|若|有时|部分|视|慎|权衡|[?？吗呢]",
    re.IGNORECASE,
)
CLAUSES = re.compile(
    r"[,，.。;；:：!！\n]|\s[-–—]+\s|——|\b(?:so|and|hence|therefore|thus)\b|"
    r" (?=(?:because|due to|owing to|until|since)\b)|(?:所以|因此|因而)"
)
_HAN_COMMA = re.compile("[,，]")
_WHETHER = re.compile(r"[是能可应]否|有无|(.)[不没]\1")  # what stands before does not say what is asked
REASON = re.compile(r"^(?:because|since|as|given|due to|owing to|until)\b|^(?:因|由于|鉴于)", re.IGNORECASE)

# What may be done, must be done, must not be done; two negations are read as one word where they make one thought.
_HAN = re.compile(
    r"(?P<subject>[^不没无非禁必应须需能可停暂忌严勿得要毫毋并难]{0,12})"
    r"(?:(?P<noreason>(?:并?没有|并?无|毫无|找不到)(?:任何|什么|充分)?(?:的)?(?:理由|道理|依据|"
    r"原因))(?P<inner>不(?:可以?|能|予|给)?)?|"
    r"(?P<must>不得不|不能不|不可不|不(?:可|能)(?:或缺|缺少|省略?|少(?!量))|必不可少|刻不容缓|必须|务必|应当|应该|应(?!用)|须|(?:非常|十分)?需要?|"
    r"必要|只能)|"
    r"(?P<noneed>(?:并)?(?:没有?必要|无需|无须|无必要|毋需|毋须|不必|不用|不需要?|不须)|(?:并非|并?不是|不属于|非)(?:必须|必需|必要|"
    r"需要)|可有可无|多此一举|可以?不)|"
    r"(?P<notnot>(?:并非|并不是|不是|没有什么|没什么)(?:绝对)?不(?:可以?|能|行|宜|应该?|允许)|未尝不可|没有?问题)|"
    r"(?P<notban>(?:并非|并不是|不是|不属于?|非|并?无|没有)(?:绝对|明确|任何)?(?:的)?(?:禁忌[证症]?|禁用|禁止)|不影响|"
    r"不妨碍)|"
    r"(?P<cannot>(?:绝对?|坚决|并|暂)?不(?:能够?|可以?|得|应当|应该|应|该|宜|允许|准|建议|推荐|主张|合适|适合|适宜|妥)|切勿|勿|"
    r"(?:并非|并?不是)(?:可以|能)|不行|最好(?:不要?|别))|"
    r"(?P<ban>(?:属|为|是)?(?:绝对)?(?:禁忌[证症]?|禁用|禁止|严禁|忌用))|"
    r"(?P<can>可以|可|能够|能|允许))"
    r"(?P<stop>(?:立即|立刻|马上|暂时?|先|彻底|完全)*(?:停用|停药|停止|停掉|停|暂停|中止|中断|终止|放弃|避免|撤药|撤除|"
    r"拒绝|暂缓))?"
    r"(?P<rest>[^不没无非未停禁避忌否]{0,24})"
)
GENERAL_HAN = re.compile(
    r"继续|使用|服用|应用|给予|给药|进行|接受|采用|正常|照常|安全地?|用药|治疗|母乳|哺乳|用|给|行|服|做|的|了|地|它|其|"
    r"该药|药物?|本品|此药|来|进一步|吧|呢"
)
# Before the words that decide these only stress them.
_STRESS_HAN = re.compile(r"绝对|坚决|完全|当然|确实|万万|千万|[切属为是极很]|肯定|显然|非常|十分|于|有$")
_OTHER_HAN = ("药物", "用药", "该药", "治疗")
_REPLACES = re.compile("代替|替代|取代|还是")
_DETAIL_HAN = re.compile(r"小剂量|低剂量|大剂量|短期|长期|适量|适当|少量|酌情|监测下|在医生指导下")

_STOPS = (
    r"(?:stop(?:ped|ping)?|avoid(?:ed|ing)?|withh(?:old|eld|olding)|discontinu(?:e|ed|ing)|held|hold|withdrawn?|"
    r"defer(?:red)?|postponed?|interrupt(?:ed)?|cease|refused?|den(?:y|ied)|forgo)"
)
_GIVES = (
    r"(?:give[n]?|us(?:e|ed)|continu(?:e|ed)|administ(?:er|ered)|take[n]?|prescribed?|start(?:ed)?|perform(?:ed)?|done|do|"
    r"offer(?:ed)?|proceed|go (?:ahead|on)|carry on|received?)"
)
_SUBJECT = r"(?P<subject>(?:it|they|this|that|he|she|(?:the|this) [a-z]+(?: [a-z]+)?|these) ?)?"
_LATIN = re.compile(
    rf"{_SUBJECT}(?P<said>"
    rf"(?P<noreason>(?:there(?:'s| is| are| would be)? )?no (?:(?:good|real|valid|clear) )?(?:reasons?|grounds?|basis) "
    rf"(?:(?P<inner>not to|to {_STOPS})|to|for)\b)|"
    rf"(?P<notban>(?:(?:is|are|'s) )?(?:not|isn't|aren't) (?:(?:absolutely|strictly|a|an|actually) )*(?:contraindicated|"
    rf"contraindication|"
    r"forbidden|prohibited|banned|unsafe|off[- ]limits)|(?:there (?:is|are) )?no contraindications?)|"
    r"(?P<ban>(?:(?:is|are|'s) )?(?:(?:absolutely|strictly|generally) )?(?:contraindicated|forbidden|prohibited|unsafe|"
    r"off[- ]limits|(?:not|n't) (?:safe|allowed|permitted|advis(?:ed|able)|recommended|suitable|acceptable|appropriate)))|"
    rf"(?P<noneed>(?:there(?:'s| is) )?no need(?: for \w+)? to (?:be )?{_STOPS}|(?:does not|doesn't|need not|needn't|do "
    rf"not|don't) (?:need to |have to )?(?:be )?"
    rf"{_STOPS})|"
    rf"(?P<notstop>(?:should|must|can)(?: not|not|n't) (?:be )?{_STOPS})|"
    rf"(?P<muststop>(?:should|must|has to|have to|needs to|ought to) (?:\w+ly )?(?:be )?{_STOPS}|^{_STOPS})|"
    rf"(?P<cannot>(?:should|must|can|may|could)(?: not|not|n't| never) (?:be )?{_GIVES})|"
    rf"(?P<should>(?:should|must|has to|ought to) (?:be )?{_GIVES})|"
    rf"(?P<can>(?:can|may|could) (?:(?:still|also|safely|probably) )?(?:be )?(?:(?:still|also|safely) )?{_GIVES}|(?:is|"
    rf"are) (?:generally )?(?:safe|allowed|permitted|fine))"
    r")(?P<rest>(?: [a-z' -]{0,60})?)"
)
GENERAL = frozenset(
    "a an the it this them that be is to of for in on with at here safely as usual patient case drug medicine "
    "treatment therapy give use continue giving using continuing given used continued still do so taking".split()
)
_MAYBE = re.compile(
    r"(?:\w{0,12})?(?:无法|不能|难以|无从|尚?不能?|未能)(?:判断|确定|得知|明确|肯定)|"
    r"(?:it )?(?:cannot|can't|can not|could not|is impossible to) (?:be )?(?:determined?|told|tell|judged?|said|say|"
    r"known?|know)",
    re.IGNORECASE,
)
_PREFIXED = re.compile(
    r"(?P<subject>(?:it|this|that|they|the [a-z]+(?: [a-z]+)?) )?(?:(?:is|are|was|were|seems) ?)?"
    r"(?P<no>not|n't|(?:isn|aren|wasn|weren)'t)? ?"
    r"(?:(?:statistically|clinically|really|actually) )?(?P<prefix>un|in|im|ir|il|non-?|non "
    r")?(?P<word>[a-z]{4,20})(?P<rest>(?: [a-z' -]{0,60})?)"
)
_COMPARES = re.compile(r"\b(?:more|less|most|least|than|or)\b")
_PREDICATE = re.compile(r"^(?:is|are|was|were)\b")


# What is contraindicated is not allowed, so that the answer to the one question is no to the other.
_FORBIDS = re.compile(
    r"(?<=\w )(?:contraindicated|forbidden|prohibited|unsafe)(?=[ ?])(?=(?:[^?]*\?)?$)", re.IGNORECASE
)


def stance(text: str, question: str) -> Stance | None:
    """What an answer says to a question for yes or no, by what it says may or must be done; None where that is open."""
    if not 1 < len(text) <= 200:
        return None
    if _DOUBTS.search(text):
        return None
    last = last_sentence(question).strip()
    if NARROWS.search(last):
        return None
    clauses = [
        part
        for one in CLAUSES.split(_unframed(text) if text.isascii() else text)
        if (part := one.strip(" *_\"'“”()（）"))
    ]
    if clauses and _MAYBE.fullmatch(clauses[-1]) and not any(_clause(one, last, _asks(last)) for one in clauses[:-1]):
        return Stance("maybe", True)
    if asks_no(last):
        turned = _FORBIDS.sub("allowed", last, count=1)
        opposite = stance(text, turned) if turned != last else None
        return (
            Stance("no" if opposite.side == "yes" else "yes", opposite.exact)
            if opposite and opposite.side != "maybe"
            else None
        )
    asks = _asks(last)
    found: list[Stance] = []
    for number, clause in enumerate(clauses):
        if REASON.match(clause):
            break
        one = _clause(clause, last, asks)
        if one is None and number == 0:
            return None
        if one:
            found.append(one)
        elif _ANY.search(clause):
            return None
    sides = {one.side for one in found}
    if "yes" in sides and " until " in text:
        return None  # only so long
    return Stance(found[0].side, all(one.exact for one in found)) if len(sides) == 1 else None


def asks_no(last: str) -> bool:
    """Whether the last sentence of a question asks in the negative, so that 可以 may be its no: 是否禁用？."""
    last = _NAMES.sub("", _TAG.sub("", last.strip()))
    asked = last if last.isascii() else str(_WHETHER.split(_HAN_COMMA.split(last)[-1])[-1])
    whole = len(asked.strip("?？ ")) < 4 or _JUDGES.search(asked)
    return bool(_ASKS_NO.search(last if whole else asked))


# A question with these asks more than whether a thing is safe, and "It is safe" does not answer it.
NARROWS = re.compile(
    r"\b(?:only|all|every|always|more|less|most|rather|but|(?:al)?though|even|just|alone|as opposed|compared|unlike|whereas|"
    r"solely|exclusively|both|either|or|except|instead|than)\b",
    re.IGNORECASE,
)
# What only says who holds a thing to be so: "It cannot be considered safe", "I would not say that it is safe".
_SAYS = re.compile(
    r"\b(?:(?:I|we|one) )(?:would|do|should)?(?P<no> not|not|n't)? ?"
    r"(?:say|call|claim|argue|maintain|state) (?:that )?"
    r"(?P<it>it|this|that|they|the \w+|these|he|she)(?P<be> (?:is|are))? ",
    re.IGNORECASE,
)
_HELD = (
    r"(?:(?:generally|usually|widely|currently) )?"
    r"(?:considered|regarded as|deemed|thought to be|believed to be|judged|classed as|seen as|viewed as)(?: to be)? "
)
_NOT_HELD = re.compile(
    rf"\b(?:(?:cannot|can't|can not|could not|couldn't|should not|shouldn't|must not) be|is not|isn't) {_HELD}",
    re.IGNORECASE,
)
_IS_HELD = re.compile(rf"\b(?:(?:can|may|could|should|must) be|is) {_HELD}", re.IGNORECASE)


def _unframed(text: str) -> str:
    """A statement without who holds it to be so."""
    said = _SAYS.match(text)
    if said:
        text = f"{said['it']} is{' not' if said['no'] else ''} {text[said.end() :]}"
    return _IS_HELD.sub("is ", _NOT_HELD.sub("is not ", text))


# In a clause that is not understood these may turn the others round.
_ANY = re.compile(
    r"[不没无非未停禁避忌勿错误假能应需宜改缓]|可以|必须|推迟|延后|观察|"
    r"\b(?:not|no|never|avoid|stop|contraindicat\w+|unsafe|should|must|cannot|without|wrong|false|incorrect|"
    r"untrue|doubt\w*|nonsense)\b|n't\b",
    re.IGNORECASE,
)


@lru_cache(maxsize=1024)
def _asks(last: str) -> Asks:
    may, must = bool(_MAY.search(last)), bool(_MUST.search(last))
    return "may" if may and not must else "must" if must and not may else ""


def _clause(clause: str, last: str, asks: Asks) -> Stance | None:
    if clause.isascii():
        low = clause.lower()
        return (_latin(low, last.lower(), asks) if asks else None) or _prefixed(low, last.lower())
    return _han(clause, last, asks) if asks else None


def _han(clause: str, last: str, asks: Asks) -> Stance | None:
    match = _HAN.fullmatch(clause)
    if match is None:
        return None
    subject, rest = match["subject"], match["rest"]
    left = GENERAL_HAN.sub("", rest)
    bare = _DETAIL_HAN.sub("", left)
    if any(c not in last for c in bare) or any(
        c not in last for c in _STRESS_HAN.sub("", GENERAL_HAN.sub("", subject))
    ):
        return None
    if any(word in rest and word not in last for word in _OTHER_HAN) or _REPLACES.search(last):
        return None  # 需要药物治疗, where surgery is asked
    if (match["ban"] or match["notban"]) and match["stop"]:
        return None
    stops = match["stop"] is not None
    side: Side | None = None
    if match["noreason"]:
        side = "yes" if bool(match["inner"]) != stops and asks == "may" else None
    elif match["must"]:
        side = "no" if stops else "yes" if asks == "must" or match["must"].startswith("不") else None
        if match["must"] == "只能" and not stops:
            side = None
    elif match["noneed"]:
        side = ("yes" if asks == "may" else None) if stops else ("no" if asks == "must" else None)
    elif match["notnot"]:
        side = "yes" if asks == "may" and not stops else None
    elif match["notban"]:
        side = "yes" if asks == "may" else None
    elif match["cannot"]:
        side = "yes" if stops else "no"
    elif match["ban"]:
        side = "no"
    elif match["can"] and asks == "may" and not stops:
        side = "yes"
    return Stance(side, left == bare) if side else None


def _latin(clause: str, last: str, asks: Asks) -> Stance | None:
    match = _LATIN.fullmatch(clause)
    if match is None:
        return None
    known = set(normal(last).split())
    if any(word not in known and word not in GENERAL for word in normal(match["rest"]).split()):
        return None
    if _ANY.search(match["rest"]) or _of_another(match["subject"] or "", match["said"], match["rest"], last):
        return None
    side: Side | None = None
    if match["noreason"]:
        side = "yes" if match["inner"] and asks == "may" else "no" if not match["inner"] and asks == "must" else None
    elif match["notban"] or match["noneed"]:
        side = "yes" if asks == "may" else None
    elif match["notstop"]:
        side = "yes"
    elif match["ban"] or match["muststop"] or match["cannot"]:
        side = "no"
    elif match["can"]:
        side = "yes" if asks == "may" else None
    elif match["should"]:
        side = "yes"
    return Stance(side, True) if side else None


def _of_another(subject: str, verb: str, rest: str, last: str) -> bool:
    """Whether a clause calls another thing safe or forbidden than the question does, or lets another thing be given."""
    asks = _GIVING.search(last)
    thing = _BEFORE.split(last[asks.end() :] if asks else last, maxsplit=1)[0]
    known = {*normal(thing).split(), *GENERAL}
    said = normal(_BEFORE.split(rest, maxsplit=1)[0]).split()
    if not _GIVES_LAST.search(verb):
        known -= _PEOPLE
        said += [word for word in normal(subject).split() if word not in _IT]
    return any(word not in known for word in said)


_IT = frozenset("it they this that these".split())
_PEOPLE = frozenset("he she patient case man woman child person people".split())
_GIVING = re.compile(r"(?<!be )\b(?:give|use|take|receive|start|continue|prescribe|perform|offer|do) (?!in\b|for\b)")
_BEFORE = re.compile(
    r"\b(?:in|for|with|to|during|after|before|when|while|at|(?<!go )on|of|who|whose|having|despite|because|contraindicated|"
    r"forbidden|prohibited|unsafe|safe|allowed|permitted)\b"
)
_GIVES_LAST = re.compile(rf"\b(?:{_GIVES}|{_STOPS})$")


def _prefixed(clause: str, last: str) -> Stance | None:
    """The side of "not significant" or "not insignificant", where the question asks for it: two negations undo each other."""
    if not _PREDICATE.match(last) or _COMPARES.search(last):
        return None
    match = _PREFIXED.fullmatch(clause)
    words = last.rstrip("?. ").split()
    if match is None:
        return None
    word, prefix = match["word"], match["prefix"]
    if not prefix:
        inner = next(
            (p for p in ("un", "in", "im", "ir", "il", "non") if word.startswith(p) and word[len(p) :] in words), ""
        )
        word, prefix = word[len(inner) :], inner
    if word not in words[-3:] or words[words.index(word) - 1 : words.index(word)] in (["more"], ["less"], ["most"]):
        return None
    known = {*words, *GENERAL}
    if any(w not in known for w in match["rest"].split()) or _of_another(match["subject"] or "", "", "", last):
        return None
    return Stance("no" if bool(match["no"]) != bool(prefix) else "yes", True)
