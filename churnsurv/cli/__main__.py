"""``python -m churnsurv.cli``."""

from churnsurv.cli import main

main()
