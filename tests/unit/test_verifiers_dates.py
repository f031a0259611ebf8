"""Dates and gestational ages: which notations are one, which are not, and what is left open."""

import sys
from datetime import date, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from medrl.data import load_problems
from medrl.types import Problem, ask
from medrl.verifiers import Dates, Typed

RIGHT, WRONG, OPEN = 1.0, 0.0, None
DUE, AGE = "01/09/2007", "14 weeks, 2 days"
HOW_LONG = "What is the gestational age?"


def scored(reference: str, text: str, question: str = "When is it due?") -> float | None:
    verdict = Dates().verify(Problem("p", ask(question), reference), text)
    assert verdict.status in ("ok", "abstain") and verdict.reason
    return verdict.score


@pytest.mark.parametrize(
    ("reference", "text", "score"),
    [
        (DUE, "01/09/2007", RIGHT),
        (DUE, "1/9/2007", RIGHT),
        (DUE, "1/9/07", RIGHT),
        (DUE, "01-09-2007", RIGHT),
        (DUE, "2007-01-09", RIGHT),
        (DUE, "2007/1/9", RIGHT),
        (DUE, "２００７/０１/０９", RIGHT),
        (DUE, "January 9, 2007", RIGHT),
        (DUE, "**January 9th, 2007**", RIGHT),
        (DUE, "JANUARY 9 2007", RIGHT),
        (DUE, "The answer is Jan. 9th 2007.", RIGHT),
        (DUE, "9 Jan 2007", RIGHT),
        (DUE, "9 Jan. 2007", RIGHT),
        (DUE, "the 9th of January, 2007", RIGHT),
        (DUE, "09-Jan-2007", RIGHT),
        (DUE, "9-Jan-07", RIGHT),
        (DUE, "2007 January 9", RIGHT),
        (DUE, "9Jan2007", RIGHT),
        (DUE, "2007年元月9日", RIGHT),
        (DUE, "Jan 9, '07", RIGHT),
        (DUE, "Tuesday, January 9, 2007", RIGHT),
        (DUE, "January 9, 2007 (Tuesday)", RIGHT),
        (DUE, "The estimated due date by Naegele's rule is January 9, 2007.", RIGHT),
        (DUE, "EDD - 01/09/2007", RIGHT),
        (DUE, "LMP 04/02/2006 + 280 days = 01/09/2007", RIGHT),
        (DUE, r"\boxed{\text{01/09/2007}}", RIGHT),
        (DUE, "01/09/2007 (January 9, 2007)", RIGHT),
        (DUE, "Probably January 9, 2007", RIGHT),
        (DUE, "2007年1月9日", RIGHT),
        (DUE, "2007 年 01 月 09 号", RIGHT),
        (DUE, "07年1月9日", RIGHT),
        (DUE, "二〇〇七年一月九日", RIGHT),
        (DUE, "预产期为2007年1月9日左右。", RIGHT),
        (DUE, "2007年1月9日（星期二）", RIGHT),
        ("2023年12月15日", "December 15, 2023", RIGHT),
        ("December 25th, 2014", "25/12/2014", RIGHT),
        ("25/12/2014", "12/25/2014", RIGHT),
        ("2014-12-25", "25.12.2014", RIGHT),
        ("05/05/2014", "5.5.2014", RIGHT),
        ("二〇二三年十二月二十五日", "2023-12-25", RIGHT),
        (DUE, "01/10/2007", WRONG),
        (DUE, "02/09/2007", WRONG),
        (DUE, "01/09/2008", WRONG),
        (DUE, "1/9/08", WRONG),
        (DUE, "January 19, 2007", WRONG),
        (DUE, "January 8", WRONG),
        (DUE, "1月8日", WRONG),
        (DUE, "2007年1月19日", WRONG),
        (DUE, "二〇〇七年十一月九日", WRONG),
        (DUE, "10.01.2007", WRONG),
        (DUE, "February 31, 2007", WRONG),
        (DUE, "29 Feb 2007", WRONG),
        (DUE, "13/32/2007", WRONG),
        (DUE, "2007-09-01", WRONG),
        (DUE, "2007-13-01", WRONG),
        (DUE, "The answer is January 10, 2007. The answer is January 9, 2007.", WRONG),
        (DUE, "The due date is 01/10/2007 because the LMP was 04/02/2006.", WRONG),
        (DUE, "09/01/2007", OPEN),
        (DUE, "09.01.2007", OPEN),
        (DUE, "01.09.2007", OPEN),
        (DUE, "07/01/09", OPEN),
        (DUE, "January 9", OPEN),
        (DUE, "1月9日", OPEN),
        (DUE, "01/09", OPEN),
        (DUE, "January 2007", OPEN),
        (DUE, "not January 9, 2007", OPEN),
        (DUE, "不是2007年1月9日", OPEN),
        (DUE, "January 9, 2007 or January 10, 2007", OPEN),
        (DUE, "January 8, 2007 and January 9, 2007", OPEN),
        (DUE, "01/08/2007 to 01/10/2007", OPEN),
        (DUE, "01/08/2007-01/10/2007", OPEN),
        (DUE, "January 9-11, 2007", OPEN),
        (DUE, "before January 9, 2007", OPEN),
        (DUE, "by January 9, 2007", OPEN),
        (DUE, "2007年1月9日之后", OPEN),
        (DUE, "农历2007年1月9日", OPEN),
        (DUE, "2 weeks after 12/26/2006", OPEN),
        (DUE, "January 9, 2007 at the latest", OPEN),
        (DUE, "The answer is January 9, 2007. January 10, 2007.", OPEN),
        (DUE, "January 9, 2007, if the cycle is regular", OPEN),
        (DUE, "LMP: January 9, 2007", OPEN),
        (DUE, "January 9, 2007 is the LMP", OPEN),
        (DUE, "末次月经2007年1月9日", OPEN),
        (DUE, "受孕日2007年1月9日", OPEN),
        (DUE, "conceived on January 9, 2007", OPEN),
        (DUE, "January 9, 2007? No.", OPEN),
        (DUE, "It isn't January 9, 2007", OPEN),
        (DUE, "It isn’t January 9, 2007", OPEN),
        (DUE, "anything but January 9, 2007", OPEN),
        (DUE, "instead of January 9, 2007", OPEN),
        (DUE, "the day following January 9, 2007", OPEN),
        (DUE, "the week of January 9, 2007", OPEN),
        (DUE, "wrong: January 9, 2007", OPEN),
        (DUE, "错误答案：2007年1月9日", OPEN),
        (DUE, "除了2007年1月9日", OPEN),
        (DUE, "民国07年1月9日", OPEN),
        (DUE, "January 9, 2007 (Julian)", OPEN),
        (DUE, "The answer is 01/09/2007. I mean 01/10/2007.", OPEN),
        (DUE, "The answer is January 10, 2007. Actually, January 9, 2007.", OPEN),
        (DUE, "January 9, 2007 (LMP)", OPEN),
        (DUE, "2007年1月9日，这是末次月经", OPEN),
        (DUE, "January 9, 2007, ruled out", OPEN),
        (DUE, "The LMP gives an EDD of January 9, 2007", RIGHT),
        (DUE, "根据末次月经推算，患者的预产期应为2007年1月9日", RIGHT),
        (DUE, "Therefore, her estimated due date would be January 9, 2007", RIGHT),
        (DUE, "40 weeks", OPEN),
        (DUE, "soon", OPEN),
        ("January 2007", "January 2007", OPEN),
        ("January 9", "January 9", OPEN),
        ("February 31, 2007", "February 31, 2007", OPEN),
        ("2/3", "2/3", OPEN),
    ],
)
def test_dates(reference: str, text: str, score: float | None) -> None:
    assert scored(reference, text) == score


@pytest.mark.parametrize(
    ("reference", "text", "score"),
    [
        (AGE, "14 weeks, 2 days", RIGHT),
        (AGE, "14 weeks and 2 days", RIGHT),
        (AGE, "(14 weeks, 2 days)", RIGHT),
        (AGE, "('14 weeks', '2 days')", RIGHT),
        (AGE, "14 weeks 2 days of gestation", RIGHT),
        (AGE, "14w2d", RIGHT),
        (AGE, "14 wks 2 d", RIGHT),
        (AGE, "14+2 weeks", RIGHT),
        (AGE, "14+2", RIGHT),
        (AGE, "$14^{+2}$ weeks", RIGHT),
        (AGE, "14 2/7 weeks", RIGHT),
        (AGE, "14+2/7 weeks", RIGHT),
        (AGE, "14 weeks 2/7", RIGHT),
        (AGE, "fourteen weeks and two days", RIGHT),
        (AGE, "100 days", RIGHT),
        (AGE, "14 weeks, 2 days (100 days)", RIGHT),
        (AGE, "The gestational age is about 14 weeks and 2 days.", RIGHT),
        (AGE, r"\boxed{14\text{ weeks, }2\text{ days}}", RIGHT),
        (AGE, "14周2天", RIGHT),
        (AGE, "14周+2天", RIGHT),
        (AGE, "孕14周+2天", RIGHT),
        (AGE, "目前孕14周+2", RIGHT),
        (AGE, "孕14+2周", RIGHT),
        (AGE, "14周零2天", RIGHT),
        (AGE, "十四周二天", RIGHT),
        (AGE, "100天", RIGHT),
        ("孕14周2天", "14w2d", RIGHT),
        ("34 weeks, 0 days", "34 weeks", RIGHT),
        ("34 weeks", "34+0 weeks", RIGHT),
        ("0 weeks, 6 days", "6 days", RIGHT),
        ("twenty-one weeks, one day", "21w1d", RIGHT),
        (AGE, "14 weeks", WRONG),
        (AGE, "14周", WRONG),
        (AGE, "14 weeks, 3 days", WRONG),
        (AGE, "15 weeks, 2 days", WRONG),
        (AGE, "2 weeks, 14 days", OPEN),
        (AGE, "24 weeks, 2 days", WRONG),
        (AGE, "99 days", WRONG),
        (AGE, "15+2", WRONG),
        (AGE, "14周3天", WRONG),
        (AGE, "The answer is 14w3d. The answer is 14w2d.", WRONG),
        ("34 weeks, 0 days", "34 weeks, 1 day", WRONG),
        (AGE, "14.3 weeks", OPEN),
        (AGE, "14 weeks, 9 days", OPEN),
        (AGE, "14-15 weeks", OPEN),
        (AGE, "14 to 15 weeks", OPEN),
        (AGE, "14 weeks 2 days or 14 weeks 3 days", OPEN),
        (AGE, "between 14 weeks 2 days and 15 weeks", OPEN),
        (AGE, "more than 14 weeks 2 days", OPEN),
        (AGE, "14 weeks 2 days ago", OPEN),
        (AGE, "not 14w2d", OPEN),
        (AGE, "至少14周2天", OPEN),
        (AGE, "14 weeks and a half", OPEN),
        (AGE, "14周半", OPEN),
        (AGE, "-14w2d", OPEN),
        (AGE, "conceptional age 14w2d", OPEN),
        (AGE, "remaining 14 weeks 2 days", OPEN),
        (AGE, "14 weeks 2 days, no", OPEN),
        (AGE, "hardly 14 weeks 2 days", OPEN),
        (AGE, "twice 14 weeks 2 days", OPEN),
        (AGE, "maximum 14 weeks 2 days", OPEN),
        (AGE, "还剩14周2天", OPEN),
        (AGE, "距预产期14周2天", OPEN),
        (AGE, "受精龄14周2天", OPEN),
        (AGE, "14 weeks 2 days (since conception)", OPEN),
        (AGE, "She is 14w2d", RIGHT),
        (AGE, "3 months", OPEN),
        (AGE, "14", OPEN),
        (AGE, "14 weeks, 2 days (14.3 weeks)", OPEN),
        (AGE, "14 weeks pregnant, and 2 days", OPEN),
        (AGE, "01/09/2007", OPEN),
        ("34 weeks", "34 weeks, 3 days", OPEN),
        ("24-28 weeks", "24-28 weeks", OPEN),
    ],
)
def test_ages(reference: str, text: str, score: float | None) -> None:
    assert scored(reference, text, HOW_LONG) == score


def test_the_question_may_fix_the_year_and_the_order() -> None:
    assert scored("2007-01-09", "9 January", "Which day of 2007 is it?") == RIGHT
    assert scored("2007-01-09", "1月9日", "2007年的哪一天？") == RIGHT
    assert scored("2007-01-09", "9 January", "Ovulation was on 16 April 2006; which day of 2007?") == OPEN
    assert scored("2007-01-09", "09/01/2007", "When? Answer as DD/MM/YYYY.") == RIGHT
    assert scored("09/01/2007", "January 9, 2007", "When? Answer as DD/MM/YYYY.") == RIGHT
    assert scored("2007-01-09", "01/09/2007", "When? Answer as DD/MM/YYYY.") == OPEN
    assert scored(AGE, "14+2", "How much is it?") == OPEN


def test_typed_sends_dates_and_ages_here_and_plain_durations_elsewhere() -> None:
    def stage(reference: str, question: str = "How long?", **more: str) -> str:
        return Typed().verify(Problem("p", ask(question), reference, metadata=more), reference).stage

    assert {stage("2007-01-09"), stage("9 Jan 2007"), stage("2007年1月9日"), stage(AGE)} == {"date"}
    assert stage("34 weeks", HOW_LONG) == stage("34 weeks", answer_type="date") == stage("14+2", HOW_LONG) == "date"
    assert stage("6 weeks") == stage("100 days") == "number"
    assert stage("2/3") == "number" and stage("May") == stage("two weeks after birth") == "text"
    assert stage("24-28 weeks", HOW_LONG) != "date"


@pytest.mark.parametrize(
    "piece", ["9", "1/", "1/9/", "9-", "1 ", "14 weeks ", "14+2 ", "Jan ", "1年", "一", "周", "\0", "'"]
)
def test_hostile_text_costs_little_work(piece: str) -> None:
    """Counted in Python function calls and lines, not in seconds: superlinear work would pass the bound by far."""
    steps = 0

    def count(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal steps
        steps += 1
        return count

    text = piece * (200_000 // len(piece))
    problems = [Problem("d", ask("When?"), DUE), Problem("a", ask(HOW_LONG), AGE), Problem("q", ask(text), DUE)]
    previous = sys.gettrace()
    sys.settrace(count)
    try:
        verdicts = [Dates().verify(asked, f"<answer>{given}</answer>") for asked in problems for given in (text, DUE)]
    finally:
        sys.settrace(previous)
    assert [verdict.score for verdict in verdicts].count(1.0) == 2
    assert steps < 10_000_000


def natural_dates(day: date) -> list[str]:
    """One day in natural ways."""
    month, short = f"{day:%B}", f"{day:%b}"
    return [
        f"{day:%m/%d/%Y}", f"{day.month}/{day.day}/{day.year}", day.isoformat(), f"{month} {day.day}, {day.year}",
        f"The due date is {day.day} {month} {day.year}.", f"The answer is {short}. {day.day} {day.year}.",
        f"{day.day}-{short}-{day.year}", f"{day.year}年{day.month}月{day.day}日",
        f"预产期是{day.year}年{day:%m}月{day:%d}号。", f"**{day:%A}, {month} {day.day}, {day.year}**",
        f"## Thinking\n\nHm.\n\n## Final Response\n\n{day:%Y/%m/%d}",
    ]  # fmt: skip


def natural_ages(days: int) -> list[str]:
    """One age in natural ways."""
    w, d = divmod(days, 7)
    return [
        f"{w} weeks, {d} days", f"({w} weeks, {d} days)", f"('{w} weeks', '{d} days')", f"{w}w{d}d", f"{w}+{d} weeks",
        f"{w} {d}/7 weeks", f"The gestational age is {w} weeks and {d} days.", f"{w}周{d}天", f"孕{w}周+{d}天",
        f"{days} days", f"The answer is {w} wk {d} d.", f"<think>Hm.</think>孕{w}+{d}周",
    ]  # fmt: skip


def test_published_dates_and_ages_are_all_decided(shared_data: Path) -> None:
    problems = [p for p in load_problems(shared_data / "medcalc.jsonl") if p.metadata["answer_type"] == "date"]
    assert len(problems) == 40
    for problem in problems:
        reference = str(problem.reference)
        if "/" in reference:
            month, day, year = map(int, reference.split("/"))
            due = date(year, month, day)
            others = [due + timedelta(days) for days in (-30, -7, -1, 1, 7, 30)]
            others += [due.replace(year=due.year + years) for years in (-1, 1)]
            others = [one for one in others if (one.month, one.day) != (due.day, due.month)]  # that is left open
            rewritten = natural_dates(due), [text for other in others for text in natural_dates(other)]
        else:
            weeks, days = (int(part.split()[0]) for part in reference.split(", "))
            age = 7 * weeks + days
            other_ages = [age + more for more in (-7, -1, 1, 7) if age + more > 0]
            rewritten = natural_ages(age), [text for other in other_ages for text in natural_ages(other)]
        assert [text for text in rewritten[0] if Typed().verify(problem, text).score != RIGHT] == []
        assert [text for text in rewritten[1] if Typed().verify(problem, text).score != WRONG] == []
