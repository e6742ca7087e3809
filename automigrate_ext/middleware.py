"""The pending page: during development, a page about what differs takes the place of the traceback that it leads to."""

from __future__ import annotations

import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, cast
from weakref import WeakKeyDictionary

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.core import signing
from django.core.exceptions import MiddlewareNotUsed
from django.core.signals import got_request_exception
from django.db.utils import DatabaseError, Error
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect

from automigrate_ext.exceptions import AutomigrateError, UnusablePlan
from automigrate_ext.pending import forms
from automigrate_ext.pending.mismatches import Mismatch, apply_plan, find_mismatches

#: The destinations (Sec-Fetch-Dest) of requests that the page may answer: a page, or what a script asks for. Others are
#: parts of a page that the project has answered.
PAGE_DESTINATIONS = frozenset({"document", "empty"})

OUTDATED = (
    "The database or the models have changed since this page was made, so nothing was done. This is what differs now."
)
NOT_OURS = "That form did not come from this page as it was made for this browser, so nothing was done. Send it again."
UNTICKED = "Nothing was done: tick the box to allow the loss of data."


class SeeOther(HttpResponseRedirect):
    """A redirect that is followed with GET, whatever the method was."""

    status_code = 303


class PendingPageMiddleware:
    """Shows what differs between the databases and the models, and applies it on request.

    The databases are compared at the first request of the process, so after each reload, and when a request ended in an
    error of a database or of this package; as long as something differs, at each request. Only for `INTERNAL_IPS`.
    Raises `MiddlewareNotUsed` where DEBUG is off.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        if not settings.DEBUG:
            raise MiddlewareNotUsed("DEBUG is off")
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)
        self.lock = threading.Lock()
        #: Whether to compare the databases at the next request.
        self.is_due = True
        #: The fingerprints of what differed when somebody chose "Not now".
        self.put_off: tuple[object, ...] = ()
        #: The requests that ended in an error of a database or of this package, and the error in words.
        self.failures: WeakKeyDictionary[HttpRequest, str] = WeakKeyDictionary()
        got_request_exception.connect(self.record_failure)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self.acall(request)
        if self.may_intercept(request) and (page := self.intercept(request)):
            return page
        response = cast(HttpResponseBase, self.get_response(request))
        if self.failures and (failure := self.failures.pop(request, "")):
            return self.intercept(request, failure) or response
        return response

    async def acall(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a request under ASGI; the databases are compared in Django's thread for synchronous code."""
        intercept = sync_to_async(self.intercept, thread_sensitive=True)
        if self.may_intercept(request) and (page := await intercept(request)):
            return page
        response = cast(HttpResponseBase, await self.get_response(request))
        if self.failures and (failure := self.failures.pop(request, "")):
            return await intercept(request, failure) or response
        return response

    def may_intercept(self, request: HttpRequest) -> bool:
        """Return whether a request is one to compare databases at, without a query to any."""
        if not self.is_due and request.path_info != forms.PATH:
            return False
        return is_internal(request) and request.headers.get("Sec-Fetch-Dest", "document") in PAGE_DESTINATIONS

    def record_failure(self, request: HttpRequest | None = None, **kwargs: Any) -> None:
        """Remember a request that ended in an error that may come from a difference, be it of other middleware."""
        error = database_error(sys.exc_info()[1])
        if request is not None and error is not None and is_internal(request):
            self.failures[request] = f"{type(error).__name__}: {error}"

    def intercept(self, request: HttpRequest, failure: str = "") -> HttpResponseBase | None:
        """Return the page in the place of a response, or the answer to a form of the page; None to go on."""
        request.get_host()  # raises DisallowedHost, so that no page goes to a host that is not allowed
        with self.lock:
            if request.path_info == forms.PATH:
                return self.answer_form(request) if request.method == "POST" else self.show_page(request)
            if not self.is_due and not failure:
                return None  # another request has compared the databases in the meantime
            mismatches = find_mismatches()
            self.is_due = bool(mismatches) and fingerprints(mismatches) != self.put_off
            if not self.is_due:
                return None
            return self.respond(request, mismatches, back=forms.requested_address(request), failure=failure)

    def respond(self, request: HttpRequest, mismatches: Sequence[Mismatch], **words: Any) -> HttpResponseBase:
        """Return the page about the databases that do not match; `words` are what `page.respond` takes."""
        # Each reload of a server loads this module, and mostly nothing differs.
        from automigrate_ext.pending.page import respond

        return respond(request, mismatches, **words)

    # The page's own address

    def show_page(self, request: HttpRequest) -> HttpResponseBase:
        """Return the page with the plan that follows from some answers."""
        back = forms.back_address(request, request.GET.get("back", ""))
        mismatches = find_mismatches(forms.read_replies(request.GET))
        return self.respond(request, mismatches, back=back) if mismatches else SeeOther(back)

    def answer_form(self, request: HttpRequest) -> HttpResponseBase:
        """Carry out a form; return a redirect to the address that was requested first, or the page with the error."""
        back = forms.back_address(request, request.POST.get("back", ""))
        message, status = self.carry_out(request)
        self.is_due = self.is_due or bool(message)
        mismatches = find_mismatches() if message else ()
        if not mismatches:
            # As in `respond`.
            from automigrate_ext.pending.page import protect

            return protect(SeeOther(back))
        return self.respond(request, mismatches, back=back, message=message, status=status)

    def carry_out(self, request: HttpRequest) -> tuple[str, int]:
        """Carry out a form; return what is wrong, in words and as a status of HTTP, or "" and 0."""
        if not forms.is_genuine(request):
            return NOT_OURS, 403
        if "put-off" in request.POST:
            self.put_off = fingerprints(find_mismatches())
            self.is_due = False
            return "", 0
        try:
            values = forms.read_signed(request.POST.get("plan", ""))
            if values["request"]["accept_data_loss"] and "accept" not in request.POST:
                return UNTICKED, 400
            apply_plan(values)
        except signing.BadSignature:
            return NOT_OURS, 403
        except UnusablePlan:
            return OUTDATED, 409
        except (AutomigrateError, Error) as error:
            return str(error), 503
        self.is_due = True
        return "", 0


def fingerprints(mismatches: Iterable[Mismatch]) -> tuple[object, ...]:
    """Return a value that changes when something else differs."""
    return tuple(mismatch.fingerprint for mismatch in mismatches)


def is_internal(request: HttpRequest) -> bool:
    """Return whether the request comes from one of INTERNAL_IPS, and DEBUG is still on."""
    return bool(settings.DEBUG) and request.META.get("REMOTE_ADDR") in settings.INTERNAL_IPS


def database_error(error: BaseException | None) -> BaseException | None:
    """Return the error of a database or of this package that an error is or comes from, None where there is none."""
    return next((cause for cause in causes(error) if isinstance(cause, (DatabaseError, AutomigrateError))), None)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it was raised from or in the handling of."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
