"""The words by which a consultation is read: what is asked, what is told, what hedges, what is empty.

English and Chinese. The lists were written from general knowledge of consultations and of chat assistants, and reviewed by
no clinician. Every pattern looks at a bounded stretch of text, so that reading takes time linear in the text.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple


class Topic(NamedTuple):
    """One thing that a doctor may need to know: how it is asked for, and how a patient tells it."""

    asked: re.Pattern[str]
    told: re.Pattern[str]


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


_COUNT = r"(?:\d+|an?|one|two|three|four|five|six|seven|eight|nine|ten|twelve|few|couple of|several|half an?|many)"
_SPAN = r"(?:hour|day|night|week|month|year|minute)s?"
_HAN = r"[\d一二两三四五六七八九十半几多]+"

SAFETY = ("age", "sex", "pregnancy", "allergy", "renal", "drugs")
TOPICS: Mapping[str, Topic] = {
    "age": Topic(
        _words(r"how old", r"\byour age\b", r"\bage\b", r"多大", r"几岁", r"年龄", r"岁数"),
        _words(
            r"\b\d{1,3}[- ]?(?:years?|yrs?|months?|weeks?)[- ]?(?:old|of age)", r"\bage[d:]?\s{0,2}\d",
            r"\b(?:i'm|i am|she is|he is|she's|he's) (?:\d{1,3}|(?:twenty|thirty|forty|fifty|sixty|seventy|eighty)\b)",
            r"\b(?:twenty|thirty|forty|fifty|sixty|seventy|eighty)[- ]?\w{0,6} years? old", r"\d\s{0,2}岁",
            r"[一二三四五六七八九十]岁", r"个月大",
        ),
    ),
    "sex": Topic(
        _words(r"\bmale or female\b", r"\byour (?:sex|gender)\b", r"\bman or (?:a )?woman\b", r"性别", r"男的?还是女", r"男士还是女士"),
        _words(
            r"\b(?:fe)?male\b", r"\b(?:wo)?man\b", r"\b(?:boy|girl|wife|husband|son|daughter|mother|father|lady)\b",
            r"\bpregnan", r"\bmy periods?\b", r"[男女]", r"妻子|丈夫|老婆|老公|儿子|妈妈|爸爸|怀孕|月经",
        ),
    ),
    "pregnancy": Topic(
        _words(r"pregnan", r"breast-?feed", r"\bperiods?\b", r"\bexpecting\b", r"怀孕|妊娠|备孕|哺乳|月经|喂奶|孕妇"),
        _words(r"pregnan", r"breast-?feed", r"\bperiods?\b", r"menopaus", r"hysterectomy", r"怀孕|妊娠|备孕|哺乳|月经|喂奶|绝经|孕期|未孕"),
    ),
    "allergy": Topic(_words(r"allerg", r"\breact(?:ed|ion)? (?:badly )?to (?:any|a)\b", r"过敏"), _words(r"allerg", r"过敏")),
    "renal": Topic(_words(r"kidney", r"\brenal\b", r"creatinine", r"肾"), _words(r"kidney", r"\brenal\b", r"creatinine", r"肾")),
    "drugs": Topic(
        _words(
            r"\bmedic(?:ation|ine)s?\b", r"\b(?:other|any|regular) (?:drugs?|tablets|pills|treatment)\b",
            r"\b(?:taking|take|tried) (?:anything|something)\b", r"[吃用服].{0,6}药", r"药物",
        ),
        _words(
            r"\bmedic(?:ation|ine)s?\b", r"\b(?:no|any) (?:drugs?|tablets|pills)\b", r"\bi(?:'m| am)? (?:only |also )?(?:take|taking|on)\b",
            r"\b(?:not|n't) tak(?:e|ing) any", r"[吃用服].{0,6}药", r"在吃|平时吃|服用|用药",
        ),
    ),
    "onset": Topic(
        _words(
            r"\bhow long\b", r"\bsince when\b", r"\bwhen (?:did|was|were|exactly)\b", r"\bhow many (?:hours|days|weeks|months)\b",
            r"\b(?:start|began|begin|come on)\b", r"多久|几天|多长时间|什么时候|何时|多少天|哪天",
        ),
        _words(
            rf"\b{_COUNT} (?:\w{{1,9}} )?{_SPAN}\b", r"\byesterday\b|\blast (?:night|week|month|year)\b|\bthis morning\b|\btoday\b|\btonight\b",
            rf"\bsince (?:\w{{1,9}} ){{0,2}}{_SPAN}", rf"{_HAN}\s?个?(?:多|来)?(?:小时|钟头|天|周|星期|礼拜|月|年|晚)", r"昨天|前天|今早|昨晚|今天|上周|上个月|刚才|去年",
        ),
    ),
    "severity": Topic(
        _words(
            r"\bhow (?:bad|severe|strong|intense|much does)\b", r"\bout of (?:10|ten)\b", r"\b(?:0|one|1|zero) to (?:10|ten)\b",
            r"\bgetting (?:worse|better)\b", r"\bwake you\b", r"\b(?:stop|keep)s? you from\b", r"厉害|严重|多疼|多痛|几分|程度|加重|影响.{0,5}(?:睡|生活|工作|走)",
        ),
        _words(
            r"\bsevere|\bmild\b|\bunbearable|\bterrible|\bawful|\bworst\b|\bvery bad\b|\bquite bad\b|\bnot (?:too|so|that) bad\b",
            r"\bout of (?:10|ten)\b|\d\s?/\s?10\b|\bworse\b", r"厉害|严重|剧烈|轻微|受不了|加重|越来越|不太重|[\d一二三四五六七八九十]分",
        ),
    ),
    "site": Topic(
        _words(
            r"\bwhere\b", r"\bwhich (?:side|part|place|spot|leg|arm|ear|eye|knee|joint)\b", r"\b(?:spread|radiate|travel)s?\b",
            r"\bpoint to\b", r"哪里|哪儿|什么位置|什么部位|哪个部位|哪一?[边侧]|放射|左边还是右边",
        ),
        _words(r"\b(?:left|right|both|one) sides?\b|\bin the middle\b|\bspreads? to\b", r"左[边侧]|右[边侧]|两[边侧]|中间|放射到"),
    ),
    "character": Topic(
        _words(
            r"\bwhat (?:kind|sort|colou?r)\b", r"\bfeels? like\b", r"\b(?:sharp|dull|burning|throbbing|cramping)\b", r"\bcomes? and goe?s?\b|\bconstant\b",
            r"什么样|什么性质|什么颜色|一阵一阵|阵发|持续性|刺痛|隐痛|胀痛|绞痛",
        ),
        _words(r"\b(?:sharp|dull|throbbing|cramping|constant)\b|\bcomes and goes\b", r"一阵一阵|阵发|持续|刺痛|隐痛|胀痛|绞痛"),
    ),
    "triggers": Topic(
        _words(
            r"\b(?:makes?|brings?|sets?) it (?:worse|better|on|off)\b", r"\banything (?:\w{1,9} ){0,2}(?:help|ease|relieve|trigger|worsen)", r"\bwhat (?:helps|eases|relieves|triggers|brings)\b",
            r"\b(?:after|before|with|during) (?:eating|meals|food|exercise|exertion|lying)\b", r"诱因|什么情况下|活动后|饭后|饭前|空腹|怎么.{0,3}缓解|什么.{0,3}缓解|休息后",
        ),
        _words(r"\b(?:after|before|when i|with) (?:eat|meal|food|exercis|walk|lying|bend)\w{0,4}\b|\bresting helps\b", r"活动后|饭后|饭前|空腹|休息后|缓解"),
    ),
    "past": Topic(
        _words(
            r"\bmedical history\b", r"\b(?:other|chronic|long-term|underlying|existing) (?:\w{1,9} )?(?:conditions?|problems?|illness(?:es)?|diseases?)\b",
            r"\b(?:had|happened|have) (?:this|it|anything like (?:this|it)) before\b", r"\bbefore\?", r"既往|病史|慢性病|基础病|以前.{0,5}(?:过|有)|得过",
        ),
        _words(r"\bmedical history\b|\bhistory of\b|\botherwise (?:well|healthy|fit)\b|\bnever had\b|\bhad (?:this|it) before\b", r"既往|病史|慢性病|以前.{0,5}过|身体一直|平时身体"),
    ),
    "habits": Topic(
        _words(r"\bsmok(?:e|ing)\b", r"\balcohol\b|\bdo you drink\b", r"\btravel", r"\bcontact with\b|\banyone (?:around|else|at)\b", r"抽烟|吸烟|喝酒|饮酒|外出|旅行|接触过|身边.{0,4}人"),
        _words(r"\bsmok(?:e|ing|er)\b|\balcohol\b|\btravel", r"抽烟|吸烟|喝酒|饮酒|旅行|接触过"),
    ),
    "tests": Topic(
        _words(
            r"\b(?:had|done|have) (?:any |an? )?(?:\w{1,9} )?(?:tests?|scans?|x-?rays?|blood work|examinations?|ecg)\b", r"\btest results?\b|\bresults? of\b",
            r"\b(?:measured|checked|taken) your\b", r"做过.{0,6}(?:检查|化验|片|B超|CT)|查过|拍过|化验|量过|检查结果",
        ),
        _words(r"\b(?:tests?|scans?|x-?rays?|blood work) (?:showed|shows|came|was|were)\b|\bno tests\b|\bresults?\b", r"检查(?:显示|结果)|查过|拍过|化验|没做过检查|没查"),
    ),
    "else": Topic(
        _words(
            r"\b(?:any|what) other symptoms?\b", r"\banything else (?:wrong|you|bother|troubl|that)", r"\b(?:along|together) with (?:it|that|this)\b",
            r"还有(?:什么|哪些|别的|其他|没有)", r"(?:别的|其他|其它)(?:什么)?(?:不舒服|症状|不适)", r"伴随|伴有",
        ),
        _words(r"\bno other symptoms?\b|\bnothing else\b|\bother than that\b", r"没有?(?:别的|其他|其它)|没别的"),
    ),
}  # fmt: skip

QUESTION_EN = re.compile(
    r"(?:and |so |also |ok(?:ay)?,? |first,? |now,? |then,? |right,? |well,? )?"
    r"(?:(?:do|does|did|is|are|was|were|have|has|had|can|could|would|will) (?:you|it|the|there|your|this|that|she|he|anyone|anything)\b"
    r"|any\b|how (?:long|old|bad|many|much|often|severe)\b|since when\b|tell me\b|describe\b|where (?:is|does|exactly)\b"
    r"|(?:please )?(?:tell me|describe)\b)",
    re.IGNORECASE,
)
QUESTION_ZH = re.compile(
    r"(?:吗|么|呢|没有|没|不)[？?。.!！~\s]{0,3}$|有没有|有无|是不是|会不会|能不能|痛不痛|疼不疼|多久|几天了|多大(?:了|年)|几岁|什么时候(?:开始|起)|哪里(?:疼|痛|不)|怎么个"
)
# Words before or after a question word that make it no question of the doctor's.
NO_QUESTION_ZH = re.compile(r"如果|若|一旦|不管|无论|没什么|看看")
NO_QUESTION_EN = re.compile(r"\b(?:if|in case|whether or not)\b", re.IGNORECASE)

HEDGED = _words(
    r"\b(?:could|might|may|possib(?:le|ly|ilit(?:y|ies))|perhaps|potential(?:ly)?|various|several|multiple|numerous|a (?:range|number|variety) of|such as|among others|and so on|for example|including)\b",
    r"\bcan be (?:caused|due|related|a sign)\b", r"\b(?:hard|difficult|impossible|not possible) to (?:say|know|tell|diagnose)\b",
    r"可能|也许|或许|多种|各种|不排除|难以|无法|不能确定|例如|比如|包括|等(?:疾病|原因|情况|问题|因素)|有关",
)  # fmt: skip
SURE = _words(r"\b(?:most|very|highly) (?:likely|probabl[ey])\b", r"最可能|很可能|大概率|可能性最大|基本可以|考虑")
CUE = _words(
    r"\byou(?: have|'ve got|'ve| are having)\b", r"\b(?:this|that|it|which)(?: is|'s| looks| sounds| fits| was)\b", r"\b(?:looks|sounds) like\b",
    r"\b(?:points? to|consistent with|diagnos\w{1,5}|impression|suggests?|means|most likely|probably|clearly|typical of|treat(?:ing)? (?:it|this|you|him|her) (?:as|for)|case of|fits?|i think|in keeping with|makes? it|i make it|adds? up to|spells?|tells? me|puts? it down to|my view)\b",
    r"诊断|考虑|就是|这是|属于|得的|应该是|符合|像是|印象|看来|很可能|最可能|明确|判断|认为|病名|按.{0,10}(?:治|处理)|是$|是",
)  # fmt: skip
DENIED = _words(
    r"\b(?:not|n't|no|rul(?:e|ed|es|ing) out|exclude|unlikely|without|against|rather than|instead of|never|neither|nor)\b",
    r"不是|排除|不像|不考虑|除外|没有|未见|而非|并非|不支持",
)
AVOIDED = _words(
    r"\b(?:do not|don't|not|avoid|stop|never|without|instead of|refrain|allergic|allergy|had|taken|already|history)\b",
    r"不要|避免|停用|停|别吃|勿|禁|忌|过敏|吃过|用过|已经",
)
DOSE = _words(
    r"\d+(?:\.\d+)?\s{0,2}(?:mg|mcg|µg|μg|g|ml|units?|iu|drops?|puffs?|tablets?|capsules?|mmol|fingertip)\b(?!/d?l)",
    r"\b(?:one|two|three|half a) (?:tablets?|capsules?|puffs?|drops?|sachets?)\b",
    r"[\d一二两三半.]+\s{0,2}(?:毫克|微克|克|毫升|片|粒|滴|支|单位|喷|袋|丸|揿|mg|g|ml)",
)
FREQUENCY = _words(
    r"\b(?:daily|nightly|hourly|weekly|once|twice|bedtime|a day|per day|each day|every (?:\d+|\w{3,7}) hours|every (?:day|morning|night|evening)|times|at night|when needed|as required|(?:morning|evening)s?)\b",
    r"\b(?:for|over) \w{1,7} (?:days|weeks|months)\b", r"每[日天晚早周]|一[天日]|[日天][一二三四\d]次|每\s?\d+\s?小时|睡前|疗程|连[吃用服]|顿服|必要时|早晚",
)  # fmt: skip
RETURN = _words(
    r"\b(?:if|when|should|once|unless|until)\b", r"\b(?:come back|return|review|recheck|again in|call|ambulance|straight away|right away|at once|immediately|today|tonight|tomorrow)\b",
    r"如果|要是|若|一旦|出现|马上|立即|立刻|赶紧|随诊|复诊|复查|再来|今天|明天|急诊",
)  # fmt: skip
GENERIC = _words(
    r"\b(?:see|consult|seek|visit|contact|call|speak (?:to|with)|talk (?:to|with)|reach out to|advised? by|follow|checked by|ask)\b.{0,24}\b(?:doctors?|physician|healthcare|health care|medical|professionals?|gp|specialist|clinician|provider|care|help|attention|advice)\b",
    r"\bhealthy (?:diet|lifestyle|habits)\b|\b(?:plenty|enough|lots|adequate) (?:of )?(?:water|fluids?|rest|sleep|hydration)\b|\bhydrated\b|\bdrink (?:more |plenty of |lots of |enough )?(?:water|fluids)\b",
    r"\b(?:rest (?:well|up|and)|get (?:some )?rest|balanced (?:diet|meals)|regular exercise|(?:reduce|manage|avoid) stress|monitor(?:ing)? (?:your|the|how|any)|keep (?:an eye|track)|good hygiene|take care of|lifestyle|over-the-counter|self-care|worsens? or|persists?\b)",
    r"就医|去医院|到医院|医院就诊|就诊|咨询.{0,6}(?:医生|医师|专业)|多喝(?:热|温|开)?水|多饮水|注意休息|休息好|保持.{0,6}(?:良好|心情|充足|卫生|健康|乐观)|合理饮食|清淡|均衡|熬夜|加强锻炼|适[当量](?:运动|休息|锻炼)|作息|遵医嘱|(?:到|去|上|赴).{0,6}(?:医院|科室|诊所|医疗机构).{0,6}(?:检查|看|就|评估|咨询|治疗)|生活(?:方式|习惯)|观察(?:症状|病情)|放松",
)  # fmt: skip
DISCLAIMER = _words(
    r"\bas an? (?:ai|artificial|language|virtual|assistant|chat)", r"\blanguage model\b", r"\bi(?:'m| am) (?:not|unable|only an?) (?:a |able )?(?:doctor|physician|medical|to|assistant|ai|program)",
    r"\b(?:cannot|can't|can not|unable to|not able to) (?:be )?(?:diagnos|provide|replace|give|offer|make|prescrib|substitut|examine)", r"\b(?:substitute|replacement|replace) (?:for )?(?:a |an |the )?(?:professional|medical|doctor|in-person|proper)",
    r"\b(?:informational|educational|reference|general information|guidance) (?:purposes )?only\b|\bgeneral (?:information|guidance|in nature)\b", r"\bnot (?:constitute|be taken as|intended|meant|medical advice|a diagnosis)\b|\bonly an? (?:\w{3,12} )?(?:doctor|professional|clinician|exam\w*)\b",
    r"\b(?:qualified|licensed|professional|proper|thorough|definitive|accurate|in-person) (?:\w{3,12} )?(?:advice|diagnosis|evaluation|assessment|opinion|professional|doctor|provider|examination)\b",
    r"作为.{0,6}(?:AI|人工智能|语言模型|助手|助理)|我(?:不是|并非)(?:医生|专业|执业)|(?:不能|无法|不可|不应)(?:替代|代替|取代|做出|作出|进行|给出|提供|作为)|仅供参考|仅作参考|不构成|以.{0,8}为准|专业(?:的)?(?:医生|医师|医疗|人士|诊断|意见|评估)|确切(?:的)?诊断|准确(?:的)?诊断|面诊为准",
)  # fmt: skip
COURTESY = _words(
    r"\bthank(?:s| you)\b", r"\bi (?:understand|appreciate|hear|can imagine|see that|realise|realize)\b", r"\b(?:sorry|concerned) (?:to hear|that|about)\b", r"\b(?:feel free|hesitate|happy to|glad (?:you|to)|here to help|let me know if)\b",
    r"\bhope (?:this|you|that|it)\b", r"\bhere (?:are|is) (?:some|a few|what|the|an)\b", r"\bit(?:'s| is) (?:\w{3,12} )?(?:important|essential|crucial|worth|always|advisable|recommended|understandable|natural|best|good|vital)\b", r"\bplease (?:note|remember|keep in mind|be aware)\b|\b(?:keep|bear) in mind\b|\bremember that\b",
    r"\b(?:in (?:summary|conclusion|general)|overall|to summari[sz]e|great question|good question|based on (?:what|the|your)|from what you)\b|\bwishing you\b|\bspeedy recovery\b|\bto (?:better )?(?:help|assist) (?:you|with)\b|\byour (?:concern|question|message|situation)s?\b",
    r"感谢|谢谢|理解[您你]|很?抱歉|遗憾|希望(?:这|以上|能|我|[您你]|对)|如有.{0,4}(?:疑问|问题|需要)|随时|祝[您你]|总之|综上|总的来说|需要注意|请注意|请记住|以下(?:是|几)|首先|其次|最后|重要的是|值得注意|早日康复|帮助[您你]|为[您你](?:提供|解答)|乐意|为了.{0,10}(?:更|准确|帮)|以下(?:信息|问题|内容)|(?:提供|补充).{0,6}(?:信息|内容|资料)|[您你](?:好|的(?:问题|情况|描述|担心|心情|症状))|根据[您你]|建议[您你]",
)  # fmt: skip
CLAUSES = re.compile(r"[,，、;；:：。！？!?\n]|[.](?=\s)")
LIST_LINE = re.compile(
    r"^[ \t]{0,8}(?:[-*•·]|\(?\d{1,2}[.)、）]|（\d{1,2}）|[一二三四五六七八九十]、|[①-⑩])[ \t]{0,4}(?=\S)"
)
MARKUP = re.compile(r"\*\*[^*\n]{1,80}\*\*|^[ \t]{0,3}#{1,6} ", re.MULTILINE)
YES = re.compile(r"\W{0,3}(?:yes|yeah|yep|i do|i have|a (?:little|bit)|是|有|对|嗯|会|恩)", re.IGNORECASE)
NO = re.compile(r"\W{0,3}(?:no\b|nope|none|not |never|i don't|i haven't|没|不|无|否)", re.IGNORECASE)
