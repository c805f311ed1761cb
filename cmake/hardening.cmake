# What the compiler and the linker have against faults in memory, on ms_flags: whatever of it they
# know. A sanitizer finds the same faults earlier, and wants the stack and the heap for itself.
include(CheckCCompilerFlag)
include(CheckCSourceCompiles)
include(CheckLinkerFlag)
include(CheckPIESupported)

option(MULTISERVER_HARDEN "Stack protector, FORTIFY, PIE, BIND_NOW and the like" ON)

if(NOT MULTISERVER_HARDEN OR MULTISERVER_SANITIZE OR MULTISERVER_FUZZ)
  return()
endif()

# The command: code and data at addresses that nobody knows.
check_pie_supported(LANGUAGES C)

# -fcf-protection is of x86, -mbranch-protection of ARM.
foreach(flag -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
    -mbranch-protection=standard)
  string(MAKE_C_IDENTIFIER MS_HAS${flag} has)
  check_c_compiler_flag("${flag} -Werror" ${has})
  if(${has})
    target_compile_options(ms_flags INTERFACE ${flag})
  endif()
endforeach()

# FORTIFY is for a build that optimises; glibc says so in a warning. -U: some compilers define it.
foreach(level 3 2)
  set(CMAKE_REQUIRED_FLAGS "-Werror -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=${level}")
  check_c_source_compiles("#include <string.h>\nint main(int n, char **a) { char b[9]; memcpy(b, a, (size_t)n); return b[0]; }"
    MS_HAS_FORTIFY_${level})
  unset(CMAKE_REQUIRED_FLAGS)
  if(MS_HAS_FORTIFY_${level})
    set(optimised $<CONFIG:Release,RelWithDebInfo,MinSizeRel>)
    target_compile_options(ms_flags INTERFACE
      $<${optimised}:-U_FORTIFY_SOURCE> $<${optimised}:-D_FORTIFY_SOURCE=${level}>)
    break()
  endif()
endforeach()

# Tables that the loader fills are read-only afterwards; the stack holds no code. Where crt1.o, which
# does not need them, lacks the marks of -fcf-protection, that of the shadow stack is set by hand; not
# that of indirect branches, which crti.o would break.
foreach(flag relro now noexecstack shstk)
  check_linker_flag(C -Wl,-z,${flag} MS_HAS_LINK_${flag})
  if(MS_HAS_LINK_${flag})
    target_link_options(ms_flags INTERFACE -Wl,-z,${flag})
  endif()
endforeach()
