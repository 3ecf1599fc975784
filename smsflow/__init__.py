"""smsflow: conversations by SMS."""
