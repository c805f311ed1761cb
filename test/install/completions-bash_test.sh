#!/bin/sh
# bash's completion, asked as bash asks it when somebody presses Tab.
. "${0%/*}/support.sh"
needs bash
quietly cmake --install "$TREE" --prefix "$scratch/prefix"
file=$scratch/prefix/share/bash-completion/completions/multiserver

# completed WORD...: what the last word may become.
completed() {
  (cd "$scratch/files" && bash --norc -c 'file=$1; shift; . "$file"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    _multiserver; printf "%s\n" "${COMPREPLY[@]}"' bash "$file" "$@") | sed '/^$/d' | LC_ALL=C sort
}

# expect WORD...: these are offered, one a line on standard input.
expect() {
  completed "$@" >"$scratch/offered"
  LC_ALL=C sort -u | diff - "$scratch/offered" || fail "wrong after: $*"
}

mkdir "$scratch/files"
touch "$scratch/files/my friends" "$scratch/files/a*b"
bash -n "$file"
{
  commands_of_help
  printf '%s\n' help --help --version
} | expect multiserver ''
echo serve | expect multiserver se
commands_of_help | expect multiserver help ''
for command in $(commands_of_help); do
  { options_of_help "$command" && echo --help; } | expect multiserver "$command" -
  for option in $(file_options_of_help "$command"); do
    printf '%s\n' 'my friends' 'a*b' | expect multiserver "$command" "$option" ''
    echo 'my friends' | expect multiserver "$command" "$option" my
  done
done
printf '%s\n' --allow --allow-any --allow-file | expect multiserver serve --al
expect multiserver serve --allow '' </dev/null
echo 'my friends' | expect multiserver keygen my
expect multiserver id my </dev/null
