# SPDX-License-Identifier: Apache-2.0
# bash completion for sonde; options are read from the commands' own help.
_sonde() {
    local cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(sonde --help 2>/dev/null |
            sed -n 's/^  \([a-z]*\)  .*/\1/p') --help --version" -- "$cur")
        return
    fi
    case ${COMP_WORDS[COMP_CWORD - 1]} in
    --tier) mapfile -t COMPREPLY < <(compgen -W "fentry kprobe socktp" -- "$cur"); return ;;
    -u | --user) mapfile -t COMPREPLY < <(compgen -u -- "$cur"); return ;;
    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(sonde "$command" --help 2>/dev/null |
            grep -oE -- '(^| )--?[a-z][a-z-]*' | sort -u)" -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}
complete -F _sonde sonde
