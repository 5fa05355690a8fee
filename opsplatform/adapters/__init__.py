"""Protocols of outside systems: no tables, no rules, no Flask request."""
