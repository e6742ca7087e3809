"""The pending page: while developing, what differs stands in the place of the traceback that it leads to."""

from __future__ import annotations

import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
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
from automigrate_ext.pending.look import apply, look
from automigrate_ext.pending.page import guarded, respond

#: What a request is for (Sec-Fetch-Dest) that may be answered: a page, or what a script asks for. Others are parts of a
#: page that has been let through.
ANSWERED = frozenset({"document", "empty"})

OUTDATED = (
    "The database or the models have changed since this page was made, so nothing was done. This is what differs now."
)
NOT_OURS = "That form did not come from this page as it was made for this browser, so nothing was done. Send it again."
UNTICKED = "Nothing was done: tick the box to say that the data may be lost."


class SeeOther(HttpResponseRedirect):
    """Go on with GET, whatever the method was."""

    status_code = 303


class PendingPageMiddleware:
    """Shows what differs between the databases and the models, and applies it on request.

    It looks at the first request of the process, so after each reload, and when a request ended in an error of a
    database or of this package; as long as something differs, at each request. Only for `INTERNAL_IPS`. Raises
    `MiddlewareNotUsed` where DEBUG is off.
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
        #: Whether to look at the next request.
        self.due = True
        #: What differed when somebody chose to go on without.
        self.put_off: tuple[object, ...] = ()
        #: The requests that ended in an error of a database, and the error in words.
        self.failures: WeakKeyDictionary[HttpRequest, str] = WeakKeyDictionary()
        got_request_exception.connect(self.note_failure)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self.acall(request)
        if self.may_answer(request) and (answer := self.answer(request)):
            return answer
        response = cast(HttpResponseBase, self.get_response(request))
        if self.failures and (failure := self.failures.pop(request, "")):
            return self.answer(request, failure) or response
        return response

    async def acall(self, request: HttpRequest) -> HttpResponseBase:
        """The same for a project that is served by ASGI; databases are looked at in Django's thread for them."""
        answer = sync_to_async(self.answer, thread_sensitive=True)
        if self.may_answer(request) and (found := await answer(request)):
            return found
        response = cast(HttpResponseBase, await self.get_response(request))
        if self.failures and (failure := self.failures.pop(request, "")):
            return await answer(request, failure) or response
        return response

    def may_answer(self, request: HttpRequest) -> bool:
        """Whether to look before the request goes on; asks no database."""
        if not self.due and request.path_info != forms.PATH:
            return False
        return is_internal(request) and request.headers.get("Sec-Fetch-Dest", "document") in ANSWERED

    def note_failure(self, request: HttpRequest | None = None, **kwargs: Any) -> None:
        """Remember a request that ended in an error of a database, be it of a view or of another middleware."""
        error = telling_error(sys.exc_info()[1])
        if request is not None and error is not None and is_internal(request):
            self.failures[request] = f"{type(error).__name__}: {error}"

    def answer(self, request: HttpRequest, failure: str = "") -> HttpResponseBase | None:
        """The page in the place of a response, or what comes of a form of the page; None to go on."""
        request.get_host()  # whoever gives a host that is not allowed is told nothing
        with self.lock:
            if request.path_info == forms.PATH:
                return self.act(request) if request.method == "POST" else self.show(request)
            if not self.due and not failure:
                return None  # another request has looked in the meantime
            found = look()
            self.due = bool(found) and tuple(pending.fingerprint for pending in found) != self.put_off
            return respond(request, found, back=forms.asked_for(request), failure=failure) if self.due else None

    # The page's own address

    def show(self, request: HttpRequest) -> HttpResponseBase:
        """The page with the plan that some answers lead to."""
        back = forms.back(request, request.GET.get("back", ""))
        found = look(forms.read_replies(request.GET))
        return respond(request, found, back=back) if found else SeeOther(back)

    def act(self, request: HttpRequest) -> HttpResponseBase:
        """Do what a form asks for and go back to the address that was asked for first."""
        back = forms.back(request, request.POST.get("back", ""))
        word, status = self.carry_out(request)
        self.due = self.due or bool(word)
        found = look() if word else ()
        if not found:
            return guarded(SeeOther(back))
        return respond(request, found, back=back, word=word, status=status)

    def carry_out(self, request: HttpRequest) -> tuple[str, int]:
        """Do it; returns what is wrong, in words and as a status, or nothing."""
        if not forms.is_genuine(request):
            return NOT_OURS, 403
        if "put-off" in request.POST:
            self.put_off = tuple(pending.fingerprint for pending in look())
            self.due = False
            return "", 0
        try:
            values = forms.read_signed(request.POST.get("plan", ""))
            if values["request"]["accept_data_loss"] and "accept" not in request.POST:
                return UNTICKED, 400
            apply(values)
        except signing.BadSignature:
            return NOT_OURS, 403
        except UnusablePlan:
            return OUTDATED, 409
        except (AutomigrateError, Error) as error:
            return str(error), 503
        self.due = True
        return "", 0


def is_internal(request: HttpRequest) -> bool:
    """Whether the request comes from one of INTERNAL_IPS, and DEBUG is still on."""
    return bool(settings.DEBUG) and request.META.get("REMOTE_ADDR") in settings.INTERNAL_IPS


def telling_error(error: BaseException | None) -> BaseException | None:
    """What an error is, or comes from, that may come of a difference: an error of a database or of this package."""
    return next((found for found in causes(error) if isinstance(found, (DatabaseError, AutomigrateError))), None)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it was raised from or in the handling of."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
