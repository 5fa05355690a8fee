"""What is counted, and `/metrics` for Prometheus. Each web process counts for itself."""

from flask import Blueprint, Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, generate_latest

blueprint = Blueprint("metrics", __name__)

CALLBACKS = Counter(
    "opsplatform_dingtalk_callbacks", "Events pushed to /dingtalk/callback, by what became of them.", ["outcome"]
)


@blueprint.get("/metrics")
def metrics() -> Response:
    """Every counter of this process."""
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)


def register(app: Flask) -> None:
    """Add the route."""
    app.register_blueprint(blueprint)
