"""What a pseudonymous project keeps in place of accession numbers and of file names, which can say whose cells it has.

An accession becomes a keyed hash: whoever knows it finds the slide, nobody finds it from the slide. File names become
the beginning of the file's sha256, or the place in its ZIP.
"""

import re

from app import secret
from app.errors import AppError
from app.language import _
from app.models import Project
from app.slides.names import SYSTEM_FILES

ENDINGS = re.compile(r"\.(jpe?g|png|bmp|tiff?|webp|zip|svs|ndpi|mrxs|dcm)\Z")
SHOWN = 8  # characters of the sha256


class WrongKeyError(AppError):
    """The key of this installation is not the one a project began with."""


def kept_accession(project: Project, accession: str) -> str:
    """Return what a slide of the project keeps of its accession. Raises WrongKeyError."""
    if project.accession_key is None:
        return accession
    if project.accession_key != secret.fingerprint():
        raise WrongKeyError(
            _(
                "The secret key of this installation is not the one with which this project began, so its slides "
                "cannot be told by their accession. Put the file secret.key back from the backup."
            )
        )
    return secret.pseudonym(f"accession:{project.id}", accession)


def names_of(project: Project, accession: str) -> set[str]:
    """Return what a slide may be stored as that somebody asks for by its accession or by its pseudonym."""
    return {kept_accession(project, accession), accession.strip().upper() if project.accession_key else accession}


def kept_file_name(name: str, sha256: str) -> str:
    """Return what a pseudonymous project keeps of the name of a file; files of operating systems keep theirs."""
    base = name.replace("\\", "/").rpartition("/")[2].lower()
    return base if base in SYSTEM_FILES else sha256[:SHOWN] + _ending(base)


def kept_member_name(archive: str, index: int, name: str) -> str:
    """Return what a pseudonymous project keeps of the name of a member of an archive: its place in it, from 0."""
    return f"{archive}/{index + 1}{_ending(name.lower())}"


def _ending(name: str) -> str:
    found = ENDINGS.search(name)
    return found[0] if found else ""
