"""The words around a term: hedges and lead-ins that change nothing, reasons, contrasts, negations, lists.

All patterns are bounded, so that hostile text costs linear time.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from medrl.verifiers.normalise import normal, tokens
from medrl.verifiers.patterns import Opening, Pattern

_HEDGE = (
    r"most likely|likely|probably|probable|possibly|possible|presumably|suspected|definitely|clearly|almost certainly|"
    r"i think|i believe|i would say|i suspect|in summary|overall|therefore|thus|hence|so|in conclusion|presumed|presumptive|"
    r"perhaps|maybe|on balance|in all (?:likelihood|probability)|without (?:a |any )?doubt|no doubt|"
    r"(?:very|highly|quite|fairly|strongly) (?:likely|probable|probably|suspected|suspicious for|suggestive of)|"
    r"(?:it |this |that )?(?:appears|seems|looks) (?:most |very )?(?:likely |as if it is )?(?:to be|to have|like|"
    r"consistent with)|"
    r"(?:it |this |that )?(?:could|may|might|has to|ought to) (?:very well |well |most likely |only )?be|"
    r"my (?:best guess|impression|working diagnosis|leading diagnosis|first choice|bet|vote)(?: is| would be|:)|"
    r"i(?:'d| would|'ll| will)? (?:go with|lean towards?|favou?r|opt for|settle on|guess|strongly suspect)|"
    r"i(?:'m| am) (?:fairly|quite|reasonably|almost|pretty|very) (?:sure|certain|confident)(?: that)?|"
    r"if i had to (?:choose|pick|commit|guess|decide|bet|say|name)(?: one| it)?|"
    r"(?:i(?:'m| am) |it(?:'s| is) )?(?:not (?:entirely |completely |100% |absolutely )?(?:sure|certain)|"
    r"hard to (?:say|tell|be sure)),? but|with (?:high|reasonable|some|moderate) (?:confidence|certainty|probability)|"
    r"(?:best|well) explained by|points? to|in keeping with|fits(?: best)? with"
)
# What may stand before a term without changing it. Each is tried at the start, again and again.
_LEAD = Opening(
    rf"(?:{_HEDGE}|(?:it|this|that|the (?:diagnosis|answer|patient|condition|cause|finding|drug|organism|"
    r"picture|presentation))"
    r"(?: (?:most likely|likely|probably))?(?:'s| is| was| has| would be| must be| should be| indicates| suggests| are)"
    r"|(?:it|this|that|he|she|the (?:drug|agent|patient)) (?:causes|produces|leads to|results in|gives|develops|developed)"
    r"|(?:most )?(?:consistent with|suggestive of|diagnostic of|indicative of|compatible with)|a case of|"
    r"diagnosis of|the diagnosis|answer|diagnosis"
    r"|(?:不好说|说不准|不太?确定|不敢肯定|难说|不能(?:完全|百分百)(?:肯定|确定))[，,](?:但|不过)?"
    r"|(?:解|答|解答|答案)[:：]|毫?无疑问?[是为]|毫无疑问|首先考虑为?|优先考虑|首选|最可能是|最可能为|最常见的?是|"
    r"可能是|可能为|应该是|应为|"
    r"(?:个人|我(?:个人)?|笔者|本人)(?:更|还是)?(?:认为|觉得|判断|倾向于?|考虑)|(?:更|较|比较|目前)?倾向于?(?:诊断)?|"
    r"(?:大|很|极|较)(?:概率|有?可能)(?:就?是|为)?|大概|多半|高度(?:怀疑|提示|疑似)(?:为|是)?|拟诊|推测为?|估计|"
    r"疑似|怀疑(?:为|是)?|"
    r"(?:初步|临床|目前|首要|最终|入院)(?:诊断|考虑|印象)(?:为|是)?|(?:综合|根据)(?:判断|分析|考虑)|综上(?:所述)?|"
    r"由此|据此|因此|所以|"
    r"(?:信息|资料|证据|病史)(?:较|很|尚|虽)?(?:有限|不足|不全|不完整)[，,]?(?:但|不过)?|看来|看起来|更?像是|似乎是?|最符合|"
    r"考虑为|考虑|诊断为|就是|即为?|即是|属于|提示|偏向|符合|是|为|患者|该患者|本例|患有?(?![侧处肢眼耳肾肺])|行(?![为走经])(?:一次)?|做(?:一?[个次])?|给予|予以"
    r")[,:，： ]*",
    re.IGNORECASE,
)
_TAIL = Pattern(
    r"(?:[是为]?(?:临床上?)?最为?[常多]见的?|"
    r"可能性大|的?可能性?(?:最|较|很|极|更|比较)(?:大|高)|可能|的可能|的诊断|吧|is (?:most )?likely|most likely|的表现|"
    r"[, ] ?(?:is|would be|remains) my (?:(?:best|first|leading|working|top|main|final|provisional) )*(?:guess|bet|diagnosis|"
    r"choice|impression|pick|answer)|(?:tops|heads) (?:my|the) list|is what I(?:'d| would) (?:go with|say|favou?r)|"
    r"(?:seems|appears|looks|remains|would be) (?:the )?most (?:likely|probable)(?: diagnosis| answer| cause)?|"
    r", (?:though|although|but|while) (?:I|we|one) (?:cannot|can't|could not) be (?:\w+ )?(?:certain|sure)"
    r"(?: (?:without|until|before)\b[^.,;\n]{2,40})?|"
    r", (?:I(?:'d| would) (?:say|think|guess)|I (?:think|believe|suppose|guess)|in my (?:view|opinion)|then|most probably|"
    r"I am sure)|, (?:though|although|but) (?:I am |I'm )?(?:not (?:entirely |fully |completely )?(?:certain|sure)|"
    r"uncertain)|"
    r",? until proven otherwise|，?(?:我认为|无疑|无误)|[，,。；;]?(?:以上)?(?:仅)?供(?:您)?参考|"
    # What is still to be confirmed is the answer itself.
    r"[,;]? (?:(?:and|but|though|although) )?(?:pending|awaiting|subject to|to be confirmed|confirm(?: it|"
    r" this)? (?:with|by)|"
    r"(?:\w+ ){0,3}(?:needed|required|recommended|advised|warranted) (?:to|for) confirm(?:ation)?|"
    r"(?:needs?|requires?|awaits?) (?:\w+ ){0,2}confirmation)[^.,;\n]{0,40}|"
    r"[，,。；;]?(?:但|不过|最终|最后|仍|还|尚)?(?:需|待|须|应|有待|建议|可|最好|请)(?:要|进一步|完善|行|做|经|由|"
    r"通过|结合|尽快|尽早)*"
    r"[^，。；,;不非无未或排其他她]{0,12}(?:证实|确诊|确认|明确诊断|明确|验证|确定))$",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"(?:an?|the) ", re.IGNORECASE)
# After "not" another thing, not a word that denies what stood before: "not here", "not really", "not likely".
_OTHER = (
    r"(?! ?(?:really|here|present|likely|at all|in|on|yet|now|anymore|for|it|so|true|right|correct|sure|certain|possible|"
    r"necessarily|quite|exactly|to|be|by|if|when|today|this|him|her|me|always|seen|found|shown|proven|done|met|fit|that|"
    r"the (?:case|answer|diagnosis|one)|(?:\w+ )?\w+(?:ed|ate|ary|ful|able|ible))\b)(?=.{0,3}?\w)"
)
# What an answer only tells apart from itself, in parentheses.
DIFFERENTIAL_ASIDE = Pattern(
    r"[（(](?:(?:鉴别诊断|鉴别|需与|differential|d/?dx|vs\.?|rule out)(?=[^()（）]{0,4}?\w\w)|"
    r"(?:correcting|revising|retracting) my (?:first|initial|earlier|previous|original) (?:thought|answer|guess|impression|"
    r"idea)(?= of [^()（）,;:]{2,50}[)）])(?![^()（）]* (?:to|it|is|now|but|or|not)\b)|"
    rf"not {_OTHER})[^()（）]{{0,120}}[)）]",
    re.IGNORECASE,
)
_EDGE = " \t\n.,;:。，；：、!！*\"'“”"
_BECAUSE = Pattern(
    r"(?:,? (?:because|since|as evidenced by|which)\b|, so (?!it(?:'s| is)\b|this|that|the|I\b|we\b|likely|probably|"
    r"most)|,? given(?= (?:the|that|this|these|h(?:is|er)|their|such|no)\b)|"
    r"[,;:] |\. | [-–—] |—+|[，；：。]|(?:，)?因为|，?由于|\n)",
    re.IGNORECASE,
)
_DIFFERENTIAL = Pattern(
    r",? ?(?:\b(?:rather than|instead of|as opposed to|(?:(?:and|but) (?:is |was )?)?"
    rf"(?<!did )(?<!does )(?<!do )(?<!is )(?<!was )not{_OTHER}|"
    r"exclude|ruling out|rule out|unlike)\b|(?:，?(?:而非|而不是)|[，,] ?(?:并?不是|并非))(?=.{0,3}?\w)|"
    r",? (?:ahead of|in preference to)\b|[,;] (?:the )?second most likely\b|"
    r",? with [^,.;:\n]{2,60} as an? (?:less likely|unlikely|distant|remote) (?:alternative|differential|possibility)|"
    r"[，,。；;](?:其|主要的?)?鉴别(?:诊断)?(?:主要)?(?:包括|有|为|需考虑|考虑|需排除)[:：]?[^。；;\n]{0,60}|"
    r"[，,；;]其次(?:为|是|考虑|才是|才?考虑|可能(?:为|是)?)|"
    r"[,.;] (?:the |my )?(?:main |chief |principal )?(?:differential(?: diagnos[ie]s)?|ddx)(?: \w+)? (?:includes?|is|are|"
    r"would include|also includes?|comprises?)\b:? ?[^.;\n]{0,120}|"
    r"[,;.] (?!(?:it|this|that|which|these|the)\b)[^,.;:\n]{3,60} (?:is|are) (?:the |in the |on the |a |an )?"
    r"(?:(?:main|chief|principal|important|only|closest) )?(?:differentials?|alternative)(?: diagnos[ie]s)?\b|"
    r"[,;.] (?!(?:it|this|that|which|these)\b)[^,.;:\n]{3,60} (?:was|were|has been|have been) (?:considered"
    r"(?:,? (?:and|but))|entertained(?:,? (?:and|but))) (?:rejected|excluded|dismissed|discarded|ruled out|thought "
    r"unlikely|felt (?:to be )?unlikely|judged unlikely)\b|"
    r"[,;.] (?:(?:al)?though |but |while |whereas )?(?!(?:it|this|that|which|these|the)\b)[^,.;:\n]{3,60} (?:should|must|has "
    r"to|have to|needs? to|ought to|still (?:has|needs) to) (?:also |still |first )?be (?:excluded|ruled out)\b|"
    r",? with [^,.;:\n]{2,60} (?:as|in) the (?:main |only |chief |principal )?(?:differential|alternative)|"
    r"[，,；;。]?(?:但|尚|还|仍|同时|另|并)*(?:需|要|应|须|当)?(?:注意)?(?:与|和|同).{0,30}鉴别|，?(?:但|仍|还|"
    r"同时)?(?:需|应|要|注意|警惕|须)*排除(?=[\u3400-\u9fffA-Za-z]))",
    re.IGNORECASE,
)
BEFORE_NEGATION = re.compile(
    r"\b(?:not|no|never|without|unlikely(?: to be)?|(?<!not )(?<!can't )(?:excludes?d?|"
    r"rul(?:e|es|ed|ing) out)|rather than|instead of|"
    r"neither|nor|denies|no evidence of|against|isn't|cannot be|can't be)"
    r"(?: (?:a|an|the|be|to|have|evidence|of|sign|signs|any|diagnosis|have been)){0,4} ?$|"
    r"(?:(?<!能)(?<!能够)(?<!完全)(?:排除|除外)|不是|并非|非|(?<!不能)(?<!不得)不考虑|不支持|无|没有|而非|不选|否认|不属于|"
    r"不像|不太可能|不大可能|不可能|不会)(?:了|为|是|有)?$",
    re.IGNORECASE,
)
AFTER_NEGATION = Pattern(
    r"\s?(?:is|was|has been|can be|were|seems)? ?(?:(?:very|highly|most|extremely|quite) )?(?:ruled out|excluded|unlikely|"
    r"improbable|not (?:likely|present|the|supported|considered)|less likely)|待(?:排|除外|鉴别)|"
    r"\s?(?:已|可|可以|被)(?:排除|除外)|\s?(?:排除|除外)(?=\s*(?:$|\|))|(?:的?可能性?)(?:很|极|较)?(?:小|不大|低)|不支持|"
    r"(?:的?可能性?)(?:已经?|可以?|被|基本)?(?:排除|除外)|"
    r"(?:的诊断|诊断)?(?:不能?|难以|无法)成立",
    re.IGNORECASE,
)
REVERSED = Pattern(
    r"\b(?:avoid|avoided|contraindicat|except|not|never|least|exclude|unlikely|withheld|stopp?ed|discontinued)|"
    r"避免|禁忌|禁用|不应|不宜|除外|除了|不是|不属于|错误|不正确|不能|不可",
    re.IGNORECASE,
)
# Questions for what must not be done, and answers that tell to do or not to do something.
AVOID = Pattern(
    r"\b(?:avoid|avoided|contraindicated|should not|must not|never be|withheld)\b|避免|禁忌|禁用|不应|不宜|不能做|不可",
    re.IGNORECASE,
)
TELLS_NOT_TO = re.compile(
    r"(?:do not|don't|avoid|never|one (?:should|must) not|避免|不要|禁止|不应|不宜|不能|勿)", re.IGNORECASE
)
TELLS_TO = re.compile(
    r"(?:perform|do (?!not)|give|start|administer|proceed with|order|obtain|use|立即|马上|应(?!避免|禁)|进行|给予|使用|先)",
    re.IGNORECASE,
)
OR = Pattern(r"\s*(?:,? \bor\b|,? \beither\b|或者|或|还是| / |/(?=[A-Za-z]{3}))\s*", re.IGNORECASE)
LIST = Pattern(r"\s*(?:,? \b(?:or|and)\b|或者|或|和|及|还是|[,;、，；])\s*", re.IGNORECASE)
MARKS = Pattern(r"[,;、，；/或和及]|还是|\b(?:or|and|either)\b", re.IGNORECASE)  # without one, no choice and no list
ALSO = re.compile(r"\b(?:also known as|also called|a\.?k\.?a\.?|i\.e\.|formerly)\b|又称|又名|也称|即", re.IGNORECASE)
DENIES = Pattern(r"\b(?:not|no|without|unlikely|ruled out)\b|不是|排除|否认", re.IGNORECASE)
DENIED = Pattern(
    r"\b(?:not|no|never|without|unlikely|excluded?|ruled|rather|instead|neither|nor|denies|against|isn't|cannot|can't)\b|"
    r"[不非无没]|排除|除外|否认",
    re.IGNORECASE,
)
PARENS = re.compile(r"[（(]([^()（）]{1,120})[)）]")
# Words that say nothing of which thing it is, as `tokens` spells them.
_GLUE = frozenset(
    normal(
        "is are was be it this that these those there here of in with for and patient he she has have had most "
        "likely probably probable possible possibly definitely clearly certainly diagnosis answer condition disease syndrome "
        "disorder organism bacterium bacteria species spp virus drug medication agent classic classical typical "
        "picture case cause called named known also as so would should must my we our think believe final best single "
        "correct choice option type variety form first textbook undoubtedly obviously surely "
        "opinion given due to by on at from infection here finding "
        "presentation tablet capsule what which sensu stricto"
    ).split()
) - frozenset("due to by on at from no not".split())
# These say something of a thing though the question has them too: a vignette tells of mothers, past diseases and failures.
_TELLING = frozenset(
    normal(
        "mother father brother sister son daughter parent family relative previous previously past prior former formerly old "
        "ago last earlier history risk treated died allergic failed before after not never without except normal other "
        "another alternative second next worse worst exclude excluded avoid stopped"
    ).split()
)
_HAN_GLUE = re.compile(
    "毫无疑问|这|中的|首先考虑|优先考虑|最可能|最常见|可能性大|应该|考虑|诊断|患者|病人|本例|该例|属于|提示|符合|典型|一种|"
    "引起的|导致的|所致的?|可能|答案|正确|综合考虑|目前|首先|选择|应选|首选|药物(?!性)|疾病|是|为|的|最|该|本|此|即|"
    "就|也|应|选|患|有|性|病|型|片|胶囊"
)


def peel(text: str) -> str:
    """The text without hedges and lead-ins at its front and closing words at its end: "It is most likely X" is X."""
    if text.isascii() and text.isalpha():
        return text  # one word is all that there is
    text = text.strip(_EDGE)
    for _ in range(8):
        match = _LEAD.match(text)
        rest = text[match.end() :] if match else ""
        # A Latin lead-in ends where its word ends.
        if (
            not match
            or not rest
            or (match[0][-1:].isascii() and match[0][-1:].isalpha() and rest[:1].isascii() and rest[:1].isalnum())
        ):
            break
        text = rest
    article = _ARTICLE.match(text)
    text = text[article.end() :] if article else text
    for _ in range(3):
        rest = _TAIL.sub("", text).strip(" .,;:。，；：、")
        if rest == text or not rest:
            break
        text = rest
    return text.strip(" .,;:。，；：、")


_DENIED_FIRST = Pattern(
    r"(?:(?:it|this|that)(?:'s not| is not| isn't)|not) "
    r"(?!only|just|simply|merely|sure|certain|excluded|ruled)(?P<what>[^,.;:()/\n]{2,60}?)"
    r"(?:,? but(?: rather)? |[,.;] (?:but |rather |it is |it's |this is )(?:rather )?|; )(?P<rest>[^\n]{2,200})|"
    r"(?:nothing|no \w+)(?: \w+){0,3} (?:suggests?|supports?|favou?rs|points? to) [^.;:\n]{2,80}[:;,.] (?:this|it) "
    r"(?:is|must be) (?P<found>[^\n]{2,200})|"
    r"(?:(?:al)?though |while )?(?:(?:I|we|one) (?:cannot|can't|can not|could not) (?:be|say) (?:\w+ )?(?:sure|certain)"
    r"(?: [^,;.\n]{2,40})?|[^,;.\n]{3,60} (?:cannot|can't|can not|could not) (?:yet |be ){0,2}(?:\w+ )?(?:be )?"
    r"(?:excluded|ruled out)(?: [^,;.\n]{2,40})?),? (?:but|yet|however,?|still,?) (?P<likely>[^\n]{2,200})|"
    r"(?:I |we |one )?(?:cannot|can't|could not|couldn't) (?:\w+ly )?(?:exclude|rule out) [^,.;\n]{3,60},? but (?P<despite>"
    r"[^\n]{2,200})|"
    r"(?:I(?:'d| would)? |we (?:would )?)?(?:favou?r|prefer|choose|pick) (?P<over>[^,.;\n]{3,60}) over [^,.;\n]{3,80}|"
    r"(?!(?:nothing|no)\b)[^,.;\n]{3,60} (?:is|seems|appears|looks) (?:much |far )?less (?:likely|probable) than "
    r"(?P<than>[^,.;\n]{3,60})|"
    r"[^.;\n]{3,120} (?:was|were|has been|have been) (?:also )?(?:considered|entertained|thought of),? (?:but|yet|however,?) "
    r"(?P<fits>[^\n]{2,200})|"
    r"(?:虽然?|尽管)?(?:尚|暂|还)?(?:不能|无法|难以)(?:完全)?(?:除外|排除)[^，。；\n]{2,30}[，；](?:但|不过|然而)是?"
    r"(?:更|仍|较)?(?:支持|倾向于?|考虑|像|符合)?(?P<rather>[^\n]{2,100})|"
    r"(?:虽然?|尽管)?[^，。；\n]{2,30}(?:尚|暂|还)?(?:不能|无法|难以)(?:完全|彻底|绝对)?(?:除外|排除|肯定|确定)[，；]?"
    r"(?:但|不过|然而)是?(?:更|仍)?(?P<still>[^\n]{2,100})|"
    r"(?:不是|并非|不像|不考虑)(?P<han>[^，。；、\n]{2,30}?)[，。；]?(?:而是|[，。；](?:是|为|应是|应为|考虑为?|"
    r"诊断为?))(?P<left>[^\n]{2,100})",
    re.IGNORECASE,
)


_LEFT = ("rest", "found", "left", "likely", "still", "despite", "over", "than", "fits", "rather")


# A thing with what brought it about before it.
_INDUCED = re.compile(
    r"(?P<cause>[A-Za-z][A-Za-z-]{2,30}?)[- ](?:induced|related|associated) (?P<name>[A-Za-z][^,.;:()\n]{2,60})|"
    r"(?P<han>[\u3400-\u9fff]{2,10}?)(?:诱发|诱导|引起|所致|导致|相关)性?的?(?P<rest>[\u3400-\u9fff]{2,20})",
    re.IGNORECASE,
)


def without_cause(text: str, question: str) -> str:
    """Of "insulin-induced hypoglycaemia" the thing alone, where the question says that the patient takes it; else ""."""
    match = _INDUCED.fullmatch(text) if len(text) < 100 else None
    said = (match["cause"] or match["han"]) if match else ""
    if match is None or said.casefold() not in question.casefold():
        return ""
    cause = re.escape(said)
    taken = re.search(
        rf"\b(?<!not )(?:on|takes|taking|took|using|uses|given|received|receiving|started|starting|injects|injected|"
        rf"overdose of|treated with) (?:\w+ )?{cause}\b|"
        rf"(?<![未不无停])(?:服用?|口服|注射|使用|应用|接受|过量)(?:了|过)?{cause}",
        question,
        re.IGNORECASE,
    )
    return (match["name"] or match["rest"]) if taken and not _NOT_TAKEN.search(question) else ""


_NOT_TAKEN = re.compile(
    r"\b(?:no longer|never|stopped|denies|without|off|not (?:on|taking))\b|停用|未服|从未|否认", re.IGNORECASE
)


def after_denial(text: str) -> str:
    """Of "not X but Y", and "X cannot be excluded, but Y", what it leaves: Y; "" of any other text."""
    match = _DENIED_FIRST.fullmatch(text) if len(text) < 300 else None
    return peel(next(filter(None, (match[name] for name in _LEFT)))) if match else ""


def contrasts(tail: str) -> bool:
    """Whether what follows an answer begins by telling it apart from something."""
    return bool(_DIFFERENTIAL.match(tail))


def before_differential(text: str) -> str:
    """A text without what it only tells apart from its answer: "rather than Y", 需与Y鉴别."""
    return _DIFFERENTIAL.split(text, maxsplit=1)[0] or text


# A clause behind an answer that names another thing as still to be excluded, or says how that would look.
_OTHERWISE = Pattern(
    r"(?:[,;.]| [-–])\s*(?:(?:but|although|though|however|and|while|whereas),? )?(?!it |this |that |he |she |they |we |i )"
    r"(?P<thing>[a-z][a-z' -]{2,60}?) (?:(?:(?:should|must|needs to|need to|has to|have to|ought to|is to|are to|remains to)"
    r"(?: still| also| first| always)? be (?:excluded|ruled out)(?: first| too| as well| (?:by|with|on) [^.,;]{2,40})?)|"
    r"would (?:(?:typically|usually|instead) )?(?:be (?:painful|painless|(?:non-?)?tender|bilateral|unilateral|febrile|"
    r"afebrile|itchy|pruritic|normal|low|high|elevated|raised|positive|negative|sudden|gradual)|"
    r"(?:show|cause|give|produce|present with|spare|lack|raise|lower) [a-z][a-z' -]{2,50}))$",
    re.IGNORECASE,
)
_BETTER = Pattern(
    r"\b(?:likely|better|best|right|correct|diagnos\w+|answer|picture|same|also|findings?|explain\w*|fit\w*)\b",
    re.IGNORECASE,
)


def before_another(text: str) -> tuple[str, str]:
    """A text without its last clause, and what that names as only to be excluded, or as a thing that would look otherwise.

    What is named is "" where the text has no such clause.
    """
    match = _OTHERWISE.search(text) if len(text) < 300 else None
    found = match and match.start() > 2 and not _BETTER.search(match[0])
    return (text[: match.start()], match["thing"]) if match and found else (text, "")


def head_of(text: str) -> str:
    """The part that commits: before a reason, a contrast or a differential."""
    text = before_differential(text)
    return _BECAUSE.split(text, maxsplit=1)[0] or text


def is_glue(word: str) -> bool:
    """Whether a token says nothing of which thing it is."""
    return word in _GLUE


class Asked(NamedTuple):
    """What a question says: its words, and its Chinese as it stands. Choices that are printed in it are no part of it."""

    words: frozenset[str]
    han: str
    either: frozenset[str] = frozenset()  # the two words that it offers: "typical or atypical pneumonia"
    avoid: bool = False  # whether it asks for what must not be done

    @classmethod
    def of(cls, question: str) -> "Asked":
        first = _FIRST_CHOICE.search(question)
        printed = first is not None and _SECOND_CHOICE.search(question, first.end())
        words = tokens(question[: first.start()] if first and printed else question)
        han = "" if question.isascii() else "".join(word if word > "\u3400" else " " for word in words)
        offered = _OFFERED.search((first and question[: first.start()]) or question)
        either = frozenset(one for word in offered.groups() for one in tokens(word)) if offered else frozenset[str]()
        avoid = AVOID.search(question) is not None
        return cls(frozenset(words), han, either if len(either) == 2 else frozenset(), avoid)


_OFFERED = re.compile(r"\b([A-Za-z-]{4,30}) (?:[a-z]+ )?or (?:an? |the )?([A-Za-z-]{4,30})\b(?=(?: [\w-]+){0,3}\?)")
_FIRST_CHOICE = re.compile(r"[(（]A[)）]|(?<![A-Za-z0-9])A[.、)](?= ?\S)")
_SECOND_CHOICE = re.compile(r"[(（]B[)）]|(?<![A-Za-z0-9])B[.、)]")


def says_nothing(words: Iterable[str], asked: Asked) -> bool:
    """Whether words beside a term leave it as it is: they are glue, or the question itself has them.

    Args:
        words: Tokens of an answer that belong to no known term.
        asked: The question; a side, a number or another contrast counts only where it has that too.
    """
    han = ""
    for word in words:
        if len(word) == 1 and word > "\u3400":
            han += word
        elif word in _GLUE or (word in asked.words and len(word) > 2 and word not in _TELLING):
            han += " "
        else:
            return False
    left = _HAN_GLUE.sub(" ", han) if han.strip() else ""
    return all(part in asked.han for part in left.split())


def repeats(text: str, asked: Asked) -> bool:
    """Whether a text says something, and nothing that the question does not say."""
    words = tokens(text)
    telling = [word for word in words if len(word) > 3]
    return bool(telling) and says_nothing(words, asked) and asked.words.issuperset(telling)


_SENTENCE_END = re.compile(r"(?<=[.?!])\s+|(?<=[。？！])|\n")


@lru_cache(maxsize=1024)
def last_sentence(text: str) -> str:
    """The last sentence of a text, which in a question is the one that asks."""
    return next((sentence for sentence in reversed(_SENTENCE_END.split(text)) if sentence.strip()), "")
