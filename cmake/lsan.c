/* With AddressSanitizer: a thread that still looks a name up when the process ends has memory of
 * the system's resolver, which is no leak. Weak: every part of a program brings it. */
const char *__lsan_default_suppressions(void);

__attribute__((weak, visibility("default"))) const char *__lsan_default_suppressions(void) {
  return "leak:getaddrinfo\nleak:gaih_\nleak:_res_\nleak:_nss_\n";
}
