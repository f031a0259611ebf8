"""AgentClinic's and DxBench's patients as cases: what is told, what is asked for, what only a test shows; broken rows."""

import itertools
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from medrl.data.patient_cases import case_of
from medrl.data.patient_prose import denied, prose, tells
from medrl.data.patient_schemas import agentclinic, dxbench
from medrl.data.problems import load_problems
from medrl.environments import PatientSimulator
from medrl.errors import DataError

DX = [
    {"id": "a", "department": "x", "explicit_symptoms": [["头痛", "True"], ["发热", "False"]],
     "implicit_symptoms": [["恶心", "True"], ["左手麻木", "True"]], "candidate_diseases": ["偏头痛", "脑梗死"],
     "disease": "脑梗死"},
    {"id": "b", "explicit_symptoms": [["头痛", "True"]], "implicit_symptoms": [["恶心", "True"], ["畏光", "True"]],
     "candidate_diseases": [], "disease": "偏头痛"},
    {"id": "c", "explicit_symptoms": [["腹痛", "True"]], "implicit_symptoms": [["恶心", "False"]], "disease": "胃炎"},
]  # fmt: skip
OSCE: dict[str, Any] = {
    "OSCE_Examination": {
        "Patient_Actor": {
            "Demographics": "8-month-old boy",
            "History": "The cough began three days ago. It is worst at night.",
            "Symptoms": {"Primary_Symptom": "barking cough", "Secondary_Symptoms": ["hoarse voice"]},
            "Past_Medical_History": "Born at term. No known allergies.",
            "Social_History": "Goes to day care.",
            "Review_of_Systems": "Denies rash, vomiting, or diarrhea. Drinks less than usual.",
        },
        "Physical_Examination_Findings": {
            "Vital_Signs": {"Temperature": "38.1 C"},
            "Chest_Examination": {"Auscultation": "Stridor at rest."},
        },
        "Test_Results": {"Imaging": {"Neck_X-Ray": {"Findings": "Narrow below the vocal cords."}}},
        "Correct_Diagnosis": "Croup",
    }
}


def written(path: Path, rows: object) -> Path:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def test_dxbench_rows_are_patients_with_weights_counted_over_the_file(tmp_path: Path) -> None:
    first, second, third = load_problems(written(tmp_path / "dx.json", DX))
    assert first.id == "a" and first.reference == "脑梗死" and first.language == "zh" and first.kind == "dialogue"
    assert first.messages[-1]["content"] == "医生您好，我头痛，没有发热。" and first.metadata["candidates"] == [
        "偏头痛",
        "脑梗死",
    ]
    weights = {fact.said: fact.weight for fact in case_of(first).facts}
    # the one rival with a headache has nausea too, and no numb hand
    assert weights == {"头痛": 0.0, "发热": 0.0, "恶心": 0.0, "左手麻木": 1.0}
    assert {f.said: f.weight for f in case_of(second).facts} == {"头痛": 0.0, "恶心": 0.0, "畏光": 1.0}
    assert {f.said: f.weight for f in case_of(third).facts} == {
        "腹痛": 0.0,
        "恶心": 1.0,
    }  # denied, and both others have it
    episode = PatientSimulator().reset(first, 0)
    assert "左手麻木" in str(episode.respond("左手麻木有没有？")) and episode.measured()["gain"] == 1.0
    assert episode.respond("诊断：脑梗死") is None


def test_an_osce_case_is_played(tmp_path: Path) -> None:
    (problem,) = load_problems(written(tmp_path / "osce.json", [OSCE]), schema="agentclinic_patient")
    case, episode = case_of(problem), PatientSimulator().reset(problem, 0)
    assert case.sex == "male" and case.age == pytest.approx(8 / 12) and problem.reference == "Croup"
    assert "Croup" not in json.dumps(problem.metadata) and "arking cough" in problem.messages[-1]["content"]

    def answer(turn: str) -> str:
        return str(episode.respond(turn))

    assert "three days ago" in answer("How long has it been?")
    assert "day care" in answer("Any contact with sick people, does anyone smoke?")
    assert "allergies" in answer("Any allergies?")
    assert answer("Is there a rash?") == "Denies rash, vomiting, or diarrhea."
    assert "Yes, hoarse voice" in answer("Is the voice hoarse?").replace("I have that: ", "")
    assert "night" in answer("Is it worst at night?")
    assert "vocal cords" not in answer("What did the neck x-ray show?")
    assert "Stridor" in answer("I want to do a chest examination.") and "vocal cords" in answer(
        "Please get a neck x-ray done."
    )
    assert episode.measured()["needless_tests"] == 0


# What a script says, what is asked about it, and whether it is so: True, False, or None where the patient must say neither.
SCRIPTS: list[tuple[Any, dict[str, bool | None]]] = [
    ({"General": "Denies chills or drowsiness.", "Eyes": "Reports itching and redness of the left eye. Denies floaters."},
     {"chills": False, "floaters": False, "itching of the left eye": True, "redness of the left eye": True}),
    ("Denies a fall, reports a history of hip pain in spring. No other complaints.", {"hip pain": True, "a fall": False}),
    ("Complains of mild difficulty in swallowing but denies heartburn, hiccups, or bloating.",
     {"difficulty in swallowing": True, "heartburn": False, "hiccups": False, "bloating": False}),
    ("She denies any leaking of stool.", {"leaking of stool": False}),
    ("Sleeps badly; denies snoring.", {"snoring": False, "badly": True}),
    ("Denies pain in the left elbow. Reports pain in the right elbow.",
     {"pain in the right elbow": True, "pain in the left elbow": False}),
    ("Denies itching, bruising other than on the shins, and swelling.", {"bruising on the shins": None}),
    ("Denies tremor, has had a stiff jaw since May.", {"a stiff jaw": None}),
    ("Denies faints, lost 5 kg, feels weak in the arms.", {"weakness: feels weak in the arms": None, "lost 5 kg": None}),
    ("Has no appetite and no energy.", {"loss of appetite": None, "appetite": None}),
    ("Alert. No ear discharge, ringing, or vertigo reported.", {"ear discharge": False, "ringing": False, "vertigo": False}),
    ("The patient does not report any wheezing, or changes in taste or smell.",
     {"wheezing": False, "changes in taste": False}),
    ({"Wheeze": "Negative", "Limp": "Present"}, {"a wheeze": None, "a limp": None}),
    (["Denies cramps.", "Reports night sweats"], {"cramps": False, "night sweats": True}),
]  # fmt: skip


def answered(review: Any, name: str, **more: Any) -> str:
    osce = OSCE["OSCE_Examination"]
    actor = {**osce["Patient_Actor"], "Review_of_Systems": review, **more}
    row = {"OSCE_Examination": {**osce, "Patient_Actor": actor}}
    return str(PatientSimulator(questions=9).reset(agentclinic(row, 1, None), 0).respond(f"Do you have {name}?"))


def polarities(answer: str) -> set[bool]:
    """Every yes and no at the beginning of a sentence of an answer."""
    return {one.casefold() == "yes" for one in re.findall(r"(?:^|[.:] )(yes|no)\b", answer, re.IGNORECASE)}


@pytest.mark.parametrize("section", ["Review_of_Systems", "History"])
@pytest.mark.parametrize(("script", "truth"), SCRIPTS)
def test_a_script_is_never_contradicted(section: str, script: Any, truth: dict[str, bool | None]) -> None:
    for name, so in truth.items():
        answer = answered("", name, **{section: script})
        assert polarities(answer) <= {so}, (name, answer)
        if so is not None:
            assert "couldn't say" not in answer and "don't know" not in answer, (name, answer)


# Denials of a fever, what may come between, and what is so or may be so and must not be denied.
DENIALS = ("No fever", "Denies fever", "Denies any fever or chills", "He has no fever", "Reports no fever", "Without fever",
           "Does not report fever", "Has not had a fever", "Negative for fever", "There is no fever")  # fmt: skip
JOINTS = (", ", "; ", ";", " - ", "... ", "\n", " (", " and ", " with ", ": ", ", now ", ", but ", " though ", ". ")
TAILS = (
    "vomited twice", "smokes one pack a day", "dyspnea on exertion", "hit the head on the wheel", "poor appetite",
    "pain worse at night", "takes ibuprofen daily", "worse at night", "a cough for three days", "limps on the left",
    "dyspnea on hills or stairs", "knee pain on walking, climbing, or running", "trouble swallowing, speaking, or chewing",
)  # fmt: skip
DENIALS_ZH = ("无发热", "否认发热", "没有发热", "患者否认发热、寒战", "未诉发热", "目前无明显发热")
JOINTS_ZH = ("，", "；", "\n", "：", "、", "及", "，但", "。", "，有")
TAILS_ZH = (
    "咳嗽三天",
    "每天抽烟一包",
    "近来活动后气促",
    "食欲差",
    "夜间加重",
    "呕吐两次",
    "头痛明显",
    "常腹痛",
    "诉腹泻",
    "伴心悸",
)


def contrary(script: str, answer: str) -> bool:
    """Whether an answer is neither the script's own words, nor a no to the fever alone, nor that nobody knows."""
    own = " ".join(answer.casefold().strip(" .。").split())
    denied = re.fullmatch(
        r"(?:no, )?no (?:fever or chills|fever|chills)(?: that i've noticed)?|没(?:有|注意到有)(?:发热|寒战)", own
    )
    unknown = own in ("i couldn't say", "i don't know about that", "这个我不清楚", "说不好")
    own, whole = (re.sub(r"[\s;；.]", "", text.casefold()) for text in (own, script))
    return not (denied or unknown or own in whole)


@pytest.mark.parametrize("denial", DENIALS)
def test_what_comes_after_a_denial_is_never_denied(denial: str) -> None:
    for joint, tail in itertools.product(JOINTS, TAILS):
        script = f"{denial}{joint}{tail}{')' * joint.count('(')}."
        for name in (tail, tail.rpartition(" on ")[0] or tail.split()[0], "a fever"):
            answer = answered("", name, History=script)
            assert not contrary(script, answer), (script, name, answer)
        assert set(itertools.chain.from_iterable(map(denied, prose(script)))) <= {"fever"}, script


@pytest.mark.parametrize("cue", ["Denies", "Denies:", "Negative for", "No", "Does not have", "Never had", "Without"])
def test_what_a_denial_reaches_is_never_told_as_if_it_were_so(cue: str) -> None:
    for joint, end in itertools.product(
        (", ", "; ", ",\n", ";\n", "\n- ", "\n"), (", or ", " or ", ", and ", ", ", ",\nor ")
    ):
        script = f"{cue} fever{joint}hiccups{end}chills."
        for name in ("a fever", "hiccups", "chills"):
            answer = answered("", name, History=script)
            assert re.search(r"\b(?:no|denies|negative|not|never|without)\b", answer, re.IGNORECASE), (
                script,
                name,
                answer,
            )


@pytest.mark.parametrize("denial", DENIALS_ZH)
def test_what_comes_after_a_denial_in_chinese_is_never_denied(denial: str) -> None:
    osce = OSCE["OSCE_Examination"]
    for joint, tail in itertools.product(JOINTS_ZH, TAILS_ZH):
        script = f"{denial}{joint}{tail}。"
        actor = {**osce["Patient_Actor"], "History": script, "Review_of_Systems": ""}
        row = {"OSCE_Examination": {**osce, "Patient_Actor": actor}}
        for name in (tail, tail[:2], "发热"):
            answer = str(PatientSimulator().reset(agentclinic(row, 1, "zh"), 0).respond(f"有没有{name}？"))
            assert not contrary(script, answer), (script, name, answer)


@pytest.mark.parametrize(
    ("sentence", "names"),
    [
        ("Denies fever, vomiting, or a headache", ["fever", "vomiting", "headache"]),
        ("The patient has no fever, vomiting or headache", ["fever", "vomiting", "headache"]),
        ("No fever, nor headache", ["fever", "headache"]),
        ("There is no chest pain on exertion", ["chest pain on exertion"]),
        ("否认发热、呕吐及头痛", ["发热", "呕吐", "头痛"]),
        ("无活动后胸痛", ["活动后胸痛"]),
    ],
)
def test_one_denial_of_findings_is_taken_apart(sentence: str, names: list[str]) -> None:
    assert denied(sentence) == names and not tells(sentence)
    for name in names:
        assert answered("", name, History=f"{sentence}.") in (f"No, no {name}.", f"No {name} that I've noticed.")


@pytest.mark.parametrize(
    "script",
    [
        "Headache with and without aura", "She has not yet had fever", "She has not, although in pain, vomited",
        "Denies, but has had in the past, seizures", "Denies fever, cough, though wheezes, or chills",
        "No pain but on walking", "No pain in the arm, leg, or back", "No more than two drinks a day",
        "No fever and vomiting", "His mother has asthma, no fever", "The wife reports a cough and denies fever",
        "Neither fever nor vomiting", "Denies fever, smokes daily, or drinks", "No fever, cough or pain on stairs",
        "No one vomited", "No fever, headache", "He denied pain, vomiting, or fever before today",
        "Denies pain, numbness, or tingling in the arms", "No dysuria. Or fever", "Family history of gout, no fever",
        "No history of pain, fever, or falls", "No fever or, if so, mild", "Denies pain, limps, or falls",
        "She has no fever", "No fever.. No vomiting", "Fever? No", "No vomiting or coughing blood",
        "No exertional chest pain or palpitations", "No eye pain or itching",
        "No palpitations or chest pain on exertion", "No history of smoking or fever", "No fever; vomiting",
        "No fever: vomiting", "Denies infections, e.g. HIV, or vomiting", "Had no fever", "No appetite",
        "Denies: fever", "No fever, no vomiting", "无痛性血尿", "无力、头晕", "无明显诱因出现发热", "没有食欲",
        "否认发热、呕吐，抽烟十年", "否认头痛却头晕", "他母亲有高血压，无发热", "他无发热", "无活动后胸痛、头晕",
        "无明显发热", "无发热、头痛，无恶心", "无发热，咳嗽",
    ],
)  # fmt: skip
def test_any_other_sentence_is_told_as_it_stands(script: str) -> None:
    assert prose(f"{script}.") == [script] and not denied(script)


def test_a_sentence_that_says_both_tells_what_it_begins_with() -> None:
    for sentence, so in (("Cough, no fever", True), ("No fever, cough", False), ("Mother: no fever", False)):
        assert tells(sentence) is so and answered("", "fever", History=sentence) == f"{sentence}."
    assert tells("咳嗽三天，无发热") and answered("", "发热", History="咳嗽三天，无发热") == "咳嗽三天，无发热."


def test_what_governs_several_sentences_stays_with_them() -> None:
    for section in ({"Denies": "Fever at night. Vomiting."}, {"Pertinent_Negatives": ["fever at night", "vomiting"]},
                    ["Denies:", "fever at night.", "vomiting"], ["Denies", "fever at night.", "Vomiting."],
                    "Denies:\n- Fever at night.\n- Vomiting.", "Denies: Fever at night. Vomiting."):  # fmt: skip
        assert all(re.match("Denies|Pertinent Negatives", one) and not tells(one) for one in prose(section))
        assert "Denies" in answered(section, "vomiting") or "Negatives" in answered(section, "vomiting")
    for section in (
        {"Mother": "No stroke. Denies fever."},
        {"Family_History": ["No stroke", "No fever"]},
        ["Mother", "No fever"],
    ):
        assert not any(map(denied, prose(section)))
    assert prose([None, "cough"]) == ["cough"] and prose(None) == prose({"Habits": None}) == []
    assert prose({"Smoker": False, "Pack_years": 0}) == ["Smoker: False", "Pack years: 0"]
    assert prose({"ENT": {"Left_ear": "Aches. No fever."}}) == ["ENT: Left ear: Aches", "ENT: Left ear: No fever"]
    assert answered("", "a fever", History="His wife has a cough. She has no fever.") == "She has no fever."
    assert prose(["Denies cramps.", "Sweats at night"]) == ["Denies cramps", "Sweats at night"]
    assert prose("Has a cough.\nDenies fever.") == ["Has a cough", "Denies fever"] and prose(None) == prose([]) == []


def test_a_no_is_not_said_of_what_another_sentence_tells_of() -> None:
    for more in ("No cough at rest, fever at night", "Hot in bed: pyrexia", "No history of fever or falls"):
        assert answered("Denies fever.", "a fever", History=more) in ("Denies fever.", f"{more}.")
    assert answered("Denies fever.", "a fever", History="Denies fever or vomiting.") in (
        "No, no fever.",
        "No fever that I've noticed.",
    )


def test_another_form_of_a_word_finds_its_sentence() -> None:
    actor = {**OSCE["OSCE_Examination"]["Patient_Actor"], "History": "He vomited twice.", "Review_of_Systems": ""}
    problem = agentclinic({"OSCE_Examination": {**OSCE["OSCE_Examination"], "Patient_Actor": actor}}, 1, None)
    for question in ("Did you vomit?", "Any vomiting?", "Have you vomited?"):
        assert PatientSimulator().reset(problem, 0).respond(question) == "He vomited twice."


def test_a_symptom_that_denies_is_told_as_it_stands() -> None:
    symptoms = {"Primary_Symptom": "No stool for 3 days", "Secondary_Symptoms": ["Neither fever nor chills", "无力"]}
    assert answered("", "a fever", Symptoms=symptoms) == "Neither fever nor chills."
    assert answered("", "无力", Symptoms=symptoms) == "无力."
    assert "yes" not in answered("", "stool for 3 days", Symptoms=symptoms).casefold()


def test_a_script_is_read_in_time_that_grows_with_its_length() -> None:
    for unit in ("no fever, ", "denies ", " ", "or ", "; ", "and no ", "无发热、", "has not, ", "\n", "a,"):
        began = time.process_time()
        for one in prose("Denies " + unit * 20_000 + "x"):
            denied(one)
        assert time.process_time() - began < 2.0, unit


def test_symptoms_that_deny_are_not_there_and_what_a_script_leaves_out_nobody_knows() -> None:
    symptoms = {
        "Primary_Symptom": "stiff knee",
        "Secondary_Symptoms": ["No warmth", "Recent wheeze", "Unable to kneel"],
    }
    assert answered("", "warmth", Symptoms=symptoms).startswith(("No, no warmth", "No warmth"))
    assert "Recent wheeze" in answered("", "a wheeze", Symptoms=symptoms)
    assert answered("", "chest pain", Symptoms=symptoms) in ("I couldn't say.", "I don't know about that.")
    assert "stridor at rest" not in answered("", "stridor at rest").casefold()  # only an examination shows it
    # a bare no is not told of what is there in part
    told = answered("Denies pain.", "pain", Symptoms={"Primary_Symptom": "pain in the knee"})
    assert "pain in the knee" in told and False not in polarities(told)


def test_dxbench_is_never_contradicted() -> None:
    row = {"disease": "gout", "explicit_symptoms": [["toe pain", "True"], ["fever", "False"]],
           "implicit_symptoms": [["swelling", "True"], ["rash", "False"]]}  # fmt: skip
    for source in (row, *DX):
        problem = dxbench(source, 1, None)
        for fact in case_of(problem).facts:
            episode = PatientSimulator().reset(problem, 0)
            if problem.language == "zh":
                answer = str(episode.respond(f"有没有{fact.said}？"))
                assert ("没" in answer) is not fact.present and fact.said in answer
            else:
                assert polarities(str(episode.respond(f"Do you have {fact.said}?"))) == {fact.present}
    episode = PatientSimulator().reset(dxbench(row, 1, None), 0)
    assert episode.respond("Do you have a cough?") in ("I couldn't say.", "I don't know about that.")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**DX[0], "explicit_symptoms": []}, "`explicit_symptoms` is empty"),
        ({**DX[0], "implicit_symptoms": "cough"}, "`implicit_symptoms` is 'cough'"),
        ({**DX[0], "implicit_symptoms": [["cough", "maybe"]]}, r"each entry is \[symptom"),
        ({**DX[0], "disease": ""}, "column 'disease' is empty"),
        ({"OSCE_Examination": {"Correct_Diagnosis": "x"}}, "`Patient_Actor` is missing"),
        ({"OSCE_Examination": 3}, "`OSCE_Examination` is no object"),
    ],
)
def test_broken_rows_are_told(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        load_problems(
            written(tmp_path / "rows.json", [row]),
            schema="agentclinic_patient" if "OSCE_Examination" in row else "auto",
        )


def test_the_published_scripts_are_never_contradicted(shared_data: Path) -> None:
    """A second, cruder reading: what stands after a denial in its sentence, up to the next comma, is denied."""
    cue = re.compile(
        r"(,(?: or| and)?|[.;]| but |"
        r"\b(?:denies|denied|no|without|(?:does|has) not (?:report|noticed)|reports?|complains of)\b)",
        re.IGNORECASE,
    )
    asked = 0
    for problem, line in zip(
        load_problems(shared_data / "agentclinic.jsonl", schema="agentclinic_patient"),
        (shared_data / "agentclinic.jsonl").read_text(encoding="utf-8").splitlines(),
        strict=True,
    ):
        actor = json.loads(line)["OSCE_Examination"]["Patient_Actor"]
        review = actor["Review_of_Systems"]
        for text in review.values() if isinstance(review, dict) else [review]:
            so = True
            for piece in map(str.strip, cue.split(text)):
                if re.fullmatch(r"[.;]|but|reports?|complains of", piece, re.IGNORECASE):
                    so = True
                elif cue.fullmatch(piece) and piece[0] != ",":
                    so = False
                elif 2 < len(piece) < 40:
                    asked += 1
                    episode = PatientSimulator(questions=9).reset(problem, 0)
                    answer = str(episode.respond(f"Do you have {piece[0].lower() + piece[1:]}?"))
                    assert polarities(answer) <= {so}, (problem.id, piece, answer)
    assert asked > 150


def test_the_published_cases_can_all_be_played(shared_data: Path) -> None:
    found = load_problems(shared_data / "agentclinic.jsonl", schema="agentclinic_patient")
    environment = PatientSimulator()
    for problem in found:
        episode = environment.reset(problem, 0)
        assert str(problem.reference).casefold() not in str(problem.messages[-1]["content"]).casefold()
        for turn in ("How long has this been going on?", "Any past medical history?", "Do you smoke?"):
            assert episode.respond(turn)
        for test in case_of(problem).tests:
            episode.respond(f"I would like the {test}.")
        measured = episode.measured()
        assert 0 < measured["gain"] <= 1 and measured["answered"] >= 1, problem.id
        assert episode.respond(f"Diagnosis: {problem.reference}") is None
    assert len(found) > 50
