# What `cmake --install` installs, in three components: runtime (the shared library), development
# (what programs are built with) and tools (the command).
include(CMakePackageConfigHelpers)

set(MULTISERVER_ZSH_DIR ${CMAKE_INSTALL_DATADIR}/zsh/site-functions CACHE STRING
  "Where zsh looks for completions; Debian's packages use vendor-completions")
set(MULTISERVER_UNIT_DIR lib/systemd/system CACHE STRING
  "Where systemd looks for units; below /usr and /usr/local it is this one")
set(MULTISERVER_DEV_DOC_DIR ${CMAKE_INSTALL_DOCDIR} CACHE STRING
  "Where what programmers read is; Debian has a folder for each package")
set(MS_PKGCONFIG_DIR ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
set(MS_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/multiserver)

# ---- Runtime and development ----

set_target_properties(multiserver_shared PROPERTIES EXPORT_NAME multiserver)
set_target_properties(multiserver_static PROPERTIES EXPORT_NAME static)
install(TARGETS multiserver_shared multiserver_static EXPORT multiserver-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT development
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(FILES include/multiserver.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)

# The .pc file finds its prefix from where it lies, unless a folder was given as an absolute path.
file(RELATIVE_PATH MS_PC_PREFIX /prefix/${MS_PKGCONFIG_DIR} /prefix)
foreach(dir LIBDIR INCLUDEDIR)
  if(IS_ABSOLUTE ${CMAKE_INSTALL_${dir}})
    set(MS_PC_${dir} ${CMAKE_INSTALL_${dir}})
  else()
    set(MS_PC_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
  endif()
endforeach()
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
  file(RELATIVE_PATH MS_PC_PREFIX ${MS_PKGCONFIG_DIR} ${CMAKE_INSTALL_PREFIX})
endif()
string(REGEX REPLACE "/$" "" MS_PC_PREFIX ${MS_PC_PREFIX})
configure_file(cmake/multiserver.pc.in multiserver.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/multiserver.pc DESTINATION ${MS_PKGCONFIG_DIR}
  COMPONENT development)

configure_package_config_file(cmake/multiserver-config.cmake.in multiserver-config.cmake
  INSTALL_DESTINATION ${MS_CMAKE_DIR} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(multiserver-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/multiserver-config.cmake
  ${PROJECT_BINARY_DIR}/multiserver-config-version.cmake DESTINATION ${MS_CMAKE_DIR}
  COMPONENT development)
install(EXPORT multiserver-targets NAMESPACE multiserver:: DESTINATION ${MS_CMAKE_DIR}
  COMPONENT development)
install(FILES ${MS_MANUAL}/libmultiserver.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3
  COMPONENT development)
install(FILES docs/behaviours.md DESTINATION ${MULTISERVER_DEV_DOC_DIR}/docs COMPONENT development)
install(DIRECTORY examples/ DESTINATION ${MULTISERVER_DEV_DOC_DIR}/examples COMPONENT development
  FILES_MATCHING PATTERN "*.c")

# ---- Tools ----

# The command has the library in it. Nothing enables or starts its units: that is the operator's to do.
install(TARGETS multiserver DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools)
install(FILES contrib/multiserver.service contrib/multiserver.socket
  DESTINATION ${MULTISERVER_UNIT_DIR} COMPONENT tools)
# Documents keep the names by which they cite each other.
install(FILES README.md SECURITY.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR}
  COMPONENT tools)
install(FILES docs/operating.md docs/fronts.md DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs
  COMPONENT tools)
if(MS_RUNS_COMMAND)
  install(FILES ${MS_MANUAL}/multiserver.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT tools)
  install(FILES ${MS_MANUAL}/multiserver.bash COMPONENT tools RENAME multiserver
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${MS_MANUAL}/multiserver.zsh COMPONENT tools RENAME _multiserver
    DESTINATION ${MULTISERVER_ZSH_DIR})
  install(FILES ${MS_MANUAL}/multiserver.fish COMPONENT tools
    DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()
