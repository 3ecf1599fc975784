"""The wire: SMPP 3.4. Only this package knows smpplib."""
