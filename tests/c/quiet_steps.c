/* Counts what steps of streams ask of the allocator and of mutexes, and lets the kernel end the process at the first
 * system call: quiet_steps [--allocate | --lock | --call] model.safetensors ...
 * The options do so once on purpose: what counts nothing would prove nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rnncore/rnncore.h"

static long allocations, locks;
static int (*real_lock)(pthread_mutex_t*);

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);

/* The library's calls come here, since the program's symbols go first. */
void* malloc(size_t size) { return ++allocations, __libc_malloc(size); }
void* calloc(size_t count, size_t size) { return ++allocations, __libc_calloc(count, size); }
void* realloc(void* old, size_t size) { return ++allocations, __libc_realloc(old, size); }
void* aligned_alloc(size_t alignment, size_t size) { return ++allocations, __libc_memalign(alignment, size); }
int posix_memalign(void** memory, size_t alignment, size_t size) {
  *memory = aligned_alloc(alignment, size);
  return *memory ? 0 : 12;
}
void free(void* memory) {
  if (memory) ++allocations;
  __libc_free(memory);
}
int pthread_mutex_lock(pthread_mutex_t* mutex) { return ++locks, real_lock ? real_lock(mutex) : 0; }

enum { most = 256, steps = 300 };

int main(int argc, char** argv) {
  *(void**)&real_lock = dlsym(RTLD_NEXT, "pthread_mutex_lock");
  const char* wrong = argc > 1 && argv[1][0] == '-' ? argv[1] : "";
  static rnncore_stream* streams[most];
  static void *x[most], *y[most], *state[most];
  int count = 0;
  for (int k = 1 + (*wrong != 0); k < argc; ++k) {
    rnncore_model* model;
    if (rnncore_model_load(argv[k], &model)) return fprintf(stderr, "%s\n", rnncore_last_error()), 1;
    for (int rows = 1; rows <= 5; rows += 4, ++count) {
      if (count == most || rnncore_stream_open(model, rows, &streams[count])) return 1;
      x[count] = calloc(1, rnncore_stream_input_bytes(streams[count], 1));
      y[count] = calloc(1, rnncore_stream_output_bytes(streams[count], 1));
      state[count] = calloc(1, rnncore_stream_state_bytes(streams[count]));
    }
    rnncore_model_free(model);
  }
  printf("%d streams\n", count);
  fflush(stdout);

  allocations = locks = 0;
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) return 1; /* from here on read, write and exit alone */
  int failed = 0;
  for (int k = 0; k < count; ++k) {
    rnncore_stream* s = streams[k];
    const size_t x_bytes = rnncore_stream_input_bytes(s, 1), y_bytes = rnncore_stream_output_bytes(s, 1);
    const size_t state_bytes = rnncore_stream_state_bytes(s);
    const int64_t row = 0;
    for (int t = 0; t < steps; ++t) failed += rnncore_stream_step(s, x[k], x_bytes, y[k], y_bytes) != 0;
    failed += rnncore_stream_get_state(s, state[k], state_bytes) + rnncore_stream_reset(s, &row, 1);
    failed += rnncore_stream_set_state(s, state[k], state_bytes) + rnncore_stream_reset(s, NULL, 0);
  }
  if (!strcmp(wrong, "--allocate")) {
    void* volatile memory = malloc(10); /* or the compiler leaves both away */
    free(memory);
  }
  if (!strcmp(wrong, "--lock")) {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
  }
  if (!strcmp(wrong, "--call")) (void)getppid();
  char text[100];
  const int length =
      snprintf(text, sizeof text, "%d refused, %ld allocations, %ld locks\n", failed, allocations, locks);
  (void)!write(1, text, (size_t)length);
  syscall(SYS_exit, 0);
  return 1;
}
