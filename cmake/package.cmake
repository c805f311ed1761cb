# `make deb`: the components of install.cmake as Debian packages. A build for it has the prefix /usr.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME multiserver)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each package has its own
set(CPACK_PACKAGING_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_COMPONENTS_ALL runtime development tools)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/debian/compress.cmake)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "multiserver maintainers <maintainers@multiserver.invalid>")
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(about "An address says everything needed to reach a peer: alternatives, each a
transport and the protocols stacked on it. multiserver serves and dials such
addresses and is wire-compatible with the npm package of that name.")

# ms_package(COMPONENT NAME SECTION SUMMARY TEXT)
macro(ms_package component name section summary text)
  string(TOUPPER ${component} upper)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name})
  set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${section})
  set(CPACK_DEBIAN_${upper}_DESCRIPTION "${summary}\n${about}\n\n${text}")
endmacro()

ms_package(runtime libmultiserver0 libs "one interface over many protocols: shared library"
  "This package has the library that programs use.")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
configure_file(cmake/debian/shlibs.in debian/shlibs @ONLY)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA
  ${PROJECT_BINARY_DIR}/debian/shlibs ${PROJECT_SOURCE_DIR}/cmake/debian/triggers)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_MULTIARCH same)

set(deb_version ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})
ms_package(development libmultiserver-dev libdevel "one interface over many protocols: development files"
  "This package has what programs are built with.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
  "libmultiserver0 (= ${deb_version}), libuv1-dev (>= 1.44), libsodium-dev (>= 1.0.18), libssl-dev (>= 3.0), libhttp-parser-dev")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS "pkg-config, cmake")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_MULTIARCH same)

ms_package(tools multiserver net "one interface over many protocols: command"
  "This package has the command.")
set(CPACK_DEBIAN_TOOLS_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_TOOLS_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/cmake/debian/prerm)

# ---- What every Debian package brings ----

file(STRINGS cmake/debian/changelog entry LIMIT_COUNT 1)
if(NOT entry MATCHES "^multiserver \\(${deb_version}\\) ")
  message(FATAL_ERROR "cmake/debian/changelog does not begin with ${deb_version}")
endif()
file(READ LICENSE license)
string(REGEX MATCH "Copyright \\(c\\) ([^\n]+)" MS_COPYRIGHT "${license}")
set(MS_COPYRIGHT "${CMAKE_MATCH_1}")
string(REGEX REPLACE "^.*Copyright[^\n]*\n+" "" license "${license}")
string(REGEX REPLACE "\n$" "" license "${license}")
string(REPLACE "\n\n" "\n.\n" license "${license}")
string(REPLACE "\n" "\n " MS_LICENSE " ${license}")
configure_file(cmake/debian/copyright.in debian/copyright @ONLY)
foreach(component ${CPACK_COMPONENTS_ALL})
  string(TOUPPER ${component} upper)
  set(doc ${CMAKE_INSTALL_DATADIR}/doc/${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
  install(FILES ${PROJECT_BINARY_DIR}/debian/copyright DESTINATION ${doc} COMPONENT ${component}
    EXCLUDE_FROM_ALL)
  install(FILES cmake/debian/changelog DESTINATION ${doc} COMPONENT ${component}
    RENAME changelog.Debian EXCLUDE_FROM_ALL)
  install(FILES CHANGELOG.md DESTINATION ${doc} COMPONENT ${component} RENAME changelog
    EXCLUDE_FROM_ALL)
endforeach()

include(CPack)
