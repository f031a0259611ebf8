"""May a drug be given yet? What must be asked, or told, before: age, pregnancy, allergy, kidneys, current drugs.

The questions are those of every guide to prescribing (GMC, Good practice in prescribing, 2021, 20-29; BNF, Guidance on
prescribing). A drug whose place in the body is only the skin or the eye needs no kidneys. A drug that no table knows is
treated as one that the kidneys clear. Where minutes count, nobody asks first: `AT_ONCE`.
"""

from collections.abc import Sequence

from medrl.rewards.consultation import Consultation
from medrl.rewards.consultation_lexicon import Lexicon

# Given before any question in an emergency: Resuscitation Council UK guidelines 2021 (anaphylaxis, opioids, hypoglycaemia).
AT_ONCE = frozenset({"epinephrine", "naloxone", "glucose", "glucagon", "atropine"})
LOCAL = ("topical", "eye drops", "vaginal")
# Cleared by the kidneys enough that the dose or the choice depends on them (BNF, "Renal impairment" of each monograph).
RENAL = frozenset(
    "metformin nitrofurantoin methotrexate digoxin gentamicin vancomycin aciclovir valaciclovir oseltamivir colchicine "
    "naproxen ibuprofen diclofenac indometacin ramipril lisinopril enalapril losartan spironolactone furosemide apixaban "
    "dabigatran rivaroxaban enoxaparin fondaparinux allopurinol gabapentin pregabalin amoxicillin cefalexin ceftriaxone "
    "ciprofloxacin levofloxacin trimethoprim ethambutol pyrazinamide lenalidomide potassium_chloride "
    "bisoprolol atenolol zoledronic_acid fluconazole piperacillin_tazobactam meropenem clarithromycin".split()
)
SAID = {
    "age": "the age",
    "pregnancy": "pregnancy",
    "allergy": "allergies",
    "renal": "the kidneys",
    "drugs": "current drugs",
}


def unasked(drugs: Sequence[str], before: Consultation, words: Lexicon) -> tuple[str, ...]:
    """The safety topics that these drugs need and that were neither told nor asked before them; () where all were."""
    needed: set[str] = set()
    for key in drugs:
        if key in AT_ONCE:
            continue
        needed |= {"age", "allergy", "drugs"}
        if before.may_be_pregnant:
            needed.add("pregnancy")
        if _kidneys(key, words):
            needed.add("renal")
    known = before.told | before.asked | ({"age"} if before.age is not None else set())
    return tuple(topic for topic in SAID if topic in needed - known)


def _kidneys(key: str, words: Lexicon) -> bool:
    drug = words.drug(key)
    if drug is None:
        return True
    if drug.dose.route.en.startswith(LOCAL):
        return False
    told = any("renal impairment" in one.en or "renal disease" in one.en for one in drug.contraindications)
    return told or key in RENAL


def fault(drugs: Sequence[str], before: Consultation, words: Lexicon) -> str:
    """One line on what was not asked before a drug was given; "" where nothing was missed."""
    missed = unasked(drugs, before, words)
    if not missed:
        return ""
    return f"it gives {', '.join(drugs[:3])} before asking about {', '.join(SAID[topic] for topic in missed)}"
