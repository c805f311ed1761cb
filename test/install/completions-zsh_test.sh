#!/bin/sh
# zsh's completion: what it gives to zsh's own functions.
. "${0%/*}/support.sh"
needs zsh
quietly cmake --install "$TREE" --prefix "$scratch/prefix"
file=$scratch/prefix/share/zsh/site-functions/_multiserver

zsh -n "$file" || fail 'zsh finds an error in the completion'
grep -q '^#compdef multiserver$' "$file" || fail 'zsh would not know whose completion it is'

# given WORD...: the arguments of _arguments, _describe and compadd, one a line. _describe is given
# the name of an array.
given() {
  zsh -f -c '_arguments() { print -rl -- "$@" }
    _describe() { print -rl -- "${(@P)4}" }
    compadd() { shift; print -rl -- "$@" }
    file=$1; shift; words=("$@"); CURRENT=$#; set --; . "$file"' zsh "$file" "$@"
}

given multiserver '' >"$scratch/given"
for command in $(commands_of_help); do
  grep -q "^$command:..*" "$scratch/given" || fail "$command is not offered" "$(cat "$scratch/given")"
done
for command in $(commands_of_help); do
  given multiserver "$command" '' >"$scratch/given"
  for option in $(options_of_help "$command") --help; do
    grep -qE -- "^(\([^)]*\)|\*)?$option(\[|\$)" "$scratch/given" ||
      fail "$command $option is not offered:" "$(cat "$scratch/given")"
  done
  [ "$(grep -c ':file:_files$' "$scratch/given")" -ge "$(file_options_of_help "$command" | wc -l)" ] ||
    fail "$command completes too few files:" "$(cat "$scratch/given")"
done
given multiserver keygen '' | grep -qx '\*:file:_files' || fail 'keygen completes no files'

# compinit finds it by its first line.
zsh -f -c 'zmodload zsh/complist zsh/computil; autoload -Uz compinit; compinit -D -u -d "$2/dump"
  fpath=("${1:h}" $fpath); compinit -u -d "$2/dump"; [[ $_comps[multiserver] == _multiserver ]]' zsh "$file" "$scratch" ||
  fail 'zsh does not load the completion for multiserver'
