# Run by CPack on what is about to be packed: Debian has its manual pages and change logs compressed.
file(GLOB_RECURSE files ${CPACK_TEMPORARY_DIRECTORY}/*)
list(FILTER files INCLUDE REGEX "/man/man[1-9]/[^/]*[.][1-9]$|/changelog[.]Debian$")
foreach(file ${files})
  execute_process(COMMAND gzip -9nf ${file} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
