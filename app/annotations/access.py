"""Whose times a person may see on the team page: managers everybody's, others only their own and the team's total."""

from app.models import User


def may_see_times_of(user: User, person_id: int) -> bool:
    """Say whether `user` may see the row of a person."""
    return user.role == "manager" or user.id == person_id
