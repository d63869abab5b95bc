"""The command `vitra`, its exit codes, and what README, Makefile and docstrings say about it."""

import argparse
import errno
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from vitra_lib.cli import VERBS, main
from vitra_lib.core.errors import BadInput, MissingAsset


def vitra(*words: str, **keywords: object) -> subprocess.CompletedProcess:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "vitra_lib", *words], capture_output=True, text=True, check=False, **keywords
    )


def test_help_lists_every_verb(repository: Path) -> None:
    done = vitra("--help", cwd=repository)
    assert done.returncode == 0
    for module in main.verbs():
        assert re.search(rf"^\s+{module.NAME}\s", done.stdout, re.MULTILINE), module.NAME


def test_help_imports_nothing_heavy(repository: Path) -> None:
    code = "import sys; from vitra_lib.cli.main import make_parser; make_parser(); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=repository)
    heavy = {"numpy", "torch", "cv2", "matplotlib", "pandas", "papermill", "yaml", "mediapipe", "av"}
    assert not {name for name in heavy if f"'{name}'" in done.stdout}


def test_every_verb_is_registered_and_whole(repository: Path) -> None:
    files = {path.stem for path in (repository / "vitra_lib" / "cli").glob("*.py")} - {"__init__", "main"}
    assert {name for name in files if hasattr(__import__(f"vitra_lib.cli.{name}", fromlist=["x"]), "NAME")} == set(
        VERBS
    )
    names = [module.NAME for module in main.verbs()]
    assert len(set(names)) == len(names)
    for module in main.verbs():
        assert module.HELP and module.__doc__ and callable(module.add_arguments) and callable(module.run)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (BadInput("No such\nfile."), 2, "vitra: No such file."),
        (MissingAsset("Get it."), 2, "vitra: Get it."),
        (KeyboardInterrupt(), 130, "vitra: interrupted"),
        (MemoryError(), 3, "vitra: out of memory"),
        (OSError(errno.ENOSPC, "No space left on device"), 3, "vitra: the disk is full"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    error: BaseException, code: int, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fail(args: argparse.Namespace) -> int:
        raise error

    verb = SimpleNamespace(NAME="fail", HELP="fail", __doc__="Fail.", add_arguments=lambda parser: None, run=fail)
    monkeypatch.setattr(main, "verbs", lambda: (verb,))
    assert main.main(["fail"]) == code
    captured = capsys.readouterr()
    assert captured.err.startswith(text) and captured.err.count("\n") == 1 and not captured.out


def test_control_a_bug_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(args: argparse.Namespace) -> int:
        raise AssertionError("a bug")

    verb = SimpleNamespace(NAME="fail", HELP="fail", __doc__="Fail.", add_arguments=lambda parser: None, run=fail)
    monkeypatch.setattr(main, "verbs", lambda: (verb,))
    with pytest.raises(AssertionError, match="a bug"):
        main.main(["fail"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "required: VERB"),
        (("nonsense",), "invalid choice: 'nonsense'"),
        (("demo", "--seed", "x"), "invalid int value"),
        (("demo", "--video", "absent.mp4"), "absent.mp4"),
        (("assets", "explain", "nonsense"), "legal are"),
    ],
)
def test_bad_words_are_one_line(words: tuple[str, ...], said: str, repository: Path) -> None:
    done = vitra(*words, cwd=repository)
    assert done.returncode == 2 and said in done.stderr
    assert done.stderr.startswith("vitra: ") and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_assets_on_the_command_line(repository: Path, tmp_path: Path) -> None:
    environment = {"VITRA_ASSETS": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    listed = vitra("assets", "list", cwd=repository, env=environment)
    assert listed.returncode == 0 and re.search(r"^mano_right\s+absent", listed.stdout, re.MULTILINE)
    assert vitra("assets", "verify", "mano_right", cwd=repository, env=environment).returncode == 1
    assert vitra("assets", "verify", cwd=repository, env=environment).returncode == 0


def commands_in(text: str) -> set[str]:
    """`make …` and `vitra …` commands that a text shows, as their first two words."""
    return set(re.findall(r"(?:^|[`\s])((?:make|vitra) [a-z][a-z-]+)", text))


def legal_commands(repository: Path) -> set[str]:
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE)
    return {f"make {target}" for target in targets} | {f"vitra {module.NAME}" for module in main.verbs()}


@pytest.mark.parametrize("name", ["README.md", "CONVENTIONS.md"])
def test_every_command_that_a_page_shows_exists(name: str, repository: Path) -> None:
    shown = {
        command
        for block in re.findall(r"```.*?```|`[^`\n]+`", (repository / name).read_text(encoding="utf-8"), re.DOTALL)
        for command in commands_in(block)
    }
    assert shown and shown <= legal_commands(repository), shown - legal_commands(repository)


def test_control_an_invented_command_is_caught(repository: Path) -> None:
    assert commands_in("`make dinner` and `vitra cook --fast`") == {"make dinner", "vitra cook"}
    assert not {"make dinner", "vitra cook"} & legal_commands(repository)


def tree_lines(readme: str) -> dict[str, str]:
    """Path → sentence of the tree in the README: lines of the form `path  sentence`."""
    tree = re.search(r"<!-- tree -->\s*```\w*\n(.*?)```", readme, re.DOTALL).group(1)
    return dict(re.match(r"(\S+)\s{2,}(.+)", line).groups() for line in tree.splitlines() if line.strip())


def test_the_tree_in_the_readme_equals_the_docstrings(repository: Path) -> None:
    lines = tree_lines((repository / "README.md").read_text(encoding="utf-8"))
    packages = {f"{p.parent.relative_to(repository)}/": p for p in repository.glob("vitra_lib/**/__init__.py")}
    packages |= {"robot/": repository / "robot" / "__init__.py"}
    top = {path: p for path, p in packages.items() if path.count("/") <= 2}
    assert set(lines) == set(top), set(lines) ^ set(top)
    for path, file in top.items():
        docstring = re.match(r'"""(.*)', file.read_text(encoding="utf-8")).group(1).rstrip('"')
        assert lines[path] == docstring.strip(), path


def test_every_module_says_what_it_is(repository: Path) -> None:
    silent = [p for p in repository.glob("vitra_lib/**/*.py") if not p.read_text(encoding="utf-8").startswith('"""')]
    assert not silent


def test_files_and_functions_stay_small(repository: Path) -> None:
    import ast

    long = []
    for path in [*repository.glob("vitra_lib/**/*.py"), *repository.glob("robot/**/*.py")]:
        source = path.read_text(encoding="utf-8")
        if len(source.splitlines()) > 400:
            long.append(f"{path.relative_to(repository)} has {len(source.splitlines())} lines")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 60:
                long.append(
                    f"{path.relative_to(repository)}: {node.name} has {node.end_lineno - node.lineno + 1} lines"
                )
    assert not long
