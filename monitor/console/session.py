"""Signed in or not: the person behind a request, and whether a form came from one of our pages."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

import msgspec
from fastapi import Request, Response

from evidence.person import Person
from monitor.console.context import ConsoleContext
from monitor.http.access import ANYONE, Principal, Scope
from monitor.http.body import media_type
from monitor.http.problems import ProblemError
from monitor.http.routes import Guard
from monitor.store import reading
from monitor.store.sessions import Session, end_session, find_session, open_session

COOKIE = "candor_session"
FORM_TYPE = "application/x-www-form-urlencoded"
_MAX_FORM_BYTES = 64 * 1024
_MAX_FIELDS = 100


class SignInNeededError(Exception):
    """The page is for people who signed in."""


class Viewer(msgspec.Struct, frozen=True, kw_only=True):
    """Who looks at a page.

    Parameters
    ----------
    token
        Of their session; None for who came with a key in the header, or without keys unnamed: they
        read, and no act is offered to them.
    person
        The name that they gave.
    """

    principal: Principal
    token: str | None = None
    person: str | None = None

    def may(self, scope: str) -> bool:
        """Whether an act under this scope is offered."""
        return self.token is not None and self.principal.may(Scope(scope))

    def reads_text(self) -> bool:
        """Whether texts of conversations are shown, signed in or not."""
        return self.principal.may(Scope.REVIEW)

    @property
    def name(self) -> str:
        return self.person or self.principal.name

    @property
    def csrf(self) -> str:
        """What a form of this session carries; nothing that another site could know."""
        return "" if self.token is None else csrf_of(self.token)

    def acts(self) -> Person:
        """The person as acts record them. Raises ProblemError (422) for nobody."""
        return self.principal.acts(self.person)


class Form(msgspec.Struct, frozen=True):
    """The fields of a form."""

    fields: dict[str, str]

    def get(self, field: str, *, longest: int = 2_000) -> str:
        """A field without blanks around it, empty where it is absent. Raises ProblemError (422)."""
        value = self.fields.get(field, "").strip()
        if len(value) > longest or "\0" in value:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"{field}: at most {longest} characters, without NUL",
                errors=[(field, "too long, or holds NUL")],
            )
        return value

    def required(self, field: str, *, longest: int = 2_000) -> str:
        """A field that is not empty. Raises ProblemError (422)."""
        value = self.get(field, longest=longest)
        if not value:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY, f"{field} is empty", errors=[(field, "required")]
            )
        return value


class SignedIn(Guard):
    """Lets in who may read: by session, by a key in the header, or anyone where no keys are in use."""

    def __init__(self, context: ConsoleContext, scope: Scope) -> None:
        self._context, self._scope = context, scope

    def let_in(self, request: Request) -> Viewer:
        viewer: Viewer | None = getattr(request.state, "viewer", None)
        if viewer is None:
            viewer = viewer_of(self._context, request)
            request.state.viewer = viewer
        if viewer is None:
            raise SignInNeededError
        if not viewer.principal.may(self._scope):
            raise ProblemError(
                HTTPStatus.FORBIDDEN,
                f"the key {viewer.principal.name!r} lacks the scope {self._scope}",
            )
        if request.method != "GET" and viewer.token is None:
            raise ProblemError(HTTPStatus.FORBIDDEN, "sign in to act")
        return viewer


def viewer_of(context: ConsoleContext, request: Request) -> Viewer | None:
    """Who makes a request; None for nobody we know. Raises ProblemError as `Access` does."""
    access = context.access
    if not access.is_open and "authorization" in request.headers:
        return Viewer(principal=access.principal(request))
    # Without keys: refuses names of other sites that were made to lead here.
    anyone = access.principal(request) if access.is_open else None
    token = request.cookies.get(COOKIE, "")
    session = None
    if token:
        with reading(context.engine) as connection:
            session = find_session(connection, _digest(token), now_s=context.clock())
    if anyone is not None:
        known = session is not None and session.person is not None
        return Viewer(
            principal=ANYONE,
            token=token if known else None,
            person=session.person if session is not None else None,
        )
    if session is None or session.key_sha256 is None:
        return None
    principal = access.holder(session.key_sha256)
    if principal is None:
        return None
    return Viewer(principal=principal, token=token, person=session.person)


def sign_in(context: ConsoleContext, request: Request, form: Form, answer: Response) -> None:
    """Begin a session under a new token, in place of the one the browser had.

    Raises ProblemError: 401 for no key of ours, 422 where nobody is named, 429.
    """
    said = form.get("person", longest=100) or None
    key_sha256: str | None = None
    if context.access.is_open:
        ANYONE.acts(said)
    else:
        key_sha256 = context.access.shown(form.get("key", longest=500), request)
        holder = context.access.holder(key_sha256)
        if holder is not None and said is not None:
            holder.acts(said)
    token = secrets.token_urlsafe(32)
    now_s = context.clock()
    session = Session(
        token_sha256=_digest(token),
        key_sha256=key_sha256,
        person=said,
        created_at_s=now_s,
        expires_at_s=now_s + context.session_s,
    )
    with context.engine.begin() as connection:
        end_session(connection, _digest(request.cookies.get(COOKIE, "")))
        open_session(connection, session)
    answer.set_cookie(
        COOKIE,
        token,
        max_age=int(context.session_s),
        path="/",
        secure=_over_tls(request),
        httponly=True,
        samesite="strict",
    )


def sign_out(context: ConsoleContext, request: Request, answer: Response) -> None:
    """End the session here, and in the store: a copy of its cookie is worth nothing afterwards."""
    with context.engine.begin() as connection:
        end_session(connection, _digest(request.cookies.get(COOKIE, "")))
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")


async def read_form(request: Request) -> Form:
    """The form of a request that one of our pages sent.

    Raises ProblemError: 403 for one that came from elsewhere, 413, 415, 422.
    """
    check_origin(request)
    if media_type(request.headers.get("content-type", "")) != FORM_TYPE:
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the content type is {FORM_TYPE}")
    body = await request.body()
    if len(body) > _MAX_FORM_BYTES:
        raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the form is too large")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "this is no form") from error
    return Form(dict(pairs))


async def read_act(request: Request) -> Form:
    """The form of an act: `read_form`, with the token of the session. Raises ProblemError (403)."""
    form = await read_form(request)
    viewer: Viewer | None = getattr(request.state, "viewer", None)
    expected = "" if viewer is None else viewer.csrf
    given = form.fields.get("csrf", "")
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        raise ProblemError(
            HTTPStatus.FORBIDDEN, "this form is not of your session; open the page again"
        )
    return form


def check_origin(request: Request) -> None:
    """Raises ProblemError (403) for a request that a page of another origin sent."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        foreign = site not in {"same-origin", "none"}
    else:
        origin = request.headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if foreign:
        raise ProblemError(HTTPStatus.FORBIDDEN, "this form was sent by another site")


def csrf_of(token: str) -> str:
    """The token that forms of a session carry."""
    return hmac.new(token.encode(), b"candor console form", hashlib.sha256).hexdigest()


def _over_tls(request: Request) -> bool:
    """As the browser sees it: behind a proxy the request itself came in the clear."""
    origin = request.headers.get("origin", "")
    return request.url.scheme == "https" or origin.startswith("https:")


def _digest(token: str) -> str:
    # 256 random bits: a plain hash cannot be guessed backwards.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
