"""The page's forms: their address, whether a form is the page's own, and the values in it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.core import signing
from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.urls import get_script_prefix
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.http import url_has_allowed_host_and_scheme

from automigrate_ext.pending.mismatches import Reply

if TYPE_CHECKING:
    from automigrate_ext.plan.plan import Plan

#: The path of the forms, below the project's root.
PATH = "/__automigrate_ext__/"
COOKIE = "automigrate_ext"
SALT = "automigrate_ext.pending"
#: The prefixes of fields that answer a question.
RENAME, DEFAULT = "rename:", "default:"


def action() -> str:
    """Return the address of the forms."""
    return f"{get_script_prefix().rstrip('/')}{PATH}"


# Whether a form is the page's own
#
# A cookie and a signature of it that only the page has, so that neither sessions, which may lack their table, nor the
# project's own CSRF settings are needed.


def secret_of(request: HttpRequest) -> str:
    """Return the secret of a browser, a new one where it has none."""
    return request.COOKIES.get(COOKIE) or secrets.token_urlsafe(24)


def token(secret: str) -> str:
    """Return the token that a form of the page must have for this secret."""
    return salted_hmac(SALT, secret, algorithm="sha256").hexdigest()


def set_secret(response: HttpResponseBase, request: HttpRequest, secret: str) -> None:
    """Set the cookie of the secret, until the browser is closed; requests of other sites do not carry it."""
    response.set_cookie(
        COOKIE, secret, path=get_script_prefix(), httponly=True, samesite="Strict", secure=request.is_secure()
    )


def is_genuine(request: HttpRequest) -> bool:
    """Return whether a form comes from a page that this project made for this browser."""
    secret = request.COOKIES.get(COOKIE, "")
    own = secret and constant_time_compare(token(secret), request.POST.get("token", ""))
    origin = request.headers.get("Origin")
    return bool(own) and (origin is None or urlsplit(origin).netloc == request.get_host())


# The values in a form


def sign(plan: Plan) -> str:
    """Return a plan as a signed text for a form."""
    return signing.dumps(plan.as_dict(), salt=SALT, compress=True)


def read_signed(text: str) -> dict[str, Any]:
    """Return the plain values of a signed plan. Raises `signing.BadSignature`."""
    values: dict[str, Any] = signing.loads(text, salt=SALT)
    return values


def read_replies(query: QueryDict) -> dict[str, Reply]:
    """Return the answers about one database, by its alias."""
    renames = with_prefix(query, RENAME)
    reply = Reply(
        renames={old: new for old, new in renames.items() if new},
        declined=frozenset(old for old, new in renames.items() if not new),
        defaults={label: value for label, value in with_prefix(query, DEFAULT).items() if value},
    )
    return {query.get("database", ""): reply}


def with_prefix(query: QueryDict, prefix: str) -> Mapping[str, str]:
    """Return the fields whose names have a prefix, without the prefix."""
    return {name.removeprefix(prefix): str(query[name]) for name in query if name.startswith(prefix)}


def back_address(request: HttpRequest, given: str) -> str:
    """Return the given address to go back to if it is one of this site, else the root."""
    own = url_has_allowed_host_and_scheme(given, allowed_hosts=None) and given.startswith("/")
    return given if own and not given.startswith(action()) else get_script_prefix()


def requested_address(request: HttpRequest) -> str:
    """Return the address to go back to from a page in the place of a response: the form's page, where one was sent."""
    if request.method in ("GET", "HEAD"):
        return request.get_full_path()
    referrer = urlsplit(request.headers.get("Referer", ""))
    if referrer.netloc != request.get_host():
        return request.get_full_path()
    return back_address(request, f"{referrer.path}?{referrer.query}".rstrip("?"))
