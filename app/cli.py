"""The command line: `fiftycells serve` and what a person who looks after an installation needs."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn
from alembic import command
from alembic.config import Config
from sqlalchemy import select
from typer.core import TyperGroup

from app import jobs
from app.accounts import service
from app.config import get_settings, override
from app.db import connect, engine, transaction
from app.encoders.service import default_encoder, register
from app.errors import AppError
from app.models import AuditEvent, User
from app.models.audit import record

ROOT = Path(__file__).parent.parent
# Commands that compute live with the workers and are imported when they are called: torch takes seconds to load.
COMPUTING = {
    "convert-encoder": "workers.ml.cli_convert:main",
    "cut": "workers.ml.cut_command:main",
    "demo-cells": "workers.ml.rendering:main",
    "embed": "workers.ml.embed_command:main",
    "pretrain": "workers.pretraining:main",
    "study": "workers.ml.study_command:main",
}


class Commands(TyperGroup):
    """Our commands and those of the workers."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return all names."""
        return [*super().list_commands(ctx), *COMPUTING]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, importing it if it computes."""
        if cmd_name not in COMPUTING:
            return super().get_command(ctx, cmd_name)
        module, _, function = COMPUTING[cmd_name].partition(":")
        alone = typer.Typer(add_completion=False)
        alone.command(cmd_name)(getattr(import_module(module), function))
        return typer.main.get_command(alone)


main = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, help="Fiftycells.")


@main.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = get_settings().host,
    port: Annotated[int, typer.Option(help="Port to listen on.")] = get_settings().port,
    demo: Annotated[bool, typer.Option(help="Seed a project of generated cells at the first start.")] = True,
) -> None:
    """Bring the database up to date and start the server, with its worker unless a broker is set."""
    override(host=host, port=port)
    migrate()
    with transaction() as session:
        default_encoder(session)
        if demo and session.scalar(select(AuditEvent.id).limit(1)) is None:
            record(session, "demo.seeded", by=None)
            jobs.seed_demo(session)
        link = service.first_manager_link(session)
    typer.echo(f"Fiftycells is at {get_settings().address}")
    if link:
        typer.secho(f"Create the first manager (the link works once, for a day): {link}", bold=True)
    proxies = get_settings().trusted_proxies
    uvicorn.run(
        "app.main:app",
        host=host,
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=3,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
    )


@main.command()
def migrate() -> None:
    """Bring the database up to date."""
    settings = get_settings()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    connect(settings.resolved_database_url)
    config = Config(toml_file=str(ROOT / "pyproject.toml"))
    config.set_main_option("script_location", str(ROOT / "migrations"))
    with engine().connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


@main.command()
def manager_link() -> None:
    """Print a new one-time link for the first manager, as long as there is none."""
    migrate()
    with transaction() as session:
        link = service.first_manager_link(session)
    typer.echo(link or "There is a manager already; managers invite people under Accounts.")


@main.command()
def password_link(email: Annotated[str, typer.Argument(help="E-mail of the account.")]) -> None:
    """Print a one-time link with which somebody who lost the password sets a new one."""
    migrate()
    with transaction() as session:
        user = session.scalar(select(User).where(User.email == email.strip().lower()))
        if user is None:
            raise typer.BadParameter(f"there is no account {email}")
        secret = service.password_link(session, user, by=None)
    typer.echo(f"{get_settings().address}/welcome/{secret}")


@main.command()
def add_encoder(file: Annotated[Path, typer.Argument(help="Encoder file (safetensors).", exists=True)]) -> None:
    """Register an encoder file, so that managers can move projects to it."""
    migrate()
    try:
        with transaction() as session:
            encoder = register(session, file)
    except AppError as error:
        raise typer.BadParameter(error.detail) from error
    typer.echo(f"Encoder {encoder.id}: {encoder.name}, {encoder.dim} dimensions, sha256 {encoder.sha256}")
