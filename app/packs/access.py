"""Who may see lab packs: managers, as they hold a whole project."""

from typing import Annotated

from fastapi import Depends

from app.accounts.access import Manager
from app.db import SessionDep
from app.errors import NotFound
from app.forms import PathId
from app.language import _
from app.models import Pack


def managed_pack(pack_id: PathId, _user: Manager, session: SessionDep) -> Pack:
    """Return the pack of the path. Raises Forbidden or NotFound."""
    pack = session.get(Pack, pack_id)
    if pack is None:
        raise NotFound(_("There is no such lab pack."))
    return pack


ManagedPack = Annotated[Pack, Depends(managed_pack)]
