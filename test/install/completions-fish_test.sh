#!/bin/sh
# fish's completion, asked as fish asks it when somebody presses Tab.
. "${0%/*}/support.sh"
needs fish
quietly cmake --install "$TREE" --prefix "$scratch/prefix"
file=$scratch/prefix/share/fish/vendor_completions.d/multiserver.fish
mkdir "$scratch/files" "$scratch/home"
export HOME="$scratch/home"
touch "$scratch/files/friends"

# offered LINE: what it may go on with; descriptions are cut off.
offered() {
  (cd "$scratch/files" && fish --no-config -c 'source $argv[1]; complete -C $argv[2]' "$file" "$1") | cut -f 1
}

# offers LINE WORD...: each of them.
offers() {
  line=$1
  shift
  offered "$line" >"$scratch/offered"
  for word in "$@"; do
    grep -qxF -e "$word" "$scratch/offered" || fail "'$line' does not offer $word:" "$(cat "$scratch/offered")"
  done
}

fish --no-config -n "$file" || fail 'fish finds an error in the completion'
# shellcheck disable=SC2046 # words
offers 'multiserver ' $(commands_of_help) help
for command in $(commands_of_help); do
  long=$(options_of_help "$command" | sed '/^--/!d')
  # shellcheck disable=SC2086
  offers "multiserver $command --" $long --help
  for option in $(file_options_of_help "$command"); do
    offers "multiserver $command $option " friends
  done
done
offers 'multiserver keygen ' friends
for line in 'multiserver serve --allow ' 'multiserver id ' 'multiserver '; do
  ! offered "$line" | grep friends || fail "'$line' offers a file"
done
