"""What gunicorn loads."""

from opsplatform.app import create_app

app = create_app()
