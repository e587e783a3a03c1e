/* The boundary between the Chassis host and its plugins.
 *
 * Generated from contract/abi/src (see contract/abi/tests/header.rs): do not edit. The rules are in lib.rs there, in short:
 * - A plugin exports one symbol, `const ChassisPlugin chassis_plugin`, and carries in the section `.chassis` (on a Mac
 *   `__DATA,__chassis`) a ChassisManifestHeader and right after it the manifest as JSON.
 * - Fields are only ever appended; `struct_size` says how many are there. A slot that is absent or null is not offered.
 * - Who allocates frees. HostBytes and PluginBytes are lent; OwnedBytes carry their release.
 * - The host polls. Poll and drop of one future are never concurrent, but may come from different threads. After READY only
 *   `drop` may be called. Dropping cancels.
 * - A ChassisCall and all it points to live until its future, and the stream that it answered with, are dropped.
 * - Nothing unwinds across: every function of a table returns.
 * - A stream begins without credit, and yields at most as many items as were granted.
 */

#ifndef CHASSIS_H
#define CHASSIS_H

#include <stddef.h>
#include <stdint.h>

// The layout of the structs below.
#define CHASSIS_LAYOUT_HASH UINT64_C(0x91189497bae4773d)

// The first bytes of the manifest's header: seven letters and a zero.
#define CHASSIS_MAGIC "CHASSIS"

// Where the manifest lies.
#define CHASSIS_SECTION_ELF ".chassis"

// Where the manifest lies on a Mac.
#define CHASSIS_SECTION_MACHO "__DATA,__chassis"

// `poll_*` of ChassisIo answers: not yet, the waker will be called.
#define CHASSIS_IO_PENDING PTRDIFF_MIN

// Canonical error codes: google.rpc.Code's names and numbers.
#define CHASSIS_CODE_CANCELLED 1
#define CHASSIS_CODE_UNKNOWN 2
#define CHASSIS_CODE_INVALID_ARGUMENT 3
#define CHASSIS_CODE_DEADLINE_EXCEEDED 4
#define CHASSIS_CODE_NOT_FOUND 5
#define CHASSIS_CODE_ALREADY_EXISTS 6
#define CHASSIS_CODE_PERMISSION_DENIED 7
#define CHASSIS_CODE_RESOURCE_EXHAUSTED 8
#define CHASSIS_CODE_FAILED_PRECONDITION 9
#define CHASSIS_CODE_ABORTED 10
#define CHASSIS_CODE_OUT_OF_RANGE 11
#define CHASSIS_CODE_UNIMPLEMENTED 12
#define CHASSIS_CODE_INTERNAL 13
#define CHASSIS_CODE_UNAVAILABLE 14
#define CHASSIS_CODE_DATA_LOSS 15
#define CHASSIS_CODE_UNAUTHENTICATED 16

typedef struct ChassisPlugin ChassisPlugin;
typedef struct ChassisCall ChassisCall;
typedef struct ChassisOutcome ChassisOutcome;
typedef struct ChassisFuture ChassisFuture;
typedef struct ChassisStream ChassisStream;
typedef struct ChassisHostBytes ChassisHostBytes;
typedef struct ChassisPluginBytes ChassisPluginBytes;
typedef struct ChassisOwnedBytes ChassisOwnedBytes;
typedef struct ChassisWaker ChassisWaker;
typedef struct ChassisWakerVtable ChassisWakerVtable;
typedef struct ChassisHost ChassisHost;
typedef struct ChassisTask ChassisTask;
typedef struct ChassisIo ChassisIo;
typedef struct ChassisManifestHeader ChassisManifestHeader;


// Major version of the boundary. Host and plugin must agree on it.
#define CHASSIS_ABI_MAJOR 1

// Minor version of the boundary. A plugin may be older than the host, never newer.
#define CHASSIS_ABI_MINOR 0

// The same call may succeed later.
#define CHASSIS_FLAG_RETRYABLE 1

// The effect may have happened although the call failed.
#define CHASSIS_FLAG_MAYBE_APPLIED 2

// The instance is poisoned by a panic: the host makes a new one.
#define CHASSIS_FLAG_POISONED 4

// An operation number that no manifest has: a plugin made with the SDK panics in its first poll, so that the conformance suite
// sees a panic caught and the instance made again. A plugin may answer it with `unimplemented` instead.
#define CHASSIS_OPERATION_PANIC UINT32_MAX

// `poll` answers: not yet, the waker will be called.
#define CHASSIS_PENDING 0

// `poll` answers: done, or one item; `out` is written.
#define CHASSIS_READY 1

// `poll_next` answers: no more items; `out` is not written.
#define CHASSIS_END 2

// `metric_register`: a counter.
#define CHASSIS_METRIC_COUNTER 1

// `metric_register`: a gauge.
#define CHASSIS_METRIC_GAUGE 2

// `metric_register`: a histogram, in seconds.
#define CHASSIS_METRIC_HISTOGRAM 3

// Bytes that belong to the plugin and are only lent. In the plugin's table they are static.
struct ChassisPluginBytes {
  // First byte; may be null when `len` is 0.
  const uint8_t *ptr;
  // Length in bytes.
  size_t len;
};

// Bytes that belong to the host and are only lent: null with length 0, or valid as long as the call that they came with.
struct ChassisHostBytes {
  // First byte; may be null when `len` is 0.
  const uint8_t *ptr;
  // Length in bytes.
  size_t len;
};

// A future that the host runs.
struct ChassisTask {
  // The host's state; null when the future was refused (and dropped).
  void *data;
  // Cancels the task if it still runs and gives the handle back. The future is dropped soon, on a thread of the host.
  void (*abort)(void *data);
};

// What can be done with a waker, from any thread.
struct ChassisWakerVtable {
  // A waker of the caller's own, to be given to `wake` or `drop` once.
  const struct ChassisWaker *(*clone)(const struct ChassisWaker *waker);
  // Wakes, and takes the waker.
  void (*wake)(const struct ChassisWaker *waker);
  // Wakes; the waker stays.
  void (*wake_by_ref)(const struct ChassisWaker *waker);
  // Gives the waker back.
  void (*drop)(const struct ChassisWaker *waker);
};

// A waker: an object that begins with a pointer to its table. Always handled by pointer.
struct ChassisWaker {
  // What can be done with it.
  const struct ChassisWakerVtable *vtable;
};

// Bytes handed over. Who receives them calls `release` exactly once; null `release` means that there is nothing to free.
struct ChassisOwnedBytes {
  // First byte; may be null when `len` is 0.
  const uint8_t *ptr;
  // Length in bytes.
  size_t len;
  // The maker's own word, for `release`.
  void *owner;
  // Frees the bytes; callable from any thread.
  void (*release)(const uint8_t *ptr, size_t len, void *owner);
};

// Items that its holder asks for, a number at a time.
struct ChassisStream {
  // The maker's state; null for no stream.
  void *data;
  // The next item: `CHASSIS_PENDING`, `CHASSIS_READY` (`out` is written; an outcome with a code is the last), or `CHASSIS_END`.
  uint32_t (*poll_next)(void *data, const struct ChassisWaker *waker, struct ChassisOutcome *out);
  // Allows `credits` more items. A stream begins with none.
  void (*grant)(void *data, uint32_t credits);
  // Stops the producer and frees the state.
  void (*drop)(void *data);
};

// How a call, an item of a stream, or a `create` ended.
struct ChassisOutcome {
  // 0 for success, else a `CHASSIS_CODE_*`.
  uint32_t code;
  // `CHASSIS_FLAG_RETRYABLE`, `CHASSIS_FLAG_MAYBE_APPLIED` and `CHASSIS_FLAG_POISONED`, of an error.
  uint32_t flags;
  // Success: the output as JSON. Error: an error document {"message": "…", "causes": ["…"], "status": "…",
  // "retry_after_ms": 0, "field": "…"}, of which only the message is needed.
  struct ChassisOwnedBytes json;
  // Raw attachment beside the JSON.
  struct ChassisOwnedBytes raw;
  // Items that follow; `data` is null when the operation answers with no stream.
  struct ChassisStream stream;
};

// Work that its holder polls. Plain data: not copying it is the holder's duty.
struct ChassisFuture {
  // The maker's state.
  void *data;
  // Makes progress; `CHASSIS_PENDING` (the waker is kept) or `CHASSIS_READY` (`out` is written, and handed over). `waker` is borrowed
  // for this poll. `out` points to uninitialised memory.
  uint32_t (*poll)(void *data, const struct ChassisWaker *waker, struct ChassisOutcome *out);
  // Cancels what is not done, and frees the state.
  void (*drop)(void *data);
};

// A byte stream on the host's event loop. One reader and one writer at a time, from any thread.
struct ChassisIo {
  // The host's state; null when nothing is there.
  void *data;
  // Reads at most `len` bytes; 0 is the end.
  ptrdiff_t (*poll_read)(void *data, const struct ChassisWaker *waker, uint8_t *buffer, size_t len);
  // Writes at most `len` bytes.
  ptrdiff_t (*poll_write)(void *data, const struct ChassisWaker *waker, const uint8_t *buffer, size_t len);
  // Flushes; 0 when done.
  ptrdiff_t (*poll_flush)(void *data, const struct ChassisWaker *waker);
  // Shuts the writing side down; 0 when done.
  ptrdiff_t (*poll_shutdown)(void *data, const struct ChassisWaker *waker);
  // Closes.
  void (*drop)(void *data);
};

// The host's table, one for each instance; lives until the instance's `destroy` has returned.
struct ChassisHost {
  // Size of this table in bytes, as the host was compiled.
  uint32_t struct_size;
  // The host's `CHASSIS_ABI_MAJOR`.
  uint16_t abi_major;
  // The host's `CHASSIS_ABI_MINOR`.
  uint16_t abi_minor;
  // The host's state, first argument of every slot.
  void *ctx;
  // The instance's name.
  struct ChassisHostBytes instance;
  // The current log level, to be read atomically (relaxed) before a message is made: 0 off, 1 error, 2 warn, 3 info,
  // 4 debug, 5 trace.
  const uint32_t *log_level;
  // Writes a log line. `fields` is a JSON object or empty.
  void (*log)(void *ctx, uint32_t level, struct ChassisPluginBytes message, struct ChassisPluginBytes fields);
  // Runs a future on the host's own threads: for I/O made by `connect`, so that no thread is crossed on a call's way.
  // The outcome is ignored.
  struct ChassisTask (*spawn)(void *ctx, struct ChassisFuture future);
  // Connects to `host:port` or, with a leading `/`, to a Unix socket, on the host's event loop. Answers at once; a failure
  // to connect is seen by the first read or write.
  struct ChassisIo (*connect)(void *ctx, struct ChassisPluginBytes address);
  // Starts a span below `traceparent` and returns its handle, 0 when it is not sampled. `attributes` is a JSON object.
  uint64_t (*span_start)(void *ctx,
                         struct ChassisPluginBytes traceparent,
                         struct ChassisPluginBytes name,
                         struct ChassisPluginBytes attributes);
  // Adds attributes (a JSON object) to a span.
  void (*span_attributes)(void *ctx, uint64_t span, struct ChassisPluginBytes attributes);
  // Links a span to another one's `traceparent`.
  void (*span_link)(void *ctx, uint64_t span, struct ChassisPluginBytes traceparent);
  // Ends a span; `code` is 0 or a `CHASSIS_CODE_*`.
  void (*span_end)(void *ctx, uint64_t span, uint32_t code);
  // Registers a metric and returns its handle, 0 when it is refused. `kind` is a `CHASSIS_METRIC_*`; `labels` is a JSON object of
  // strings. The label `name` (the instance) is the host's.
  uint64_t (*metric_register)(void *ctx,
                              uint32_t kind,
                              struct ChassisPluginBytes name,
                              struct ChassisPluginBytes help,
                              struct ChassisPluginBytes labels);
  // Counter: adds. Gauge: sets. Histogram: records.
  void (*metric_record)(void *ctx, uint64_t metric, double value);
  // Tells how many bytes the instance's allocator took (positive) or gave back (negative).
  void (*allocated)(void *ctx, int64_t bytes);
};

// One use of an operation. Everything in it is borrowed until its future (and answered stream) is dropped.
struct ChassisCall {
  // Size of this struct in bytes, as the host was compiled.
  uint32_t struct_size;
  // Position of the operation in the manifest's `operations`.
  uint32_t operation;
  // Input as JSON (UTF-8); empty means `{}`.
  struct ChassisHostBytes json;
  // Raw attachment beside the JSON; empty when the operation takes none.
  struct ChassisHostBytes raw;
  // W3C `traceparent` of the caller's span; empty when the call is not traced.
  struct ChassisHostBytes traceparent;
  // W3C `tracestate`; may be empty.
  struct ChassisHostBytes tracestate;
  // Key under which a repeated call must not take effect twice; empty when there is none.
  struct ChassisHostBytes idempotency_key;
  // On whose behalf; empty when there is none.
  struct ChassisHostBytes tenant;
  // Absolute deadline in nanoseconds of the Unix epoch; 0 means none. The host enforces it by dropping the future; a plugin
  // hands it to its server where the server understands deadlines.
  uint64_t deadline_unix_ns;
  // Items going to the plugin (an upload); `data` is null when there are none. The plugin takes it over and drops it.
  struct ChassisStream upload;
};

// The table a plugin exports under the name `chassis_plugin`. It is static and immutable.
struct ChassisPlugin {
  // Size of this table in bytes, as the plugin was compiled.
  uint32_t struct_size;
  // `CHASSIS_ABI_MAJOR` the plugin was compiled against.
  uint16_t abi_major;
  // `CHASSIS_ABI_MINOR` the plugin was compiled against.
  uint16_t abi_minor;
  // The manifest section's bytes (static), so that the linker keeps them.
  struct ChassisPluginBytes manifest;
  // Makes an instance from its configuration (a JSON object, borrowed for this call). Returns null on failure, with
  // the error in `out`. Must not wait for a server: one that is down is seen by calls. `host` lives until `destroy`
  // has returned. May be called from any thread, several times.
  void *(*create)(const struct ChassisHost *host, struct ChassisHostBytes config, struct ChassisOutcome *out);
  // Begins one operation. Does no work before the first poll. May be called from any thread at any time.
  struct ChassisFuture (*call)(void *instance, const struct ChassisCall *call);
  // Closes the instance in good order (pools, sessions). Optional. No call is begun afterwards.
  struct ChassisFuture (*close)(void *instance);
  // Frees the instance after all its futures and streams are gone: every thread it started has ended and every file
  // it opened is closed when this returns. May block for a short time.
  void (*destroy)(void *instance);
};

// What stands before the JSON. Little-endian, no padding.
struct ChassisManifestHeader {
  // `CHASSIS_MAGIC`.
  uint8_t magic[8];
  // `CHASSIS_ABI_MAJOR`.
  uint16_t abi_major;
  // `CHASSIS_ABI_MINOR`.
  uint16_t abi_minor;
  // Size of this header in bytes.
  uint32_t header_size;
  // `CHASSIS_LAYOUT_HASH`.
  uint64_t layout_hash;
  // Length of the JSON in bytes.
  uint64_t json_len;
};

#endif  /* CHASSIS_H */
