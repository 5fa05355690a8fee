"""DingTalk approvals: receive, remember, decide once."""
