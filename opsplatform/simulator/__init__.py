"""A local DingTalk for the demo, tests and front-end developers."""
