"""What stands beside an answer and leaves it as it is: reasons, contrasts, what is to be done, other names in parentheses."""

import re

from medrl.verifiers.concepts import Vocabulary
from medrl.verifiers.normalise import tokens
from medrl.verifiers.scripts import has_han
from medrl.verifiers.wording import Asked, contrasts, says_nothing

_REASON = re.compile(
    r",? ?(?:because|since|given|as evidenced by)\b|，?(?:[多常均]?因为?|[多常]?由于|[多常]由)", re.IGNORECASE
)
_IN_REASON = re.compile(r"\b(?:or|may|might|could|has|have)\b|或|可能|患", re.IGNORECASE)  # a reason may say these
_IN_ERROR = re.compile(
    r"\b(?:errors?|mistakes?|mistaken|mis(?:diagnos|judg|read|taken)\w*|careless\w*|haste)\b|"
    r"误[诊判导认解读会]|错误|粗心|混淆|跑偏",
    re.IGNORECASE,
)
# A sentence that names what the answer is in the end: "I'll stay with X", "I maintain the contrary", "I confirm it is not".
_STAYS = re.compile(
    r"\b(?:I|we)(?:['’]ll| will|['’]d| would)?(?: \w+ly| still| also)? (?:stay|stick|stand|maintain|confirm|affirm|insist|"
    r"keep|hold|remain|settle|choose|pick|prefer|opt|vote|conclude)\b|\b(?:contrary|opposite|reverse)\b",
    re.IGNORECASE,
)
_DASH = re.compile(r" [-–—]+ (?!no\b|not\b)|—+")
_APPOSITION = re.compile(
    r", (?:the (?:only|commonest|most (?:common|frequent))|an?|which (?:[a-z]+s|are)|as|so)\b|"
    r"[,，](?:属|系|因|由|其|故|多(?:为|见于|由|因)|常(?:为|见于|由|因))",
    re.IGNORECASE,
)
# … unless it takes the name back, or makes it something else than the answer.
_TAKES_BACK = re.compile(
    r"\b(?:(?:err|mist[ao]|mimic|rival|confound|distract|avoid|omit|stop|drop|fail|exclu|cross|contraindicat|worse|differ|"
    r"resembl|discard|reject|wrong|need|tell|claim|false|rare|branch|poor|bad|danger|fool|decoy|think|assum|believ|pick|"
    r"reader|novice|naive|careless|author|student|unlikely|alternative)\w*|mis(?!s)\w+|"
    r"blunder|trap|useless|harmful|not|no|never|nothing|rules?|ruled|told|they|said|says?|herring|guess|myth|past|second|"
    r"option|thing|word|term|name|silly|lure|bait|thought|vignette|haste)\b|n't\b|"
    r"[误错不非未无否假禁弃低弱]|排除|除外|次要|鉴别|干扰|避免|混淆|陷阱|相似|替代|选项|可能",
    re.IGNORECASE,
)
_IS_A = re.compile(r", an? [a-z]", re.IGNORECASE)
_BESIDE = re.compile(
    r"\b(?:or|alternative\w*|however|but(?! not)|actually|also|could|may|might|maybe|perhaps|instead(?! of)|"
    r"either|both|other|another|too|fits?|as well|"
    r"possib\w+|likely|has|have|diagnos\w+|answer|second|plus)\b|或|也|但|然而|其实|另|还|均|都|可能|不过|诊断|患|答案",
    re.IGNORECASE,
)
# What is to be done now, once the answer is known. Nobody names a second answer in such words.
_MANAGES = re.compile(
    r"[\s,，:：–—-]*(?:(?:(?:please|so|and|then|now|first|next)\b ?)*(?:give|start|begin|treat|use|order|obtain|check|repeat|"
    r"put|call|avoid|remove|admit|refer|operate|arrange|chelate|drain|immobili[sz]e|splint|monitor|restrict|needs?|requires?|"
    r"prescribe|administer|perform|transfer|resuscitate|titrate|isolate|do (?:not|an?)|treatment is|management is|"
    r"(?:urgent|immediate|emergency|prompt) \w+)\b|"
    r"(?:立即|马上|尽快|尽早|急诊|予以?|给予|须|需要?(?!与|和|排|除|鉴|考虑|警惕)|应(?!考虑|为|是|与|和|排|除|鉴|"
    r"诊断|属|该是)|"
    r"建议(?!考虑|改|先?排|与)|先(?:禁|补|吸)|宜(?!考虑|诊断)|可(?:先|行|予|用|给)(?!考虑|排)|"
    r"晨起|口服|静脉|补液|禁用|禁食|警惕|"
    r"注意(?!排除|鉴别)|预防|防止|卧床|吸氧))",
    re.IGNORECASE,
)
# … unless what is to be done is to the answer itself: 应予排除, "call it a red herring", "use the other".
_UNDOES = re.compile(
    r"排除|除外|否定|推翻|放弃|更正|修正|改诊|诊断|不考虑|误诊|慎重|证实|鉴别|或|答案|其[他它]|"
    r"阴性|阳性|正常|见|示|取出|缓解|可能|概率|几率|矛盾|否|系|为|后|除|不|无|误|错|划|当作|当成|看作|"
    r"\b(?:exclu\w+|proof|prove\w*|unproven|herring|not|no|never|diagnos\w+|list|other|another|else|answer|or|as|"
    r"instead|first|"
    r"last|second|third|previous|unless|if|it|this|that)\b|n't\b",
    re.IGNORECASE,
)
_CLAUSES = re.compile(r"\.(?!\d)|[。;；\n]")
# A parenthesis that says the name once more or where the thing comes from.
_SAYS_AGAIN = re.compile(
    r"(?:also (?:called|known as|termed)|(?:commonly|otherwise) (?:called|known as)|"
    r"a\.?k\.?a\.?|formerly|i\.e\.,?|"
    r"older? (?:name|term):?) (?P<name>.{2,60})|"
    r"(?:旧称|又称|又名|也称|也叫|又叫|亦称|简称|俗称|曾称|旧名|即)为?(?P<han>.{2,30})|"
    r"(?:due to|caused by|secondary to) (?P<cause>.{2,60})|(?P<by>.{1,20})(?:所致|引起|导致)(?:的)?",
    re.IGNORECASE,
)


def only_explains(text: str, head: str) -> bool:
    """Whether what follows the head gives a reason, a contrast or a measure and names nothing else, as "X. Maybe Y" does."""
    tail = text[len(head) :] if text.startswith(head) else ""
    if not tail.strip(" .。"):
        return text.startswith(head)
    clauses = [clause for clause in _CLAUSES.split(tail) if clause.strip()]
    manages = bool(clauses) and is_measure(clauses[0])
    clauses = [clause for clause in clauses if not is_measure(clause) and not _excludes_another(clause)]
    if clauses and _REASON.match(tail):
        if _IN_ERROR.search(clauses[0]):
            return False
        clauses[0] = _IN_REASON.sub("", clauses[0])
    if any(map(_BESIDE.search, clauses)) or any(map(_STAYS.search, clauses)):
        return False
    if _REASON.match(tail) or contrasts(tail):
        clauses = clauses[1:]
    apposed = bool(apposition(tail))
    if clauses and tail[0] not in ".。;；\n" and not (manages or apposed or _REASON.match(tail) or contrasts(tail)):
        return False
    han = has_han(tail)
    least = (
        2 if _IS_A.match(tail) else (4 if han else 3) if apposed else 8 if han else 5
    )  # a shorter clause may be a second answer
    return all(len(tokens(clause)) >= least for clause in clauses)


def _excludes_another(clause: str) -> bool:
    """Whether a clause says of a thing that it names, and not of "it", that it is excluded."""
    return bool(_EXCLUDED.fullmatch(clause)) and not _SAME.match(clause)


def without_exclusions(tail: str) -> tuple[str, str]:
    """What follows an answer, without the clauses that exclude another thing, and those clauses."""
    clauses = _CLAUSES.split(tail)
    kept = [clause for clause in clauses if not _excludes_another(clause)]
    return (tail, "") if len(kept) == len(clauses) else (". ".join(kept), ". ".join(set(clauses) - set(kept)))


_EXCLUDED = re.compile(
    r"[\s,，]*[^,，]{3,60}? (?:has been|have been|is|are|was|were|(?:should|must|"
    r"ha(?:s|ve) to|needs? to|ought to)(?: also| still)? be) (?:also |already |thereby |considered (?:and|but) )?"
    r"(?:ruled out|excluded|rejected|dismissed|unlikely|less likely)\b[^,]{0,60}|"
    r"[\s,]*(?:also )?consider(?:ed)? [^,]{3,60},? but [^,]{3,60} (?:(?:argues?|speaks?|is|are|counts?|tells?) (?:strongly )?"
    r"against (?:it|this|them)|makes? (?:it|this|them) (?:very |less )?(?:un)?likely|"
    r"do(?:es)? not (?:support|fit) (?:it|them))|"
    r"[\s,]*[^,]{3,90} (?:is|are|was|were) (?:also |still )?(?:in|on|part of|among) (?:the|my) (?:list|differentials?)"
    r"(?: diagnos[ei]s)?,? but (?:(?:do(?:es)?|would|can) ?not|cannot|fails? to) (?:explain|fit|account for|match|cause|"
    r"produce)[^,]{0,60}|"
    r"[\s,]*[^,]{3,90} (?:is|are|was|were) (?:also |still )?(?:in|on|part of|among) (?:the|my) (?:list|differentials?)"
    r"(?: diagnos[ei]s)?,? but (?:is |are |seems? |was |were )?(?:much |far |very )?"
    r"(?:less likely|unlikely|less probable|rarer)"
    r"[^,]{0,60}|"
    r"[\s,，]*[^,，]{2,30}(?:已|可|已经|可以|被|均|都){1,2}(?:排除|除外)",
    re.IGNORECASE,
)
_SAME = re.compile(
    r"[\s,，]*(?:it|this|that|which|these|the (?:diagnosis|answer|former|latter|condition|disease))\b|[\s,，]*(?:此|"
    r"该|其|这|前者|后者|诊断|本病|但)",
    re.IGNORECASE,
)


def apposition(tail: str) -> str:
    """The first sentence of what follows a name, where it says more of that behind a comma or a dash; "" elsewhere."""
    apposed = not (_REASON.match(tail) or contrasts(tail)) and (_APPOSITION.match(tail) or _DASH.match(tail))
    return _CLAUSES.split(tail, maxsplit=1)[0] if apposed else ""


def says_more(aside: str, spoken: frozenset[int], known: Vocabulary, asked: Asked) -> bool:
    """Whether an apposition may take its name back, or names a thing that is not among those `spoken` of.

    An English one must name one of those, and say nothing else of it but that it is a kind of it, or explains it.
    """
    words = tokens(aside)
    found = known.mentions(words, aside)
    if _TAKES_BACK.search(aside) or any(spoken.isdisjoint(mention.ids) for mention in found):
        return True
    if has_han(aside) or _EFFECT.fullmatch(aside):
        return False
    beside = [word for at, word in enumerate(words) if not any(m.start <= at < m.end for m in found)]
    return not found or not says_nothing((word for word in beside if word not in _TELLS_KIND), asked)


_EFFECT = re.compile(
    r", so (?:the )?[a-z]+(?: [a-z]+)? (?:is|are) (?:preserved|maintained|lost|raised|reduced|increased|decreased)"
)
_TELLS_KIND = frozenset(
    "a an the only most common commonest frequent kind type sort form subtype acute chronic severe "
    "which explains causes produces presents accounts with for of in s".split()
)


def is_measure(text: str) -> bool:
    """Whether a clause says what is to be done, and not to the answer before it; in Chinese from comma to comma."""
    parts = [part for part in _HAN_COMMA.split(text) if part.strip()]
    return bool(parts) and all(map(_measures, parts))


def _measures(part: str) -> bool:
    match = _MANAGES.match(part)
    return match is not None and not _UNDOES.search(part, match.end())


_HAN_COMMA = re.compile("，|,(?= ?[\u3400-\u9fff])")


def only_describes(aside: str, reference: frozenset[int], known: Vocabulary, asked: Asked) -> bool:
    """Whether a parenthesis names only things of other families, which cannot be answers: the parts that are affected."""
    if len(aside) > 60 or not reference:
        return False
    words = tokens(aside)
    if _ACTS.fullmatch(aside):
        named = {known.family(one) for m in known.mentions(words, aside) for one in m.ids}
        return named.isdisjoint(known.family(one) for one in reference)
    if _TELLS.search(aside):
        return False
    found = known.mentions(words, aside)
    families = {known.family(one) for one in reference}
    if not found or any("" in (f := {known.family(one) for one in m.ids}) or f & families for m in found):
        return False
    beside = [word for at, word in enumerate(words) if not any(m.start <= at < m.end for m in found)]
    return says_nothing((word for word in beside if word not in _AFFECTS), asked)


# What a drug does: （同时抑制外周T4向T3转化）.
_ACTS = re.compile(
    r"(?:因其?|由于其?)?(?:同时|还)?(?:可以?|能)?(?:通过|主要)?(?:抑制|阻断|阻滞|激活|激动|拮抗|减少|促进|降低)[^或不非无误错而但，。；]{2,30}"
)
_AFFECTS = frozenset("involved affected involvement origin level 受 累 起 源 来 部 位 实 质 壁 膜".split())
_TELLS = re.compile(
    r"\d|\b(?:or|not?|non|without|never|left|right|"
    r"un\w+|second|alternative|instead|rather|wrong|oral|intra\w+|sub\w+|topical|"
    r"release|type|exclu\w+|rul\w+|than|versus|vs)\b|[或不非无没误错左右]|排除|除外|型|期|级|口服|静脉|注射|外用",
    re.IGNORECASE,
)


def gives_cause(aside: str) -> bool:
    """Whether a parenthesis gives the cause of what stands before it."""
    match = _SAYS_AGAIN.fullmatch(aside)
    return match is not None and not another_name(aside) and not _NO_CAUSE.search(match["cause"] or match["by"])


def another_name(aside: str) -> str:
    """The name that a parenthesis announces: "also called Y", 俗称Y; "" where it announces none."""
    match = _SAYS_AGAIN.fullmatch(aside)
    return (match["name"] or match["han"] or "") if match else ""


def says_it_is_a_name(aside: str) -> bool:
    """Whether a parenthesis says of the name before it that it is an old one, and no more."""
    return bool(_OF_NAME.fullmatch(aside.strip()))


_OF_NAME = re.compile(
    r"(?:an? |the |its )?(?:old|older|former|obsolete|outdated|previous) (?:name|term)|旧称|旧名|曾用名|原名",
    re.IGNORECASE,
)
_NO_CAUSE = re.compile(
    r"\b(?:not?|or|mis\w+|exclu\w+|wrong|unlikely|other|errors?|slip|haste|confus\w+)\b|[误非不或未无]|排除|除外",
    re.IGNORECASE,
)
