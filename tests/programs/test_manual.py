# SPDX-License-Identifier: Apache-2.0
"""What a person reads of sonde's commands and options is what there is: help, manual pages, completion."""

import os
import re
import shutil
import subprocess

import pytest

import harness
from harness import SONDE

COMMANDS = re.findall(r"^  ([a-z]+) +\S", subprocess.run([SONDE, "--help"], capture_output=True, text=True, check=True,
                                                       timeout=30).stdout.split("Try it:")[0], re.M)
OPTION = r"(?<![\w-])--?[a-z][a-z-]*"
SOURCES = {"search": "look.c", "show": "look.c"}
SHARED = ("trace", "agent", "record", "replay", "top", "serve")
# What these say of options is: as in `sonde trace --help`.
REFER = ("agent", "record", "replay")


def help_of(command):
    return subprocess.run([SONDE, command, "--help"], capture_output=True, text=True, check=True, timeout=30).stdout


def documented(text):
    """Options as the lists of a help text have them, not those of its examples."""
    out = set()
    for line in text.splitlines():
        if line.startswith("  -"):
            out |= set(re.findall(OPTION, re.split(r"\s{2,}", line.strip())[0]))
    return out


def of_tables(command):
    """The long options that a command takes, from the table that its parser is made from."""
    folder = harness.ROOT / "user/cmd"
    if command not in SHARED:
        return {f"--{name}" for name in re.findall(r'\{ "([a-z-]+)", (?:no|required|optional)_argument',
                                                   (folder / SOURCES.get(command, f"{command}.c")).read_text())}
    groups = set(re.findall(r"TAKES_(\w+)", (folder / f"{command}.c").read_text()))
    rules = re.findall(r'\{ "([a-z-]+)", [^,]+, \w+, ([^}]*) \}', (folder / "options.c").read_text())
    return {f"--{name}" for name, takes in rules if takes == "~0u" or set(re.findall(r"TAKES_(\w+)", takes)) & groups}


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in ("doctor", "version")])
def test_help_and_tables_agree(command):
    """Protects: an option that is taken is explained, and one that is explained is taken."""
    said = {o for o in documented(help_of(command)) if o.startswith("--")} - {"--help"}
    taken = of_tables(command) - {"--help", "--verbose", "--quiet"}
    assert said <= taken, said - taken
    if command in REFER:
        assert "sonde trace" in help_of(command)
        said |= documented(help_of("trace"))
    # `sonde show` takes the options of `sonde search`, of which this one has no meaning there.
    assert taken - ({"--limit"} if command == "show" else set()) <= said, taken - said


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    to = tmp_path_factory.mktemp("install")
    done = subprocess.run(["make", "manual", f"OUTPUT={os.environ.get('OUTPUT', 'build')}"], cwd=harness.ROOT, capture_output=True,
                          text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in (harness.ROOT / os.environ.get("OUTPUT", "build") / "man").glob("*.1"):
        shutil.copy(page, to)
    return to


def test_manual_pages(installed):
    """Protects: a page for each command and one for all, without a warning, with every option of the help."""
    assert {p.name for p in installed.glob("*.1")} == {"sonde.1"} | {f"sonde-{c}.1" for c in COMMANDS}
    for page in sorted(installed.glob("*.1")):
        groff = subprocess.run(["groff", "-man", "-Tascii", "-ww", "-P-cbou", page], capture_output=True, text=True, timeout=60)
        assert groff.returncode == 0 and groff.stderr == "", (page.name, groff.stderr)
        command = page.stem.partition("-")[2]
        assert f"SONDE{'-' + command.upper() if command else ''}(1)" in groff.stdout
        assert re.search(r"^NAME$.*^SYNOPSIS$", groff.stdout, re.M | re.S), page.name
        text = re.sub(r"-\n\s+", "", groff.stdout)
        if command:
            assert documented(help_of(command)) <= set(re.findall(OPTION, text)), page.name
        else:
            assert all(f"sonde-{c}" in text for c in COMMANDS)


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, **more).stdout


ON_PATH = {**os.environ, "PATH": f"{os.path.dirname(os.path.abspath(SONDE))}:{os.environ['PATH']}"}


def by_bash(*words):
    script = (f"source {harness.ROOT}/deploy/sonde.bash; "
              'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sonde; printf "%s\\n" "${COMPREPLY[@]}"')
    return set(run("bash", "-c", script, "bash", "sonde", *words, env=ON_PATH).split())


def by_zsh(*words):
    """In a terminal of its own, as nothing else completes; what it would show is caught."""
    script = r"""
        zmodload zsh/zpty
        zpty shell "env PS1= zsh -f -i"
        zpty -w shell "fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; \
            compadd() { local -a hits; builtin compadd -O hits \"\$@\"; print -r -- HIT=\${^hits} ; builtin compadd \"\$@\" }; \
            comppostfuncs=(done_now); done_now() { print -r -- ALL\DONE }; setopt nolistbeep; zstyle ':completion:*' list-prompt ''; print READ\Y"
        zpty -r shell line '*READY*'
        zpty -w -n shell "$2"$'\t'
        zpty -r shell line '*ALLDONE*'
        print -r -- "$line"
        zpty -d shell
    """
    out = run("zsh", "-f", "-c", script, "zsh", str(harness.ROOT / "deploy"), " ".join(("sonde",) + words), env=ON_PATH)
    return set(re.findall(r"HIT=(\S+)", out))


def by_fish(*words):
    script = f'source {harness.ROOT}/deploy/sonde.fish; complete -C "$argv[1]"'
    out = run("fish", "--no-config", "-c", script, " ".join(("sonde",) + words), env={**ON_PATH, "HOME": "/nonexistent"})
    return {line.split("\t")[0] for line in out.splitlines()}


@pytest.mark.parametrize("complete", [by_bash, by_zsh, by_fish])
def test_completion(complete):
    """Protects: every command and every option is proposed, and no other; and of a traced command its own words."""
    commands = complete("")
    assert commands - {"--help", "--version"} == set(COMMANDS)
    assert complete("se") == {c for c in COMMANDS if c.startswith("se")}
    assert complete("trace", "--tier", "k") == {"kprobe"}
    assert "groff" in complete("trace", "--tree", "--", "grof")
    for command in COMMANDS:
        known = of_tables(command) if command in SHARED else {o for o in documented(help_of(command)) if o.startswith("--")}
        assert complete(command, "--") == known | {"--help"}, command
