"""Pages of the accounts: signing in, one-time links, one's own account, and everybody's for managers."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.accounts import queries, service
from app.accounts.access import CurrentUser, Manager, address_of
from app.accounts.forms import LanguageChoice, NewPassword, NewToken, PasswordChange, Profile, RoleChoice, Welcome
from app.config import get_settings
from app.db import SessionDep
from app.errors import Invalid, NotFound, NotSignedIn, TooManyRequests
from app.forms import FormValues, PathId, fields, parse, reasons_of
from app.language import _, languages
from app.models import ApiToken, Invitation, User
from app.models.user import ROLES
from app.security import clear_session_cookie, csrf_token, new_secret, require_visit, session_id, set_session_cookie
from app.templating import render

router = APIRouter(tags=["accounts"])


def _safe_next(target: str) -> str:
    """Return `target` if it is a path of ours; anything that could lead to another site becomes the start page."""
    parts = urlsplit(target)
    ours = target.startswith("/") and not target.startswith("//") and not parts.scheme and not parts.netloc
    return target if ours and "\\" not in target and target.isprintable() else "/"


def _visit_page(request: Request, template: str, **context: Any) -> Response:
    """Show a form to somebody who is not signed in; a visitor without a cookie gets one that binds the form to it."""
    visit = session_id(request) or new_secret()
    request.state.csrf_token = csrf_token(visit)
    answer = render(request, template, **context)
    set_session_cookie(request, answer, visit)
    return answer


def _signed_in(request: Request, new_id: str, target: str) -> Response:
    answer = RedirectResponse(target, 303)
    set_session_cookie(request, answer, new_id)
    return answer


@router.get("/sign-in")
def sign_in_page(request: Request, next: str = "/") -> Response:  # noqa: A002 - the usual name in addresses
    """Show the form."""
    return _visit_page(request, "accounts/sign_in.html", next=_safe_next(next), email="", error="")


@router.post("/sign-in", dependencies=[Depends(require_visit)])
def sign_in(request: Request, values: FormValues) -> Response:
    """Sign in and go back to where the person was; the session gets a new id."""
    target, email = _safe_next(values.get("next", "/")), values.get("email", "")
    try:
        new_id = service.sign_in(email, values.get("password", ""), address_of(request))
        return _signed_in(request, new_id, target)
    except (NotSignedIn, TooManyRequests) as error:
        context: dict[str, Any] = {"next": target, "email": email, "error": error.detail}
        return render(request, "accounts/sign_in.html", status=error.status, extra_headers=error.headers, **context)


@router.post("/sign-out")
def sign_out(request: Request, session: SessionDep) -> Response:
    """End the session on the server and in the browser."""
    service.sign_out(session, session_id(request) or "")
    answer = RedirectResponse("/sign-in", 303)
    clear_session_cookie(request, answer)
    return answer


def _invitation_of_link(token: str, session: SessionDep) -> Invitation:
    invitation = queries.open_invitation(session, token)
    if invitation is None:
        raise NotFound(_("This link was used already or has expired. Ask a manager for a new one."))
    return invitation


InvitationOfLink = Annotated[Invitation, Depends(_invitation_of_link)]


@router.get("/welcome/{token}")
def welcome_page(request: Request, invitation: InvitationOfLink) -> Response:
    """Show the form that a one-time link leads to."""
    return _visit_page(request, "accounts/welcome.html", invitation=invitation, values=fields(), errors=fields())


@router.post("/welcome/{token}", dependencies=[Depends(require_visit)])
def welcome(request: Request, invitation: InvitationOfLink, values: FormValues, session: SessionDep) -> Response:
    """Use a one-time link: create the account or set the new password, and sign in."""
    try:
        if invitation.user_id is None:
            user = service.join(session, invitation, parse(Welcome, values))
        else:
            user = service.reset_password(session, invitation, parse(NewPassword, values))
    except Invalid as error:
        context: dict[str, Any] = {"invitation": invitation, "values": values, "errors": reasons_of(error)}
        return render(request, "accounts/welcome.html", status=422, **context)
    return _signed_in(request, service.start_session(session, user), "/")


def _account_page(
    request: Request,
    session: Session,
    user: User,
    values: dict[str, Any],
    *,
    error: Invalid | None = None,
    secret: str = "",
) -> Response:
    tokens = queries.tokens(session, user)
    context: dict[str, Any] = {
        "active": "account",
        "tokens": tokens,
        "languages": [(each.tag, each.name) for each in languages().values()],
        "chosen": user.language or "",
        "values": values,
        "errors": reasons_of(error),
        "secret": secret,
    }
    return render(request, "accounts/account.html", status=422 if error else 200, **context)


@router.get("/account")
def account(request: Request, user: CurrentUser, session: SessionDep) -> Response:
    """Show one's own account."""
    return _account_page(request, session, user, fields())


@router.post("/account/name")
def change_name(request: Request, user: CurrentUser, session: SessionDep, values: FormValues) -> Response:
    """Change one's own name."""
    try:
        service.rename(session, user, parse(Profile, values).name)
    except Invalid as error:
        return _account_page(request, session, user, fields(), error=error)
    return RedirectResponse("/account", 303)


@router.post("/account/language")
def choose_language(request: Request, user: CurrentUser, session: SessionDep, values: FormValues) -> Response:
    """Choose the language of one's own pages."""
    try:
        service.choose_language(user, parse(LanguageChoice, values).language)
    except Invalid as error:
        return _account_page(request, session, user, fields(), error=error)
    return RedirectResponse("/account", 303)


@router.post("/account/password")
def change_password(request: Request, user: CurrentUser, session: SessionDep, values: FormValues) -> Response:
    """Change one's own password; this browser stays signed in, all others do not."""
    try:
        new_id = service.change_password(session, user, parse(PasswordChange, values), address_of(request))
    except Invalid as error:
        return _account_page(request, session, user, fields(), error=error)
    return _signed_in(request, new_id, "/account")


@router.post("/account/tokens")
def create_token(request: Request, user: CurrentUser, session: SessionDep, values: FormValues) -> Response:
    """Make an API token and show it this one time."""
    try:
        secret = service.create_token(session, user, parse(NewToken, values))
    except Invalid as error:
        return _account_page(request, session, user, values, error=error)
    session.flush()
    return _account_page(request, session, user, fields(), secret=secret)


@router.post("/account/tokens/{token_id}/revoke")
def revoke_own_token(token_id: PathId, user: CurrentUser, session: SessionDep) -> Response:
    """Make one of one's own tokens stop working."""
    token = session.get(ApiToken, token_id)
    if token is None or token.user_id != user.id:
        raise NotFound(_("There is no such token among yours."))
    service.revoke_token(session, token, by=user)
    return RedirectResponse("/account", 303)


def _people_page(request: Request, session: Session, *, link: str = "", link_for: str = "") -> Response:
    if link:
        base = get_settings().public_url.rstrip("/") or str(request.base_url).rstrip("/")
        link = f"{base}/welcome/{link}"
    return render(
        request,
        "accounts/people.html",
        active="accounts",
        people=queries.people(session),
        invitations=queries.open_invitations(session),
        tokens=queries.tokens(session),
        roles=ROLES,
        link=link,
        link_for=link_for,
    )


@router.get("/accounts")
def people(request: Request, _manager: Manager, session: SessionDep) -> Response:
    """Show everybody, the open invitations and all tokens."""
    return _people_page(request, session)


@router.post("/accounts/invitations")
def invite(request: Request, manager: Manager, session: SessionDep, values: FormValues) -> Response:
    """Make an invitation and show its link this one time."""
    role = parse(RoleChoice, values).role
    text = _("Link for a new account: %(role)s", role=_(role))
    return _people_page(request, session, link=service.invite(session, role, by=manager), link_for=text)


@router.post("/accounts/invitations/{invitation_id}/withdraw")
def withdraw(invitation_id: PathId, manager: Manager, session: SessionDep) -> Response:
    """Make an invitation stop working."""
    service.withdraw(session, invitation_id, by=manager)
    return RedirectResponse("/accounts", 303)


def _person(user_id: PathId, _manager: Manager, session: SessionDep) -> User:
    user = session.get(User, user_id)
    if user is None:
        raise NotFound(_("There is no such person."))
    return user


Person = Annotated[User, Depends(_person)]


@router.post("/accounts/{user_id}/role")
def change_role(person: Person, manager: Manager, session: SessionDep, values: FormValues) -> Response:
    """Give a person another role."""
    service.change_role(session, person, parse(RoleChoice, values).role, by=manager)
    return RedirectResponse("/accounts", 303)


@router.post("/accounts/{user_id}/deactivate")
def deactivate(person: Person, manager: Manager, session: SessionDep) -> Response:
    """Shut a person out."""
    service.deactivate(session, person, by=manager)
    return RedirectResponse("/accounts", 303)


@router.post("/accounts/{user_id}/activate")
def activate(person: Person, manager: Manager, session: SessionDep) -> Response:
    """Let a person in again."""
    service.activate(session, person, by=manager)
    return RedirectResponse("/accounts", 303)


@router.post("/accounts/{user_id}/password-link")
def password_link(request: Request, person: Person, manager: Manager, session: SessionDep) -> Response:
    """Make a link with which a person sets a new password, and show it this one time."""
    link = service.password_link(session, person, by=manager)
    text = _("Link for a new password of %(name)s", name=person.name)
    return _people_page(request, session, link=link, link_for=text)


@router.post("/accounts/tokens/{token_id}/revoke")
def revoke_token(token_id: PathId, manager: Manager, session: SessionDep) -> Response:
    """Make anybody's token stop working."""
    token = session.get(ApiToken, token_id)
    if token is None:
        raise NotFound(_("There is no such token."))
    service.revoke_token(session, token, by=manager)
    return RedirectResponse("/accounts", 303)
