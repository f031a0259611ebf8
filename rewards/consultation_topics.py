"""What a doctor asks a patient: the topics of a history, how each is asked for and how a patient tells it.

English and Chinese, written from general knowledge of consultations and reviewed by no clinician. Every pattern looks at a
bounded stretch of text, so that reading takes time linear in the text.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple


class Topic(NamedTuple):
    """One thing that a doctor may need to know: how it is asked for, and how a patient tells it."""

    asked: re.Pattern[str]
    told: re.Pattern[str]


def words(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


COUNT = r"(?:\d+|an?|one|two|three|four|five|six|seven|eight|nine|ten|twelve|few|" r"couple of|several|half an?|many)"
SPAN = r"(?:hour|day|night|week|month|year|minute)s?"
HAN = r"[\d一二两三四五六七八九十半几多]+"

SAFETY = ("age", "sex", "pregnancy", "allergy", "renal", "drugs")
ASIDE = ("else", "habits", "family", "life", "course", "functions")  # worth asking, and the same for every patient
TOPICS: Mapping[str, Topic] = {
    "age": Topic(
        words(r"how old", r"\byour age\b", r"\bage\b", r"多大", r"几岁", r"年龄", r"岁数"),
        words(
            r"\b\d{1,3}[- ]?(?:years?|yrs?|months?|weeks?)[- ]?(?:old|of age)",
            r"\bage[d:]?\s{0,2}\d",
            r"\b(?:i'm|i am|she is|he is|she's|he's) (?:\d{1,3}|(?:twenty|thirty|forty|"
            r"fifty|sixty|seventy|eighty)\b)",
            r"\b(?:twenty|thirty|forty|fifty|sixty|seventy|eighty)[- ]?\w{0,6} years? old",
            r"\d\s{0,2}岁",
            r"[一二三四五六七八九十]岁",
            r"个月大",
        ),
    ),
    "sex": Topic(
        words(
            r"\bmale or female\b",
            r"\byour (?:sex|gender)\b|\bsex\?",
            r"\bman or (?:a )?woman\b",
            r"性别",
            r"男的?还是女",
            r"男士还是女士",
        ),
        words(
            r"\b(?:fe)?male\b",
            r"\b(?:wo)?man\b",
            r"\b(?:boy|girl|wife|husband|son|daughter|mother|father|lady)\b",
            r"\bpregnan",
            r"\bmy periods?\b",
            r"[男女]",
            r"妻子|丈夫|老婆|老公|儿子|妈妈|爸爸|怀孕|月经",
        ),
    ),
    "pregnancy": Topic(
        words(r"pregnan", r"breast-?feed", r"\bperiods?\b", r"\bexpecting\b", r"怀孕|妊娠|备孕|哺乳|月经|喂奶|孕妇"),
        words(
            r"pregnan",
            r"breast-?feed",
            r"\bperiods?\b",
            r"menopaus",
            r"hysterectomy",
            r"怀孕|妊娠|备孕|哺乳|月经|喂奶|绝经|孕期|未孕",
        ),
    ),
    "allergy": Topic(
        words(r"allerg", r"\breact(?:ed|ion)? (?:badly )?to (?:any|a)\b", r"过敏"), words(r"allerg", r"过敏")
    ),
    "renal": Topic(
        words(r"kidney", r"\brenal\b", r"creatinine", r"肾"), words(r"kidney", r"\brenal\b", r"creatinine", r"肾")
    ),
    "drugs": Topic(
        words(
            r"\bmedic(?:ation|ine)s?\b",
            r"\b(?:other|any|regular) (?:drugs?|tablets|pills|treatment)\b",
            r"\b(?:taking|take|tried) (?:anything|something)\b",
            r"[吃用服].{0,6}药",
            r"药物",
        ),
        words(
            r"\bmedic(?:ation|ine)s?\b",
            r"\b(?:no|any) (?:drugs?|tablets|pills)\b",
            r"\bi(?:'m| am)? (?:only |also )?(?:take|taking|on)\b",
            r"\b(?:not|n't) tak(?:e|ing) any",
            r"[吃用服].{0,6}药",
            r"在吃|平时吃|服用|用药",
        ),
    ),
    "onset": Topic(
        words(
            r"\bhow long\b",
            r"\bsince when\b",
            r"\bwhen (?:did|was|were|exactly)\b",
            r"\bhow many (?:hours|days|weeks|months)\b",
            r"\b(?:start(?:ed)?|began|begin|come on)\b",
            r"多久|几天|多长时间|什么时候|何时|多少天|哪天",
        ),
        words(
            rf"\b{COUNT} (?:\w{{1,9}} )?{SPAN}\b",
            r"\byesterday\b|\blast (?:night|week|month|year)\b|\bthis morning\b|\btoday\b|\btonight\b",
            rf"\bsince (?:\w{{1,9}} ){{0,2}}{SPAN}",
            rf"{HAN}\s?个?(?:多|来)?(?:小时|钟头|天|周|星期|礼拜|月|年|晚)",
            r"昨天|前天|今早|昨晚|今天|上周|上个月|刚才|去年",
        ),
    ),
    "severity": Topic(
        words(
            r"\bhow (?:bad|severe|strong|intense|much does)\b",
            r"\bout of (?:10|ten)\b",
            r"\b(?:0|one|1|zero) to (?:10|ten)\b",
            r"\bgetting (?:worse|better)\b",
            r"\bwake you\b",
            r"\b(?:stop|keep)s? you from\b",
            r"厉害|严重|多疼|多痛|几分|程度|加重|影响.{0,5}(?:睡|生活|工作|走)",
        ),
        words(
            r"\bsevere|\bmild\b|\bunbearable|\bterrible|\bawful|\bworst\b|\bvery bad\b|"
            r"\bquite bad\b|\bnot (?:too|so|that) bad\b",
            r"\bout of (?:10|ten)\b|\d\s?/\s?10\b|\bworse\b",
            r"厉害|严重|剧烈|轻微|受不了|加重|越来越|不太重|[\d一二三四五六七八九十]分",
        ),
    ),
    "site": Topic(
        words(
            r"\bwhere\b",
            r"\bwhich (?:side|part|place|spot|leg|arm|ear|eye|knee|joint)\b",
            r"\b(?:spread|radiate|travel)s?\b",
            r"\bpoint to\b",
            r"哪里|哪儿|什么位置|什么部位|哪个部位|哪一?[边侧]|放射|左边还是右边",
        ),
        words(
            r"\b(?:left|right|both|one) sides?\b|\bin the middle\b|\bspreads? to\b",
            r"左[边侧]|右[边侧]|两[边侧]|中间|放射到",
        ),
    ),
    "character": Topic(
        words(
            r"\bwhat (?:kind|sort|colou?r)\b",
            r"\bfeels? like\b",
            r"\b(?:sharp|dull|burning|throbbing|cramping)\b",
            r"\bcomes? and goe?s?\b|\bconstant\b",
            r"什么样|什么性质|什么颜色|一阵一阵|阵发|持续性|刺痛|隐痛|胀痛|绞痛",
        ),
        words(
            r"\b(?:sharp|dull|throbbing|cramping|constant)\b|\bcomes and goes\b",
            r"一阵一阵|阵发|持续|刺痛|隐痛|胀痛|绞痛",
        ),
    ),
    "triggers": Topic(
        words(
            r"\b(?:makes?|brings?|sets?) it (?:worse|better|on|off)\b",
            r"\banything (?:\w{1,9} ){0,2}(?:help|ease|relieve|trigger|worsen)",
            r"\bwhat (?:helps|eases|relieves|triggers|brings)\b",
            r"\b(?:after|before|with|during) (?:eating|meals|food|exercise|exertion|lying)\b",
            r"诱因|什么情况下|活动后|饭后|饭前|空腹|怎么.{0,3}缓解|什么.{0,3}缓解|休息后",
        ),
        words(
            r"\b(?:after|before|when i|with) (?:eat|meal|food|exercis|walk|lying|bend)\w{0,4}\b|" r"\bresting helps\b",
            r"活动后|饭后|饭前|空腹|休息后|缓解",
        ),
    ),
    "past": Topic(
        words(
            r"\bmedical history\b",
            r"\b(?:other|chronic|long-term|underlying|existing) (?:\w{1,9} )?(?:conditions?|"
            r"problems?|illness(?:es)?|diseases?)\b",
            r"\b(?:had|happened|have) (?:this|it|anything like (?:this|it)) before\b",
            r"\bbefore\?",
            r"既往|病史|慢性病|基础病|以前.{0,5}(?:过|有)|得过",
        ),
        words(
            r"\bmedical history\b|\bhistory of\b|\botherwise (?:well|healthy|fit)\b|\bnever had\b|"
            r"\bhad (?:this|it) before\b",
            r"既往|病史|慢性病|以前.{0,5}过|身体一直|平时身体",
        ),
    ),
    "injury": Topic(
        words(
            r"\binjur|\baccident|\btrauma|\b(?:a|any|recent) falls?\b|\bwhat (?:exactly )?happened\b",
            r"外伤|受伤|摔|撞|扭伤|怎么弄的",
        ),
        words(r"\binjur|\baccident|\bi fell\b|\bno falls?\b", r"外伤|受伤|摔|撞|扭"),
    ),
    "treated": Topic(
        words(
            r"\bsurger(?:y|ies)\b|\boperations?\b|\bhospital\b|\b(?:been )?treat(?:ed|ing|ment)s?\b|\btherap(?:y|ies)\b",
            r"手术|住过?院|治疗过|怎么治|处理过|看过(?:医生|大夫)",
        ),
        words(r"\bsurger(?:y|ies)\b|\boperations?\b|\bhospital\b|\btreatments?\b", r"手术|住过?院|治疗过"),
    ),
    "family": Topic(
        words(
            r"\bfamily\b|\b(?:father|mother|parents|siblings|brothers?|sisters?|children|kids)\b",
            r"家里人|家族|父母|兄弟|姐妹|遗传",
        ),
        words(r"\bfamily history\b|\bruns in\b|\bmy (?:father|mother|parents|brother|sister)", r"家族|父母|兄弟|姐妹"),
    ),
    "functions": Topic(
        words(
            r"\bbowels?\b|\bbladder\b|\burin(?:e|ation|ate|ary|ating)\b|\bappetite\b|\bsleep(?:ing)?\b|\bweight\b|\bwalk(?:ing)?\b",
            r"大便|小便|二便|胃口|食欲|睡眠|睡得|体重|精神怎么",
        ),
        words(r"\bbowels\b|\bappetite\b|\bi (?:sleep|eat) (?:well|badly|fine)\b", r"大小便|胃口|睡眠|睡得|体重|精神"),
    ),
    "life": Topic(
        words(
            r"\bwork\b|\bjob\b|\boccupation|\bfor a living\b"
            r"|\blive (?:with|alone)\b|\bexercis(?:e|ing)\b|\bdiet\b|\bmarried\b",
            r"工作|职业|做什么的|久坐|饮食",
        ),
        words(r"\bi work\b|\bmy job\b|\bretired\b|\bi live\b", r"工作|职业|退休|久坐"),
    ),
    "course": Topic(
        words(
            r"\bstill\b|\bprogress|\bhow (?:is|are) (?:it|that|things|you)\b|\bsymptoms now\b"
            r"|\b(?:improve|changed?)\b",
            r"好转|好些|现在(?:怎么样|怎样|情况)|比(?:之前|以前|昨天)|有没有(?:好|变)",
        ),
        words(r"\bimprov|\bno change\b|\bthe same\b", r"好转|好些|没变化|一样"),
    ),
    "complaint": Topic(
        words(
            r"\bbrings? you\b|\bgoing on\b|\bmain (?:concern|problem|complaint)\b"
            r"|\bwhat(?:'s| is) (?:wrong|the (?:problem|matter))\b",
            r"哪里不舒服|怎么了|什么症状|主要(?:是)?什么",
        ),
        words(r"\w{3}|[\u4e00-\u9fff]"),
    ),
    "habits": Topic(
        words(
            r"\bsmok(?:e|ing)\b",
            r"\balcohol\b|\bdo you drink\b",
            r"\btravel",
            r"\bcontact with\b|\banyone (?:around|else|at)\b",
            r"抽烟|吸烟|喝酒|饮酒|外出|旅行|接触过|身边.{0,4}人",
        ),
        words(r"\bsmok(?:e|ing|er)\b|\balcohol\b|\btravel", r"抽烟|吸烟|喝酒|饮酒|旅行|接触过"),
    ),
    "tests": Topic(
        words(
            r"\b(?:had|done|have) (?:any |an? )?(?:\w{1,9} )?(?:tests?|scans?|x-?rays?|"
            r"blood work|examinations?|ecg)\b",
            r"\btest results?\b|\bresults? of\b",
            r"\b(?:measured|checked|taken) your\b",
            r"做过.{0,6}(?:检查|化验|片|B超|CT)|查过|拍过|化验|量过|检查结果",
        ),
        words(
            r"\b(?:tests?|scans?|x-?rays?|blood work) (?:showed|shows|came|was|were)\b|" r"\bno tests\b|\bresults?\b",
            r"检查(?:显示|结果)|查过|拍过|化验|没做过检查|没查",
        ),
    ),
    "else": Topic(
        words(
            r"\b(?:any|what) other (?:\w{1,12} )?(?:symptoms?|problems?|pain|complaints?|changes)\b",
            r"\bany (?:problems?|changes?|complications?|trouble)\b",
            r"\banything else (?:wrong|you|bother|troubl|that)",
            r"\b(?:along|together) with (?:it|that|this)\b",
            r"还有(?:什么|哪些|别的|其他|没有)",
            r"(?:别的|其他|其它)(?:什么)?(?:不舒服|症状|不适)",
            r"伴随|伴有",
        ),
        words(r"\bno other symptoms?\b|\bnothing else\b|\bother than that\b", r"没有?(?:别的|其他|其它)|没别的"),
    ),
}
