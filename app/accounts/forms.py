"""What people type on the accounts pages."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, ValidationInfo, field_validator

from app.accounts import passwords
from app.forms import Name
from app.language import _, languages

EMAIL = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[^@\s.,;<>\"]+")
Role = Literal["technician", "reviewer", "manager"]


def _email(value: str) -> str:
    if not EMAIL.fullmatch(value) or not value.isprintable():
        raise ValueError(_("Please give an address such as name@lab.example."))
    return value


Email = Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, max_length=254), AfterValidator(_email)]


class NewPassword(BaseModel):
    """A password and its repetition; which ones are good enough depends on the person, so the service says."""

    password: Annotated[str, Field(min_length=1, max_length=passwords.LONGEST)]
    repeated: str

    @field_validator("repeated")
    @classmethod
    def _same_twice(cls, repeated: str, info: ValidationInfo) -> str:
        if repeated != info.data.get("password", repeated):
            raise ValueError(_("The two passwords are not the same."))
        return repeated


class Welcome(NewPassword):
    """Somebody who follows an invitation."""

    name: Name
    email: Email


class PasswordChange(NewPassword):
    """A new password from somebody who is signed in."""

    current: str


class Profile(BaseModel):
    """What people may change about themselves."""

    name: Name


class LanguageChoice(BaseModel):
    """The language of the pages; empty follows the browser."""

    language: str

    @field_validator("language")
    @classmethod
    def _known(cls, language: str) -> str:
        if language and language not in languages():
            raise ValueError(_("There is no such language."))
        return language


class RoleChoice(BaseModel):
    """A role to give."""

    role: Role


class NewToken(BaseModel):
    """An API token to make."""

    token_name: Name
    access: Literal["read", "write"]
    days: Annotated[int, Field(ge=1, le=365)]

    @property
    def scopes(self) -> list[str]:
        """Whoever may write may read."""
        return ["read"] if self.access == "read" else ["read", "write"]
