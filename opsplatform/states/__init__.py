"""Terraform state: versions, locks, the http backend."""
