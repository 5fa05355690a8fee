"""Who opened what, when."""
