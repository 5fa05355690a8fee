"""The settings of the running application."""

from typing import cast

from flask import current_app

from config import Config


def settings() -> Config:
    """The settings `create_app` was given."""
    return cast("Config", current_app.extensions["settings"])
