/* Tells the application when the addresses that it can advertise have changed. */
#include <sodium.h>

#include "base/mem.h"
#include "endpoint/ctx.h"
#include "transport/interfaces.h"

/* One hash of what ms_stringify gives in every scope. False: it is not known now, for want of
 * memory or descriptors. */
static bool hash_addresses(const struct ms_ctx *ctx, uint8_t hash[static sizeof ctx->told]) {
  static const enum ms_scope scopes[] = {MS_DEVICE, MS_LOCAL, MS_PUBLIC};
  crypto_generichash_state state;
  (void)crypto_generichash_init(&state, NULL, 0, sizeof ctx->told);
  for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++) {
    bool whole, again;
    size_t n = ms__advertise(ctx, scopes[i], NULL, 0, &whole);
    char *text = whole ? ms__malloc(&ctx->allocator, n + 1) : NULL;
    if (!text) return false;
    (void)ms__advertise(ctx, scopes[i], text, n + 1, &again);
    (void)crypto_generichash_update(&state, (const uint8_t *)text, n + 1);
    ms__free(&ctx->allocator, text);
    if (!again) return false;
  }
  (void)crypto_generichash_final(&state, hash, sizeof ctx->told);
  return true;
}

static void on_moved(void *user) {
  struct ms_ctx *ctx = user;
  uint8_t hash[sizeof ctx->told];
  if (!ctx->ready_told) return;
  if (!hash_addresses(ctx, hash)) {
    ms__watch_retry(ctx->watch);
    return;
  }
  if (ctx->has_told && sodium_memcmp(hash, ctx->told, sizeof hash) == 0) return;
  memcpy(ctx->told, hash, sizeof hash);
  ctx->has_told = true;
  ms__loop_log(&ctx->loop, MS_LOG_INFO, "the addresses have changed");
  ctx->events->on_addresses(ctx, ctx->events_user);
}

int ms__addresses_watch(struct ms_ctx *ctx) {
  if (ctx->watch || !ctx->events->on_addresses) return 0;
  ctx->watch = ms__watch_new(&ctx->loop, on_moved, ctx);
  return ctx->watch ? 0 : MS_ENOMEM;
}

void ms__addresses_known(struct ms_ctx *ctx) {
  if (ctx->watch) ctx->has_told = hash_addresses(ctx, ctx->told);
}

void ms__addresses_changed(struct ms_ctx *ctx) {
  if (ctx->watch) ms__watch_poke(ctx->watch);
}

void ms__addresses_unwatch(struct ms_ctx *ctx) {
  if (ctx->watch) ms__watch_close(ctx->watch);
  ctx->watch = NULL;
}
