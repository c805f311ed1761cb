#!/bin/sh
# What the compiler and the linker have against faults in memory is in what is released.
. "${0%/*}/support.sh"
needs readelf objdump

hardened "$TREE/multiserver" PIE
hardened "$TREE/libmultiserver.so"

# In the archive, the stack protector and FORTIFY are all that can be seen.
readelf -Ws "$TREE/libmultiserver.a" >"$scratch/symbols" 2>/dev/null
for name in __stack_chk_fail __memcpy_chk; do
  grep -q "UND $name" "$scratch/symbols" || fail "libmultiserver.a does not use $name"
done

# A program without any of it: each look can fail.
echo 'int main(void) { return 0; }' >"$scratch/soft.c"
quietly "$CC" -O2 -fno-stack-protector -fcf-protection=none -no-pie "$scratch/soft.c" -o "$scratch/soft" \
  -Wl,-z,norelro -Wl,-z,lazy -Wl,-z,execstack
lacking=$(lacks "$scratch/soft" PIE)
wanted='stack protector,FORTIFY,RELRO,BIND_NOW,executable stack,PIE'
[ "$(uname -m)" != x86_64 ] || wanted="$wanted,shadow stack,stack clash,control flow"
[ "$(echo "$lacking" | paste -sd, -)" = "$wanted" ] || fail 'a soft program lacks:' "$lacking"

# It can be turned off.
quietly cmake -S "$SOURCE" -B "$scratch/off" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF \
  -DCMAKE_C_COMPILER="$CC" -DMULTISERVER_HARDEN=OFF
! grep -qE 'stack-protector|FORTIFY' "$scratch/off/compile_commands.json" || fail 'MULTISERVER_HARDEN=OFF hardens'
