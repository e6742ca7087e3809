"""A browser of few words: sends requests to a middleware, keeps its cookies, and finds the forms of a page."""

import re
from html import unescape

from django.http import HttpResponse
from django.test import RequestFactory

from automigrate_ext.middleware import PendingPageMiddleware

ENTRY = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT", "OPTIONS")
ACCEPT = "text/html,application/xhtml+xml"
TAG = re.compile(r"<(?:input|button)\b[^>]*>")
ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')


def entry_of(connection):
    """What DATABASES says of a connection."""
    return {key: connection.settings_dict[key] for key in ENTRY}


class Form:
    """A form of a page: where it goes, and what it says if nothing is chosen."""

    def __init__(self, html):
        head = dict(ATTRIBUTE.findall(re.match(r"<form[^>]*>", html).group()))
        self.action, self.method = head["action"], head["method"]
        self.html = html
        tags = [dict(ATTRIBUTE.findall(tag)) for tag in TAG.findall(html)]
        self.names = {unescape(tag["name"]) for tag in tags if "name" in tag}
        self.fields = {
            unescape(tag["name"]): unescape(tag.get("value", ""))
            for tag in tags
            if "name" in tag and tag.get("type") not in ("radio", "checkbox")
        }


class Page:
    """What came back for a request."""

    def __init__(self, response):
        self.response = response
        self.status = response.status_code
        self.text = response.content.decode()
        shown = re.sub(r"<style>.*?</style>|<[^>]+>", "", self.text, flags=re.DOTALL)
        self.words = re.sub(r"\s+", " ", unescape(shown))
        self.forms = [Form(html) for html in re.findall(r"<form\b.*?</form>", self.text, re.DOTALL)]

    def form(self, words):
        """The one form that has these words."""
        (found,) = [form for form in self.forms if words in form.html]
        return found

    def has_form(self, words):
        return any(words in form.html for form in self.forms)


class Visitor:
    """Visits the middleware over a view; `served` are the requests that the view got."""

    def __init__(self, view=None, wrap=lambda view: view):
        self.served = []
        self.view = view or (lambda request: HttpResponse("served"))
        self.middleware = PendingPageMiddleware(wrap(self.serve))
        self.factory = RequestFactory()

    def serve(self, request):
        self.served.append(request)
        return self.view(request)

    def send(self, method, path, fields=None, **more):
        request = getattr(self.factory, method)(path, fields, **{"HTTP_ACCEPT": ACCEPT, **more})
        response = self.middleware(request)
        for name, morsel in response.cookies.items():
            self.factory.cookies[name] = morsel.value
        return Page(response)

    def get(self, path="/", fields=None, **more):
        return self.send("get", path, fields, **more)

    def post(self, path="/", fields=None, **more):
        return self.send("post", path, fields, **more)

    def submit(self, form, **fields):
        return self.send(form.method, form.action, {**form.fields, **fields})
