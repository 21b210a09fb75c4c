"""The command line: ``churnsurv demo``, ``churnsurv report``, ``churnsurv score``. No logic lives here."""

from churnsurv.cli.commands import app


def main() -> None:
    """Run the command line."""
    app()


__all__ = ["app", "main"]
