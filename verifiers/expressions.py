"""Read a formula out of text into a small tree, without evaluating any of it.

A tokenizer and a recursive-descent parser for plain and LaTeX notation: `0.693 Vd/CL`, `\\frac{1}{2}mv^2`, `ln 2 / k`.
Length, depth, count of tokens, digits, exponents and factorials are bounded before anything is computed, so 9^{9^{9}}
and (10^9)! are refused as they are read, and reading takes linear time.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction

from medrl.verifiers.expression_tree import (
    HALF,
    LARGEST_BITS,
    Node,
    TooLarge,
    Unreadable,
    call,
    factorial,
    name,
    number,
    power,
    product,
    total,
)
from medrl.verifiers.notation import plain_notation

LONGEST = 1000  # characters
MOST = 300  # tokens
DEEPEST = 40  # brackets, signs and exponents inside each other
MOST_DIGITS = 40

_TOKEN = re.compile(
    r"(?P<number>(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+(?![\w.]))?)"
    r"|\\(?P<command>[A-Za-z]+)"
    r"|(?P<word>[A-Za-z\u0370-\u03ff][A-Za-z0-9\u0370-\u03ff]*)(?P<subscript> ?_ ?(?:\{[^{}]*\}|\w+))?"
    r"|(?P<operator>[-+*/^!√_(){}\[\]])"
)
_SUBSCRIPT_MARKS = re.compile(r"[\s_{}]")
_CALLS = ("ln", "log", "lg", "exp", "sqrt")
_CALLED = re.compile(r"(ln|log|lg|exp|sqrt)(\d+)")
_CLOSES = {"(": ")", "{": "}", "[": "]"}


@dataclass(frozen=True)
class Token:
    kind: str  # number, word, operator or a command's name
    text: str
    glued: bool = False  # to the name before it, as v in mv


@dataclass(frozen=True)
class Reading:
    """A formula as it was read.

    Attributes:
        node: Its tree.
        ambiguous: Whether `a/b c` or `ln a b` stands in it, which people read in two ways.
    """

    node: Node
    ambiguous: bool


def read_expression(text: str, known: Collection[str] = (), *, tight: bool = False, split: bool = False) -> Reading:
    """Read one side of a formula.

    Args:
        text: Plain text or LaTeX.
        known: Names of several letters that are one variable; other words that are made up of such names are products.
        tight: Read `a/b c` as a/(b c) instead of (a/b) c.
        split: Read a word that is not known as the product of its letters, as LaTeX sets it.

    Raises:
        Unreadable: It is no formula that this parser reads.
        TooLarge: It is one, but past the bounds.
    """
    if len(text) > 4 * LONGEST:
        raise TooLarge("the formula is longer than any that is read")
    parser = _Parser(_tokens(plain_notation(text, known), known, split), tight)
    node = parser.sum()
    if parser.next is not None:
        raise Unreadable(f"{parser.next.text!r:.20} stands where the formula should end")
    return Reading(node, parser.ambiguous)


def _tokens(text: str, known: Collection[str], split: bool) -> list[Token]:
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        while at < len(text) and text[at].isspace():
            at += 1
        if at == len(text):
            break
        match = _TOKEN.match(text, at)
        if not match:
            raise Unreadable(f"{text[at]!r} is no part of a formula")
        at = match.end()
        if match["word"]:
            tokens += _words(match["word"], match["subscript"] or "", known, split)
        elif match["command"]:
            tokens.append(Token("\\" + match["command"], match[0]))
        else:
            tokens.append(Token("number" if match["number"] else "operator", match[0]))
    signs = sum(token.kind == "operator" for token in tokens)
    if len(text) > LONGEST or len(tokens) > MOST:
        raise TooLarge("the formula is too long") if 2 * signs >= len(tokens) else Unreadable("it is a text")
    return tokens


def _words(word: str, subscript: str, known: Collection[str], split: bool) -> list[Token]:
    """A word as one name, as a call such as ln2, or as the names that make it up."""
    tail = _SUBSCRIPT_MARKS.sub("", subscript)
    if word in _CALLS and not (tail and word not in ("log", "lg")):
        more = [Token("base", tail)] if tail else []
        return [Token(word, word), *more]
    called = _CALLED.fullmatch(word)
    if called and not tail and word not in known:
        kind = "base" if called[1] == "log" else "number"
        return [Token(called[1], called[1]), Token(kind, called[2])]
    whole = word + ("half" if tail in ("1/2", "12", "half") and word in ("t", "T") else tail)
    if whole in known or len(whole) == 1:
        return [Token("word", whole)]
    if "/" in whole or len(whole) > 40:
        raise Unreadable(f"{whole!r:.40} is no name")
    parts = None if tail or len(word) > 40 else _made_of(word, known)
    if parts is None and split and not tail and word.isalpha():
        parts = list(word)
    return [Token("word", part, i > 0) for i, part in enumerate(parts or [whole])]


def _made_of(word: str, known: Collection[str]) -> list[str] | None:
    """The known names that a word is made of, where there is one way to part it."""
    ways: list[list[list[str]]] = [[] for _ in range(len(word) + 1)]
    ways[0].append([])
    for end in range(1, len(word) + 1):
        for one in known:
            if word.endswith(one, 0, end) and len(one) <= end:
                ways[end] += [[*way, one] for way in ways[end - len(one)]][: 2 - len(ways[end])]
    return ways[-1][0] if len(ways[-1]) == 1 else None


class _Parser:
    def __init__(self, tokens: list[Token], tight: bool) -> None:
        self._tokens, self._at, self._depth, self._tight = tokens, 0, 0, tight
        self.ambiguous = False

    @property
    def next(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def sum(self) -> Node:
        terms = [self._term()]
        while self._is("+", "-"):
            minus = self._take().text == "-"
            term = self._term()
            terms.append(product([number(-1), term]) if minus else term)
        return total(terms)

    def _term(self) -> Node:
        left = self._signed()
        while True:
            if self._is("*"):
                self._take()
                left = product([left, self._signed()])
            elif self._is("/"):
                self._take()
                left = product([left, power(self._divisor(left), number(-1))])
            elif self._is_operand():
                left = product([left, self._power()])
            else:
                return left

    def _divisor(self, above: Node) -> Node:
        below = self._glued(self._signed())
        if self._is_operand() and not (below.kind == "number" and above.kind == "number"):
            self.ambiguous = True
            while self._tight and self._is_operand():
                below = product([below, self._power()])
        return below

    def _glued(self, node: Node) -> Node:
        """With the names that are written in one word with it: a/bc is a/(bc)."""
        while self.next is not None and self.next.glued:
            node = product([node, self._power()])
        return node

    def _signed(self) -> Node:
        minus = False
        while self._is("+", "-"):
            minus ^= self._take().text == "-"
        node = self._power()
        return product([number(-1), node]) if minus else node

    def _power(self) -> Node:
        node = self._atom()
        while self._is("!"):
            self._take()
            node = factorial(node)
        if self._is("^"):
            self._take()
            exponent = self._exponent()
            node = call("exp", exponent) if node == name("e") else power(node, exponent)
        return node

    def _exponent(self) -> Node:
        self._deeper()
        minus = False
        while self._is("+", "-"):
            minus ^= self._take().text == "-"
        node = self._power()
        self._depth -= 1
        return product([number(-1), node]) if minus else node

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise TooLarge("the formula is nested too deeply")

    def _atom(self) -> Node:
        self._deeper()
        node = self._inside(self._take())
        self._depth -= 1
        return node

    def _inside(self, token: Token) -> Node:
        if token.kind == "number":
            return _literal(token.text)
        if token.kind == "word":
            return name(token.text)
        if token.kind in _CALLS:
            return self._call(token.kind)
        if token.text == "√":
            return power(self._atom(), number(HALF))
        if token.kind in ("\\frac", "\\dfrac", "\\tfrac", "\\cfrac"):
            above, below = self._group("{"), self._group("{")
            return product([above, power(below, number(-1))])
        if token.text in _CLOSES:
            self._at -= 1
            return self._group(token.text)
        raise Unreadable(f"{token.text!r:.20} is not read")

    def _call(self, kind: str) -> Node:
        if kind == "sqrt":
            root = self._group("[") if self._is("[") else number(2)
            inside = self._group("{") if self._is("{") else self._atom()
            return power(inside, power(root, number(-1)))
        base = self._base() if kind in ("log", "lg") else None
        if self._is("^"):
            raise Unreadable("a power of a function's name")
        bracketed = self._is("(", "{", "[")
        inside = self._glued(self._power()) if not bracketed else self._group(self._tokens[self._at].text)
        if not bracketed and inside.kind != "number" and self._is_operand():
            self.ambiguous = True
            while self._tight and self._is_operand():
                inside = product([inside, self._power()])
        if kind == "exp":
            return call("exp", inside)
        if kind == "lg":
            base = number(10)
        if base is not None:
            return product([call("ln", inside), power(call("ln", base), number(-1))])
        return call(kind, inside)

    def _base(self) -> Node | None:
        """The base written below a logarithm, or None."""
        if self.next is not None and self.next.kind == "base":
            text = self._take().text
            if not text.isdigit() or not 1 < int(text[:4]) <= 100 or len(text) > 3:
                raise Unreadable(f"a logarithm to the base {text!r:.20}")
            return number(int(text))
        if self._is("_"):
            self._take()
            base = self._group("{") if self._is("{") else self._atom()
            if base.kind != "number" or base.value <= 1:
                raise Unreadable("a logarithm to a base that is no number above 1")
            return base
        return None

    def _group(self, opens: str) -> Node:
        if not self._is(opens):
            raise Unreadable(f"{opens!r} is missing")
        self._take()
        node = self.sum()
        if not self._is(_CLOSES[opens]):
            raise Unreadable(f"a {opens!r} is never closed")
        self._take()
        return node

    def _is(self, *texts: str) -> bool:
        return self.next is not None and self.next.text in texts

    def _is_operand(self) -> bool:
        token = self.next
        if token is None or token.kind in ("number", "base"):  # "x 2" is no product that anybody writes
            return False
        return token.kind != "operator" or token.text in ("(", "{", "[", "√")

    def _take(self) -> Token:
        token = self.next
        if token is None:
            raise Unreadable("the formula ends too early")
        self._at += 1
        return token


def _literal(text: str) -> Node:
    digits, _, exponent = text.lower().partition("e")
    if len(digits) > MOST_DIGITS or len(exponent) > 3 or abs(int(exponent or 0)) > LARGEST_BITS // 4:
        raise TooLarge("a number has too many digits")
    point = len(digits.partition(".")[2])
    significant = len(digits.replace(".", "").lstrip("0"))
    value = Fraction(digits) * Fraction(10) ** int(exponent or 0)
    return Node("number", value=value, places=point - int(exponent or 0) if point and significant >= 3 else None)
