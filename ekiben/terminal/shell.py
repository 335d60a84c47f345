"""How a command runs: what it prints can always be written, and every end has an exit code.

0 is done, 1 a failure, 2 wrong usage, 130 stopped. A failure is lines on standard error.
"""

from __future__ import annotations

import os
import sys
import traceback

import typer

from ekiben.process.environ import BadSetting, data_dir
from ekiben.process.private import private_folder, private_opener
from ekiben.terminal.errors import EkibenError, UsageError
from ekiben.terminal.output import finish_output, prepare_output, print_error


def run_process(app: typer.Typer) -> int:
    """Run the command of this process and return the exit code."""
    prepare_output()
    # UTF-8 in every locale: what goes into the history or names a user must not depend on the terminal's.
    code = run_command(app, [os.fsencode(each).decode("utf-8", "surrogateescape") for each in sys.argv[1:]])
    lost = finish_output()
    if lost is not None:
        done = "what was asked for is done, but " if code == 0 else ""
        print_error(f"{done}not everything could be printed: {lost.strerror or lost}")
        code = code or 1
    return code


def run_command(app: typer.Typer, arguments: list[str]) -> int:
    """Run a command and return its exit code. No traceback leaves here; unexpected ones go to a log."""
    from typer.exceptions import TyperException

    try:
        code = app(arguments, prog_name="ekiben", standalone_mode=False)
    except (UsageError, BadSetting) as error:
        return _fail(str(error), 2)
    except EkibenError as error:
        return _fail(str(error), 1)
    except TyperException as error:
        # Without a message it is the help itself, which has been printed.
        message = error.format_message().rstrip(".")
        return _fail(f"{message} (try --help)" if message else "", error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:
        return _fail(_unexpected(error), 1)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    print_error(message)
    return code


def _unexpected(error: Exception) -> str:
    log = data_dir(os.environ) / "logs" / "ekiben.log"
    try:
        private_folder(log.parent.parent)
        private_folder(log.parent)
        with open(log, "a", encoding="utf-8", opener=private_opener) as file:
            traceback.print_exception(error, file=file)
    except OSError:
        return f"unexpected {type(error).__name__}: {error}"
    what = str(error).splitlines()[0] if str(error) else "no message"
    return f"unexpected {type(error).__name__}: {what}; the details are in {log}"
