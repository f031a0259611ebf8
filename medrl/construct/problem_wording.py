"""What the wording of a question gives away, in English and Chinese: negation, lost figures and options, one of many.

Each function reads a question's words and gives back those that made it speak, or "". Every pattern is bounded, so a text
of any length costs linear time.
"""

import re

LONG = 1500  # characters above which a text is a case report, which describes the figures that it cites
_SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z0-9\"'(])|(?<=[。？！])|\n+")
_INSTRUCTION = re.compile(
    r"^(?:please |answer |think |respond |give your |write |your answer|只|请|作答)", re.IGNORECASE
)


def asking(text: str) -> str:
    """The sentence that asks: the last with a question mark, else the last."""
    sentences = [part.strip() for part in _SENTENCE.split(text) if part and part.strip()]
    if not sentences:
        return ""
    marked = [one for one in sentences if one.rstrip(" \"')”").endswith(("?", "？"))]
    plain = [one for one in sentences if not _INSTRUCTION.match(one)]
    return (marked or plain or sentences)[-1]


_BE = r"(?:is|are|was|were|does|do|did|can|could|should|would|will|has|have|may|must|need)"
_NOT = rf"(?:{_BE}\s+(?:not|never)\b|{_BE}n['’]t\b|cannot\b|can\s?not\b)"
_GAP = r"(?:[\s,/-]+(?!(?:who|whom|whose|that|because|if|when|although|but|and|since|while|with|why|how)\b)[\w'’()-]+)"
_BAD = r"(?:false|incorrect|wrong|untrue|inaccurate)"
# What a feature, a drug or a statement may be said not to be at the end of a question.
_DONE = (
    r"(?:seen|used|done|given|involved|associated|belonging|drained|caused|supplied|included|required|indicated|found|"
    r"present|useful|effective|an?|part|derived|produced|related|formed|applied|needed|affected|innervated|transmitted|"
    r"considered|characteristic|recommended|articulate|cause|include|contain|belong|occur|involve|affect|supply|true|correct)"
)
_NEGATED = re.compile(
    # In capitals, as examiners write it.
    r"\b(?:EXCEPT|NOT|LEAST|FALSE|INCORRECT|WRONG)\b(?!\s+(?:only|ONLY)\b)|(?i:"
    # "All of the following are true except"
    r"\bexcept(?:ing)?\b[\s:;.,\-–—_?)]*$|\ball\b.{0,200}\bexcept\b|\bexcept (?:which|one)\b|"
    # "Which of the following is not", but not a clause that begins with "which"
    rf"\b(?:which|what)\b(?!\s+\w+ly\b|\s+age\b){_GAP}{{1,9}}?\s+{_NOT}(?!\s+only\b)|^\W*(?:which|what)\s+{_NOT}|"
    # "Identify a drug that cannot be used"
    r"\b(?:identify|name|list|select|choose|give|state|mention|specify|determine)\b(?:\s+[\w'’-]+){1,7}?\s+"
    rf"(?:that|which|who)\s+{_NOT}(?!\s+only\b)|"
    # "Not a feature of", "The drug not used in"
    rf"^(?:not|{_BAD})\b(?!\s+(?:positive|negative))|\bnot[\s:;.\-–—_]*$|"
    rf"\b(?:not|never)\s+(?:be\s+|being\s+)?{_DONE}\b[^,?]{{0,45}}[?:.\s–-]*$|"
    # "Which statement is false", but not "true or false"
    rf"\b{_BAD}\s+(?:statements?|options?|answers?|about|regarding|match|pair|combination)\b|(?<!or )\b(?:is|are)\s+{_BAD}\b|"
    # "Least likely", which asks for no superlative of the matter itself as "least common" does
    r"(?<!at )\b(?:least\s+|un)(?:likely|appropriate|helpful|useful|suitable|probable|consistent|beneficial|expected)\b"
    r"(?=.{0,120}\?|.{0,60}$))|"
    r"(?:哪|何者|下列|以下|关于|有关).{0,60}?(?:不正确|错误|有误|不属于|不包括|除外|不符合|不恰当|不宜|例外|不可能|无关)|"
    r"(?:哪(?:一)?[项个种类]|何者)[^，。？]{0,16}?(?:并非|不是|没有|不会|不能|不应|不需|不支持|不提示|不常见|不出现|不可)|"
    r"不(?:正确|属于|包括|符合|恰当|宜)的(?:是|说法|描述|一项)|错误的(?:是|说法|描述|叙述|一项)|"
    r"(?:不是|除外|不包括)[^。？]{0,30}的是"
)
# Questions about the age, time, reason or way of something that is not done ask for what is so.
_ASKS_HOW = re.compile(
    r"\W*(?:till|until|why|how|at what|by what|for how|after how|when\s+(?:is|are|was|should|can|does|do|will))\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"\b(?:who|whom|if|because|unless)\b[^,]*$", re.IGNORECASE)


def negation(asked: str) -> str:
    """The words of an asking sentence that turn it round; "" where it asks for what is so."""
    asked = asked[-LONG:]
    found = _NEGATED.search(asked)
    if not found or asked.isupper() or _ASKS_HOW.match(asked):
        return ""
    if not re.match(r"which|what|all|identify", found.group(), re.IGNORECASE) and _CLAUSE.search(
        asked[: found.start()]
    ):
        return ""  # "in patients who are not treated"
    return asked[max(0, found.start() - 40) : found.end() + 40]


_IMAGE = (
    r"(?:figures?|images?|pictures?|photographs?|photos?|photomicrographs?|micrographs?|diagrams?|graphs?|charts?|"
    r"x-?rays?|radiographs?|roentgenograms?|films?|ecgs?|ekgs?|electrocardiograms?|tracings?|scans?|ct|mri|mris|"
    r"echocardiograms?|angiograms?|smears?|specimens?|slides?|sections?|illustrations?|drawings?|pedigrees?|curves?|"
    r"plots?|videos?|audio|recordings?|spirograms?|electroencephalograms?|eegs?|audiograms?|cardiotocographs?|loops?|"
    r"findings?|lesions?|rash)"
)
_PICTURE = (
    r"(?:figures?|images?|pictures?|photographs?|photos?|photomicrographs?|micrographs?|diagrams?|graphs?|illustrations?|"
    r"radiographs?|x-?rays?|tracings?|pedigrees?|audio(?:gram)?|videos?|ecgs?|ekgs?|flow-?volume loops?|colou?r plates?)"
)
_THIS = r"(?:(?:the|this)\s+)?(?:(?:first|second|following|attached|accompanying|given|provided|above|below)\s+)?"
_FIGURE = re.compile(
    # "An ECG is shown."
    rf"\b{_IMAGE}\b[^.?!]{{0,60}}\b(?:is|are|as)\s+(?:shown|depicted|displayed|pictured|provided|illustrated|given|seen|"
    rf"presented|reproduced|attached)\s*(?:below|above|here|(?:in|on)\s+{_THIS}{_PICTURE}\b|[.:]\s*$|[.:]\s)|"
    # "shown in the image", "see figure", "the following radiograph"
    rf"\b(?:shown|seen|depicted|illustrated|labell?ed|marked|indicated|pictured|provided|displayed|highlighted)\s+"
    rf"(?:in|on|by|from)\s+{_THIS}{_PICTURE}\b|\bsee\s+{_THIS}{_PICTURE}\b|"
    rf"\b(?:in|from|on|of)\s+(?:the|this)\s+(?:attached\s+|accompanying\s+|given\s+|provided\s+|above\s+|following\s+)?"
    r"(?:figure|image|picture|photograph|photo|photomicrograph|diagram|graph|illustration|exhibit|video|audio)\b"
    r"(?!\s+of\s+(?:a|the)\s+(?:disease|patient))|"
    rf"\b(?:following|attached|accompanying|above|given|exhibited)\s+{_PICTURE}\b|\b{_PICTURE}\s+(?:below|above|attached)\b|"
    r"\b(?:figures?|fig\.?|images?|panels?|exhibits?)\s+(?:\d{1,2}|(?-i:[A-D]))\b|\bfigure\s+(?:depicts|shows|represents)\b|"
    # "the structure marked X", "indicated by the arrow"
    r"\b(?:arrow|point|site|structure|area|muscle)s?\s+(?:is\s+)?(?:marked|labell?ed)\b|"
    r"\b(?:by|with|at|to)\s+(?:the\s+|an\s+)?(?:\w+\s+)?arrows?\b|\bin\s+(?:the\s+)?colou?r\s+plate\b|"
    r"如图|见图|下图|上图|附图|图示|图中|图所示|所示图|此图|该图|图片",
    re.IGNORECASE,
)
_TABLE = re.compile(
    r"\b(?:in|from|see|by|on)\s+(?:the|this|below|following)\s+(?:following\s+|given\s+|above\s+|attached\s+|2\s?x\s?2\s+)?"
    r"table\b|\b(?:following|above|attached|given|accompanying)\s+table\b|\btable\s+(?:below|above|\d|shows?\b|is\s+(?:shown|"
    r"given|provided))|"
    r"\b(?:shown|seen|listed|given|provided|presented|summari[sz]ed|displayed)\s+(?:below|in\s+(?:the\s+)?table)|"
    r"\b(?:is|are)\s+shown(?=\s*\.)|见下表|下表|如表|表中|见表|附表",
    re.IGNORECASE,
)


def lost_figure(text: str) -> str:
    """The words that point to a figure, or to a table that the text does not hold."""
    searched = re.sub("[‐‑‒–]", "-", text if len(text) <= LONG else asking(text)[-LONG:])
    figure = _FIGURE.search(searched)
    if figure:
        return figure.group()
    for table in _TABLE.finditer(searched):
        near = searched[: table.start()] if "above" in table.group().lower() else searched[table.end() :]
        lines = [line for line in near.split("\n") if line.strip()]
        if len(re.findall(r"\d+", near)) < 3 and len(lines) < 4:
            return table.group()
    return ""


_LOST_OPTIONS = re.compile(
    r"\b(?:which|what|any|one|all|each|none|some)\s+(?:one\s+)?(?:of|among|from)\s+(?:the\s+|these\s+)?(?:following|options|choices|"
    r"above|below|these|given)\b|\b(?:of|among|from)\s+the\s+(?:following|given|listed)\s+(?:options|choices|answers|\w+)\b|"
    r"\bthe\s+following\s+(?:options|choices|statements|answers|drugs|conditions)\b|"
    r"(?:下列|以下)(?:哪|各|选项|何|关于)",
    re.IGNORECASE,
)
_INLINE = re.compile(
    r"(?:^|[\s;,:(])\(?[A-Da-d1-4][.):]\s?\S.{1,200}?[\s;,](?:\(?[B-Eb-e2-5][.):])\s?\S|[,:;].{2,80}[,;].{2,80}\bor\b",
    re.DOTALL,
)


def lost_options(text: str, asked: str) -> str:
    """The words that speak of options where the text lists none."""
    found = _LOST_OPTIONS.search(asked)
    return found.group() if found and not _INLINE.search(text[text.find(found.group()) :]) else ""


_ONE_OF_MANY = re.compile(
    # "What is an example of", but not "this is an example of"
    r"\b(?:what|which|name|give|identify|provide|cite|state)\b[^?]{0,80}?\b(?:an?|one|another)(?:\s+\w+)?\s+example\b"
    r"(?!\s+of\s+(?:what|which)\b)|"
    r"\b(?:name|give|list|mention|cite|suggest|identify|provide|state|specify|select)\s+(?:any\s+)?(?:an?|one|any|some|two|"
    r"three|four|five|\d)\s+(?!(?:single|specific|particular|most|key term|term|word)\b)[\w-]+(?:\s+[\w-]+){0,4}|"
    r"\bwhat\s+(?:is|are|could be|might be|can be|would be)\s+(?:an?|one|some)\s+(?:common|possible|potential|typical|known|"
    r"characteristic|important|recogni[sz]ed|frequent|likely|major|key|notable|significant|of the)\b[\w\s-]{0,40}|"
    r"(?:列举|举出|写出|说出|给出)(?:出)?(?:一|任意|几|两|三|\d)[种个项例]?|举例|例子",
    re.IGNORECASE,
)


def one_of_many(asked: str) -> str:
    """The words that ask for any one of several right answers."""
    found = _ONE_OF_MANY.search(asked)
    return found.group() if found else ""
