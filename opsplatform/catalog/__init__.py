"""Modules, their typed inputs and their DingTalk binding."""
