"""Completion scripts for shells, generated from the parser: commands, options and choices of options."""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass
class Level:
    """The completions after one command.

    Args:
      words: its subcommands, or the choices of its positional arguments, with their help.
      options: option → its help.
      choices: option with a value → its choices; empty if any value or file may follow.
    """

    words: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    choices: dict[str, tuple[str, ...]] = field(default_factory=dict)


def levels(parser: argparse.ArgumentParser, above: str = "") -> dict[str, Level]:
    """Return command → its completions; a command is a path such as `/config/check`, empty for the program itself."""
    level = Level()
    subcommands: dict[str, Level] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {each.dest: each.help or "" for each in action._choices_actions}
            level.words |= {name: helps.get(name, "") for name in action.choices}
            for name, below in action.choices.items():
                subcommands |= levels(below, f"{above}/{name}")
        elif not action.option_strings:
            level.words |= dict.fromkeys(map(str, action.choices or ()), "")
        else:
            level.options |= dict.fromkeys(action.option_strings, action.help or "")
            if action.nargs != 0:
                level.choices |= dict.fromkeys(action.option_strings, tuple(map(str, action.choices or ())))
    return {above: level, **subcommands}


def bash(parser: argparse.ArgumentParser) -> str:
    """Return a completion script for bash; where the script has no completion, bash completes file names."""
    name, every = parser.prog, levels(parser)
    return "\n".join(
        [
            f"# Completion of {name} for bash. Load it with: source <({name} completion bash)",
            f"_{name}() {{",
            '    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}"',
            '    local command="" words="" options="" word',
            '    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
            *_cases(every, 8),
            "    done",
            '    case "$command $previous" in',
            *_value_cases(every, lambda words: [f'COMPREPLY=($(compgen -W "{words}" -- "$current")); return']),
            "    esac",
            *_word_cases(every),
            '    case "$current" in -*) words="$options" ;; esac',
            '    COMPREPLY=($(compgen -W "$words" -- "$current"))',
            "}",
            f"complete -o bashdefault -o default -F _{name} {name}",
            "",
        ]
    )


def zsh(parser: argparse.ArgumentParser) -> str:
    """Return a completion script for zsh; it completes file names where no word is known."""
    name, every = parser.prog, levels(parser)
    return "\n".join(
        [
            f"#compdef {name}",
            f"# Completion of {name} for zsh. Load it with: source <({name} completion zsh)",
            f"_{name}() {{",
            '    local current="${words[CURRENT]}" previous="${words[CURRENT-1]}"',
            '    local command="" choices="" options="" word',
            '    for word in "${(@)words[2,CURRENT-1]}"; do',
            *_cases(every, 8),
            "    done",
            '    case "$command $previous" in',
            *_value_cases(every, lambda words: [f"compadd -- {words}; return" if words else "_files; return"]),
            "    esac",
            *[line.replace("words=", "choices=") for line in _word_cases(every)],
            '    case "$current" in -*) choices="$options" ;; esac',
            '    if [[ -n "$choices" ]]; then compadd -- ${=choices}; else _files; fi',
            "}",
            f"compdef _{name} {name}",
            "",
        ]
    )


def fish(parser: argparse.ArgumentParser) -> str:
    """Return a completion script for fish."""
    name, every = parser.prog, levels(parser)
    commands = " ".join(command for command in every if command)
    lines = [
        f"# Completion of {name} for fish. Load it with: {name} completion fish | source",
        f"function __{name}_command",
        "    set -l command ''",
        "    for word in (commandline -opc)[2..-1]",
        f'        if contains -- "$command/$word" {commands}',
        '            set command "$command/$word"',
        "        end",
        "    end",
        '    test "$command" = "$argv[1]"',
        "end",
    ]
    for command, level in every.items():
        start = f"complete -c {name} -n '__{name}_command \"{command}\"'"
        for word, text in level.words.items():
            lines.append(f"{start} -f -a {word} -d {_quoted(text)}")
        for option, text in level.options.items():
            flag = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
            choices = level.choices.get(option)
            takes = "" if choices is None else f" -x -a '{' '.join(choices)}'" if choices else " -r"
            lines.append(f"{start} {flag}{takes} -d {_quoted(text)}")
    return "\n".join([*lines, ""])


SHELLS: dict[str, Callable[[argparse.ArgumentParser], str]] = {"bash": bash, "zsh": zsh, "fish": fish}


def _cases(every: dict[str, Level], indent: int) -> Iterator[str]:
    """Yield the shell line that appends `$word` to `$command` if the result is a command."""
    known = "|".join(command for command in every if command)
    yield f'{" " * indent}case "$command/$word" in {known}) command="$command/$word" ;; esac'


def _value_cases(every: dict[str, Level], answer: Callable[[str], list[str]]) -> Iterator[str]:
    """Yield a shell `case` branch per option with a value; `answer` returns its lines for the option's choices."""
    for command, level in every.items():
        for option, choices in level.choices.items():
            yield f'        "{command} {option}") {"; ".join(answer(" ".join(choices)))} ;;'


def _word_cases(every: dict[str, Level]) -> Iterator[str]:
    """Yield a shell `case` statement that sets the completions of `$command`."""
    yield '    case "$command" in'
    for command, level in every.items():
        yield f'        "{command}") words="{" ".join(level.words)}"; options="{" ".join(level.options)}" ;;'
    yield "    esac"


def _quoted(text: str) -> str:
    """Return text quoted for fish."""
    return "'" + " ".join(text.replace("%%", "%").split()).replace("\\", "\\\\").replace("'", "\\'") + "'"
