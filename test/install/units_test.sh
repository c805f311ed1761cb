#!/bin/sh
# The units lie where systemd looks for them, and it has nothing to say against them.
. "${0%/*}/support.sh"
needs systemd-analyze
quietly env DESTDIR="$scratch/stage" cmake --install "$TREE" --prefix /usr/local

dir=/usr/local/lib/systemd/system
systemd-analyze unit-paths | grep -qx "$dir" || fail "systemd does not look into $dir:" "$(systemd-analyze unit-paths)"
systemd-analyze unit-paths | grep -qx /usr/lib/systemd/system || fail 'systemd does not look into /usr/lib'

# The command is where it was staged; so are the units.
mkdir "$scratch/units"
for unit in multiserver.service multiserver.socket; do
  sed "s|^\(Exec[A-Za-z]*\)=multiserver |\1=$scratch/stage/usr/local/bin/multiserver |" "$scratch/stage$dir/$unit" >"$scratch/units/$unit"
done
# verify: systemd's words on both.
verify() {
  systemd-analyze verify --man=no "$scratch/units/multiserver.service" "$scratch/units/multiserver.socket" >"$scratch/said" 2>&1
}
verify || fail 'systemd does not take the units:' "$(cat "$scratch/said")"
[ ! -s "$scratch/said" ] || fail 'systemd says:' "$(cat "$scratch/said")"

# What is wrong is found.
sed -i 's/^DynamicUser=/DynamiteUser=/' "$scratch/units/multiserver.service"
verify || true
grep -q DynamiteUser "$scratch/said" || fail 'systemd does not look at the settings:' "$(cat "$scratch/said")"
