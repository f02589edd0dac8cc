"""Makes rows and images for tests. Each `make_*` commits what it returns."""

import io
from collections.abc import Sequence
from datetime import timedelta
from itertools import count

import numpy as np
import PIL.Image
from sqlalchemy import func, select

from app import jobs
from app.accounts import passwords
from app.db import now, transaction
from app.models import ApiToken, Cell, CellClass, Encoder, Image, Member, Project, Scanner, Slide, User
from app.security import digest
from app.storage import get_storage
from tests.fakes import FakeEncoder

PASSWORD = "correct horse battery"  # of everybody made by `make_user`
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#000000")
numbers = count(1)


def load_fake_encoder(_encoder_id: int) -> FakeEncoder:
    """Stand in for `workers.encoders.load`."""
    return FakeEncoder()


def make_user(
    role: str = "technician",
    member_of: Project | Sequence[Project] = (),
    *,
    name: str = "",
    email: str = "",
    active: bool = True,
) -> User:
    """A person with PASSWORD, member of the given project or projects."""
    number = next(numbers)
    projects = [member_of] if isinstance(member_of, Project) else member_of
    with transaction() as session:
        user = User(
            email=email or f"person{number}@lab.example",
            name=name or f"Person {number}",
            role=role,
            password_hash=passwords.hash_password(PASSWORD),
            active=active,
            created_at=now(),
        )
        session.add(user)
        session.flush()
        session.add_all(Member(project_id=project.id, user_id=user.id) for project in projects)
    return user


def make_encoder() -> Encoder:
    """The row of the fake encoder, made once."""
    with transaction() as session:
        encoder = session.scalar(select(Encoder).where(Encoder.sha256 == FakeEncoder.sha256))
        if encoder is None:
            fake = FakeEncoder()
            encoder = Encoder(sha256=fake.sha256, name=fake.name, dim=fake.dim, card=fake.card, created_at=now())
            session.add(encoder)
    return encoder


def make_project(classes: Sequence[str] = ("NGS", "LYT"), *, name: str = "", synthetic: bool = False) -> Project:
    """A project with these class codes, the first letters as keys, and the fake encoder; no members, no scanner."""
    encoder = make_encoder()
    with transaction() as session:
        project = Project(
            name=name or f"Project {next(numbers)}", encoder_id=encoder.id, synthetic=synthetic, created_at=now()
        )
        session.add(project)
        session.flush()
        for position, code in enumerate(classes):
            key = code[0].lower()
            taken = key in (other[0].lower() for other in classes[:position])
            color = COLORS[position % len(COLORS)]
            session.add(
                CellClass(
                    project_id=project.id,
                    code=code,
                    name=f"Class {code}",
                    key=None if taken else key,
                    color=color,
                    position=position,
                )
            )
    return project


def make_scanner(project: Project, *, name: str = "", um_per_px: float | None = None) -> Scanner:
    """A scanner of a project."""
    with transaction() as session:
        scanner = Scanner(
            project_id=project.id, name=name or f"Scanner {next(numbers)}", um_per_px=um_per_px, created_at=now()
        )
        session.add(scanner)
    return scanner


def make_slide(project: Project, *, scanner: Scanner | None = None, accession: str = "") -> Slide:
    """A slide of a scanner, of a new one unless given."""
    scanner = scanner or make_scanner(project)
    with transaction() as session:
        slide = Slide(
            project_id=project.id,
            scanner_id=scanner.id,
            accession=accession or f"Slide {next(numbers)}",
            created_at=now(),
        )
        session.add(slide)
    return slide


def cell_image(code: str, seed: int) -> bytes:
    """A PNG of 32 x 32 pixels whose colour tells the class of `code` apart, different for every seed."""
    random = np.random.default_rng([seed, *code.encode()])
    color = np.random.default_rng(list(code.encode())).integers(40, 216, 3)
    pixels = np.clip(color + random.normal(0, 20, (32, 32, 3)) + random.normal(0, 6, 3), 0, 255)
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def make_cells(slide: Slide, codes: Sequence[str], *, queue: bool = True) -> list[int]:
    """One stored cell per code, which names its look and is no label, with embedding queued; returns the cell ids."""
    cells = []
    with transaction() as session:
        encoder_id = session.get_one(Project, slide.project_id).encoder_id
        there = session.scalar(select(func.count()).where(Cell.slide_id == slide.id)) or 0
        images = []
        # By slide and place, so that a test sees the same cells whichever others ran before it.
        for place, code in enumerate(codes, there):
            data = cell_image(code, 7_919 * slide.id + place)
            stored = get_storage().put("images", io.BytesIO(data))
            image = Image(sha256=stored.sha256, format="PNG", width=32, height=32, size=len(data), created_at=now())
            session.add(image)
            images.append(image)
        session.flush()
        for number, image in enumerate(images):
            cell = Cell(
                project_id=slide.project_id,
                slide_id=slide.id,
                scanner_id=slide.scanner_id,
                image_id=image.id,
                name=f"cell-{number}.png",
                created_at=now(),
            )
            session.add(cell)
            cells.append(cell)
        session.flush()
        if queue:
            jobs.embed_images(session, slide.project_id, encoder_id, [image.id for image in images])
    return [cell.id for cell in cells]


def copy_cells(cell_ids: Sequence[int], slide: Slide) -> list[int]:
    """Cells of a slide that show the images of other cells; returns their ids."""
    with transaction() as session:
        images = session.scalars(select(Cell.image_id).where(Cell.id.in_(cell_ids)).order_by(Cell.id)).all()
        common = {"project_id": slide.project_id, "slide_id": slide.id, "scanner_id": slide.scanner_id}
        cells = [Cell(**common, image_id=image, name="copy.png", created_at=now()) for image in images]
        session.add_all(cells)
        session.flush()
    return [cell.id for cell in cells]


def make_token(user: User, scopes: Sequence[str] = ("read", "write")) -> str:
    """The secret of an API token of this person."""
    secret = f"fc_test_{next(numbers)}"
    with transaction() as session:
        moment = now()
        token = ApiToken(
            user_id=user.id,
            name="test",
            prefix=secret[:8],
            token_sha256=digest(secret),
            scopes=list(scopes),
            created_at=moment,
            expires_at=moment + timedelta(days=1),
        )
        session.add(token)
    return secret
