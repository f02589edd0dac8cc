"""Who may see and settle an alarm: whoever may open its project."""

from typing import Annotated

from fastapi import Depends

from app.accounts.access import CurrentUser
from app.db import SessionDep
from app.errors import NotFound
from app.forms import PathId
from app.language import _
from app.models import Alarm
from app.projects.access import opens


def viewable_alarm(alarm_id: PathId, user: CurrentUser, session: SessionDep) -> Alarm:
    """Return the alarm of the path. Raises NotFound."""
    alarm = session.get(Alarm, alarm_id)
    if alarm is None or not opens(session, alarm.project_id, user):
        raise NotFound(_("There is no such alarm, or you are not a member of its project."))
    return alarm


EditableAlarm = Annotated[Alarm, Depends(viewable_alarm)]  # every member says what they found
