# SPDX-License-Identifier: Apache-2.0
# bash completion for sonde; commands and options are read from their own help, so that it knows those that there are.
_sonde() {
    local cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(sonde --help 2>/dev/null |
            sed -n '/^Try it:/q; s/^  \([a-z]*\)  .*/\1/p') --help --version" -- "$cur")
        return
    fi
    # Behind -- stands the command that is traced, with what is its own.
    local i
    for ((i = 2; i < COMP_CWORD; i++)); do
        [ "${COMP_WORDS[i]}" = -- ] || continue
        if declare -F _command_offset >/dev/null; then
            _command_offset $((i + 1))
        elif [ $((i + 1)) -eq "$COMP_CWORD" ]; then
            mapfile -t COMPREPLY < <(compgen -c -- "$cur")
        else
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        fi
        return
    done
    case ${COMP_WORDS[COMP_CWORD - 1]} in
    --tier) mapfile -t COMPREPLY < <(compgen -W "fentry kprobe socktp" -- "$cur"); return ;;
    -u | --user) mapfile -t COMPREPLY < <(compgen -u -- "$cur"); return ;;
    --store) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
    esac
    if [[ $cur == -* ]]; then
        # Commands with many options list them; of the others their help does, on lines that begin with a dash.
        mapfile -t COMPREPLY < <(compgen -W "$(sonde "$command" --options 2>/dev/null || sonde "$command" --help 2>/dev/null |
            sed -n 's/^  \(-.*\)$/\1/p' | sed 's/   *[^-].*$//' | grep -oE -- '(^|[ ,])--?[a-z][a-z-]*' | tr -d ' ,' | sort -u) --help" -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}
complete -F _sonde sonde
