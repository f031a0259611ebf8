"""The words by which sentences of a consultation are told apart: questions, hedges, doses, advice for everybody, disclaimers.

English and Chinese, written from general knowledge of doctors and of chat assistants and reviewed by no clinician. Every
pattern looks at a bounded stretch of text, so that reading takes time linear in the text.
"""

import re

from medrl.rewards.consultation_topics import COUNT, HAN, SPAN, words

QUESTION_EN = re.compile(
    r"(?:and |so |also |ok(?:ay)?,? |first,? |now,? |then,? |right,? |well,? )?"
    r"(?:(?:do|does|did|is|are|was|were|have|has|had|can|could|would|will) (?:you|"
    r"it|the|there|your|this|that|she|he|anyone|anything)\b"
    r"|any\b|how (?:long|old|bad|many|much|often|severe)\b|since when\b|tell me\b|"
    r"describe\b|where (?:is|does|exactly)\b"
    r"|(?:please )?(?:tell me|describe)\b)",
    re.IGNORECASE,
)
QUESTION_ZH = re.compile(
    r"(?:吗|么|呢|没有|没|不)[？?。.!！~\s]{0,3}$|有没有|有无|是不是|会不会|能不能|"
    r"痛不痛|疼不疼|多久|几天了|多大(?:了|年)|几岁|什么时候(?:开始|起)|哪里(?:疼|"
    r"痛|不)|怎么个"
)
# Words before or after a question word that make it no question of the doctor's.
NO_QUESTION_ZH = re.compile(r"如果|若|一旦|不管|无论|没什么|看看|明确|排除|建议|了解|观察")
NO_QUESTION_EN = re.compile(r"\b(?:if|in case|whether or not)\b", re.IGNORECASE)

# Who is not the patient. Animals and things that are met, held or reacted to ("bitten by a dog") are no subjects.
_WHOSE = r"(?<!to )(?<!with )(?<!by )(?<!from )(?<!near )\b(?:your|his|her|their|my|our|the|that|this|some)"
_NOT_MET = r"(?<![被跟和与对碰摸养])(?<!接触)(?<!接触过)"
OTHERS = words(
    rf"{_WHOSE} (?:\w{{2,9}} )?(?:dog|cat|pet|horse|cow|bird|fish|hamster|rabbit|parrot|neighbou?r|friend|colleague|boss"
    r"|teacher|landlord|car|house|phone|computer|laptop|bike|team|king|queen|president|universe|earth|world|moon|sun)"
    r"(?:'s|s')?\b",
    r"\bhow old (?:is|are|was|were) (?!you\b|s?he\b|they\b|the (?:patient|child|baby|boy|girl|person)\b"
    r"|your (?:\w{2,9} )?(?:child|baby|son|daughter|kid|wife|husband|partner|mother|father|mum|mom|dad|brother|sister"
    r"|grand\w{3,8}|parents?|children|aunt|uncle|cousin)\b|this\b|it\b|that\b)",
    rf"{_NOT_MET}(?:狗|猫|宠物|鸟|鱼缸|兔子|仓鼠|马儿|邻居|朋友|同事|老板|老师|房东|车子|汽车|房子|手机|电脑|球队|总统|明星|宇宙|地球)"
    r"(?!咬|抓|毛|传|也有(?:这|同))",
)
_KIN = (
    r"(?:child(?:ren)?|baby|son|daughter|kids?|toddler|infant|wife|husband|partner|mother|father|mum|mom|dad|brother|sister"
    r"|grand(?:mother|father|ma|pa|son|daughter|child)|aunt|uncle|cousin|nephew|niece)"
)
_KIN_ZH = (
    r"孩子|宝宝|小孩|儿子|女儿|老公|丈夫|老婆|妻子|爱人|妈妈|母亲|爸爸|父亲|哥哥|弟弟|姐姐|妹妹|爷爷|奶奶|外公|外婆|叔叔|阿姨"
    r"|婴儿|娃|老人|老妈|老爸"
)
RELATIVES = words(rf"{_WHOSE} (?:\w{{2,9}} )?{_KIN}(?:'s|s')?\b", rf"{_NOT_MET}(?:{_KIN_ZH})")
RELATIVE = words(rf"\b{_KIN}\b|\bmonths?[- ]old\b|\b(?:boy|girl)\b", _KIN_ZH)

HEDGED = words(
    r"\b(?:could|might|may|possib(?:le|ly|ilit(?:y|ies))|perhaps|potential(?:ly)?|"
    r"various|several|numerous|multiple (?:causes|conditions|reasons|factors|things)|a (?:range|number|variety) of|such as|"
    r"among others|and so on|for example|including)\b",
    r"\bcan be (?:caused|due|related|a sign)\b",
    r"\b(?:hard|difficult|impossible|not possible) to (?:say|know|tell|diagnose)\b",
    r"可能|也许|或许|多种|各种|不排除|难以|无法|不能确定|例如|比如|包括|等(?:疾病|" r"原因|情况|问题|因素)|有关",
)
SURE = words(r"\b(?:most|very|highly) (?:likely|probabl[ey])\b", r"最可能|很可能|大概率|可能性最大|基本可以|考虑")
CUE = words(
    r"\byou(?: have|'ve got|'ve| are having)\b",
    r"\b(?:this|that|it|which)(?: is|'s| looks| sounds| fits| was)\b",
    r"\b(?:looks|sounds) like\b",
    r"\b(?:points? to|consistent with|diagnos\w{1,5}|impression|suggests?|means|"
    r"most likely|probably|clearly|typical of|treat(?:ing)? (?:it|this|you|him|"
    r"her) (?:as|for)|case of|fits?|i think|in keeping with|makes? it|i make it|"
    r"adds? up to|spells?|tells? me|puts? it down to|my view)\b",
    r"诊断|考虑|就是|这是|属于|得的|应该是|符合|像是|印象|看来|很可能|最可能|"
    r"明确|判断|认为|病名|按.{0,10}(?:治|处理)|是$|是",
)
DENIED = words(
    r"\b(?:not|n't|no|rul(?:e|ed|es|ing) out|exclude|unlikely|without|against|"
    r"rather than|instead of|never|neither|nor)\b",
    r"不是|排除|不像|不考虑|除外|没有|未见|而非|并非|不支持",
)
AVOIDED = words(
    r"\b(?:do not|don't|not|avoid|stop|never|without|instead of|refrain|allergic|"
    r"allergy|had|taken|already|history)\b",
    r"不要|避免|停用|停|别吃|勿|禁|忌|过敏|吃过|用过|已经",
)
TAKE = words(r"\b(?:take|try|use|start|buy|begin|give)\b", r"吃|服|用")
DOSE = words(
    r"\d+(?:\.\d+)?\s{0,2}(?:mg|mcg|µg|μg|g|ml|units?|iu|drops?|puffs?|tablets?|"
    r"capsules?|mmol|fingertip)\b(?!/d?l)",
    r"\b(?:one|two|three|half a) (?:tablets?|capsules?|puffs?|drops?|sachets?)\b",
    r"[\d一二两三半.]+\s{0,2}(?:毫克|微克|克|毫升|片|粒|滴|支|单位|喷|袋|丸|揿|mg|g|ml)",
)
FREQUENCY = words(
    r"\b(?:daily|nightly|hourly|weekly|once|twice|bedtime|a day|per day|each day|"
    r"every (?:\d+|\w{3,7}) hours|every (?:day|morning|night|evening)|times|at night|"
    r"when needed|as required|(?:morning|evening)s?)\b",
    r"\b(?:for|over) \w{1,7} (?:days|weeks|months)\b",
    r"每[日天晚早周]|一[天日]|[日天][一二三四\d]次|每\s?\d+\s?小时|睡前|疗程|" r"连[吃用服]|顿服|必要时|早晚",
)
CONDITION = words(r"^\W*(?:if|in case|should|unless|suppose)\b", r"^\W*(?:如果|要是|若|万一|假如|倘若)")
IF = words(r"\b(?:if|when|should|once|unless|until|with|in case of|earlier)\b", r"如果|要是|若|一旦|出现|万一|有")
RETURN = words(
    r"\b(?:come (?:straight )?back|return|back here|review|recheck|see me|see you|"
    r"again in|follow[- ]?up|call me|call \d{2,4}|ambulance|emergency|same day|"
    r"straight away|right away|at once)\b",
    r"复查|复诊|随诊|再来|马上来|随时来|当天|联系我|急诊|赶紧来|立即|立刻|马上|回来",
)
WITHIN_TIME = words(
    rf"\b(?:in|after|within) {COUNT} {SPAN}\b",
    rf"{HAN}\s?个?(?:小时|天|周|星期|月)(?:后|内|之后|以后|再)",
)
URGENT = words(
    r"\b(?:emergency (?:room|department|services|care)|ambulance|a&e|hospital (?:now|"
    r"today|within|at once|immediately))\b",
    r"急诊|救护车|120|急救|(?:马上|立刻|立即|赶紧|内必须).{0,4}医院",
)
GENERIC = words(
    r"\b(?:see|consult|seek|visit|contact|call|speak (?:to|with)|talk (?:to|with)|"
    r"reach out to|advised? by|follow|checked by|ask)\b.{0,24}\b(?:doctors?|physician|"
    r"healthcare|health care|medical|professionals?|gp|specialist|clinician|provider|"
    r"care|help|attention|advice)\b",
    r"\bhealthy (?:diet|lifestyle|habits)\b|\b(?:plenty|enough|lots|adequate) (?:of )?(?:water|"
    r"fluids?|rest|sleep|hydration)\b|\bhydrated\b|\bdrink (?:more |plenty of |"
    r"lots of |enough )?(?:water|fluids)\b",
    r"\b(?:rest (?:well|up|and)|get (?:some )?rest|balanced (?:diet|meals)|regular exercise|"
    r"(?:reduce|manage|avoid) stress|monitor(?:ing)? (?:your|the|how|any)|keep (?:an eye|"
    r"track)|good hygiene|take care of|lifestyle|over-the-counter|self-care|worsens? or|"
    r"persists?\b)",
    r"就医|去医院|到医院|医院就诊|就诊|咨询.{0,6}(?:医生|医师|专业)|多喝(?:热|"
    r"温|开)?水|多饮水|注意休息|休息好|保持.{0,6}(?:良好|心情|充足|卫生|健康|"
    r"乐观)|合理饮食|清淡|均衡|熬夜|加强锻炼|适[当量](?:运动|休息|锻炼)|作息|"
    r"遵医嘱|(?:到|去|上|赴).{0,6}(?:医院|科室|诊所|医疗机构).{0,6}(?:检查|看|"
    r"就|评估|咨询|治疗)|生活(?:方式|习惯)|观察(?:症状|病情)|放松",
)
DISCLAIMER = words(
    r"\bas an? (?:ai|artificial|language|virtual|assistant|chat)",
    r"\blanguage model\b",
    r"\bi(?:'m| am) (?:not|unable|only an?) (?:a |able )?(?:doctor|physician|" r"medical|to|assistant|ai|program)",
    r"\b(?:cannot|can't|can not|unable to|not able to) (?:be )?(?:diagnos|provide|"
    r"replace|give|offer|make|prescrib|substitut|examine)",
    r"\b(?:substitute|replacement|replace) (?:for )?(?:a |an |the )?(?:professional|"
    r"medical|doctor|in-person|proper)",
    r"\b(?:informational|educational|reference|general information|guidance) (?:purposes )?only\b|"
    r"\bgeneral (?:information|guidance|in nature)\b",
    r"\bnot (?:constitute|be taken as|intended|meant|medical advice|a diagnosis)\b|"
    r"\bonly an? (?:\w{3,12} )?(?:doctor|professional|clinician|exam\w*)\b",
    r"\b(?:qualified|licensed|professional|proper|thorough|definitive|accurate|"
    r"in-person) (?:\w{3,12} )?(?:advice|diagnosis|evaluation|assessment|opinion|"
    r"professional|doctor|provider|examination)\b",
    r"作为.{0,6}(?:AI|人工智能|语言模型|助手|助理)|我(?:不是|并非)(?:医生|专业|"
    r"执业)|(?:不能|无法|不可|不应)(?:替代|代替|取代|做出|作出|进行|给出|提供|"
    r"作为)|仅供参考|仅作参考|不构成|以.{0,8}为准|专业(?:的)?(?:医生|医师|医疗|"
    r"人士|诊断|意见|评估)|确切(?:的)?诊断|准确(?:的)?诊断|面诊为准",
)
COURTESY = words(
    r"\bthank(?:s| you)\b",
    r"\bi (?:understand|appreciate|hear|can imagine|see that|realise|realize)\b",
    r"\b(?:sorry|concerned) (?:to hear|that|about)\b",
    r"\b(?:feel free|hesitate|happy to|glad (?:you|to)|here to help|let me know if)\b",
    r"\bhope (?:this|you|that|it)\b",
    r"\bhere (?:are|is) (?:some|a few|what|the|an)\b",
    r"\bit(?:'s| is) (?:\w{3,12} )?(?:important|essential|crucial|worth|always|"
    r"advisable|recommended|understandable|natural|best|good|vital)\b",
    r"\bplease (?:note|remember|keep in mind|be aware)\b|\b(?:keep|bear) in mind\b|" r"\bremember that\b",
    r"\b(?:in (?:summary|conclusion|general)|overall|to summari[sz]e|great question|"
    r"good question|based on (?:what|the|your)|from what you)\b|\bwishing you\b|"
    r"\bspeedy recovery\b|\bto (?:better )?(?:help|assist) (?:you|with)\b|\byour (?:concern|"
    r"question|message|situation)s?\b",
    r"感谢|谢谢|理解[您你]|很?抱歉|遗憾|希望(?:这|以上|能|我|[您你]|对)|如有.{0,4}(?:疑问|"
    r"问题|需要)|随时|祝[您你]|总之|综上|总的来说|需要注意|请注意|请记住|以下(?:是|"
    r"几)|首先|其次|最后|重要的是|值得注意|早日康复|帮助[您你]|为[您你](?:提供|"
    r"解答)|乐意|为了.{0,10}(?:更|准确|帮)|以下(?:信息|问题|内容)|(?:提供|补充).{0,6}(?:信息|"
    r"内容|资料)|[您你](?:好|的(?:问题|情况|描述|担心|心情|症状))|根据[您你]|"
    r"建议[您你]",
)
CLAUSES = re.compile(r"[,，、;；:：。！？!?\n]|[.](?=\s)")
LIST_LINE = re.compile(
    r"^[ \t]{0,8}(?:[-*•·]|\(?\d{1,2}[.)、）]|（\d{1,2}）|[一二三四五六七八九十]、|" r"[①-⑩])[ \t]{0,4}(?=\S)"
)
MARKUP = re.compile(r"\*\*[^*\n]{1,80}\*\*|^[ \t]{0,3}#{1,6} ", re.MULTILINE)
YES = re.compile(r"\W{0,3}(?:yes|yeah|yep|i do|i have|a (?:little|bit)|是|有|对|嗯|会|恩)", re.IGNORECASE)
NO = re.compile(r"\W{0,3}(?:no\b|nope|none|not |never|i don't|i haven't|没|不|无|否)", re.IGNORECASE)
# Names that fit every patient: saying them is no diagnosis and no treatment, whatever a vocabulary calls them.
GENERIC_NAMES = frozenset(
    (
        "disease|infection|inflammation|syndrome|illness|disorder|tumor|cancer|pregnancy|allergy|"
        "allergic reaction|diet|rest|treatment|therapy|drug therapy|pharmacotherapy|medication|drug|"
        "medicine|surgery|operation|procedure|injection|infusion|symptomatic treatment|"
        "symptomatic therapy|supportive care|supportive treatment|supportive therapy|"
        "conservative treatment|conservative management|watchful waiting|wait and see|"
        "expectant management|observation|monitoring|follow-up|screening|diagnosis|examination|"
        "physical examination|test|laboratory test|blood test|imaging|scan|investigation|vaccination|"
        "counseling|patient education|lifestyle modification|exercise|health|symptom|complication|"
        "hospitalization|referral|vital signs|history taking|medical history|self-care|first aid|"
        "nursing care|hydration|water|chronic disease"
    ).split("|")
)
