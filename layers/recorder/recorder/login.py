"""Who the functions are to Postgres."""

from __future__ import annotations

from . import aws
from .settings import AwsSettings, DatabaseSettings


def database_login() -> tuple[DatabaseSettings, str]:
    """Return where the database is, and the password: read anew each time, so that a rotated one is taken up.

    Raises AwsError.
    """
    settings = DatabaseSettings.from_environment()
    if not settings.iam:
        return settings, aws.secret(AwsSettings.from_environment(), settings.secret_arn)["password"]
    address = (settings.host, settings.port, settings.user)
    return settings, aws.database_token(AwsSettings.from_environment(), *address)
