"""opsplatform turns an approval in DingTalk into infrastructure."""
