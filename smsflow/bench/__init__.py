"""`smsflow bench`: a real daemon under the load of a message centre, in figures. Nothing else imports it."""
