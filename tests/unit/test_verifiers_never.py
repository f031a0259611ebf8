"""Answers that look like the reference and are not: whatever else the rules decide, none of these is ever accepted."""

import pytest

from medrl.types import Problem, ask
from medrl.verifiers import Typed

RULE = Typed(vocabulary="medrl")
HOSTILE = [
    ("Is the MMR vaccine contraindicated in pregnancy?", "Yes", "Yes, it can be given safely."),
    ("What stage is a pressure ulcer with full-thickness skin loss?", "Stage 3", "NYHA 3"),
    ("What stage is a pressure ulcer with full-thickness skin loss?", "Stage 3", "NYHA class 3"),
    ("What stage?", "Stage II", "Grade II"),
    ("What is the stage of this tumour?", "Stage II", "Grade II"),
    ("Is aspirin contraindicated?", "Yes", "Yes, it is safe."),
    ("阿司匹林禁忌吗？", "是", "是的，可以安全使用。"),
    ("What grade is the astrocytoma?", "Grade 4", "Stage 4"),
    ("肿瘤分期？", "II期", "2级"),
    ("烧伤深度？", "深Ⅱ度", "浅Ⅱ度"),
    ("Which type of diabetes?", "Type 1 diabetes", "Diabetes class 1"),
    ("What is the most likely diagnosis?", "Type 2 respiratory failure", "Grade 2 respiratory failure"),
    ("Which vitamin?", "Vitamin B12", "Vitamin B6"),
    ("Which cranial nerve?", "CN VI", "CN IV"),
    ("Which gene?", "BRCA1", "BRCA2"),
    ("Which mutation?", "T790M", "L858R"),
    ("Is surgery indicated?", "No", "No, surgery should be performed immediately."),
    ("Should metformin be stopped?", "Yes", "Yes, metformin can be continued."),
    ("孕妇能用华法林吗？", "不能", "不能不用"),
    ("Is breastfeeding safe?", "Yes", "Yes, but it should be avoided."),
    ("What must be avoided?", "Digital vaginal examination", "Perform a digital vaginal examination"),
    ("What electrolyte abnormality?", "Hypokalemia", "high serum potassium"),
    ("诊断？", "低钠血症", "血钠升高"),
    ("Which artery?", "Left anterior descending artery", "Right anterior descending artery"),
    ("Relationship?", "Insulin resistance precedes hyperglycemia", "Hyperglycemia precedes insulin resistance"),
    ("Finding?", "No pneumothorax", "Pneumothorax is present"),
    ("Finding?", "No pneumothorax", "Pneumothorax cannot be excluded"),
    ("Diagnosis?", "Appendicitis", "Appendicitis has been excluded"),
    ("Diagnosis?", "Appendicitis", "Appendicitis or diverticulitis"),
    ("Diagnosis?", "Pulmonary embolism", "Not a pulmonary embolism but pneumonia"),
    ("Diagnosis?", "Transudative effusion", "Exudative effusion"),
    ("Which salt?", "Metoprolol succinate", "Metoprolol tartrate"),
    ("Drug?", "Nifedipine extended release", "Nifedipine immediate release"),
    ("Drug?", "Diltiazem", "Diazepam"),
    ("Diagnosis?", "Hepatitis A", "Hepatitis B"),
    ("Diagnosis?", "Hemophilia A", "Hemophilia B"),
    ("Diagnosis?", "Central diabetes insipidus", "Nephrogenic diabetes insipidus"),
    ("Diagnosis?", "Acute lymphoblastic leukemia", "Acute myeloid leukemia"),
    ("Diagnosis?", "Primary hyperparathyroidism", "Secondary hyperparathyroidism"),
    ("How many mg?", "500 mg", "5 g"),
    ("D-dimer cutoff?", "500 ng/mL FEU", "500 ng/mL DDU"),
    ("Elemental iron dose?", "60 mg elemental iron", "60 mg ferrous sulfate"),
    ("Dose of each dose?", "150 mg", "450 mg/day"),
    ("Which NYHA class?", "Class III", "CCS class III"),
    ("GFR stage?", "G3b", "A3"),
    ("GFR category?", "G3b", "G3a"),
    ("Stage?", "Stage IB2", "Stage IB1"),
    ("Where?", "Medial epicondyle", "Lateral epicondyle"),
    ("Which test?", "Direct Coombs test", "Indirect Coombs test"),
    ("Which hernia?", "Direct inguinal hernia", "Indirect hernia"),
    ("不吸烟女性最常见的肺癌组织学类型是？", "肺腺癌", "鳞癌"),
    ("甲状腺癌最常见的病理类型是？", "甲状腺乳头状癌", "髓样癌"),
    ("肺炎最常见的病原菌是哪种？", "肺炎链球菌", "链球菌"),
    ("PaCO2 65 mmHg，属于哪型呼吸衰竭？", "Ⅱ型呼吸衰竭", "1型"),
    ("该患者能否使用激素？", "可以", "可以不用"),
    ("是否需要立即手术？", "需要", "可有可无"),
    ("是否需要立即手术？", "不需要", "必不可少"),
    ("诊断？", "荨麻疹", "麻疹"),
    ("诊断？", "股骨颈骨折", "肱骨颈骨折"),
    ("急性胰腺炎患者血钙降低，血磷如何变化？", "升高", "高钙血症"),
    ("输血反应的处理顺序？", "停止输血、保留静脉通路、通知医生", "输血、保留静脉通路、通知医生"),
    ("哮喘急性发作首选吸入药？", "沙丁胺醇", "不吸入沙丁胺醇"),
    ("诊断？", "急性胰腺炎", "慢性pancreatitis"),
    ("少尿的标准是24小时尿量？", "<400 mL/24h", "少于400ml/h"),
    ("X链还是常染色体？", "X连锁隐性遗传", "常染色体隐性遗传"),
    ("What type of inheritance?", "Autosomal dominant", "Autosomal recessive"),
    ("Is it curable?", "Yes", "It is not incurable? No."),
    ("Best position?", "Left lateral", "Right lateral"),
    ("Which drug is safe?", "Labetalol", "Labetalol is contraindicated"),
    ("诊断？", "肺炎", "肺炎可能性不大"),
    ("诊断？", "脑出血", "脑梗死，需排除脑出血"),
    ("首选药物？", "青霉素", "除青霉素以外的药物"),
    ("Which?", "Aspirin", "Anything but aspirin"),
    ("血液流经心脏的顺序？", "右心房、右心室、肺动脉、左心房、左心室", "右心房、右心室、动脉、左心房、左心室"),
    ("缺铁时变化的先后顺序？", "储存铁减少、血清铁降低、血红蛋白降低", "铁减少、铁降低、蛋白降低"),
    ("外出血的止血顺序？", "直接压迫、抬高患肢、压迫止血点", "直接压迫、患肢、压迫止血点"),
    ("心肺复苏C-A-B的操作顺序？", "胸外按压、开放气道、人工呼吸", "A-B-C：胸外按压、开放气道、人工呼吸"),
    ("狂犬疫苗接种在第几天？", "0、3、7、14、28天", "0-7-3-14-28天"),
    ("狂犬疫苗接种在第几天？", "0、3、7、14、28天", "0-3、7-14、28天"),
    ("Which electrolyte abnormality does SIADH cause?", "Hyponatremia", "low sodium from a drip arm"),
    ("Which electrolyte abnormality does SIADH cause?", "Hyponatremia", "hyponatremia due to salt loss"),
    ("Which electrolyte abnormality in Addison disease?", "Hyperkalemia", "Hyperkalemia from a clotted sample"),
    (
        "Which electrolyte abnormality in Addison disease?",
        "Hyperkalemia",
        "High potassium after haemolysis in the tube",
    ),
    ("Which disorder does lactic acid produce?", "Metabolic acidosis", "Metabolic acidosis from hypoventilation"),
    ("Which chronic condition?", "Hypertension", "High blood pressure due to a small cuff"),
    ("Finding?", "No pneumothorax", "No pneumothorax, which is normal in the left lung"),
    ("Finding?", "No pneumothorax", "No pneumothorax, which is a relief after the small one"),
    ("Fluid bolus in a child?", "20 mL/kg", "10 mL/kg, so 20 mL/kg"),
    ("Daily dose?", "30 mg", "5 mg x 4 = 20 mg, so 30 mg"),
    ("Score?", "30", "It should be 12; so 30"),
    ("AF on bisoprolol, now septic; ceftriaxone dose?", "2 g daily", "2 g PO daily"),
    ("He takes metformin. Insulin glargine is started; dose?", "10 units once daily", "10 units orally once daily"),
    ("轻度脱水的首选治疗？", "口服补液盐", "静脉给予口服补液盐"),
    ("高血压分级？", "2级高血压", "二度"),
    ("心功能分级？", "NYHA Ⅲ级", "三度"),
    ("烧伤深度？", "浅Ⅱ度", "浅二级"),
    ("肾上腺素剂量？", "0.5 mg", "每公斤体重零点五毫克"),
    ("双上肢占体表面积多少？", "18%", "单侧18%"),
    ("双上肢占体表面积多少？", "18%", "双上肢各18%"),
    ("乙肝疫苗每次多少？", "0.5 ml", "两次共0.5ml"),
    ("血钾？", "6.5 mmol/L", "六毫摩尔每升半"),
    ("垂体ACTH腺瘤所致疾病？", "库欣病", "庫欣氏症"),
    ("What is the daily dose of amikacin?", "15-20 mg/kg/day", "15-20 mg/kg a dose"),
    ("Which?", "Aspirin", "Aspirin should not be used"),
    ("Next step?", "Needle decompression", "Do not perform needle decompression"),
    ("Next step?", "Intubation", "Delay intubation"),
    ("治疗？", "立即手术", "暂不手术"),
    ("What to stop?", "Stop metformin", "Start metformin"),
    ("Measure?", "Increase insulin dose", "Decrease insulin dose"),
    ("CTPA结果？", "未见肺栓塞", "未见肺栓塞，实为肺栓塞"),
    ("X线所见？", "未见骨折", "未见骨折，MRI 证实骨折"),
    ("CTPA结果？", "无肺栓塞", "排除肺栓塞，依据不足"),
    ("Finding?", "No pneumonia", "No pneumonia, which is a mistake"),
    ("Finding?", "No pneumonia", "No pneumonia because that is wrong"),
    ("胸片所见？", "No pneumonia", "Pneumonia excluded，CT证实肺炎"),
    ("诊断？", "无妊娠", "不是妊娠，就是妊娠"),
    ("治疗？", "首先给予维生素B1，然后给予葡萄糖", "首先给予葡萄糖，然后给予维生素B1"),
    ("Treatment?", "Give thiamine, then glucose", "Give glucose, then thiamine"),
    ("Treatment?", "Give thiamine before glucose", "Give glucose before thiamine"),
    ("治疗？", "停用华法林并给予维生素K", "停用华法林和维生素K"),
    ("治疗？", "停用华法林并给予维生素K", "停用华法林、维生素K"),
    ("Treatment?", "Stop warfarin and give vitamin K", "Stop warfarin and vitamin K"),
    ("哪种细胞因子？", "IL-6", "IL-6受体"),
    ("哪种细胞因子？", "IL-6", "IL-6抗体"),
    ("Which cytokine?", "IL-6", "IL-6 receptor"),
    ("自身抗原？", "GAD65", "抗GAD65抗体"),
    ("哪种标志？", "CD20", "CD20抗体"),
    ("靶点？", "PD-1", "PD-1抗体"),
    ("静止性震颤，首先考虑的诊断是？", "帕金森病", "PD（腹膜透析）"),
    ("诊断？", "重症肌无力（MG）", "MG（镁）"),
    ("CTPA结果？", "未见肺栓塞", "未见肺栓塞。后经CT证实为肺栓塞"),
    ("Effect?", "PTH upregulates RANKL", "RANKL upregulates PTH"),
    ("PTH的作用？", "PTH升高血钙", "血钙升高PTH"),
    ("Effect?", "PTH raises serum calcium", "Serum calcium raises PTH"),
    ("化验异常？", "平均红细胞血红蛋白浓度降低", "平均红细胞血红蛋白含量降低"),
    ("Finding?", "Low mean corpuscular hemoglobin concentration", "Low mean corpuscular hemoglobin"),
    ("异常？", "体温过高", "体温升高"),
    ("异常？", "体温过低", "体温下降"),
    ("表现？", "智力低下", "智力减退"),
    ("异常？", "免疫球蛋白A缺乏", "免疫球蛋白A缺陷"),
    ("症状？", "情感淡漠", "情感迟钝"),
    ("症状？", "意志减退", "意志缺乏"),
    ("术式？", "穿透性角膜移植", "角膜移植"),
    ("Which operation?", "Radical neck dissection", "Neck dissection"),
    ("Consequence?", "Loss of function", "Functional impairment"),
    ("Sign?", "Strawberry tongue", "Raspberry tongue"),
    ("诊断？", "脂蛋白脂肪酶缺乏症", "高乳糜微粒血症"),
    ("诊断？", "家族性高乳糜微粒血症", "高乳糜微粒血症"),
    ("影像征象？", "空气新月征", "新月征"),
    ("Breathing pattern?", "Biot respiration", "Cluster breathing"),
    ("诊断？", "急性会厌炎", "会厌炎"),
    ("诊断？", "支气管异物", "气管异物"),
    ("诊断？", "支气管异物", "气道异物"),
    ("统计量？", "皮尔逊相关系数", "相关系数"),
    ("Antigen?", "Glutamic acid decarboxylase 65", "Glutamic acid decarboxylase"),
    ("Which enzyme?", "N-acetyltransferase 2", "N-acetyltransferase"),
    ("症状？", "醒前幻觉", "醒后幻觉"),
    ("Adverse effect?", "Respiratory depression", "Hypoventilation"),
    ("Sign?", "步态异常", "步态不稳"),
    ("Symptom?", "Polyuria", "Increased urination"),
    ("Which muscle?", "Transverse arytenoid", "Interarytenoid muscle"),
    ("Sign?", "Muscle rigidity", "肌强直"),
    ("Finding?", "Papilledema", "Optic disc edema"),
    ("Sign?", "Kerley B lines", "Septal lines"),
    ("Symptom?", "闭经", "停经"),
    ("Diagnosis?", "Thrombophilia", "Hypercoagulable state"),
    ("Therapy?", "Flooding", "Implosive therapy"),
]


@pytest.mark.parametrize(("question", "reference", "text"), HOSTILE)
def test_what_looks_like_the_reference_is_never_accepted(question: str, reference: str, text: str) -> None:
    assert RULE.verify(Problem("1", ask(question), reference), text).score != 1.0


@pytest.mark.parametrize(
    ("question", "reference", "text"),
    [
        ("Is surgery indicated?", "No", "No, conservative treatment should be used instead."),
        ("Should metformin be stopped?", "Yes", "Yes, stop metformin and continue insulin."),
        ("Is the MMR vaccine contraindicated?", "No", "No, it can be given safely."),
        ("是否需要手术？", "不需要", "不需要，继续观察。"),
        ("孕妇能用华法林吗？", "不能", "不能，妊娠期禁用。"),
        ("该检查有无禁忌证？", "无", "没有禁忌证"),
    ],
)
def test_a_yes_or_no_that_says_why_is_accepted(question: str, reference: str, text: str) -> None:
    assert RULE.verify(Problem("1", ask(question), reference), text).score == 1.0


@pytest.mark.parametrize(
    ("question", "reference", "text"),
    [
        ("多巴胺滴速？", "0.5 μg/kg/min", "每公斤每分钟0.5微克"),
        ("首次补液量？", "20 ml/kg", "每公斤二十毫升"),
        ("每公斤补液多少？", "20 ml", "每公斤二十毫升"),
        ("What happens to TSH?", "Increased", "above normal"),
        ("What is the dose of metformin?", "500 mg once daily", "500 mg orally once daily"),
        ("心肺复苏C-A-B的操作顺序？", "胸外按压、开放气道、人工呼吸", "C-A-B：胸外按压、开放气道、人工呼吸"),
        ("狂犬疫苗接种在第几天？", "0、3、7、14、28天", "0-3-7-14-28天"),
        ("Which electrolyte abnormality does SIADH cause?", "Hyponatremia", "low sodium due to SIADH"),
    ],
)
def test_a_right_answer_beside_the_wrong_ones_is_accepted(question: str, reference: str, text: str) -> None:
    assert RULE.verify(Problem("1", ask(question), reference), text).score == 1.0


SIGNS = {"A": "蜘蛛痣", "B": "肝掌", "C": "环形红斑", "D": "腹水"}
WAYS = {"A": "手术", "B": "放疗"}


@pytest.mark.parametrize(
    ("question", "options", "reference", "text"),
    [
        ("哪项不是肝硬化体征？", SIGNS, "C", "环形红斑是肝硬化体征"),
        ("哪项不是肝硬化体征？", SIGNS, "C", "C是肝硬化体征"),
        ("除哪项外均为肝硬化体征？", SIGNS, "C", "C是肝硬化体征"),
        ("下列正确的有哪些？", SIGNS, "AB", "AB，D属于本题正确项"),
        ("下列正确的有哪些？", SIGNS, "AB", "AB，C属于该病表现"),
        ("首选的是？", SIGNS, "A", "A，D为更符合的体征"),
        ("首选的检查是？", SIGNS, "C", "C排除后选B"),
        ("下列错误的是？", SIGNS, "D", "D为正确治疗"),
        ("下列错误的是？", SIGNS, "D", "D选项正确"),
        ("最佳治疗？", WAYS, "A", "手术待排"),
        ("最佳治疗？", WAYS, "A", "A为禁忌"),
        ("最佳治疗？", WAYS, "A", "手术为禁忌"),
        ("Best treatment?", {"A": "Surgery", "B": "Radiotherapy"}, "A", "A is contraindicated"),
    ],
)
def test_an_option_of_which_the_contrary_is_said_is_never_accepted(
    question: str, options: dict[str, str], reference: str, text: str
) -> None:
    assert RULE.verify(Problem("1", ask(question), reference, options=options), text).score != 1.0


@pytest.mark.parametrize(
    ("question", "options", "reference", "text"),
    [
        ("哪项不是肝硬化体征？", SIGNS, "C", "环形红斑不是肝硬化体征"),
        ("哪项不是肝硬化体征？", SIGNS, "C", "C，环形红斑是风湿热体征"),
        ("哪项为禁忌？", WAYS, "A", "A为禁忌"),
    ],
)
def test_an_option_of_which_what_is_asked_is_said_is_accepted(
    question: str, options: dict[str, str], reference: str, text: str
) -> None:
    assert RULE.verify(Problem("1", ask(question), reference, options=options), text).score == 1.0
