"""What the page's forms send: where they go, whether they are the page's own, and what they say."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.core import signing
from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.urls import get_script_prefix
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.http import url_has_allowed_host_and_scheme

from automigrate_ext.pending.look import Reply
from automigrate_ext.plan.plan import Plan

#: Where the forms go, below the project's root.
PATH = "/__automigrate_ext__/"
COOKIE = "automigrate_ext"
SALT = "automigrate_ext.pending"
#: How the names of the fields begin that answer a question.
RENAME, DEFAULT = "rename:", "default:"


def action() -> str:
    """The address of the forms."""
    return f"{get_script_prefix().rstrip('/')}{PATH}"


# Whether a form is the page's own
#
# A cookie and a signature of it that only the page has, so that neither sessions, which may lack their table, nor the
# project's own CSRF settings are needed.


def secret_of(request: HttpRequest) -> str:
    """The secret of a browser; a new one where it has none."""
    return request.COOKIES.get(COOKIE) or secrets.token_urlsafe(24)


def token(secret: str) -> str:
    """What a form of the page has to say for this secret."""
    return salted_hmac(SALT, secret, algorithm="sha256").hexdigest()


def remember(response: HttpResponseBase, request: HttpRequest, secret: str) -> None:
    """Give the browser its secret, until it is closed; other sites' requests do not bring it along."""
    response.set_cookie(
        COOKIE, secret, path=get_script_prefix(), httponly=True, samesite="Strict", secure=request.is_secure()
    )


def is_genuine(request: HttpRequest) -> bool:
    """Whether a form comes from a page that this project made for this browser."""
    secret = request.COOKIES.get(COOKIE, "")
    own = secret and constant_time_compare(token(secret), request.POST.get("token", ""))
    origin = request.headers.get("Origin")
    return bool(own) and (origin is None or urlsplit(origin).netloc == request.get_host())


# What a form says


def sign(plan: Plan) -> str:
    """A plan as a form carries it."""
    return signing.dumps(plan.as_dict(), salt=SALT, compress=True)


def read_signed(text: str) -> dict[str, Any]:
    """The plain values of a plan. Raises `signing.BadSignature`."""
    values: dict[str, Any] = signing.loads(text, salt=SALT)
    return values


def read_replies(query: QueryDict) -> dict[str, Reply]:
    """The answers about one database, by its alias."""
    renames = named(query, RENAME)
    reply = Reply(
        renames={old: new for old, new in renames.items() if new},
        declined=frozenset(old for old, new in renames.items() if not new),
        defaults={label: value for label, value in named(query, DEFAULT).items() if value},
    )
    return {query.get("database", ""): reply}


def named(query: QueryDict, prefix: str) -> Mapping[str, str]:
    """The fields whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): str(query[name]) for name in query if name.startswith(prefix)}


def back(request: HttpRequest, given: str) -> str:
    """An address of this site to go back to: the one given, or the root."""
    own = url_has_allowed_host_and_scheme(given, allowed_hosts=None) and given.startswith("/")
    return given if own and not given.startswith(action()) else get_script_prefix()


def asked_for(request: HttpRequest) -> str:
    """The address to go back to from a page in the place of a response: of the form, where a form was sent."""
    if request.method in ("GET", "HEAD"):
        return request.get_full_path()
    referrer = urlsplit(request.headers.get("Referer", ""))
    if referrer.netloc != request.get_host():
        return request.get_full_path()
    return back(request, f"{referrer.path}?{referrer.query}".rstrip("?"))
