"""Signing in and out, invitations, roles, passwords and API tokens."""

import logging
from datetime import timedelta

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from app.accounts import attempts, passwords, queries
from app.accounts.forms import NewPassword, NewToken, PasswordChange, Welcome
from app.config import get_settings
from app.db import now, reading, transaction
from app.errors import Conflict, NotFound, NotSignedIn
from app.forms import refusal
from app.language import _
from app.models import ApiToken, Invitation, SignIn, User
from app.models.audit import record
from app.security import digest, new_secret

INVITATION_HOURS = 24
TOKEN_PREFIX = "fc_"  # noqa: S105 - what every token begins with, so that secret scanners can find leaked ones

log = logging.getLogger(__name__)


def sign_in(email: str, password: str, address: str) -> str:
    """Return the id of a new session.

    Opens its own transactions: the slow look at the password happens between them, so nobody waits for a lock.
    Raises TooManyRequests, and NotSignedIn without saying what was wrong.
    """
    email = email.strip().lower()
    attempts.begin(email, address)
    with reading() as session:
        user = queries.by_email(session, email)
    matches, renewed_hash = passwords.verify(password, user.password_hash if user else None)
    if user is None or not matches or not user.active:
        log.warning("refused a sign-in from %s", address)
        raise NotSignedIn(_("This e-mail address and password do not go together."))
    attempts.succeeded(email)
    with transaction() as session:
        if renewed_hash:
            unchanged = (User.id == user.id) & (User.password_hash == user.password_hash)
            session.execute(update(User).where(unchanged).values(password_hash=renewed_hash))
        record(session, "user.signed_in", by=user.id, address=address)
        return start_session(session, user)


def start_session(session: Session, user: User) -> str:
    """Begin a session for a person who has proved who they are; returns the id for the cookie."""
    moment, session_id = now(), new_secret()
    session.execute(delete(SignIn).where(SignIn.created_at < moment - timedelta(hours=get_settings().session_hours)))
    session.add(SignIn(token_sha256=digest(session_id), user_id=user.id, created_at=moment, last_seen_at=moment))
    return session_id


def sign_out(session: Session, session_id: str) -> None:
    """End a session."""
    session.execute(delete(SignIn).where(SignIn.token_sha256 == digest(session_id)))


def first_manager_link(session: Session) -> str | None:
    """Return a one-time link for the first manager, None once there is one. Links made earlier stop working."""
    if queries.active_managers(session):
        return None
    older = (Invitation.used_at.is_(None)) & (Invitation.role == "manager")
    session.execute(update(Invitation).where(older).values(expires_at=now()))
    return f"{get_settings().address}/welcome/{_invitation(session, 'manager')}"


def invite(session: Session, role: str, by: User) -> str:
    """Return the secret of a one-time link with which somebody creates an account with this role."""
    record(session, "user.invited", by=by.id, role=role)
    return _invitation(session, role)


def password_link(session: Session, user: User, by: User | None) -> str:
    """Return the secret of a one-time link with which this person sets a new password; by nobody from the console."""
    record(session, "user.password_link_made", by=by.id if by else None, user=user.email)
    return _invitation(session, user.role, user.id)


def _invitation(session: Session, role: str, user_id: int | None = None) -> str:
    secret, moment = new_secret(), now()
    expires_at = moment + timedelta(hours=INVITATION_HOURS)
    session.add(
        Invitation(token_sha256=digest(secret), role=role, user_id=user_id, created_at=moment, expires_at=expires_at)
    )
    return secret


def withdraw(session: Session, invitation_id: int, by: User) -> None:
    """Make a link stop working."""
    record(session, "user.invitation_withdrawn", by=by.id, invitation=invitation_id)
    session.execute(update(Invitation).where(Invitation.id == invitation_id).values(expires_at=now()))


def join(session: Session, invitation: Invitation, form: Welcome) -> User:
    """Create the account of somebody who follows an invitation. Raises Invalid, NotFound when the link was used."""
    if queries.by_email(session, form.email):
        raise refusal({"email": _("There is already an account with this address. Ask a manager for a new password.")})
    _check_password(form.password, form.email)
    _use(session, invitation)
    user = User(
        email=form.email,
        name=form.name,
        role=invitation.role,
        password_hash=passwords.hash_password(form.password),
        created_at=now(),
    )
    session.add(user)
    session.flush()
    record(session, "user.joined", by=user.id, email=user.email, name=user.name, role=user.role)
    return user


def reset_password(session: Session, invitation: Invitation, form: NewPassword) -> User:
    """Set the password of the person the link names, ending all their sessions. Raises Invalid, NotFound."""
    user = session.get_one(User, invitation.user_id)
    _check_password(form.password, user.email)
    _use(session, invitation)
    _set_password(session, user, form.password)
    return user


def _use(session: Session, invitation: Invitation) -> None:
    """Use up a link; of two people who follow it at the same moment one is too late."""
    unused = (Invitation.id == invitation.id) & Invitation.used_at.is_(None)
    used = update(Invitation).where(unused).values(used_at=now()).returning(Invitation.id)
    if session.scalar(used) is None:
        raise NotFound(_("This link was used already."))


def _check_password(password: str, email: str) -> None:
    reason = passwords.check(password, email)
    if reason:
        raise refusal({"password": reason})


def _set_password(session: Session, user: User, password: str) -> None:
    user.password_hash = passwords.hash_password(password)
    session.execute(delete(SignIn).where(SignIn.user_id == user.id))
    record(session, "user.password_changed", by=user.id)


def confirm(user: User, password: str, address: str, *, field: str) -> None:
    """Make sure that it is the person who acts. Raises Invalid, or TooManyRequests after too many wrong passwords."""
    attempts.begin(user.email, address)
    if not passwords.verify(password, user.password_hash)[0]:
        raise refusal({field: _("This is not your present password.")})
    attempts.succeeded(user.email)


def change_password(session: Session, user: User, form: PasswordChange, address: str) -> str:
    """Set one's own password. All sessions end; returns the id of a new one for this browser.

    Raises Invalid, or TooManyRequests after too many wrong present passwords.
    """
    confirm(user, form.current, address, field="current")
    _check_password(form.password, user.email)
    _set_password(session, user, form.password)
    return start_session(session, user)


def rename(session: Session, user: User, name: str) -> None:
    """Change the name others see."""
    record(session, "user.renamed", by=user.id, old=user.name, new=name)
    user.name = name


def choose_language(user: User, tag: str) -> None:
    """Show a person all pages in a language, from this one on; empty follows the browser again."""
    user.language = tag or None


def change_role(session: Session, user: User, role: str, by: User) -> None:
    """Give a person another role. Raises Conflict for the last manager."""
    if role == user.role:
        return
    _keep_a_manager(session, user)
    record(session, "user.role_changed", by=by.id, user=user.email, old=user.role, new=role)
    user.role = role


def deactivate(session: Session, user: User, by: User) -> None:
    """Shut a person out: their sessions end and their tokens are revoked, what they did stays. Raises Conflict."""
    _keep_a_manager(session, user)
    user.active = False
    session.execute(delete(SignIn).where(SignIn.user_id == user.id))
    theirs = (ApiToken.user_id == user.id) & ApiToken.revoked_at.is_(None)
    session.execute(update(ApiToken).where(theirs).values(revoked_at=now()))
    session.execute(update(Invitation).where(Invitation.user_id == user.id).values(expires_at=now()))
    record(session, "user.deactivated", by=by.id, user=user.email)


def activate(session: Session, user: User, by: User) -> None:
    """Let a person in again; tokens stay revoked."""
    user.active = True
    record(session, "user.activated", by=by.id, user=user.email)


def _keep_a_manager(session: Session, user: User) -> None:
    if user.active and user.role == "manager" and queries.active_managers(session, lock=True) == 1:
        raise Conflict(_("%(name)s is the last manager. Make somebody else a manager first.", name=user.name))


def create_token(session: Session, user: User, form: NewToken) -> str:
    """Return a new API token; it is not stored and cannot be shown again."""
    secret, moment = TOKEN_PREFIX + new_secret(), now()
    session.add(
        ApiToken(
            user_id=user.id,
            name=form.token_name,
            prefix=secret[:8],
            token_sha256=digest(secret),
            scopes=form.scopes,
            created_at=moment,
            expires_at=moment + timedelta(days=form.days),
        )
    )
    record(session, "token.created", by=user.id, name=form.token_name, scopes=form.scopes, days=form.days)
    return secret


def revoke_token(session: Session, token: ApiToken, by: User) -> None:
    """Make a token stop working."""
    if token.revoked_at is None:
        token.revoked_at = now()
        record(session, "token.revoked", by=by.id, name=token.name, prefix=token.prefix, user_id=token.user_id)
