"""The command line: ``churnsurv demo``, ``churnsurv report``, ``churnsurv score``. No logic lives here."""

from churnsurv.cli.commands import app


def main() -> None:
    """Run the command line."""
    app(prog_name="churnsurv")


__all__ = ["app", "main"]
