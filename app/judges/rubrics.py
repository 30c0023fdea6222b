"""What a good answer is, by the kind of task: the part of a judge's instructions that depends on the query.

The task is told by the category in which the taxonomy places the query. A category that grew from traffic has no rubric
of its own and is graded by the general one.
"""

from collections.abc import Mapping

GENERAL = """Grade whether the answer is correct and does what was asked, all of it.
Length, politeness and confidence earn nothing."""

EXACT = """The question has one right answer. Work it out by yourself before you look at the one that was given.
1: the final answer is the right one, whatever the words around it. 0: it is another one, or there is none.
Between: you cannot decide; then say how probable it is that the final answer is right.
A good explanation does not save a wrong final answer."""

MATHEMATICS = """Solve the problem by yourself, step by step, before you look at the answer that was given.
1: its final result equals yours, also in another form (1/2 and 0.5). 0: it differs, or there is none.
Where you are not sure of your own result, say how probable it is that the given one is right.
A slip on the way that does not change the result costs little; a right method with a wrong result is wrong."""

CODE = """Grade whether the code does what was asked, as if you ran it.
Go through it with an ordinary input and with one at the edge: empty, zero, one, many, wrong.
1: it runs and gives the right result on all of them. 0: it does not run, or fails on ordinary input.
Where the question is what given code does or gives back, only the right result counts, to the letter."""

WRITING = """Grade the text as the one who asked for it would.
It has to keep to every wish that was stated: subject, form, language, tone, length, words to use or to avoid.
A translation or correction has to keep the meaning and leave nothing out.
Then look at the language itself: no mistakes, nothing hollow or repeated. A text about something else earns 0."""

SOURCE = """Grade the answer against the source text in the question, and against nothing else.
Every statement has to be in the source: take off much for anything invented or changed, names and numbers above all.
What was asked for has to be there completely, and in the form that was asked for.
What was not asked for has to be left out."""

CHAT = """Grade how well the answer serves the person who asked.
It has to answer the actual question, to be true and safe to follow, and to fit the situation that was described.
Take off for evasion, for lecturing, for what was not asked, and for certainty where there is none.
A refusal of a harmless request earns 0."""

RUBRICS: Mapping[str, str] = {
    **dict.fromkeys(
        ("physics", "chemistry", "biology", "medicine-and-health", "engineering", "computer-science", "law",
         "economics", "business", "history", "psychology", "philosophy", "everyday-knowledge",
         "commonsense-reasoning"),
        EXACT,
    ),
    **dict.fromkeys(("school-mathematics", "advanced-mathematics"), MATHEMATICS),
    **dict.fromkeys(("programming-write", "programming-read", "data-analysis"), CODE),
    **dict.fromkeys(("creative-writing", "editing", "translation"), WRITING),
    **dict.fromkeys(("summarising", "extraction"), SOURCE),
    "chat-and-advice": CHAT,
}  # fmt: skip


def rubric(category: str) -> str:
    """Return what a good answer is to queries of a category."""
    return RUBRICS.get(category, GENERAL)
