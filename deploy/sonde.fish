# SPDX-License-Identifier: Apache-2.0
# fish completion for sonde; commands and options are read from their own help, so that it knows those that there are.
function __sonde_commands
    sonde --help 2>/dev/null | sed -n '/^Try it:/q; s/^  \([a-z]*\)  *\(.*\)/\1\t\2/p'
end

function __sonde_options
    set -l command (commandline -opc)[2]
    # Commands with many options list them; of the others their help does, on lines that begin with a dash.
    sonde $command --options 2>/dev/null
    or sonde $command --help 2>/dev/null | sed -n 's/^  \(-.*\)$/\1/p' | sed 's/   *[^-].*$//' |
        string match -ra -- '(?:^|[ ,])--?[a-z][a-z-]*' | string trim -c ' ,' | sort -u
    echo --help
end

function __sonde_first
    test (count (commandline -opc)) -eq 1
end

function __sonde_behind_dashes
    contains -- -- (commandline -opc)
end

function __sonde_behind
    set -l words (commandline -opc)
    contains -- $words[-1] $argv; and not __sonde_behind_dashes
end

function __sonde_traced
    set -l words (commandline -opc) (commandline -ct)
    complete -C (string join ' ' -- $words[(math (contains -i -- -- $words) + 1)..])
end

complete -c sonde -f -n __sonde_first -a '(__sonde_commands)'
complete -c sonde -f -n __sonde_first -a '--help --version'
complete -c sonde -n 'not __sonde_first; and not __sonde_behind_dashes; and string match -q -- "-*" (commandline -ct)' -a '(__sonde_options)'
complete -c sonde -f -n '__sonde_behind --tier' -a 'fentry kprobe socktp'
complete -c sonde -f -n '__sonde_behind -u --user' -a '(__fish_complete_users)'
complete -c sonde -f -n '__sonde_behind --store' -a '(__fish_complete_directories (commandline -ct))'
# Behind -- stands the command that is traced, with what is its own.
complete -c sonde -f -n __sonde_behind_dashes -a '(__sonde_traced)'
