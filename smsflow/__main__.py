"""`python -m smsflow` is the command `smsflow`."""

from smsflow.cli import main

main()
