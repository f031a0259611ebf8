"""Formulas: what is equal, what is not, what is left open, and that nothing in a text is ever carried out."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from medrl.types import Problem, Verdict, ask
from medrl.verifiers import Number, Text, Typed, build
from medrl.verifiers.expression_tree import Node, TooLarge, Unreadable, call, name, number, power, product, total
from medrl.verifiers.expression_values import MOST_TERMS, probe, proven
from medrl.verifiers.expressions import read_expression
from medrl.verifiers.isolated import Isolated
from medrl.verifiers.symbolic import Symbolic, looks_symbolic

RULE = Symbolic()
RIGHT, WRONG, OPEN = 1.0, 0.0, None
GAP = "(Na + K) - (Cl + HCO3)"
HALF_LIFE = "t1/2 = 0.693 Vd/CL"
KINETIC = r"\frac{1}{2}mv^2"
BUFFER = "pKa + log(A/HA)"


def asked(reference: str, **more: object) -> Problem:
    return Problem("p", ask("Which formula?"), reference, **more)  # type: ignore[arg-type]


def ruled(reference: str, text: str, **more: object) -> Verdict:
    return RULE.verify(asked(reference, **more), text)


@pytest.mark.parametrize(
    ("reference", "text", "score"),
    [
        ("k·A/d", r"\boxed{\frac{kA}{d}}", RIGHT),
        ("k·A/d", "k × A ÷ d", RIGHT),
        ("k·A/d", "The answer is A*k*d**-1.", RIGHT),
        ("k·A/d", "k·A/d, where k is the coefficient", RIGHT),
        ("k·A/d", "k·A·d", WRONG),
        ("k·A/d", "k·A", WRONG),
        ("k·A/d", "K·A/d", OPEN),
        ("k·A/d", "P·A/d", OPEN),
        ("k·A/d", "k·A/d or k·d/A", OPEN),
        ("k·A/d", "J = k·A/d", RIGHT),
        ("k·A/d", "d = k·A/d", OPEN),
        ("k·A/d", "0.35", OPEN),
        ("k·A/d", "k·A/d < 1", OPEN),
        ("k·A/d", "diffusion", OPEN),
        (GAP, "Na + K - Cl - HCO3", RIGHT),
        (GAP, "Anion gap = [Na+] + [K+] - ([Cl-] + [HCO3-])", RIGHT),
        (GAP, r"$[\mathrm{Na}^+] + [\mathrm{K}^+] - ([\mathrm{Cl}^-] + [\mathrm{HCO}_3^-])$", RIGHT),
        (GAP, "(Na⁺ + K⁺) − (Cl⁻ + HCO₃⁻)", RIGHT),
        (GAP, "Na+ + K+ - Cl- - HCO3-", RIGHT),
        (GAP, "Na - (Cl + HCO3)", WRONG),
        (GAP, "(Na + K) - Cl + HCO3", WRONG),
        (HALF_LIFE, r"t_{1/2} = \frac{0.693 \cdot V_d}{CL}", RIGHT),
        (HALF_LIFE, "t½ = ln(2)·Vd/CL", RIGHT),
        (HALF_LIFE, "0.693 * Vd / CL", RIGHT),
        (HALF_LIFE, "0.7 Vd/CL", OPEN),
        (HALF_LIFE, "0.693 CL/Vd", WRONG),
        (HALF_LIFE, "Vd = 0.693 Vd/CL", OPEN),
        ("x = 3/4", "x = 0.75", RIGHT),
        ("x = 3/4", "3/4", RIGHT),
        ("x = 3/4", "x = 4/3", WRONG),
        ("x = 2/3", "x = 0.667", RIGHT),
        ("x = 2/3", "x = 0.67", OPEN),
        (KINETIC, "1/2 m v^2", RIGHT),
        (KINETIC, "½mv²", RIGHT),
        (KINETIC, "0.5*m*v**2", RIGHT),
        (KINETIC, "(m v^2)/2", RIGHT),
        (KINETIC, "mv²", WRONG),
        (KINETIC, "m v^3/2", WRONG),
        ("ln 2 / k", r"\frac{\ln 2}{k}", RIGHT),
        ("ln 2 / k", "ln2/k", RIGHT),
        ("ln 2 / k", "0.693/k", RIGHT),
        ("ln 2 / k", "0.695/k", OPEN),
        ("ln 2 / k", "log(2)/k", OPEN),
        ("ln 2 / k", "k ln 2", WRONG),
        (BUFFER, r"pKa + \log_{10}\frac{A}{HA}", RIGHT),
        (BUFFER, "pKa + log A − log HA", RIGHT),
        (BUFFER, "pKa + ln(A/HA)", OPEN),
        (BUFFER, "pKa + log(HA/A)", WRONG),
        ("C0 e^{-kt}", "C_0·exp(-k·t)", RIGHT),
        ("C0*exp(-k*t)", "C0/e^(k t)", RIGHT),
        ("C0*exp(-k*t)", "C0 e^{kt}", WRONG),
        ("weight/height^2", "weight/(height/100)^2", OPEN),  # the height in another unit
        ("weight/height^2", "weight/(2 height)^2", WRONG),
        ("A*exp(100 k/3)", "A*exp(33.3 k)", OPEN),
        ("(a+b)^2", "a^2 + 2ab + b^2", RIGHT),
        ("(a+b)^2", "a^2 + b^2", WRONG),
        ("k*(1/a + 1/b)", "k(a+b)/(ab)", RIGHT),
        ("sqrt(h*w/3600)", "(h·w)^{0.5}/60", RIGHT),
        (r"\sqrt[3]{V}\cdot k", "k V^(1/3)", RIGHT),
        ("sqrt(x^2)", "x", OPEN),  # not for every sign
        ("a/(b*c)", "a/b c", OPEN),  # people read it in two ways
        ("a/(b*c)", "a/bc", RIGHT),
        ("3*x*y*(x + 1)", "3 x y (x+1)", RIGHT),
        (r"\frac{\Delta P}{R}", "ΔP/R", RIGHT),
        (r"\frac{\mu \cdot L}{r^4}", "μ·L/r⁴", RIGHT),
    ],
)
def test_formulas(reference: str, text: str, score: float | None) -> None:
    verdict = ruled(reference, text, metadata={"answer_type": "expression"})
    assert (verdict.score, verdict.status) == (score, "abstain" if score is None else "ok"), verdict.reason
    assert ruled(reference, text).score in (score, None)  # of some references nobody said what they are


@pytest.mark.parametrize(
    ("reference", "right", "other"),
    [
        (
            "CO*SVR",
            ("CO*SVR", "SVR*CO", "CO × SVR", "MAP = CO*SVR"),
            ("CO/SVR", "CO-SVR", "CO^SVR", "CO+SVR", "CO*SVR/2"),
        ),
        ("k*A/d", ("k*A/d", "A*k/d"), ("k/A*d", "k*A*d", "k-A/d")),
        ("(SBP + 2*DBP)/3", ("(SBP+2*DBP)/3", "(SBP + 2DBP)/3"), ("SBP + 2*DBP/3", "(SBP - 2*DBP)/3")),
        ("bioavailability*dose/clearance", ("bioavailability*dose/clearance",), ("bioavailability/dose/clearance",)),
        ("SBP - DBP", ("SBP - DBP", "SBP-DBP"), ("SBP/DBP", "SBP + DBP", "SBP*DBP")),
        (
            "dose/clearance",
            ("dose/clearance", "dose / clearance"),
            ("dose*clearance", "dose-clearance", "dose^clearance"),
        ),
        ("BMI: weight/height", ("BMI: weight/height",), ("BMI: weight*height",)),
        ("C*10", ("C*10",), ("C/10", "C-10", "C^10")),
        ("F*96485", ("F*96485", "96485*F"), ("F/96485", "F-96485")),
        ("VCO2*863", ("VCO2*863",), ("VCO2/863",)),
        ("V1 = V2", ("V1 = V2", "V1=V2"), ("V1/V2", "V1 - V2", "V1*V2")),
        ("FiO2 = 0.4", ("FiO2=0.4",), ("FiO2/0.4", "FiO2*0.4", "FiO2 * 0.4")),
    ],
)
def test_no_other_operators_are_paid_where_nobody_says_that_it_is_a_formula(
    reference: str, right: tuple[str, ...], other: tuple[str, ...]
) -> None:
    for rule in (Typed(vocabulary="medrl"), Typed(), Text()):
        assert all(rule.verify(asked(reference), text).score != 1.0 for text in other)
    assert {Typed().verify(asked(reference), text).score for text in right} == {1.0}


@pytest.mark.parametrize(
    ("reference", "text"),
    [("HLA-B*27", "HLA-B27"), ("HLA-B*27", "HLA B27"), ("HLA-DRB1*15:01", "HLA-DRB1*15:01"), ("CYP2C19*2", "CYP2C19 *2"),
     ("TNF-alpha", "TNF alpha"), ("IV/PO", "IV/PO"), ("BCR-ABL", "BCR/ABL"), ("CD4+ T cells", "CD4+ T cells"),
     ("ventilation/perfusion mismatch", "ventilation-perfusion mismatch"), ("阿·斯综合征", "阿-斯综合征"),
     ("gastro-oesophageal reflux", "gastrooesophageal reflux"), ("appendicitis", "**appendicitis**"),
     ("HLA-B*5701", "HLA-B5701"), ("HLA-B*5701", "HLA-B*57:01"), ("HLA-B*5701", "the HLA-B*5701 allele"),
     ("HLA B*1502", "HLA-B*15:02"), ("DRB1*0401", "DRB1*04:01"), ("B*57:01", "B*5701"), ("APOE*4", "APOE4"),
     ("ALDH2*2", "ALDH2 *2"), ("pH = 7.35", "pH 7.35"), ("pH 7.35", "pH = 7.35"), ("BP = 120/80", "BP 120/80"),
     ("PaO2=60 mmHg", "PaO2 60 mmHg"), ("TSH = high", "high TSH")],
)  # fmt: skip
def test_what_joins_words_and_stars_of_alleles_are_no_operators(reference: str, text: str) -> None:
    problem = Problem("p", ask("What is it?"), reference)
    assert Typed().verify(problem, text).score == 1.0


def test_the_rule_that_is_named_reads_a_formula_of_long_words() -> None:
    reference = "bioavailability*dose/clearance"
    assert ruled(reference, "dose × bioavailability / clearance").score == RIGHT
    assert ruled(reference, "bioavailability*clearance/dose").score == WRONG
    assert ruled("CO*SVR", "CO/SVR").score == WRONG
    assert not looks_symbolic(asked("HLA-B*27")) and ruled("HLA-B*27", "HLA-B/27").score is OPEN


def test_an_alias_counts_and_a_second_answer_does_not_pass() -> None:
    assert ruled("CL = Dose/AUC", "k·Vd", aliases=("CL = k·Vd",)).score == RIGHT
    assert ruled("k·A/d", r"\boxed{k·A·d} so \boxed{k·A/d}").score is OPEN
    assert ruled("k·A/d", "\\boxed{k·A/d}\nor k·A·d").score is OPEN


@pytest.mark.parametrize(
    "reference", ["3/4", "75%", "5 mg", "BRCA1", "anti-dsDNA", "IV/PO", "HLA-B27", "asthma", "A - B"]
)
def test_a_reference_that_is_a_number_or_a_term_is_left_to_other_rules(reference: str) -> None:
    assert {ruled(reference, text).status for text in (reference, "dsDNA", "5", "B")} == {"abstain"}


@pytest.mark.parametrize(
    "text", ["9^{9^{9}} k", "(10^9)! k", "k^(10^9)", "k" + "!" * 30 + "^9", "2^2^2^2^2^2 k", "1e999 k", "9" * 60 + "k",
             "(" * 60 + "k" + ")" * 60, "k" + "^k" * 60, "√" * 60 + "k", "-k" * 200, "10^90 * 10^90 * k"],
)  # fmt: skip
def test_what_is_past_the_bounds_is_refused_before_it_is_worked_out(text: str) -> None:
    verdict = ruled("k·A/d", f"\\boxed{{{text}}}")
    assert (verdict.score, verdict.status) in ((0.0, "ok"), (None, "abstain"))
    assert verdict.decided is ("k!" not in text), verdict.reason
    assert verdict.score != 0.0 or "too large to read" in verdict.reason
    broken = ruled(text, "k", metadata={"answer_type": "expression"})
    assert broken.status == ("invalid" if verdict.decided else "abstain")


@pytest.mark.parametrize(
    "text",
    ["__import__('os').system('touch {}')", "().__class__.__base__.__subclasses__()", "open('{}', 'w')", "eval('1')",
     "lambda: k", "k; import os", "Symbol('k')", "exec(k)", "𝐞𝐯𝐚𝐥(k)", "k if k else A", "$(touch {})", "`touch {}`"],
)  # fmt: skip
def test_no_text_is_ever_carried_out(text: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for rule, reference in ((RULE, "k·A/d"), (Number(), "5"), (RULE, text.format(mark))):
        for form in ("{}", "\\boxed{{{}}}", "k·A/d = {}"):
            verdict = rule.verify(asked(reference), form.format(text.format(mark)))
            assert verdict.status in ("ok", "abstain") and verdict.score != 1.0
    assert not mark.exists()


def test_sympy_is_loaded_only_where_it_is_needed_and_counted() -> None:
    script = (
        "import sys, json\nfrom medrl.types import Problem, ask\nfrom medrl.verifiers.symbolic import Symbolic\n"
        "rule, p = Symbolic(), Problem('p', ask('?'), '(a+b)^2')\n"
        "cheap = [dict(rule.verify(p, t).cost) for t in ('(b + a)(a+b)', 'a^2 + b^2', 'what')]\n"
        "before = 'sympy' in sys.modules\n"
        "print(json.dumps([cheap, before, dict(rule.verify(p, 'a^2 + 2ab + b^2').cost), 'sympy' in sys.modules]))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == [[{}, {}, {}], False, {"sympy": 1.0}, True]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a*(b + c)", "a*b + a*c"),
        ("(a + b)*(a - b)", "a^2 - b^2"),
        ("1/(1 + 1/a)", "a/(a + 1)"),
        ("ln(a*b)", "ln a + ln b"),
        ("exp(a + b)", "exp(a)*exp(b)"),
        ("sqrt(a*b)", "sqrt(a)*sqrt(b)"),
        ("(a^3 - b^3)/(a - b)", "a^2 + a*b + b^2"),
        ("sqrt(2)/2*a", "a/sqrt(2)"),
    ],
)
def test_identities_are_proven(one: str, other: str) -> None:
    a, b = read_expression(one).node, read_expression(other).node
    assert probe(a, b) == "equal" and proven(a, b)
    assert not proven(a, total([b, number(1)])) and probe(a, total([b, name("a")])) == "different"


def test_a_proof_that_would_multiply_out_too_much_is_not_begun() -> None:
    one = read_expression("(a + b + c + d + f)^40").node
    other = read_expression("(a + b + c + d + f)^39 * (f + d + c + b) + (a+b+c+d+f)^39 a").node
    assert MOST_TERMS < 100_000 and probe(one, other) == "equal" and not proven(one, other)


def test_values_near_each_other_are_neither() -> None:
    one = read_expression("a + b").node
    assert probe(one, read_expression("1.01 a + b").node) == "near"
    assert probe(read_expression("ln(-a)").node, read_expression("ln(-a - 1)").node) == "unknown"
    assert probe(read_expression("exp(exp(exp(900 + a)))").node, one) == "unknown"


def test_trees_have_one_normal_form() -> None:
    a, b, two = name("a"), name("b"), number(2)
    assert total([a, b]) == total([b, a]) and product([a, b, two]) == product([two, b, a])
    assert total([a, a]) == product([two, a]) and product([a, a]) == power(a, two)
    assert product([a, power(a, number(-1))]) == number(1) and total([a, product([number(-1), a])]) == number(0)
    assert product([two, total([a, b])]) == total([product([two, a]), product([two, b])])
    assert power(product([a, b]), two) == product([power(a, two), power(b, two)])
    assert call("ln", a) != call("log", a) and Node("name", name="a") == a and len({a, name("a"), b}) == 2


@pytest.mark.parametrize("text", ["", "a +", "a b)", "(a", "a // b", "a = b", "ln", "x 2", r"\sin x", "a!",
                                  "1/0", "|a|", "a, b", "log_0 a", "^2", r"\frac{1}", "a..b", "5 5"])  # fmt: skip
def test_what_is_no_formula_is_unreadable(text: str) -> None:
    with pytest.raises((Unreadable, TooLarge)):
        read_expression(text)


@pytest.mark.parametrize(
    "reference",
    ["BRCA1", "HLA-B27", "anti-dsDNA", "IV/PO", "2-3", "C-peptide", "mg/kg", "mg·kg^-1·day^-1", "kg/m²", "5 mg/kg",
     "20 × 10^9/L", "HLA-B*27", "CYP2D6*4/*4", "CT + MRI", "Na+/K+-ATPase", "vitamin B12 + folate", "S. aureus", "1/2",
     "GCS = 15", "pH = 7.4", "p < 0.05", "Route = IV/PO", "I^131", "CD4+", "46,XX,t(9;22)", "HER2+", "T2N0M0", "5-HT3",
     "A-a gradient", "FEV1/FVC", "Vd/kg", "del(5q)", "COVID-19", "yes/no", "aspirin + clopidogrel", "x = 3/4", "120/80",
     "type 2 diabetes", "2 x 500 mg", "10^5 CFU/mL", "β-blocker", "α1-antitrypsin", "TNF-α", "Ca²⁺", "(-)", "", "B",
     "高血压 + 糖尿病", "肌酐/体重"],
)  # fmt: skip
def test_names_units_and_numbers_do_not_look_like_formulas(reference: str) -> None:
    assert not looks_symbolic(asked(reference))


@pytest.mark.parametrize(
    "reference",
    ["k·A/d", GAP, HALF_LIFE, KINETIC, "ln 2 / k", "AG = Na - Cl - HCO3", "CL = Dose/AUC", "(140-age)*weight/(72*Scr)",
     "C0 e^{-kt}", "Q = C·V", BUFFER],
)  # fmt: skip
def test_formulas_look_like_formulas(reference: str) -> None:
    assert looks_symbolic(asked(reference))
    assert ruled(reference, reference).score == RIGHT


def test_the_stated_type_wins() -> None:
    assert looks_symbolic(asked("mgh", metadata={"answer_type": "expression"}))
    assert not looks_symbolic(asked("k·A/d", metadata={"answer_type": "term"}))
    assert not looks_symbolic(asked("k·A/d", options={"A": "k·A/d", "B": "k·A·d"}))
    assert ruled("mgh", "m g h", metadata={"answer_type": "expression"}).score == RIGHT


def test_it_runs_isolated_and_configs_go_both_ways() -> None:
    rule = Isolated(build({"type": "medrl.verifiers.symbolic:Symbolic", "format": "o1"}))
    assert build({**rule.to_config(), "type": "medrl.verifiers.isolated:Isolated"}) == rule
    verdict = rule.verify(asked("(a+b)^2"), "## Thinking\n\nSquare.\n\n## Final Response\n\na^2 + 2ab + b^2")
    assert verdict.score == 1.0 and verdict.cost == {"sympy": 1.0} and verdict.stage == "symbolic"
