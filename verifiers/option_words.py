"""What stands beside an option that an answer names: words that leave it as it is, or that may turn it (stop warfarin)."""

import re
from collections.abc import Callable, Iterable

from medrl.verifiers.normalise import normal
from medrl.verifiers.wording import Asked, says_nothing

NOTHING = Asked(frozenset(), "")
# What may stand right behind a label: a word that it is right, as much as it takes, and then a reason.
_CALLS_RIGHT = re.compile(
    r"(?:选?项)?(?:(?:的)?(?:说法|叙述|描述|选项))?(?:都|均|皆|也|是|为|最|更|属于)*"
    r"(?:正确|对|合适|适合|恰当|符合题意|符合|可能|属于|首选|最佳|答案|选择?|选项|的|吧|啊|呢|呀|了)*|"
    r"的?可能性?(?:最|更|较|很)?大|"
    r"(?: (?:is|are|was|must be|would be|as))?(?: the| a| all| both)*"
    r"(?: (?:most|best|correct|right|true|appropriate|likely|answer|answers|choice|option|one))*"
)
_REASON = re.compile(r"(?:,? ?\b(?:because|since|as|for|given|due to)\b|因为?|由于|理由|考虑到)", re.IGNORECASE)
_MARKS = re.compile(r"[,，;；:：。.!！、()（）\[\]\n\"“”*]+|\s[-–—]\s|[–—]+")
_STRUCK_OUT = re.compile(r"\W*?[?？×✗✘✕=≠]")
_TURNS = re.compile(
    r"错|×|有误|干扰|次要|并发|很?少$|误导|误[区选]|反面|相反|反了|迷惑|最小|陷阱|不选|存疑|\b(?:false|wrong|incorrect|untrue|nope|reject\w*|opposite|"
    r"contrary|reverse|trap|decoy|mislead\w*|"
    r"distract\w*|kidding|crossed out|if anything)\b|\bnot\s*$|^\s*(?:no|not|never|hardly|isn't)\b|[?？]$",
    re.IGNORECASE,
)
_LABEL = re.compile("[A-Z]")
_OF_A_LABEL = re.compile(r"(?<![A-Za-z])[A-H](?:选?项)? ?(?:is|was|are|were|and|or|[错误不为是的均都、,和])")
_INTRODUCES = re.compile(r"\s*(?:解析|理由|解释|分析|原因|explanation|reason|rationale)\s*", re.IGNORECASE)
_OF_IT = re.compile(r"(?:患者|病人|药物|型|所致的?|引起的?|导致的?|\bpatients?)[\s.。]{0,3}$", re.IGNORECASE)
# What a reason opens with behind an option's text, and words that such a reason must not have.
_GIVES = re.compile(r"(?:能|可以?|它|其|因为?|由于|because|since|as) ?(?=.{3})", re.IGNORECASE)
_UNDONE = re.compile(
    r"停|禁|避|慎|低|少|缺|不|非|未|无|除|防|缓解|消失|错|误|反|小|\b(?:not?|never|without|stop\w*|h[eo]ld|avoid\w*|withh\w+|"
    r"wrong|false|incorrect|less|least|contra\w+|absent|unlikely|exclu\w+|prevent\w*|resol\w+|harm\w*|danger\w*|trap|distract\w*|opposite)\b|n't\b",
    re.IGNORECASE,
)
_DENIALS = frozenset("no not non without 无 未 不 非".split())
# A thing that is stopped is no answer, unless the question asks what to stop.
_STOPPED = re.compile(
    r"\b(?:stop\w*|held|hold|withh\w+|discontinu\w+|avoid\w*|trap|distract\w*|opposite|wrong)\b|停|禁|避 免|慎 用"
)
_JOINING = frozenset("and 和 及 与 以".split())


def is_silent(text: str, own: Iterable[str], asked: Asked) -> bool:
    """Whether a text says nothing but the options' own texts."""
    return says_nothing(_left(text, own), asked)


def is_of_it(text: str, own: Iterable[str]) -> bool:
    """Whether a text ends in what has the option or comes of it: 左心衰竭患者, 左心衰竭所致."""
    return bool(_OF_IT.search(text)) and not any(map(_OF_IT.search, own))


def _left(text: str, own: Iterable[str]) -> list[str]:
    """The tokens of a text without those of the options; between several what joins them goes too."""
    left = f" {normal(text)} "
    texts = sorted((f" {normal(one)} " for one in own), key=len, reverse=True)
    for one in texts:
        left = left.replace(one, "  ") if one.strip() else left
    return [word for word in left.split() if len(texts) < 3 or word not in _JOINING]


def confirms(rest: str, labels: frozenset[str], own: Iterable[str], asked: Asked, names: Callable[[str], bool]) -> bool:
    """Whether what follows a label leaves it: nothing, its own text, that it is right, or a reason.

    Right behind the label only these are let through; behind a mark anything is a reason that has a few words of its own
    and none that turns it. A word alone ("B, no") is none, unless it `names` the option.
    """
    if _STRUCK_OUT.match(rest):
        return False
    own = [*own, *labels]
    mark = _MARKS.search(rest)
    direct = rest[: mark.start()] if mark else rest
    reason = _REASON.search(direct)
    said = direct[: reason.start()] if reason else direct
    if not (_CALLS_RIGHT.fullmatch(said.rstrip()) or is_silent(said, own, asked)):
        return False
    known = set(normal(" ".join(own)).split())
    first = True
    given = rest[reason.end() :] if reason else rest[len(direct) :]
    for clause in _MARKS.split(given.replace("i.e.", "")):
        left = _left(clause, own)
        if _LABEL.fullmatch(clause.strip()) and clause.strip() not in labels:
            return True  # of another option
        if says_nothing(left, asked) or _CALLS_RIGHT.fullmatch(clause.rstrip()) or _INTRODUCES.fullmatch(clause):
            continue
        if len("".join(left)) > 3 and known.issuperset(left) and _DENIALS.isdisjoint(left):
            continue  # a part of its name
        telling = [word for word in left if word > "\u3400" or not says_nothing([word], NOTHING)]
        short = sum(1 if word > "\u3400" else 2 for word in telling) < 4  # a Chinese word has two signs
        near = (first or len(left) < 8) and not _OF_A_LABEL.search(clause)
        turns = near and (_TURNS.search(clause) is not None or undone(clause, own, asked))
        if turns or (short and first and not _OF_A_LABEL.search(clause) and not names(clause)):
            return False
        first = False
    return True


def gives_reason(text: str, own: Iterable[str]) -> bool:
    """Whether a text opens with an option's own text and goes on with nothing but a reason: 泮托拉唑，它抑制质子泵."""
    head, *clauses = _MARKS.split(text.strip(" .。"))
    given = " ".join(clauses)
    return is_silent(head, own, NOTHING) and bool(_GIVES.match(given)) and not _UNDONE.search(given)


def undone(text: str, own: Iterable[str], asked: Asked) -> bool:
    """Whether words beside an option's text say that it is stopped or kept away, and the question does not ask for that."""
    beside = " ".join(_left(text, own))
    found = _STOPPED.search(beside)
    return found is not None and found[0] not in asked.words and found[0].replace(" ", "") not in asked.han
