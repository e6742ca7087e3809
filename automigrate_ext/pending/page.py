"""The databases that do not match the models as a page, and as text for clients that are no browsers."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine
from django.utils.cache import add_never_cache_headers
from django.utils.safestring import mark_safe

from automigrate_ext.pending import forms
from automigrate_ext.pending.mismatches import Mismatch
from automigrate_ext.plan import text
from automigrate_ext.plan.plan import ACCEPT_DATA_LOSS, LikelyRename, Plan, Verdict, way_out
from automigrate_ext.run.questions import find_field, find_model
from automigrate_ext.words import plural

#: The word for each sign, for screen readers, and its class in the style sheet.
SIGNS = {
    "+": ("Comes", "comes"),
    "-": ("Goes", "goes"),
    "~": ("Changes", "changes"),
    "=": ("Is kept", "kept"),
    "!": ("Is in the way", "refused"),
    "#": ("Costs", "remark"),
    ">": ("Is run", "run"),
    "*": ("Is not run", "remark"),
}

#: An option of a command in a text.
OPTION = re.compile(r"(--[a-z-]+)")
TITLE = "The database does not match the models"


def respond(
    request: HttpRequest,
    mismatches: Sequence[Mismatch],
    *,
    back: str,
    failure: str = "",
    message: str = "",
    status: int = 503,
) -> HttpResponse:
    """Return the page, or the text where the client does not accept HTML.

    `back` is the address to go back to, `failure` the error that a request ended in, `message` why a form was not
    carried out.
    """
    if "text/html" not in request.headers.get("Accept", ""):
        return text_response(mismatches, failure=failure, status=status)
    secret = forms.secret_of(request)
    context = {
        "title": TITLE,
        "style": mark_safe(style()),
        "action": forms.action(),
        "token": forms.token(secret),
        "back": back,
        "failure": failure,
        "message": message,
        "unsent": request.method not in ("GET", "HEAD") and not message and not failure,
        "databases": [section(mismatch) for mismatch in mismatches],
    }
    response = HttpResponse(template().render(Context(context)), status=status)
    forms.set_secret(response, request, secret)
    return protect(response)


def protect(response: HttpResponse) -> HttpResponse:
    """Add headers to a response so that nobody stores or frames it, and nothing in it loads or runs anything."""
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
    """Return the style sheet, which is part of the page."""
    return (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


@cache
def template() -> Any:
    """Return the page's template, from an engine of its own, because the project's may be of any kind."""
    return Engine(dirs=[str(Path(__file__).parent)]).get_template("page.html")


# The page


def section(mismatch: Mismatch) -> dict[str, Any]:
    """Return what the page shows about one database."""
    plan = mismatch.plan
    asked = mismatch.values
    return {
        "alias": mismatch.alias,
        "error": mismatch.error,
        "answers": list(answers(mismatch)),
        "command": command(mismatch),
        "hints": [hint for old, new in mismatch.reply.renames.items() if (hint := rename_hint(old, new))],
        "renames": [
            {
                "field": f"{forms.RENAME}{asked.old}",
                "old": asked.old,
                "new": asked.new,
                "verb": verb(asked.old, asked.new),
            }
            for asked in mismatch.renames
        ],
        "values": [
            {
                "field": f"{forms.DEFAULT}{missing.field}",
                "label": missing.field,
                "wants": missing.wants,
                "value": mismatch.reply.defaults.get(missing.field, ""),
                "fault": missing.fault,
            }
            for missing in asked
        ],
        "given": given_answers(mismatch),
        **(plan_section(plan, loses=mismatch.losing is not None, renames=bool(mismatch.renames)) if plan else {}),
        **(buttons(plan, mismatch.losing) if plan and not mismatch.renames and not mismatch.error else {}),
    }


def plan_section(plan: Plan, *, loses: bool, renames: bool) -> dict[str, Any]:
    """Return what the page shows about a plan.

    `loses` is whether it has a button for the plan that loses data, `renames` whether it asks about renames.
    """
    return {
        "counts": list(counts(plan)),
        "branches": [
            {
                "heading": branch.heading,
                "lines": [line_parts(line, loses=loses, renames=renames) for line in branch.lines],
            }
            for branch in (*text.branches(plan), *text.migration_branch(plan))
        ],
        "footer": [line.text for line in text.footer(plan) if not loses],
        "notes": plan.notes,
        "statements": plural(len(plan.statements), "statement") if plan.statements else "",
        "sql": plan.sql(),
    }


def line_parts(line: text.Line, *, loses: bool, renames: bool) -> dict[str, Any]:
    """Return one line of a plan with the word for its sign.

    Options for which the page has a field or a button are left out; others are apart, because no line break may cut
    them.
    """
    word, kind = SIGNS[line.sign]
    has_control = line.option.startswith("--default ") or (loses and line.option == ACCEPT_DATA_LOSS)
    advice = "" if renames and "--rename " in line.advice else line.advice
    words = advice if has_control else way_out(advice, line.option)
    remedy = OPTION.split(words) if words else []
    return {"sign": line.sign, "word": word, "class": kind, "text": line.text, "remedy": remedy}


def buttons(plan: Plan, losing: Plan | None) -> dict[str, Any]:
    """Return the buttons: for the plan, and for the one that loses data."""
    choices: dict[str, Any] = {}
    if plan.statements:
        choices["safe"] = {"plan": forms.sign(plan), "label": button_label(plan)}
    if losing:
        choices["losing"] = {
            "plan": forms.sign(losing),
            "label": f"{button_label(losing)} and lose data",
            "lost": [hazard.message for judgement in losing.judgements for hazard in judgement.hazards],
            "statements": plural(len(losing.statements), "statement"),
            "sql": losing.sql(),
        }
    return choices


def button_label(plan: Plan) -> str:
    """Return what a button does: so many changes and hooks, or only what kept columns need."""
    numbers = [plural(len(plan.changes), "change")] if plan.changes else []
    numbers += [plural(len(plan.hooks), "hook")] if plan.hooks else []
    return f"Apply {' and '.join(numbers)}" if numbers else "Make the kept columns nullable"


def counts(plan: Plan) -> Iterator[dict[str, str]]:
    """Yield how many changes have which verdict."""
    words = {Verdict.APPLY: "to apply", Verdict.WITHHOLD: "kept", Verdict.REFUSE: "refused"}
    for verdict, word in words.items():
        if number := len(plan.judged(verdict)):
            yield {"class": word.rpartition(" ")[2], "text": f"{number} {word}"}


def answers(mismatch: Mismatch) -> Iterator[str]:
    """Yield the answers in words, but for values that are asked for again."""
    reply, again = mismatch.reply, {missing.field for missing in mismatch.values}
    yield from (f"{old} was {verb(old, [new])} to {new}" for old, new in reply.renames.items())
    yield from (f"{old} was not renamed" for old in sorted(reply.declined))
    values = ((label, value) for label, value in reply.defaults.items() if label not in again)
    yield from (f"{label} is {value} where rows have no value" for label, value in values)


def command(mismatch: Mismatch) -> str:
    """Return the command that has the answers as options, "" where there are none that it could have."""
    again = {missing.field for missing in mismatch.values}
    defaults = {label: value for label, value in mismatch.reply.defaults.items() if label not in again}
    options = text.as_options(mismatch.reply.renames, defaults)
    database = [] if mismatch.alias == DEFAULT_DB_ALIAS else ["--database", mismatch.alias]
    words = ["python", "manage.py", "autoupdate", *database, *options]
    return shlex.join(words) if options and not mismatch.error else ""


def verb(old: str, new: Iterable[str]) -> str:
    """Return what may have happened to a field, model or table: a model with the label of another app was moved."""
    return "moved" if any(LikelyRename(old=old, new=name).is_move for name in new) else "renamed"


def rename_hint(old: str, new: str) -> str:
    """Return the line for the model that makes a rename happen everywhere, "" where it has no model or field."""
    if LikelyRename(old=old, new=new).is_move:
        return f'former_names = {{"{new.rpartition(".")[2]}": "{old}"}}'
    place, _, name = old.rpartition(".")
    field = find_field(place, new)
    known = find_model(place, new) is not None or (field is not None and field.model._meta.label == place)
    return f'former_names = {{"{new}": "{name}"}}' if known else ""


def given_answers(mismatch: Mismatch) -> list[tuple[str, str]]:
    """Return the answers that a form sends besides those that it asks for; none after an error."""
    if mismatch.error:
        return []
    reply, again = mismatch.reply, {missing.field for missing in mismatch.values}
    return [
        *((f"{forms.RENAME}{old}", new) for old, new in reply.renames.items()),
        *((f"{forms.RENAME}{old}", "") for old in sorted(reply.declined)),
        *((f"{forms.DEFAULT}{label}", value) for label, value in reply.defaults.items() if label not in again),
    ]


# Text


def text_response(mismatches: Sequence[Mismatch], *, failure: str, status: int) -> HttpResponse:
    """Return the facts of the page as plain text."""
    lines = [
        f"{TITLE}.",
        *([failure] if failure else []),
        *(line for mismatch in mismatches for line in text_lines(mismatch)),
    ]
    lines += ["", "Open the address in a browser, or run manage.py autoupdate."]
    return protect(HttpResponse("\n".join((*lines, "")), status=status, content_type="text/plain; charset=utf-8"))


def text_lines(mismatch: Mismatch) -> Iterator[str]:
    """Yield the lines about one database."""
    yield from ("", f"Database {mismatch.alias!r}")
    if mismatch.plan is not None:
        yield from map(str, text.lines(mismatch.plan))
        yield text.summary(mismatch.plan, done=False)
    if mismatch.error:
        yield mismatch.error
