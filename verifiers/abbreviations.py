"""Abbreviations of several meanings, and the words of a question that settle which one is meant.

RA is rheumatoid arthritis where a question speaks of joints, and the right atrium where it speaks of the heart. A meaning
counts only where its own words stand in the question and those of no other meaning do.
"""

import re
from collections.abc import Collection
from functools import lru_cache

# Abbreviation: its meanings, each with the words that speak for it.
_MEANINGS: dict[str, dict[str, str]] = {
    "RA": {
        "rheumatoid arthritis": r"joints?|arthr\w+|synovi\w+|anti-?CCP|rheumatoid|morning stiffness|swan.neck|关节|"
            r"晨僵|抗CCP|类风湿|滑膜",
        "right atrium": r"atri\w+|echocardio\w+|catheter\w*|ventric\w+|心房|心室|心导管|三尖瓣",
        "": r"an(?:a|e)esth\w+|block|leuk\w+|marrow|sideroblast\w*|renal arter\w+|麻醉|骨髓|肾动脉|room air",
    },
    "PE": {
        "pulmonary embolism": r"embol\w+|deep vein|DVT|thrombo(?:sis|tic|embol\w+)|d-dimer|wells|pleuritic|S1Q3T3|"
            r"haemoptysis|hemoptysis|"
        r"immobili[sz]\w+|long.haul|CTPA|栓|D-?二聚体|长途|制动|咯血",
        "preeclampsia": r"pregnan\w+|gestation\w*|gravid\w*|trimester|HELLP|妊娠|孕|子痫",
        "": r"effusion|ejaculat\w+|tamponade|physical exam\w*|plasma exchange|积液|早泄|心包|体格",
    },
    "MS": {
        "multiple sclerosis": r"oligoclonal|demyelinat\w+|optic neuritis|relaps\w+ (?:and|neuro\w+)|internuclear|"
            r"periventricular|"
        r"white matter|disseminated in (?:time|space)|脱髓鞘|寡克隆|视神经炎|核间性|脑白质|时间和空间",
        "mitral stenosis": r"opening snap|diastolic|mitral|apex|apical|valv\w+|rheumatic|二尖瓣|开瓣音|舒张期|瓣膜|心尖",
        "": r"morphine|magnesium|mental status|metabolic|musculoskeletal|吗啡|镁|代谢",
    },
    "MI": {
        "myocardial infarction": r"troponin|ST.(?:segment )?elevat\w*|chest pain|coronary|CK-?MB|infarct\w*|"
            r"Q waves?|肌钙蛋白|胸痛|冠状动脉|冠脉|ST段|心电图",
        "": r"mitral|regurgitat\w*|murmur|mesenter\w+|二尖瓣|反流|杂音|肠系膜|motivation\w*|mechanical",
    },
    "AS": {
        "aortic stenosis": r"systolic|syncope|ejection|carotid\w*|aortic|valv\w+|crescendo|收缩期|晕厥|主动脉瓣|"
            r"瓣膜|颈部传导",
        "ankylosing spondylitis": r"sacroilia\w+|HLA-?B27|back pain|bamboo|stiffness|spine|uveitis|骶髂|腰背|脊柱|竹节|晨僵",
        "": r"angelman|asperger|alport|atheroscle\w+|mast\w*|硬化",
    },
    "AR": {
        "aortic regurgitation": r"diastolic|aortic|pulse pressure|water.hammer|collapsing|bounding|舒张期|主动脉|脉压|水冲脉",
        "allergic rhinitis": r"sneez\w+|nasal|rhin\w+|pollen|itch\w*|鼻|喷嚏|花粉",
        "": r"recessive|autosomal|androgen\w*|inherit\w*|隐性|雄激素|遗传",
    },
    "MR": {
        "mitral regurgitation": r"systolic|murmur|apex|axilla\w*|valv\w+|mitral|papillary|收缩期|杂音|心尖|腋|二尖瓣|乳头肌",
        "": r"imaging|mental|retard\w*|resonance|measles|rubella|vaccin\w*|mineralocortic\w+|成像|磁共振|智力|麻疹|疫苗",
    },
    "AD": {
        "Alzheimer disease": r"memory|dement\w+|cogniti\w+|amyloid|tau|forget\w*|记忆|痴呆|认知|淀粉样",
        "atopic dermatitis": r"skin|eczema\w*|itch\w*|prurit\w*|flexur\w*|皮肤|湿疹|瘙痒|皮疹",
        "": r"dominant|autosomal|inherit\w*|aort\w+|dissection|depress\w+|显性|遗传|主动脉|夹层|抑郁",
    },
    "PD": {
        "Parkinson disease": r"tremor|rigidity|bradykines\w+|shuffling|cogwheel|substantia nigra|lewy|levodopa|震颤|"
            r"强直|运动迟缓|黑质|左旋多巴|面具脸",
        "": r"dialys\w*|panic|personality|progressi\w+|pharmacodyn\w+|peron\w+|paget|腹膜|透析|惊恐|人格|interpupil\w*",
    },
    "UC": {
        "ulcerative colitis": r"bloody|colon\w*|rect\w+|tenesmus|continuous|crypt|mucos\w+|便血|血便|结肠|直肠|"
            r"里急后重|隐窝|黏膜",
        "": r"uterine|contraction\w*|urinary|cathet\w*|urotheli\w+|culture|宫缩|导尿|尿",
    },
    "CD": {
        "Crohn disease": r"terminal ileum|skip|transmural|fistul\w*|cobblestone|granuloma\w*|回肠|跳跃|透壁|瘘|鹅卵石|肉芽肿",
        "": r"celiac|coeliac|gluten|difficile|conduct|麸质|乳糜泻|艰难",
    },
    "CF": {
        "cystic fibrosis": r"sweat|chloride|meconium|CFTR|pancrea\w+|bronchiect\w*|pseudomonas|汗液|氯|胎粪|胰腺|支气管扩张",
        "": r"complement|count\w*|free|chronic fatigue|补体",
    },
    "TS": {
        "tuberous sclerosis": r"ash.leaf|tubers?|angiofibroma\w*|seizure\w*|spasms?|subependymal|shagreen|癫痫|"
            r"色素脱失|纤维瘤|室管膜下",
        "Turner syndrome": r"webbed|45,? ?X|coarctation|amenorrh\w+|streak|short stature|颈蹼|闭经|身材矮小|性腺",
        "tricuspid stenosis": r"tricuspid|diastolic|三尖瓣|舒张期",
        "": r"tourette|tics?|抽动",
    },
    "GC": {
        "gastric cancer": r"stomach|gastric|gastroscop\w*|signet|linitis|胃",
        "gonorrhea": r"urethr\w+|diplococc\w+|discharge|sexual\w*|淋|尿道|双球菌",
        "": r"giant cell|temporal|glucocortic\w+|巨细胞|糖皮质|chromatograph\w*",
    },
    "HS": {
        "hereditary spherocytosis": r"spherocyt\w+|osmotic|spectrin|ankyrin|EMA|splenomegaly|h(?:a)?emoly\w+|球形|"
            r"渗透脆性|溶血|脾大",
        "": r"hidraden\w+|axill\w+|herpes|heart sound|purpura|腋|化脓性汗腺|疱疹",
    },
    "ED": {
        "erectile dysfunction": r"erect\w+|sildenafil|penile|impoten\w*|勃起|阳痿|西地那非",
        "": r"emergency|department|eating|ectoderm\w*|急诊|进食|effective dose",
    },
    "TOF": {
        "tetralogy of Fallot": r"cyano\w+|boot|tet spell\w*|overriding|squat\w*|heart|发绀|靴形|骑跨|蹲踞|心",
        "": r"fistula|esophag\w+|oesophag\w+|train of four|neuromuscular|食管|瘘|肌松",
    },
    "PV": {
        "polycythemia vera": r"JAK2|h(?:a)?ematocrit|erythro\w+|h(?:a)?emoglobin|aquagenic|plethor\w*|红细胞|"
            r"血红蛋白|JAK2|多血质",
        "pemphigus vulgaris": r"blister\w*|bulla\w*|nikolsky|desmoglein|acantholy\w+|水疱|大疱|尼氏|棘层",
        "": r"portal|vein|plasma volume|vaccin\w*|门静脉|疫苗|vertigo|眩晕",
    },
    "PCP": {
        "Pneumocystis pneumonia": r"HIV|CD4|AIDS|ground.glass|immunosuppress\w*|LDH|silver|艾滋|免疫抑制|磨玻璃",
        "": r"phencyclidine|nystagmus|primary care|intoxicat\w*|agitat\w*|眼震|中毒",
    },
    "BA": {
        "biliary atresia": r"jaundice|acholic|pale stools?|kasai|neonat\w+|infant|黄疸|陶土|葛西",
        "bronchial asthma": r"wheez\w+|bronch\w+|salbutamol|albuterol|eosinophil\w*|喘|支气管|哮鸣",
        "": r"brachial|arter\w+|brodmann|肱动脉",
    },
    "DI": {
        "diabetes insipidus": r"polyuria|water deprivation|desmopressin|dilute|vasopressin|ADH|多尿|禁水|去氨加压素|"
            r"低渗尿|尿比重",
        "": r"drug interact\w*|donor|incompat\w*|相互作用",
    },
    "OA": {
        "osteoarthritis": r"joint|knee|hip|osteophyt\w*|heberden|cartilage|crepitus|关节|膝|髋|骨赘|软骨",
        "": r"opioid|occipit\w+|azoosperm\w*|ophthalm\w*|atresia|无精子",
    },
    "MG": {
        "myasthenia gravis": r"ptosis|fatig\w+|acetylcholine|diplopia|thym\w+|AChR|edrophonium|睑下垂|晨轻暮重|"
            r"乙酰胆碱|复视|胸腺|新斯的明",
        "": r"magnesium|milligram\w*|mammogra\w*|monoclonal|镁|毫克|乳腺",
    },
    "MM": {
        "multiple myeloma": r"plasma cells?|M.protein|monoclonal|lytic|bence|IgG|calcium|浆细胞|M蛋白|溶骨|本周|骨髓",
        "malignant melanoma": r"mole|pigment\w*|nevus|naevus|breslow|skin|黑|色素痣|皮肤",
        "": r"muscularis|marfan|millimet\w*",
    },
    "CP": {
        "cerebral palsy": r"spastic\w*|scissor\w*|prematur\w+|birth asphyxia|motor delay|痉挛|剪刀步|早产|窒息",
        "chronic pancreatitis": r"pancrea\w+|steatorrh\w+|calcificat\w*|胰|脂肪泻|钙化",
        "": r"chest pain|cleft|pulmonale|perfring\w*|胸痛|腭裂|肺心",
    },
    "LP": {
        "lumbar puncture": r"CSF|meningit\w+|cerebrospinal|spinal|procedure|脑脊液|脑膜炎|腰椎|操作",
        "lichen planus": r"papules?|wickham|violaceous|purple|扁平|紫红|丘疹",
        "": r"lipoprotein\w*|脂蛋白|light perception",
    },
}  # fmt: skip
_COMPILED = {
    short: {
        meaning: re.compile(rf"(?<![A-Za-z])(?:{words})(?![A-Za-z])", re.IGNORECASE)
        for meaning, words in meanings.items()
    }
    for short, meanings in _MEANINGS.items()
}


@lru_cache(maxsize=1024)
def meaning_of(abbreviation: str, question: str) -> str:
    """What an abbreviation means in answer to a question; "" where the question does not settle it."""
    found = [meaning for meaning, words in _COMPILED.get(abbreviation, {}).items() if words.search(question)]
    return found[0] if len(found) == 1 else ""


def meanings(abbreviation: str) -> Collection[str]:
    """The meanings that are told apart, for the tests."""
    return _MEANINGS.get(abbreviation, {}).keys() - {""}
