"""What is pending as a page, and as text for those who are no browser."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine
from django.utils.cache import add_never_cache_headers
from django.utils.safestring import mark_safe

from automigrate_ext.pending import forms
from automigrate_ext.pending.look import Pending, Reply
from automigrate_ext.plan import text
from automigrate_ext.plan.plan import Plan, Verdict
from automigrate_ext.run.questions import find_field, find_model
from automigrate_ext.schema.changes import plural

#: What a sign means to those who hear the page, and its class in the style sheet.
SIGNS = {
    "+": ("Comes", "comes"),
    "-": ("Goes", "goes"),
    "~": ("Changes", "changes"),
    "=": ("Is kept", "kept"),
    "!": ("Is in the way", "refused"),
    "#": ("Costs", "remark"),
    ">": ("Is run", "run"),
}

#: An option of a command in a text.
OPTION = re.compile(r"(--[a-z-]+)")
TITLE = "The database does not match the models"


def respond(
    request: HttpRequest, pending: Sequence[Pending], *, back: str, failure: str = "", word: str = "", status: int = 503
) -> HttpResponse:
    """The page, or the text where no browser asks for one.

    `back` is the address to go back to, `failure` the error that a request ended in, `word` what came of a form.
    """
    if "text/html" not in request.headers.get("Accept", ""):
        return text_response(pending, failure=failure, status=status)
    secret = forms.secret_of(request)
    context = {
        "title": TITLE,
        "style": mark_safe(style()),
        "action": forms.action(),
        "token": forms.token(secret),
        "back": back,
        "failure": failure,
        "word": word,
        "unsent": request.method not in ("GET", "HEAD") and not word and not failure,
        "databases": [section(found) for found in pending],
    }
    response = HttpResponse(template().render(Context(context)), status=status)
    forms.remember(response, request, secret)
    return guarded(response)


def guarded(response: HttpResponse) -> HttpResponse:
    """A response that nobody keeps, frames, or makes load or run anything."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    add_never_cache_headers(response)
    return response


@cache
def style() -> str:
    """The style sheet, which is part of the page."""
    return (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


@cache
def template() -> Any:
    """The page's template, of an engine of its own: the project's may be of any kind."""
    return Engine(dirs=[str(Path(__file__).parent)]).get_template("page.html")


# The page


def section(found: Pending) -> dict[str, Any]:
    """What the page says of one database."""
    plan = found.plan
    return {
        "alias": found.alias,
        "error": found.error,
        "answers": list(answers(found.reply)),
        "hints": [hint for old, new in found.reply.renames.items() if (hint := hint_at(old, new))],
        "renames": [
            {"field": f"{forms.RENAME}{asked.old}", "old": asked.old, "new": asked.new} for asked in found.renames
        ],
        "values": [
            {"field": f"{forms.DEFAULT}{label}", "label": label, "value": found.reply.defaults.get(label, "")}
            for label in found.values
        ],
        "given": given(found),
        **(plan_section(plan) if plan else {}),
        **(buttons(plan, found.losing) if plan and not found.renames and not found.error else {}),
    }


def plan_section(plan: Plan) -> dict[str, Any]:
    """What the page says of a plan."""
    return {
        "counts": list(counts(plan)),
        "branches": [
            {"heading": branch.heading, "lines": [*map(line, branch.lines)]} for branch in text.branches(plan)
        ],
        "notes": plan.notes,
        "statements": plural(len(plan.statements), "statement") if plan.statements else "",
        "sql": plan.sql(),
    }


def line(found: text.Line) -> dict[str, Any]:
    """One line of a plan, with what its sign means; the options in it are apart, which no line break may cut."""
    word, kind = SIGNS[found.sign]
    remedy = OPTION.split(found.remedy) if found.remedy else []
    return {"sign": found.sign, "word": word, "class": kind, "text": found.text, "remedy": remedy}


def buttons(plan: Plan, losing: Plan | None) -> dict[str, Any]:
    """What can be done: the plan, and the one that loses data."""
    found: dict[str, Any] = {}
    if plan.statements:
        found["safe"] = {"plan": forms.sign(plan), "label": deed(plan)}
    if losing:
        found["losing"] = {
            "plan": forms.sign(losing),
            "label": f"{deed(losing)} and lose data",
            "lost": [hazard.message for judgement in losing.judgements for hazard in judgement.hazards],
            "statements": plural(len(losing.statements), "statement"),
            "sql": losing.sql(),
        }
    return found


def deed(plan: Plan) -> str:
    """What a button does: so many changes and hooks, or else only what the columns that are kept need."""
    numbers = [plural(len(plan.changes), "change")] if plan.changes else []
    numbers += [plural(len(plan.hooks), "hook")] if plan.hooks else []
    return f"Apply {' and '.join(numbers)}" if numbers else "Keep the values, allowing NULL"


def counts(plan: Plan) -> Iterator[dict[str, str]]:
    """How many changes have which verdict."""
    words = {Verdict.APPLY: "to apply", Verdict.WITHHOLD: "kept", Verdict.REFUSE: "refused"}
    for verdict, word in words.items():
        if number := len(plan.judged(verdict)):
            yield {"class": word.rpartition(" ")[2], "text": f"{number} {word}"}


def answers(reply: Reply) -> Iterator[str]:
    """What has been answered, in words."""
    yield from (f"{old} was renamed to {new}" for old, new in reply.renames.items())
    yield from (f"{old} was not renamed" for old in sorted(reply.declined))
    yield from (f"{label} is {value} where rows have no value" for label, value in reply.defaults.items())


def hint_at(old: str, new: str) -> str:
    """What to write into the model, so that a rename is carried out everywhere; "" where the model cannot say it."""
    place, _, name = old.rpartition(".")
    field = find_field(place, new)
    known = find_model(place, new) is not None or (field is not None and field.model._meta.label == place)
    return f'former_names = {{"{new}": "{name}"}}' if known else ""


def given(found: Pending) -> list[tuple[str, str]]:
    """The answers that a form has to send along with those that it asks for; after an error all are asked anew."""
    if found.error:
        return []
    reply = found.reply
    return [
        *((f"{forms.RENAME}{old}", new) for old, new in reply.renames.items()),
        *((f"{forms.RENAME}{old}", "") for old in sorted(reply.declined)),
        *((f"{forms.DEFAULT}{label}", value) for label, value in reply.defaults.items() if label not in found.values),
    ]


# Text


def text_response(pending: Sequence[Pending], *, failure: str, status: int) -> HttpResponse:
    """The same facts as plain text."""
    lines = [f"{TITLE}.", *([failure] if failure else []), *(line for found in pending for line in text_of(found))]
    lines += ["", "Open the address in a browser, or run manage.py autoupdate."]
    return guarded(HttpResponse("\n".join((*lines, "")), status=status, content_type="text/plain; charset=utf-8"))


def text_of(found: Pending) -> Iterator[str]:
    yield from ("", f"Database {found.alias!r}")
    if found.plan is not None:
        yield from map(str, text.lines(found.plan))
        yield text.summary(found.plan, done=False)
    if found.error:
        yield found.error
