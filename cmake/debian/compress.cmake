# Run by CPack on what is about to be packed. Debian has its manual pages and change logs compressed,
# and other names for two files.
file(GLOB_RECURSE files ${CPACK_TEMPORARY_DIRECTORY}/*)
foreach(file ${files})
  if(file MATCHES "/man/man[1-9]/[^/]*[.][1-9]$|/changelog([.]Debian)?$")
    execute_process(COMMAND gzip -9nf ${file} COMMAND_ERROR_IS_FATAL ANY)
  elseif(file MATCHES "/share/doc/[^/]*/(CHANGELOG[.]md|LICENSE)$")
    file(REMOVE ${file}) # changelog.gz, copyright
  endif()
endforeach()
