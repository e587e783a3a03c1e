/* A plugin that breaks the boundary's rules, one with each operation; or in its table, as it is compiled. */
#include "chassis.h"

#include <stdlib.h>
#include <string.h>

#ifndef TABLE_SIZE
#define TABLE_SIZE sizeof(ChassisPlugin)
#endif
#ifndef TABLE_MAJOR
#define TABLE_MAJOR CHASSIS_ABI_MAJOR
#endif
#ifndef CALL
#define CALL call
#endif

#define AS_TEXT(...) #__VA_ARGS__
#define OPERATION(NAME, MORE)                                                                                 \
  {"name" : NAME, "summary" : "", "effect" : "read", "input" : {}, "output" : {},                             \
   "telemetry" : {"kind" : "internal", "operation" : NAME} MORE}
#define TEXT(...) AS_TEXT(__VA_ARGS__)
#define COMMA ,
#define NONE
#define MANIFEST                                                                                              \
  TEXT({"name" : "hostile", "version" : "0.1.0", "description" : "", "contracts" : [], "config" : {},         \
        "operations" : [ OPERATION("health", NONE), OPERATION("no_poll", NONE), OPERATION("odd_poll", NONE),  \
                         OPERATION("odd_error", NONE), OPERATION("no_text", NONE),                            \
                         OPERATION("sudden_stream", NONE), OPERATION("greedy", COMMA "item" : {}),            \
                         OPERATION("no_poll_next", COMMA "item" : {}), OPERATION("no_stream", COMMA "item" : {}) ]})

__attribute__((section(CHASSIS_SECTION_ELF), used)) static const struct {
  ChassisManifestHeader header;
  char json[sizeof(MANIFEST)];
} manifest = {
    {CHASSIS_MAGIC, CHASSIS_ABI_MAJOR, CHASSIS_ABI_MINOR, sizeof(ChassisManifestHeader), CHASSIS_LAYOUT_HASH,
     sizeof(MANIFEST) - 1},
    MANIFEST};

static ChassisOwnedBytes bytes(const char *text, size_t len) {
  ChassisOwnedBytes bytes = {(const uint8_t *)text, len, NULL, NULL};
  return bytes;
}

/* Pays no heed to credit. */
static uint32_t greedy_next(void *data, const ChassisWaker *waker, ChassisOutcome *out) {
  (void)data, (void)waker;
  memset(out, 0, sizeof *out);
  out->json = bytes("{}", 2);
  return CHASSIS_READY;
}

static uint32_t poll(void *data, const ChassisWaker *waker, ChassisOutcome *out) {
  (void)waker;
  memset(out, 0, sizeof *out);
  switch ((intptr_t)data) {
  case 2: return 7;
  case 3: out->code = 99, out->flags = 3, out->json = bytes("\xff not json", 10); break;
  case 4: out->code = CHASSIS_CODE_NOT_FOUND; break;
  case 5:
  case 6: out->stream.data = data, out->stream.poll_next = greedy_next; break;
  case 7: out->stream.data = data; break;
  }
  return CHASSIS_READY;
}

static ChassisFuture call(void *instance, const ChassisCall *call) {
  ChassisFuture future = {(void *)(intptr_t)call->operation, call->operation == 1 ? NULL : poll, NULL};
  (void)instance;
  return future;
}

/* Null, and no reason. */
static void *create(const ChassisHost *host, ChassisHostBytes config, ChassisOutcome *out) {
  (void)host, (void)out;
  return config.len > 2 ? NULL : malloc(1);
}

const ChassisPlugin chassis_plugin = {
    TABLE_SIZE, TABLE_MAJOR, CHASSIS_ABI_MINOR, {(const uint8_t *)&manifest, sizeof manifest}, create, CALL, NULL, free};
