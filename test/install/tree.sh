#!/bin/sh
# The release build that the other tests of this folder install.
. "${0%/*}/support.sh"
unset CFLAGS CPPFLAGS LDFLAGS
quietly cmake -S "$SOURCE" -B "$TREE" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF \
  -DCMAKE_C_COMPILER="$CC"
quietly cmake --build "$TREE" -j2
