"""Settings: the only reader of the environment."""

import os
from functools import lru_cache
from importlib.metadata import version as installed
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Every knob of an installation, read from FIFTYCELLS_* variables or a .env file."""

    model_config = SettingsConfigDict(env_prefix="FIFTYCELLS_", env_file=".env", extra="ignore")

    data_dir: Path = Field(Path("data"), description="Folder of the database, the images and the models.")
    database_url: str = Field("", description="SQLAlchemy URL; empty means SQLite inside the data folder.")
    broker_url: str = Field("", description="Redis URL; set, jobs travel by Celery instead of the embedded worker.")
    embedded_worker: bool = Field(True, description="Start the embedded worker with the server when no broker is set.")
    host: str = Field("127.0.0.1", description="Address the server listens on.")
    port: int = Field(8000, description="Port the server listens on.")
    public_url: str = Field("", description="Address users type, for links and the Origin check behind a proxy.")
    max_upload_mb: int = Field(5120, description="Largest body of one request, in megabytes.")
    complete_after_seconds: float = Field(
        60.0, description="A slide whose sender does not complete it is completed after this long without a new image."
    )
    lease_seconds: float = Field(30.0, description="A running job is taken back when its worker is silent this long.")
    session_idle_minutes: int = Field(60, description="A sign-in ends after this long without a request.")
    session_hours: int = Field(10, description="A sign-in ends after this long in any case.")
    encoder: Path | None = Field(None, description="Encoder file of new projects; empty means the bundled one.")
    webhook_networks: str = Field(
        "", description="Private networks webhooks may be sent to, such as 10.0.0.0/8; others are refused."
    )
    key_file: Path | None = Field(None, description="File of the secret key; empty: secret.key in the data folder.")
    trusted_proxies: str = Field("", description="Addresses of proxies whose X-Forwarded-For is believed.")

    @property
    def address(self) -> str:
        """What people type into a browser."""
        return self.public_url.rstrip("/") or f"http://{self.host}:{self.port}"

    @property
    def resolved_key_file(self) -> Path:
        """The file of the secret key, with the default filled in."""
        return (self.key_file or self.data_dir / "secret.key").resolve()

    @property
    def resolved_database_url(self) -> str:
        """The database URL, with the default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'fiftycells.db'}"


def software() -> str:
    """Return the name and version of this program, for what it writes."""
    return f"Fiftycells {installed('fiftycells')}"


def override(**values: object) -> None:
    """Change settings of this process and of those it starts."""
    for name, value in values.items():
        os.environ[f"FIFTYCELLS_{name.upper()}"] = str(value)
    get_settings.cache_clear()


@lru_cache
def get_settings() -> Settings:
    """Return the settings of this process; read once."""
    return Settings()
