"""The application on miniatures of DingTalk and Terraform, in a context of its own."""

from tests.miniatures import platform

__all__ = ["platform"]
