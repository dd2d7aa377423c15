"""`python -m lucos.cli` is `luc`."""

from lucos.cli.main import main

main()
