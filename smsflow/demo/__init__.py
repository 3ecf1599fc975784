"""`smsflow demo`: six mothers go through the whole service, over real SMPP, HTTP and SQLite, in seconds."""
