"""What the commands share: `--config`, `--json`, the configuration itself, and how they end in failure."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from smsflow.config import Settings

__all__ = ["config_option", "fail", "json_option", "load_settings"]

config_option = click.option(
    "--config",
    "config",
    envvar="SMSFLOW_CONFIG",
    default="config/smsflow.yaml",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The daemon's configuration.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def load_settings(config: Path) -> Settings:
    """The configuration; secrets that cannot be found are "". Ends the command when it cannot be used."""
    from smsflow.config import load_config
    from smsflow.core.errors import ConfigError
    from smsflow.terminal import findings_in

    try:
        return load_config(config, os.environ, need_secrets=False)
    except ConfigError as error:
        fail(*findings_in(error), code=2)


def fail(*sentences: str, code: int = 1) -> NoReturn:
    """End with `code`, and say why on standard error."""
    for sentence in sentences:
        click.echo(sentence, err=True)
    sys.exit(code)
