"""`python -m udesys`."""

from udesys.cli import main

if __name__ == "__main__":
    main()
