"""Plan and apply one module in one workspace."""
