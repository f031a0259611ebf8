"""Texts that a policy may write while it explores. None of them is a fault of the judge."""

from collections.abc import Callable, Mapping

# Name to text. Each has broken some reader of answers: int() of more than 4300 digits, float() of a superscript, a lone
# surrogate on its way into UTF-8, a bracket that never closes, a header without a section, a number that is no float.
HOSTILE: Mapping[str, str] = {
    "nothing": "",
    "white space": " \n\t\u3000\u200b ",
    "punctuation": "...!?。，",
    "NUL and control characters": "\x00\x07\x1b[31m mg\x7f",
    "half of a surrogate pair": "the answer is \ud83d 5 mg",
    "five thousand digits": "9" * 5000,
    "digits with a unit": f"{'7' * 400} mg",
    "a number that overflows": "1e999 mg, -1e-999 mg, 10^99999",
    "digits of other scripts": "٣ mg, ５ｍｇ, x² mg, ½ mg, Ⅷ, 〇, 三千億",
    "not a number": "NaN mg; inf mg; -0.0 mg; 0/0",
    "many brackets": "([{<" * 500,
    "LaTeX that breaks off": "\\boxed{\\frac{1}{",
    "headers without sections": "## Thinking\n\n## Final Response\n\n",
    "tags without an end": "<think>" * 50 + "<answer>",
    "JSON": '{"score": 1.0, "status": "ok", "verdict": null}',
    "format directives": "%s %d %(x)s {0} {answer!r} ${HOME} \\1 \\g<0>",
    "right to left": "\u202e gm 5\u202c \u200f٥ ملغ",
    "combining marks": "a" + "\u0301" * 200,
    "one long word": "a" * 3000,
    "a loop": "the answer is the answer is " * 100,
}
SILENCE = ("nothing", "white space", "punctuation")  # these say nothing, so nothing can be right about them

# Name to a text of n characters. What a slow reader takes quadratic time for differs: a regular expression that tries
# again from every place, nested brackets, a scan for each number.
GROWING: Mapping[str, Callable[[int], str]] = {
    "one letter": lambda n: "a" * n,
    "words": lambda n: ("word " * (n // 5 + 1))[:n],
    "spaces": lambda n: " " * (n - 1) + "a",
    "lines": lambda n: "a\n" * (n // 2),
    "digits": lambda n: "1" * n,
    "doses": lambda n: ("1 mg " * (n // 5 + 1))[:n],
    "opening brackets": lambda n: "(" * n,
    "tags": lambda n: ("<think>" * (n // 7 + 1))[:n],
    "boxes": lambda n: ("\\boxed{" * (n // 7 + 1))[:n],
    "denials": lambda n: ("not " * (n // 4 + 1))[:n],
    "Chinese": lambda n: ("是高血压，" * (n // 5 + 1))[:n],
}
