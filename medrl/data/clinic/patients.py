"""Who comes to the clinic: which findings they show, how old they are, and on which side of the split they fall.

The split is by patient. A combination of findings belongs to `train` or `held_out` by a hash of its own content, not
by the order of drawing, so that it holds for any count, seed, order and language.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Literal, get_args

from medrl.data.clinic.concepts import Disease
from medrl.data.clinic.world import World

Split = Literal["train", "held_out"]
SPLITS: tuple[str, ...] = get_args(Split)
HELD_OUT_SHARE = 0.2

ADULTS, WOMEN, CHILDREN = (20, 79), (18, 42), (2, 12)

# Who can have what: youngest, oldest and, where it is one, the sex. The tables carry neither; what is not named here
# goes by department (obstetrics, pediatrics), else any adult.
_AGES: dict[str, tuple[int, int]] = {
    "acute_otitis_media": (2, 12),
    "atrial_fibrillation": (45, 85),
    "benign_prostatic_hyperplasia": (55, 85),
    "bronchiolitis": (1, 1),
    "colorectal_cancer": (45, 85),
    "copd_exacerbation": (45, 85),
    "croup": (1, 5),
    "giant_cell_arteritis": (55, 85),
    "infectious_mononucleosis": (15, 25),
    "ischemic_stroke": (45, 85),
    "kawasaki_disease": (1, 5),
    "lung_cancer": (45, 80),
    "minimal_change_disease": (2, 12),
    "multiple_myeloma": (50, 85),
    "nstemi": (40, 85),
    "parkinson_disease": (55, 85),
    "pelvic_inflammatory_disease": (18, 40),
    "stable_angina": (40, 85),
    "stemi": (35, 85),
    "testicular_torsion": (13, 25),
    "type_1_diabetes": (6, 30),
}
_MALE = frozenset({"benign_prostatic_hyperplasia", "testicular_torsion"})
_OLD, _OLD_FROM = frozenset({"advanced_age"}), 70
_FEMALE_FINDINGS = frozenset({"heavy_menstrual_bleeding", "vaginal_bleeding", "positive_pregnancy_test"})


@dataclass(frozen=True)
class Patient:
    """Age in years and sex ("female" or "male")."""

    age: int
    sex: str


def fraction(key: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


@lru_cache(maxsize=1 << 17)
def side(combination: str) -> str:
    """The split that a combination belongs to."""
    return "held_out" if fraction(f"clinic-split/{combination}") < HELD_OUT_SHARE else "train"


def draws(seed: int, split: str, index: int) -> random.Random:
    """The random numbers of one problem: they depend on nothing but seed, split and index."""
    return random.Random(hashlib.sha256(f"clinic/{seed}/{split}/{index}".encode()).digest())


def findings_key(disease: str, findings: Sequence[str]) -> str:
    return f"{disease}:{'+'.join(sorted(findings))}"


@lru_cache(maxsize=8)
def carriers(world: World) -> dict[str, frozenset[str]]:
    """Finding to the diseases that have it."""
    having: dict[str, set[str]] = {finding: set() for finding in world.findings}
    for disease in world.diseases.values():
        for finding in disease.findings:
            having[finding].add(disease.id)
    return {finding: frozenset(diseases) for finding, diseases in having.items()}


def suspects(world: World, findings: Sequence[str]) -> frozenset[str]:
    """The diseases that have all of these findings."""
    having = carriers(world)
    return frozenset.intersection(*(having[finding] for finding in findings))


@lru_cache(maxsize=4096)
def presentations(
    world: World, disease: str, shown: tuple[int, int], split: str
) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """Every set of findings that identifies the disease among all of the world's, one group per number of findings.

    Groups without any are left out, so that a draw picks a group, then a set in it.
    """
    findings = sorted(world.diseases[disease].findings)
    groups = []
    for size in range(shown[0], min(shown[1], len(findings)) + 1):
        group = tuple(
            chosen
            for chosen in combinations(findings, size)
            if side(findings_key(disease, chosen)) == split and len(suspects(world, chosen)) == 1
        )
        if group:
            groups.append(group)
    return tuple(groups)


def _who(disease: Disease) -> tuple[tuple[int, int], tuple[str, ...]]:
    """The ages and sexes that a disease occurs in."""
    women = disease.department == "obstetrics_gynecology"
    by_department = CHILDREN if disease.department == "pediatrics" else WOMEN if women else ADULTS
    sexes = ("female",) if women else ("male",) if disease.id in _MALE else ("female", "male")
    return _AGES.get(disease.id, by_department), sexes


def patient(disease: Disease, rng: random.Random, findings: Sequence[str] = ()) -> Patient:
    """An age and a sex that the disease and the findings shown allow."""
    (youngest, oldest), sexes = _who(disease)
    if not _FEMALE_FINDINGS.isdisjoint(findings):
        youngest, oldest, sexes = max(youngest, WOMEN[0]), min(oldest, WOMEN[1]), ("female",)
    if not _OLD.isdisjoint(findings):
        youngest, oldest = _OLD_FROM, max(oldest, _OLD_FROM + 15)
    return Patient(rng.randint(youngest, oldest), rng.choice(sexes))


def possible(disease: Disease, age: int, sex: str) -> bool:
    """Whether someone of this age (give or take ten years) and sex may have it at all."""
    (youngest, oldest), sexes = _who(disease)
    return sex in sexes and youngest - 10 <= age <= oldest + 10
