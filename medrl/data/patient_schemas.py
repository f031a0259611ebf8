"""Published schemas of patients to consult, as cases for the simulator: AgentClinic's OSCE cases, DxBench's symptom lists.

AgentClinic (arXiv 2405.07960): a script in prose, examinations and tests by name. DxBench (arXiv 2407.13301, also Dxy
and Muzhi in its layout): symptoms told (explicit) and to be asked for (implicit), each "True" or "False". A fact's
weight is counted over the file: the share of the other diagnoses with a first complaint in common (of all, where none
has) that lack it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from medrl.data.clinic.mentions import plain
from medrl.data.patient_cases import Fact, PatientCase, case_of, consultation
from medrl.data.patient_prose import denied, finding_of, is_plain, prose, speaks_of, tells
from medrl.data.rows import Row, RowFault, language_of, required
from medrl.types import Problem

PATIENTS = ("agentclinic_patient", "dxbench")
_TIME = re.compile(
    r"\b(?:\d+|one|two|three|several|few|a|an)[- ](?:hour|day|week|month|year)|yesterday|this morning|since|ago",
    re.IGNORECASE,
)
_AGE = re.compile(r"(\d{1,3})[- ](year|month|week|day)s?[- ]old", re.IGNORECASE)
_UNITS = {"year": 1.0, "month": 1 / 12, "week": 7 / 365, "day": 1 / 365}


def dxbench(row: Row, number: int, language: str | None) -> Problem:
    """One row of DxBench."""
    diagnosis = required(row, "disease")
    language = language or language_of(diagnosis)
    told, asked = (_symptoms(row.get(column), column) for column in ("explicit_symptoms", "implicit_symptoms"))
    if not told:
        raise RowFault("`explicit_symptoms` is empty, so the patient has nothing to begin with")
    facts: dict[str, Fact] = {}
    for name, present in [*told, *asked]:
        facts.setdefault(_key(name), Fact(_key(name), name, (name,), present))
    opening = tuple(dict.fromkeys(_key(name) for name, _ in told))
    case = PatientCase(None, "", opening, tuple(facts.values()), complete=False)
    candidates = [str(one) for one in row.get("candidate_diseases") or ()]
    said = _first_words([facts[key] for key in opening], language)
    return consultation(
        str(row.get("id") or f"row-{number}"), said, case, diagnosis, language, row=number,
        department=row.get("department"), candidates=candidates,
    )  # fmt: skip


def _symptoms(value: Any, column: str) -> list[tuple[str, bool]]:
    if not isinstance(value, list):
        raise RowFault(f'`{column}` is {value!r:.60}; it is a list of [symptom, "True" or "False"]')
    found = []
    for one in value:
        if not (
            isinstance(one, list | tuple) and len(one) == 2 and str(one[1]) in ("True", "False") and str(one[0]).strip()
        ):
            raise RowFault(f'`{column}` holds {one!r:.60}; each entry is [symptom, "True" or "False"]')
        found.append((str(one[0]).strip(), str(one[1]) == "True"))
    return found


def _first_words(opening: Sequence[Fact], language: str) -> str:
    has, lacks = ([fact.said for fact in opening if fact.present is so] for so in (True, False))
    if language == "zh":
        return (
            "医生您好，我" + "，".join(["、".join(has)] * bool(has) + [f"没有{'、'.join(lacks)}"] * bool(lacks)) + "。"
        )
    parts = [f"I have {', '.join(has)}"] * bool(has) + [f"I have no {', '.join(lacks)}"] * bool(lacks)
    return "Hello doctor. " + ". ".join(parts) + "."


def agentclinic(row: Row, number: int, language: str | None) -> Problem:
    """One OSCE case of AgentClinic."""
    osce = _section(row, "OSCE_Examination")
    actor, symptoms = _section(osce, "Patient_Actor"), _section(_section(osce, "Patient_Actor"), "Symptoms")
    diagnosis, primary = required(osce, "Correct_Diagnosis"), required(symptoms, "Primary_Symptom")
    history = prose(actor.get("History"))
    facts = _told(primary, [str(name) for name in symptoms.get("Secondary_Symptoms") or ()], actor)
    tests: dict[str, tuple[str, ...]] = {}
    for part in ("Physical_Examination_Findings", "Test_Results"):
        for name, report in _reports(osce.get(part) or {}):
            key = f"report:{name}"
            facts[key] = Fact(key, report.rstrip("."), source="test")
            tests[name] = (key,)
    age, sex = _who(str(actor.get("Demographics") or ""))
    case = PatientCase(age, sex, ("complaint",), tuple(facts.values()), _topics(actor, history), tests, False)
    said = f"Hello doctor. {primary[:1].upper()}{primary[1:].rstrip('.')}: that is why I came."
    return consultation(f"agentclinic-{number}", said, case, diagnosis, language or "en", row=number)


def _section(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = row.get(name)
    if not isinstance(found, Mapping):
        raise RowFault(f"`{name}` is {'missing' if found is None else 'no object'}")
    return found


def _told(primary: str, symptoms: Sequence[str], actor: Mapping[str, Any]) -> dict[str, Fact]:
    """What the patient can tell, by key: what is there goes before what is denied, should a script say both."""
    facts = {"complaint": Fact("complaint", primary, (primary,), prose=not is_plain(primary))}
    plainly = [name for name in symptoms if is_plain(name)]
    for name in plainly:
        facts.setdefault(_key(name), Fact(_key(name), name, (name,)))
    script = [one for part in (actor.get("History"), actor.get("Review_of_Systems")) for one in prose(part)]
    said = dict.fromkeys([*(name for name in symptoms if name not in plainly), *script])
    names = {one: denied(one) for one in script}
    whole = [primary, *plainly, *(one for one in said if not names.get(one))]
    for one in said:
        # "No headache" beside "a headache at night" is a no to something that nobody can tell from the name
        if names.get(one) and not any(speaks_of(text, name) for name in names[one] for text in whole):
            for name in names[one]:
                facts.setdefault(_key(name), Fact(_key(name), name, (name,), False))
        else:
            key = f"told:{plain(one)}"
            facts.setdefault(key, Fact(key, one, present=tells(one), prose=True))
    return facts


def _reports(section: Any, name: str = "") -> list[tuple[str, str]]:
    """Every test or examination of a nested section, with its report in one line."""
    if not isinstance(section, Mapping):
        return [(name, _line(section))] if name else []
    if name and not any(isinstance(value, Mapping) for value in section.values()):
        return [(name, "; ".join(f"{_words(key)}: {_line(value)}" for key, value in section.items()))]
    return [one for key, value in section.items() for one in _reports(value, _words(key))]


def _text(section: Any) -> str:
    return section if isinstance(section, str) else ". ".join(prose(section))


def _words(key: Any) -> str:
    return str(key).replace("_", " ")


def _line(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _who(text: str) -> tuple[float | None, str]:
    age = _AGE.search(text)
    sex = (
        "female"
        if re.search(r"\b(?:female|woman|girl)\b", text, re.I)
        else "male"
        if re.search(r"\b(?:male|man|boy)\b", text, re.I)
        else ""
    )
    return (float(age[1]) * _UNITS[age[2].lower()] if age else None), sex


def _topics(actor: Mapping[str, Any], history: Sequence[str]) -> dict[str, str]:
    """What the script says on the topics of a history."""
    past, social = _text(actor.get("Past_Medical_History")), _text(actor.get("Social_History"))
    drugs = actor.get("Current_Medications") or actor.get("Medications")
    said = [*history, *prose(actor.get("Review_of_Systems"))]
    taken = next((one for one in said if "medication" in one.casefold()), "")
    onset = next((one for one in history if _TIME.search(one)), "")
    allergy = next((one for one in prose(past) if "allerg" in one.casefold()), "")
    who = str(actor.get("Demographics") or "")
    topics = {
        "past": past, "habits": social, "life": social, "family": _text(actor.get("Family_History")), "onset": onset,
        "allergy": allergy, "drugs": _line(drugs) if drugs else taken, "age": who, "sex": who,
    }  # fmt: skip
    return {topic: told for topic, told in topics.items() if told}


def _key(name: str) -> str:
    """`finding:ID` where the clinic's tables know the whole name, else the name itself."""
    found = finding_of(name)
    return f"finding:{found}" if found else f"said:{plain(name).strip()}"


def weighed(problems: Sequence[Problem]) -> list[Problem]:
    """The same patients with facts weighed against each other; see the module."""
    cases = [case_of(problem) for problem in problems]
    has = [frozenset(fact.key for fact in case.facts if fact.present) for case in cases]
    by_opening: dict[str, list[int]] = {}
    for number, case in enumerate(cases):
        for key in case.opening:
            by_opening.setdefault(key, []).append(number)
    found = []
    for problem, case in zip(problems, cases, strict=True):
        near = {number for key in case.opening for number in by_opening[key]}
        others = [n for n in sorted(near) if problems[n].reference != problem.reference]
        others = others or [n for n, other in enumerate(problems) if other.reference != problem.reference]

        def against(fact: Fact, rivals: Sequence[int] = others) -> float:
            if not rivals:
                return 1.0
            return round(sum((fact.key in has[n]) != fact.present for n in rivals) / len(rivals), 4)

        facts = tuple(f if f.key in case.opening else replace(f, weight=against(f)) for f in case.facts)
        if not any(fact.weight for fact in facts):  # nothing parts it from its rivals: then all facts count alike
            facts = tuple(f if f.key in case.opening else replace(f, weight=1.0) for f in case.facts)
        patient = replace(case, facts=facts).to_json()
        found.append(replace(problem, metadata={**problem.metadata, "patient": patient}))
    return found
