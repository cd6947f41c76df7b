"""The command `numlstm`."""

import argparse
import sys


def build_parser():
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="numlstm", description="LSTM networks for the CPU, compiled with Numba."
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="forecast real series and compare with baselines",
        description="Fit forecasters on shipped series, hold out the end, print RMSE and MASE "
        "beside the baselines, and write a picture.",
    )
    demo.add_argument(
        "-o", "--output", default="numlstm-demo.png", metavar="PNG",
        help="picture to write (default: %(default)s)",
    )  # fmt: skip
    return parser


def main(argv=None):
    """Run the command; return its exit code.

    Parameters
    ----------
    argv : list of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        0, or 2 for arguments or input that make no sense, or 130 after Ctrl-C.
    """
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.version:
        from numlstm import __version__

        print(f"numlstm {__version__}")
        return 0
    if arguments.command is None:
        parser.print_help()
        return 2
    try:
        if arguments.command == "demo":
            from numlstm import demo

            demo.run(arguments.output)
    except KeyboardInterrupt:
        print("numlstm: interrupted", file=sys.stderr)
        return 130
    except (OSError, ValueError) as error:
        print(f"numlstm {arguments.command}: {error}", file=sys.stderr)
        return 2
    return 0
