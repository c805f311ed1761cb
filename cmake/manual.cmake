# What is written from the sources at build time: the manual pages and the completions from the
# command's help texts and the header, so that they say what these say.

# The pages are as old as the last entry of the change log.
file(STRINGS cmake/debian/changelog signature REGEX "^ -- " LIMIT_COUNT 1)
string(REGEX MATCH "([0-9]+) ([A-Z][a-z][a-z]) ([0-9][0-9][0-9][0-9])" signature "${signature}")
set(day ${CMAKE_MATCH_1})
set(year ${CMAKE_MATCH_3})
set(months Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec)
list(FIND months "${CMAKE_MATCH_2}" month)
math(EXPR month "${month} + 101")
string(SUBSTRING ${month} 1 2 month)
set(MS_RELEASE_DATE ${year}-${month}-${day})

set(MS_MANUAL ${PROJECT_BINARY_DIR}/manual)
set(MS_GENERATED ${MS_MANUAL}/libmultiserver.3)

# ms_generate(OUTPUT SCRIPT DEPENDS... COMMAND ARGUMENT...): a file that a script writes to its
# standard output; not there at all when the script fails.
function(ms_generate output script)
  cmake_parse_arguments(arg "" "" "DEPENDS;COMMAND" ${ARGN})
  add_custom_command(OUTPUT ${output} VERBATIM
    COMMAND ${arg_COMMAND} > ${output}.part
    COMMAND ${CMAKE_COMMAND} -E rename ${output}.part ${output}
    DEPENDS ${PROJECT_SOURCE_DIR}/scripts/${script} ${arg_DEPENDS})
endfunction()

configure_file(docs/libmultiserver.3.in manual/libmultiserver.3.in @ONLY)
configure_file(docs/multiserver.1.in manual/multiserver.1.in @ONLY)
ms_generate(${MS_MANUAL}/libmultiserver.3 man-header
  DEPENDS ${PROJECT_SOURCE_DIR}/include/multiserver.h ${MS_MANUAL}/libmultiserver.3.in
  COMMAND awk -f ${PROJECT_SOURCE_DIR}/scripts/man-header
    ${PROJECT_SOURCE_DIR}/include/multiserver.h ${MS_MANUAL}/libmultiserver.3.in)

# The command tells of itself, which takes a machine that runs it.
set(MS_RUNS_COMMAND TRUE)
if(CMAKE_CROSSCOMPILING AND NOT CMAKE_CROSSCOMPILING_EMULATOR)
  set(MS_RUNS_COMMAND FALSE)
endif()
if(MS_RUNS_COMMAND)
  set(help ${PROJECT_SOURCE_DIR}/scripts/help.awk)
  ms_generate(${MS_MANUAL}/multiserver.1 man-command
    DEPENDS multiserver ${help} ${MS_MANUAL}/multiserver.1.in
    COMMAND ${PROJECT_SOURCE_DIR}/scripts/man-command $<TARGET_FILE:multiserver> ${MS_MANUAL}/multiserver.1.in)
  list(APPEND MS_GENERATED ${MS_MANUAL}/multiserver.1)
  foreach(shell bash zsh fish)
    ms_generate(${MS_MANUAL}/multiserver.${shell} completions DEPENDS multiserver ${help}
      COMMAND ${PROJECT_SOURCE_DIR}/scripts/completions ${shell} $<TARGET_FILE:multiserver>)
    list(APPEND MS_GENERATED ${MS_MANUAL}/multiserver.${shell})
  endforeach()
endif()
add_custom_target(manual ALL DEPENDS ${MS_GENERATED})

# ---- The reference in HTML ----

configure_file(docs/Doxyfile.in Doxyfile @ONLY)
add_custom_target(reference VERBATIM
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${PROJECT_BINARY_DIR}/reference
  COMMAND doxygen ${PROJECT_BINARY_DIR}/Doxyfile)
