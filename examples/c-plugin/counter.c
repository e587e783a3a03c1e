/* A plugin in plain C, from chassis.h alone: counters by name, held in memory.
 *
 * Four operations, one for each way of answering: `add` answers at once, `sleep` answers later from a thread of its own,
 * `count_up` answers with a stream, and `health` is what every plugin has. */

#define _POSIX_C_SOURCE 200809L
#include "chassis.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The manifest. The position of an operation here is the number that a call carries. */

enum { HEALTH, ADD, SLEEP, COUNT_UP };

#define AS_TEXT(...) #__VA_ARGS__
#define MANIFEST AS_TEXT({                                                                                    \
  "name": "counter", "version": "0.1.0", "description": "Counters by name, in memory, written in C.",         \
  "contracts": [],                                                                                            \
  "config": {"type": "object", "additionalProperties": false,                                                 \
             "properties": {"start": {"type": "integer", "description": "Where every counter begins."}}},     \
  "operations": [                                                                                             \
    {"name": "health", "summary": "Says that it is there.", "effect": "read", "idempotent": true,             \
     "input": {"type": "object"},                                                                             \
     "output": {"type": "object", "properties": {"server_version": {"type": "string"}}},                      \
     "telemetry": {"kind": "internal", "operation": "health"}},                                               \
    {"name": "add", "summary": "Adds to a counter and answers its value.", "effect": "write",                 \
     "input": {"type": "object", "required": ["key"],                                                         \
               "properties": {"key": {"type": "string", "maxLength": 31}, "by": {"type": "integer"}}},        \
     "output": {"type": "object", "properties": {"value": {"type": "integer"}}},                              \
     "telemetry": {"kind": "internal", "operation": "add"}},                                                  \
    {"name": "sleep", "summary": "Answers after a while.", "effect": "read", "idempotent": true,              \
     "input": {"type": "object", "required": ["ms"], "properties": {"ms": {"type": "integer"}}},              \
     "output": {"type": "object"},                                                                            \
     "telemetry": {"kind": "internal", "operation": "sleep"}},                                                \
    {"name": "count_up", "summary": "Counts, a number an item.", "effect": "read", "idempotent": true,        \
     "input": {"type": "object", "required": ["to"], "properties": {"to": {"type": "integer"}}},              \
     "output": {"type": "object"},                                                                            \
     "item": {"type": "object", "properties": {"n": {"type": "integer"}}},                                    \
     "telemetry": {"kind": "internal", "operation": "count_up"}}                                              \
  ]})

#ifdef __APPLE__
#define MANIFEST_SECTION CHASSIS_SECTION_MACHO
#else
#define MANIFEST_SECTION CHASSIS_SECTION_ELF
#endif

__attribute__((section(MANIFEST_SECTION), used)) static const struct {
  ChassisManifestHeader header;
  char json[sizeof(MANIFEST)];
} manifest = {
    {CHASSIS_MAGIC, CHASSIS_ABI_MAJOR, CHASSIS_ABI_MINOR, sizeof(ChassisManifestHeader), CHASSIS_LAYOUT_HASH,
     sizeof(MANIFEST) - 1},
    MANIFEST};

/* Answers. What is handed over is made with malloc and given back with free. */

static void release(const uint8_t *ptr, size_t len, void *owner) {
  (void)ptr, (void)len;
  free(owner);
}

static ChassisOwnedBytes owned(const char *text) {
  char *copy = strdup(text);
  ChassisOwnedBytes bytes = {(uint8_t *)copy, copy ? strlen(copy) : 0, copy, release};
  return bytes;
}

static void answer(ChassisOutcome *out, const char *json) {
  memset(out, 0, sizeof *out);
  out->json = owned(json);
}

static void fail(ChassisOutcome *out, uint32_t code, const char *message, const char *field) {
  char document[256];
  if (field)
    snprintf(document, sizeof document, "{\"message\":\"%s\",\"field\":\"%s\"}", message, field);
  else
    snprintf(document, sizeof document, "{\"message\":\"%s\"}", message);
  answer(out, document);
  out->code = code;
}

/* Reading input: enough for flat objects without escapes; a real plugin in C brings a JSON library. */

static const char *member(ChassisHostBytes json, const char *name) {
  size_t len = strlen(name);
  const char *at = (const char *)json.ptr, *end = at + json.len;
  for (; at && (size_t)(end - at) > len + 2; at++)
    if (at[0] == '"' && !strncmp(at + 1, name, len) && at[len + 1] == '"') {
      for (at += len + 2; at < end && (*at == ' ' || *at == ':'); at++) continue;
      return at < end ? at : NULL;
    }
  return NULL;
}

static bool integer(ChassisHostBytes json, const char *name, long *number) {
  const char *at = member(json, name), *end = (const char *)json.ptr + json.len;
  char digits[24] = "", *rest;
  for (size_t i = 0; at && i + 1 < sizeof digits && at + i < end; i++) digits[i] = at[i];
  *number = strtol(digits, &rest, 10);
  return rest != digits;
}

static bool string(ChassisHostBytes json, const char *name, char *text, size_t size) {
  const char *at = member(json, name), *end = (const char *)json.ptr + json.len;
  if (!at || *at++ != '"') return false;
  for (size_t i = 0; i < size && at + i < end; i++) {
    if (at[i] == '"') return text[i] = 0, i > 0;
    text[i] = at[i];
  }
  return false;
}

/* The instance. */

#ifndef COUNTERS
#define COUNTERS 64
#endif
typedef struct {
  pthread_mutex_t lock;
  long start;
  struct {
    char key[32];
    long value;
  } counters[COUNTERS];
} Instance;

static void *create(const ChassisHost *host, ChassisHostBytes config, ChassisOutcome *out) {
  Instance *instance = calloc(1, sizeof *instance);
  if (!instance) return fail(out, CHASSIS_CODE_RESOURCE_EXHAUSTED, "out of memory", NULL), NULL;
  if (member(config, "start") && !integer(config, "start", &instance->start)) {
    free(instance);
    return fail(out, CHASSIS_CODE_INVALID_ARGUMENT, "must be an integer", "start"), NULL;
  }
  pthread_mutex_init(&instance->lock, NULL);
  if (host->log && host->log_level && __atomic_load_n(host->log_level, __ATOMIC_RELAXED) >= 4) {
    static const char message[] = "counter opened", fields[] = "{\"language\":\"c\"}";
    ChassisPluginBytes text = {(const uint8_t *)message, sizeof message - 1};
    ChassisPluginBytes more = {(const uint8_t *)fields, sizeof fields - 1};
    host->log(host->ctx, 4, text, more);
  }
  return instance;
}

static void destroy(void *data) {
  Instance *instance = data;
  pthread_mutex_destroy(&instance->lock);
  free(instance);
}

/* `health`, `add`, and the beginning of `count_up`: done with the first poll. */

typedef struct {
  Instance *instance;
  const ChassisCall *call;
} Now;

static ChassisStream count_up(long to);

static void add(Instance *instance, const ChassisCall *call, ChassisOutcome *out) {
  char key[32], json[64];
  long by = 1, i = 0;
  if (!string(call->json, "key", key, sizeof key)) {
    fail(out, CHASSIS_CODE_INVALID_ARGUMENT, "must be a text of 1 to 31 bytes", "key");
    return;
  }
  if (member(call->json, "by") && !integer(call->json, "by", &by)) {
    fail(out, CHASSIS_CODE_INVALID_ARGUMENT, "must be an integer", "by");
    return;
  }

  pthread_mutex_lock(&instance->lock);
  while (i < COUNTERS && instance->counters[i].key[0] && strcmp(instance->counters[i].key, key)) i++;
  if (i < COUNTERS && !instance->counters[i].key[0]) {
    strcpy(instance->counters[i].key, key);
    instance->counters[i].value = instance->start;
  }
  if (i < COUNTERS) snprintf(json, sizeof json, "{\"value\":%ld}", instance->counters[i].value += by);
  pthread_mutex_unlock(&instance->lock);

  if (i < COUNTERS)
    answer(out, json);
  else
    fail(out, CHASSIS_CODE_RESOURCE_EXHAUSTED, "there are no more counters", NULL);
}

static uint32_t now_poll(void *data, const ChassisWaker *waker, ChassisOutcome *out) {
  Now *now = data;
  long to;
  (void)waker;
  switch (now->call->operation) {
  case HEALTH:
    answer(out, "{\"server_version\":\"0.1.0\",\"details\":{},\"pool\":null}");
    break;
  case ADD:
    add(now->instance, now->call, out);
    break;
  case COUNT_UP:
    if (!integer(now->call->json, "to", &to)) {
      fail(out, CHASSIS_CODE_INVALID_ARGUMENT, "must be an integer", "to");
    } else {
      answer(out, "{}");
      out->stream = count_up(to);
    }
    break;
  default:
    fail(out, CHASSIS_CODE_UNIMPLEMENTED, "there is no such operation", NULL);
  }
  return CHASSIS_READY;
}

/* `sleep`: a thread waits, and wakes whoever polled last. */

typedef struct {
  const ChassisCall *call;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  pthread_t thread;
  struct timespec until;
  bool started, done, cancelled;
  const ChassisWaker *waker;
} Sleep;

static void *sleep_thread(void *data) {
  Sleep *sleep = data;
  const ChassisWaker *waker;
  int waited = 0;
  pthread_mutex_lock(&sleep->lock);
  while (!sleep->cancelled && !waited) waited = pthread_cond_timedwait(&sleep->changed, &sleep->lock, &sleep->until);
  sleep->done = true;
  waker = sleep->waker;
  sleep->waker = NULL;
  pthread_mutex_unlock(&sleep->lock);
  if (waker) waker->vtable->wake(waker);
  return NULL;
}

static uint32_t sleep_poll(void *data, const ChassisWaker *waker, ChassisOutcome *out) {
  Sleep *sleep = data;
  const ChassisWaker *old;
  bool done;
  long ms;
  if (!sleep->started) {
    if (!integer(sleep->call->json, "ms", &ms) || ms < 0)
      return fail(out, CHASSIS_CODE_INVALID_ARGUMENT, "must be a number of milliseconds", "ms"), CHASSIS_READY;
    clock_gettime(CLOCK_REALTIME, &sleep->until);
    sleep->until.tv_sec += ms / 1000;
    sleep->until.tv_nsec += ms % 1000 * 1000000;
    if (sleep->until.tv_nsec >= 1000000000) sleep->until.tv_sec++, sleep->until.tv_nsec -= 1000000000;
    sleep->started = !pthread_create(&sleep->thread, NULL, sleep_thread, sleep);
    if (!sleep->started)
      return fail(out, CHASSIS_CODE_RESOURCE_EXHAUSTED, "no thread can be started", NULL), CHASSIS_READY;
  }
  pthread_mutex_lock(&sleep->lock);
  done = sleep->done;
  old = sleep->waker;
  sleep->waker = done ? NULL : waker->vtable->clone(waker);
  pthread_mutex_unlock(&sleep->lock);
  if (old) old->vtable->drop(old);
  if (!done) return CHASSIS_PENDING;
  answer(out, "{}");
  return CHASSIS_READY;
}

/* Also how a sleep is cancelled: its thread has ended when this returns. */
static void sleep_drop(void *data) {
  Sleep *sleep = data;
  pthread_mutex_lock(&sleep->lock);
  sleep->cancelled = true;
  pthread_cond_signal(&sleep->changed);
  pthread_mutex_unlock(&sleep->lock);
  if (sleep->started) pthread_join(sleep->thread, NULL);
  if (sleep->waker) sleep->waker->vtable->drop(sleep->waker);
  pthread_cond_destroy(&sleep->changed);
  pthread_mutex_destroy(&sleep->lock);
  free(sleep);
}

/* The items of `count_up`: as many as were granted. */

typedef struct {
  long n, to;
  uint64_t credits;
  const ChassisWaker *waker;
} CountUp;

static void forget_waker(CountUp *count, bool wake) {
  const ChassisWaker *waker = count->waker;
  count->waker = NULL;
  if (waker) (wake ? waker->vtable->wake : waker->vtable->drop)(waker);
}

static uint32_t count_poll(void *data, const ChassisWaker *waker, ChassisOutcome *out) {
  CountUp *count = data;
  char json[32];
  if (count->n >= count->to) return CHASSIS_END;
  if (!count->credits) {
    forget_waker(count, false);
    count->waker = waker->vtable->clone(waker);
    return CHASSIS_PENDING;
  }
  count->credits--;
  snprintf(json, sizeof json, "{\"n\":%ld}", ++count->n);
  answer(out, json);
  return CHASSIS_READY;
}

static void count_grant(void *data, uint32_t credits) {
  CountUp *count = data;
  count->credits += credits;
  forget_waker(count, true);
}

static void count_drop(void *data) {
  forget_waker(data, false);
  free(data);
}

static ChassisStream count_up(long to) {
  CountUp *count = calloc(1, sizeof *count);
  ChassisStream stream = {count, count_poll, count_grant, count_drop};
  if (count) count->to = to;
  return stream;
}

/* The table. */

static uint32_t no_memory(void *data, const ChassisWaker *waker, ChassisOutcome *out) {
  (void)data, (void)waker;
  fail(out, CHASSIS_CODE_RESOURCE_EXHAUSTED, "out of memory", NULL);
  return CHASSIS_READY;
}

static ChassisFuture call(void *data, const ChassisCall *call) {
  ChassisFuture none = {NULL, no_memory, NULL};
  if (call->operation == SLEEP) {
    Sleep *sleep = calloc(1, sizeof *sleep);
    ChassisFuture future = {sleep, sleep_poll, sleep_drop};
    if (!sleep) return none;
    sleep->call = call;
    pthread_mutex_init(&sleep->lock, NULL);
    pthread_cond_init(&sleep->changed, NULL);
    return future;
  }
  Now *now = malloc(sizeof *now);
  ChassisFuture future = {now, now_poll, free};
  if (!now) return none;
  now->instance = data;
  now->call = call;
  return future;
}

const ChassisPlugin chassis_plugin = {
    sizeof(ChassisPlugin), CHASSIS_ABI_MAJOR, CHASSIS_ABI_MINOR,
    {(const uint8_t *)&manifest, sizeof manifest},
    create, call, NULL, destroy};
