"""Texts that announce an answer and give none: "Let me think step by step", "Here is my answer:", 根据题意可得出以下结论.

So do those that commit to nothing: "Hard to say; more tests are needed", 情况不明，建议进一步检查.
"""

import re

from medrl.verifiers.patterns import Opening

_END = r"[^\w↑↓+]*"
_YES = r"(?:(?:sure|okay|ok|certainly|of course|alright|well|great question)[,.!]* )?"
_THING = r"(?:answer|solution|analysis|reasoning|explanation|response|diagnosis|conclusion)"
OPENERS = Opening(
    rf"{_YES}(?:"
    rf"(?:here(?:'s| is| are)|below (?:is|are)|the following is) (?:my|the|your|a) (?:(?:final|complete|best|detailed|"
    rf"step-by-step) )?{_THING}"
    rf"(?: (?:as follows|below|to (?:the|this|your) question))?|"
    rf"(?:the|my) (?:final |correct |best )?{_THING} (?:is|can be given|goes|follows) ?(?:as follows|below|the "
    rf"following|shown below|given below)?|"
    r"let(?:'s| us| me) (?:think|analy[sz]e|consider|work|solve|break|start|begin|look|review|reason|recall|see|explain|go)"
    r"(?: (?:this|it|the|that|about|through|at|over|on|down|by|into|with|step|case|question|problem|carefully|first|"
    r"again|out|details?|"
    r"findings|options|parts))*|"
    r"(?:based on|given|from|considering|according to) (?:the|this|these|all)(?: [a-z]+){1,6}, (?:we|i|it|one) (?:can|"
    r"may|could)(?: be)? "
    r"(?:conclude[d]?|deduced?|infer(?:red)?|say|determined?)(?: (?:that|the following|as follows))?|"
    r"(?:in order )?to (?:answer|solve|determine|address|identify) [^.,\n]{1,60}, (?:we|i|you) (?:first |will |must |"
    r"should |need to |have to )*"
    r"(?:consider|analy[sz]e|look at|think about|evaluate|examine|review) (?:the|all|each|these|this|what|several|"
    r"its)(?: [a-z]+){1,4}|"
    r"(?:thought|thinking|reasoning|solution)(?: (?:process|steps?))?|step[- ]by[- ]step (?:solution|reasoning|analysis)|"
    r"n/?a|(?:please )?see (?:the )?(?:above|reasoning|thinking)(?: above)?|as (?:explained|discussed|stated|shown|"
    r"reasoned) (?:above|in (?:my|the) "
    r"(?:reasoning|thinking|analysis))|"
    r"firstly|secondly|therefore|thus|hence|however|moreover|in (?:conclusion|summary)|to (?:begin|start)(?: with)?|well|"
    r"hmm+|(?:the |this )?(?:patient|disease|illness|question|case)|"
    r"i (?:cannot|can't|am unable to|am not able to) answer(?: (?:this|the|that) question)?)"
    rf"{_END}|"
    r"(?:好的?[，,])?(?:"
    r"(?:思考|推理|解题|分析|解答|推导)(?:过程|思路|步骤)?(?:如下|为)?|"
    r"(?:根据|结合|综合|基于|由)(?:以上|上述|题意|题干|题目|所给|已知|病例)[^。\n，,]{0,14}[，,]?(?:我们)?(?:可以?|"
    r"能够?|需要?)?"
    r"(?:得出|得到|作出|做出|推断|判断|分析|推出|知)(?:出)?(?:以下|如下|下列|下面)?的?(?:结论|答案|判断|结果|诊断)?|"
    r"(?:下面|以下|现在?)(?:是|为|给出|我)*(?:我的|本题|该题)?的?(?:给出)?(?:答案|分析|解答|回答|诊断|结论)(?:如下)?|"
    r"(?:让我们?|我们?)(?:先|来)*(?:一步一步|一步步|逐步|仔细|详细)地?(?:来)?(?:思考|分析|想|推理)(?:一下|这个?问题|"
    r"本题|该题)?|"
    r"(?:首先|先)?(?:来)?(?:仔细|认真)?(?:分析|理解|阅读|审清?|梳理|回顾|看)(?:一下)?(?:该|本|这道)?(?:题目?|题意|题干|病例|问题|"
    r"病情|病史|资料|选项|考点)(?:信息|内容)?|"
    r"(?:这|本题|该题)(?:是|道题)?(?:一道)?(?:主要)?(?:考查|考察|典型的?)[^。\n，,]{0,12}(?:题目?|问题|知识点?|鉴别|能力)|"
    r"(?:(?:这|该)是)?(?:一个)?(?:很)?好(?:的)?问题|"
    r"首先|其次|因此|所以|然后|总之|综上(?:所述)?|另外|此外|换言之|(?:该|本)?(?:患者|病人|病例|疾病|病|症|诊断|题目?)|"
    r"(?:见上文?|如上|同上|如前所述|详见上文|见思考过程|如上所述)|"
    r"(?:很?抱歉[，,])?我?(?:无法|不能)(?:回答|作答|解答)(?:这个?|该|本|您的)?(?:问题|题目?)?)"
    rf"{_END}",
    re.IGNORECASE,
)

_MORE = r"(?:more|further|additional) (?:tests?|testing|information|work-?up|investigations?|data|evaluation|history|imaging)"
NO_ANSWER = Opening(
    r"(?:(?:I am |I'm |it is |it's |this is |that is )?(?:not (?:entirely |really |quite )?(?:sure|certain|clear)|"
    r"unclear|uncertain|"
    r"(?:hard|difficult|impossible|too early) to (?:say|tell|know|determine|decide))(?: (?:what|which) (?:it|this) is)?|"
    r"(?:I )?(?:do not|don't) (?:really )?know|(?:it |this )?(?:cannot|can't) be (?:determined|decided|said)"
    r"(?: (?:from|with) [\w ]{3,40})?|"
    rf"{_MORE} (?:is|are|would be|will be) (?:needed|required|necessary)(?: (?:to|before) [\w ]{{3,40}})?|"
    rf"I would need {_MORE}|"
    r"(?:it |this )?(?:could|may|might) be (?:something|anything) ?(?:infectious|serious|else|viral|benign)?|"
    r"(?:a |the )?(?:doctor|physician|specialist|dermatologist|surgeon|expert|clinician) should "
    r"(?:decide|be consulted|see it)|"
    r"please (?:see|consult|ask) (?:a|your) (?:doctor|physician|specialist)|[,;. ]+){1,6}|"
    r"(?:(?:病史|资料|信息|证据|条件)(?:不全|不足|有限|不够)|(?:目前|现在|暂时?|尚|还)?(?:无法|不能|难以)(?:作出)?(?:判断|确定|诊断|"
    r"确诊|下结论|明确|回答)(?:诊断)?|不(?:清楚|知道|确定|好说)|(?:情况|诊断|病因|原因)(?:尚|仍)?(?:不明确?|待查|未明|不清楚?)|"
    r"(?:建议|需要?|应|请|须)?(?:进一步|完善|继续|到医院|尽快)(?:相关|的)?(?:检查|评估|观察|就医|就诊)(?:后再(?:定|说|判断))?|"
    r"建议(?:就医|就诊|咨询(?:专科)?医[生师])|[，,。；; ]+){1,6}",
    re.IGNORECASE,
)
# References that say so themselves.
UNCERTAIN = re.compile(
    r"\b(?:unknown|uncertain|unclear|undetermined|indeterminate|cannot|not|more|further|refer\w*|consult\w*|idiopathic|none)\b|"
    r"不明|无法|不能|待查|进一步|未明|完善|就医|检查|观察|评估",
    re.IGNORECASE,
)
