"""The annotation page in a real browser, by keyboard alone, served by the command that users run."""

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medrl.data.feedback import Comparison, load_feedback

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed; on Debian: apt-get install chromium"),
]
# A browser that is shut off from any network but this machine's own, and from being root.
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking".split()
FLAGS += ["--disable-component-update", "--disable-sync"]
INJECTED = "<img src=x onerror=\"document.title='taken'\"> As an AI I cannot say."


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], Path]]:
    """Links by rater, and the folder of the task."""
    folder = tmp_path_factory.mktemp("annotation")
    asked = [f"咳嗽第{i}天" if i % 2 else f"Cough, day {i}" for i in range(4)]
    rows = [
        {"id": f"q{i}", "question": text, "reference": "rest", "responses": ["Rest.", INJECTED]}
        for i, text in enumerate(asked)
    ]
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-u", "-m", "medrl", "annotate", "items.jsonl", "--out", "task", "--raters", "anna,ben"]
    process = subprocess.Popen([*command, "--port", str(port)], cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    links = {}
    for line in process.stdout:
        if link := re.match(r"(\w+): (http://\S+)", line):
            links[link[1]] = link[2]
        elif "Ctrl-C" in line:
            break
    for _ in range(200):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert process.poll() is None, "the server ended"
        subprocess.run(["sleep", "0.05"], check=True)
    yield links, folder / "task"
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=FLAGS)
        tab = browser.new_context(locale="en-GB", viewport={"width": 1200, "height": 900}).new_page()
        tab.set_default_timeout(20_000)
        yield tab
        browser.close()


def wait_done(page: Any, text: str) -> None:
    page.wait_for_function("text => document.getElementById('progress').textContent === text", arg=text)


def test_a_rater_judges_by_keyboard_alone(served: tuple[dict[str, str], Path], page: Any, tmp_path: Path) -> None:
    links, task = served
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.goto(links["anna"])
    wait_done(page, "0 of 4 judged")
    assert "Which response is better" in page.text_content("#question")
    shown = page.locator("#responses .text").all_text_contents()
    assert sorted(shown) == sorted(["Rest.", INJECTED]) and page.title() == "medrl annotate"  # text, never markup
    page.keyboard.press("Enter")
    page.wait_for_selector("#error:not([hidden])")
    assert page.text_content("#error") == "Choose an answer first."
    page.keyboard.press("1" if shown[0] == "Rest." else "2")
    page.keyboard.press("s")
    page.keyboard.press("m")
    page.keyboard.type("sounds like l 1 2 ?")  # in the box, letters are letters
    page.keyboard.press("Escape")
    page.screenshot(path=str(tmp_path / "page.png"), full_page=True)
    page.keyboard.press("Enter")
    wait_done(page, "1 of 4 judged")
    (record,) = load_feedback(task / "anna.jsonl")
    judgement = record.judgement
    assert isinstance(judgement, Comparison) and (judgement.preferred, judgement.margin) == (
        "first",
        pytest.approx(2 / 3),
    )
    assert record.comment == "sounds like l 1 2 ?"

    page.keyboard.press("0")
    page.keyboard.press("Enter")
    wait_done(page, "2 of 4 judged")
    page.keyboard.press("Backspace")
    page.wait_for_selector('#choices .option[data-value="tie"][aria-checked="true"]')
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Backspace")  # an unsaved choice is not dropped in silence
    page.wait_for_selector("#error:not([hidden])")
    assert "Not saved yet" in page.text_content("#error")
    page.wait_for_selector("#choices .option[data-value='first'][aria-checked='true']")
    page.keyboard.press("Enter")
    wait_done(page, "2 of 4 judged")
    page.wait_for_function("() => document.getElementById('messages').textContent.includes('Cough, day 2')")
    assert [r.judgement.preferred == "tie" for r in load_feedback(task / "anna.jsonl")] == [False, False]  # type: ignore[union-attr]
    assert not faults


def test_it_goes_on_after_a_reload_in_chinese_and_ends(served: tuple[dict[str, str], Path], page: Any) -> None:
    links, task = served
    assert all("/#key=" in link and "?" not in link for link in links.values())  # in no log and no Referer
    page.goto(links["anna"])
    wait_done(page, "2 of 4 judged")
    page.keyboard.press("l")
    wait_done(page, "已评 2 / 4")
    assert "哪个回答更好" in page.text_content("#question") and page.get_attribute("html", "lang") == "zh"
    page.keyboard.press("?")
    assert page.is_visible("#help") and "一样好" in page.text_content("#help")
    for _ in range(2):
        before = page.text_content("#messages")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_function(
            "text => document.getElementById('messages').textContent !== text || document.getElementById('responses').hidden",
            arg=before,
        )
    wait_done(page, "已评 4 / 4")
    assert "全部条目已评完" in page.text_content("#note")
    assert len(load_feedback(task / "anna.jsonl")) == 4


def test_another_rater_begins_at_the_start_and_a_wrong_link_at_nothing(
    served: tuple[dict[str, str], Path], page: Any
) -> None:
    links, task = served
    page.goto(links["ben"])
    wait_done(page, "已评 0 / 4")
    assert not (task / "ben.jsonl").exists()
    page.goto(re.sub(r"key=.*", "key=wrong", links["ben"]))
    page.wait_for_selector("#error:not([hidden])")
    assert "no longer, valid" in page.text_content("#error")
