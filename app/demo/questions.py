"""Real prompts with checkable answers, for the small models of `--local`.

Arithmetic, capitals, spelling, yes-or-no facts, sorting and format-following: easy enough for models of a few hundred
million parameters to get some right, and for two of them to be good at different kinds. Every check is deterministic
and reads the answer's text only.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

SUMS = ((2, 2), (7, 5), (9, 8), (3, 4), (12, 7), (15, 6), (20, 30), (25, 17), (8, 6), (11, 11), (4, 9), (6, 7), (13, 5))
DIFFERENCES = ((9, 4), (10, 3), (15, 5), (12, 8), (20, 6))
PRODUCTS = ((2, 3), (4, 5), (7, 8), (6, 6), (9, 3), (10, 7), (5, 5), (3, 8), (4, 4), (2, 9), (6, 3), (8, 8))
CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo", "Germany": "Berlin", "Egypt": "Cairo",
    "Russia": "Moscow", "China": "Beijing", "Portugal": "Lisbon", "Greece": "Athens", "Norway": "Oslo",
    "Kenya": "Nairobi", "Peru": "Lima", "Cuba": "Havana", "Austria": "Vienna", "Poland": "Warsaw",
    "Hungary": "Budapest", "Canada": "Ottawa", "Turkey": "Ankara", "Thailand": "Bangkok", "Ireland": "Dublin",
    "Sweden": "Stockholm", "Finland": "Helsinki", "Argentina": "Buenos Aires",
}  # fmt: skip
MISSPELT = {
    "recieve": "receive", "seperate": "separate", "beleive": "believe", "freind": "friend", "wierd": "weird",
    "definately": "definitely", "tommorow": "tomorrow", "neccessary": "necessary", "untill": "until",
    "begining": "beginning", "calender": "calendar", "grammer": "grammar",
}  # fmt: skip
TRUE_FACTS = (
    "Is fire hot?", "Do fish live in water?", "Is the Earth round?", "Is gold a metal?", "Is Paris in France?",
    "Is ten greater than two?", "Do birds lay eggs?", "Is snow white?", "Is water wet?", "Is Mars a planet?",
)  # fmt: skip
FALSE_FACTS = (
    "Is ice warm?", "Can a stone fly by itself?", "Is a whale a fish?", "Is a tomato an animal?", "Do cats have wings?",
    "Is seven an even number?", "Is the moon made of cheese?", "Is London in Spain?", "Is a triangle four-sided?",
    "Can dogs drive cars?",
)  # fmt: skip
OPPOSITES = {
    "hot": "cold", "big": "small", "up": "down", "day": "night", "black": "white", "happy": "sad", "fast": "slow",
    "early": "late",
}  # fmt: skip
WORDS_TO_SORT = ("pear apple", "blue green", "water milk", "ant owl")
NUMBERS_TO_SORT = ((4, 7), (6, 10), (3, 5), (9, 2))
NUMBERS_TO_COMPARE = ((3, 1), (4, 7), (12, 8), (6, 10), (15, 9), (2, 5))
WORDS_TO_WRITE = ("blue", "river", "table", "music", "garden", "window", "silver", "winter", "orange", "planet")
WORDS_TO_CUT = ("apple", "dog", "house", "sun", "river", "mountain")

Check = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt, its kind, and the check that says whether an answer is right."""

    prompt: str
    kind: str
    check: Check


def questions() -> list[Question]:
    """Return all questions, kind by kind; no prompt occurs twice."""
    return [*arithmetic(), *knowledge(), *spelling(), *facts(), *sorting(), *formats()]


def arithmetic() -> list[Question]:
    """Return sums, differences and products of small numbers."""
    sums = [(f"What is {a} + {b}?", a + b) for a, b in SUMS]
    differences = [(f"What is {a} - {b}?", a - b) for a, b in DIFFERENCES]
    products = [(f"What is {a} times {b}?", a * b) for a, b in PRODUCTS]
    return [Question(prompt, "arithmetic", says_number(value)) for prompt, value in sums + differences + products]


def knowledge() -> list[Question]:
    """Return capitals and opposites."""
    capitals = [Question(f"What is the capital of {c}?", "capital", says(city)) for c, city in CAPITALS.items()]
    return capitals + [Question(f"What is the opposite of {w}?", "opposite", says(o)) for w, o in OPPOSITES.items()]


def spelling() -> list[Question]:
    """Return choices between a right and a wrong spelling; the right one stands first in every other question."""
    out = []
    for position, (wrong, right) in enumerate(MISSPELT.items()):
        first, second = (right, wrong) if position % 2 else (wrong, right)
        prompt = f"Which spelling is correct, {first} or {second}?"
        out.append(Question(prompt, "spelling", says(right, but_not=wrong)))
    return out


def facts() -> list[Question]:
    """Return yes-or-no questions, as many of each."""
    yes = [Question(f"{q} Answer yes or no.", "fact", says("yes", but_not="no")) for q in TRUE_FACTS]
    return yes + [Question(f"{q} Answer yes or no.", "fact", says("no", but_not="yes")) for q in FALSE_FACTS]


def sorting() -> list[Question]:
    """Return pairs to sort, and pairs of which the smaller number is wanted."""
    lists = [words.split() for words in WORDS_TO_SORT] + [[str(n) for n in numbers] for numbers in NUMBERS_TO_SORT]
    out = []
    for items in lists:
        how = "from small to large" if items[0].isdigit() else "alphabetically"
        wanted = sorted(items, key=int) if items[0].isdigit() else sorted(items)
        out.append(Question(f"Sort these {how}: {', '.join(items)}.", "sorting", lists_in_order(wanted)))
    pairs = [(f"Which number is smaller, {a} or {b}?", min(a, b)) for a, b in NUMBERS_TO_COMPARE]
    return out + [Question(prompt, "sorting", says_number(smaller)) for prompt, smaller in pairs]


def formats() -> list[Question]:
    """Return questions whose answer must have a given form."""
    upper = [(f"Write the word {w} in capital letters.", is_exactly(w.upper())) for w in WORDS_TO_WRITE]
    first = [(f"What is the first letter of the word {w}?", is_exactly(w[0], w[0].upper())) for w in WORDS_TO_CUT]
    return [Question(prompt, "format", check) for prompt, check in upper + first]


def says_number(value: int) -> Check:
    """Check that the first whole number of the answer is `value`."""

    def check(text: str) -> bool:
        found = re.search(r"-?\d+", text.replace(",", ""))
        return found is not None and int(found[0]) == value

    return check


def says(word: str, *, but_not: str | None = None) -> Check:
    """Check that the answer holds `word`, and does not hold `but_not`, as whole words in any case."""

    def check(text: str) -> bool:
        return holds(text, word) and not (but_not and holds(text, but_not))

    return check


def holds(text: str, word: str) -> bool:
    """Say whether `word` stands in the text as a whole word, in any case."""
    return re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) is not None


def lists_in_order(items: list[str]) -> Check:
    """Check that the answer's words and numbers are these items in this order, and nothing else."""
    return lambda text: re.findall(r"[a-z]+|\d+", text.lower()) == items


def is_exactly(*forms: str) -> Check:
    """Check that the answer is one of the forms, apart from quotes and a full stop around it."""
    return lambda text: text.strip().strip("\"'.") in forms
