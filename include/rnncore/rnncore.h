/*
 * rnncore in C: load a model that was trained and saved with rnncore, and run it. It takes C99, or whatever calls C.
 * docs/embedding.md shows how to compile and link, with examples in C, C++, Fortran and Python.
 *
 * Errors. Functions that can fail return a status: RNNCORE_OK, or an error, whose text rnncore_last_error() gives. A
 * call that is refused has changed nothing: no buffer, no state, no handle. No exception ever leaves the library.
 * Handles must be valid or NULL; NULL is refused.
 *
 * Arrays. The caller owns all of them. They hold elements one behind the other, the last index fastest, of the model's
 * type (float or double), and int64_t where x is a label. With each comes its size in bytes, which is checked:
 * rnncore_model_input_bytes(), _output_bytes() and _state_bytes(), and those of a stream, tell what is expected. N is
 * the number of rows (sequences), T that of steps, I and O are the features of an input and an output.
 *
 * Threads. Any number of threads may use one model. One thread at a time may use a stream. Each thread has its own
 * last error. A handle is freed by one thread, after all others are done with it; a stream shares the weights of its
 * model and keeps them, so the model may be freed before its streams.
 *
 * Results do not depend on the number of rows that share a call, on how a sequence is cut into calls, on streams, or on
 * the number of threads: they are the same bits, those of Python on the same processor.
 */
#ifndef RNNCORE_RNNCORE_H
#define RNNCORE_RNNCORE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define RNNCORE_API __attribute__((visibility("default")))
#else
#define RNNCORE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What a call returns. */
enum {
  RNNCORE_OK = 0,
  RNNCORE_INVALID_ARGUMENT = 1, /* a null pointer, a buffer of another size, a number out of its range */
  RNNCORE_NO_ACCESS = 2,        /* the system refuses the file: it is not there, or cannot be read or written */
  RNNCORE_DAMAGED_FILE = 3,     /* the content is not what was written, or no safetensors file */
  RNNCORE_WRONG_FORMAT = 4,     /* the file holds something else, or is of a newer version */
  RNNCORE_CANNOT_STREAM = 5,    /* the model looks ahead: a layer of it is bidirectional */
  RNNCORE_OUT_OF_MEMORY = 6,
  RNNCORE_FAILED = 7 /* anything else; its text says what */
};

/* Types of elements. */
enum { RNNCORE_FLOAT32 = 1, RNNCORE_FLOAT64 = 2, RNNCORE_INT64 = 3 };

/* A model's layers and parameters, which never change. */
typedef struct rnncore_model rnncore_model;
/* A model in operation: the state of N rows, carried from step to step. */
typedef struct rnncore_stream rnncore_stream;

/* ---- the library */

/* The version of the library, such as "0.1.0". Any thread; allocates nothing. */
RNNCORE_API const char* rnncore_version(void);

/* The text of this thread's last error, which says what was expected and what was given; "" before the first one. It
 * stays until the thread's next error. Any thread; allocates nothing. */
RNNCORE_API const char* rnncore_last_error(void);

/* The instruction set whose kernels run, such as "avx2": the best that the processor has, or the one that the
 * environment variable RNNCORE_ISA names. NULL if that one cannot run here. Any thread. */
RNNCORE_API const char* rnncore_instruction_set(void);

/* ---- models */

/* Read a model from a file, or from the content of one. *model is a handle to be freed with rnncore_model_free().
 * Any thread; allocates the parameters. Errors: NO_ACCESS, DAMAGED_FILE, WRONG_FORMAT, OUT_OF_MEMORY. */
RNNCORE_API int rnncore_model_load(const char* path, rnncore_model** model);
RNNCORE_API int rnncore_model_load_bytes(const void* content, size_t bytes, rnncore_model** model);

/* Write a model to a file, which is replaced in one go. Any thread; allocates the content of the file. */
RNNCORE_API int rnncore_model_save(const rnncore_model* model, const char* path);

/* Free a handle; NULL is allowed. */
RNNCORE_API void rnncore_model_free(rnncore_model* model);

/* What a model takes and gives. Any thread; they allocate nothing, and return -1 for NULL. */
RNNCORE_API int rnncore_model_input_type(const rnncore_model* model);      /* of x: RNNCORE_INT64 for labels */
RNNCORE_API int rnncore_model_output_type(const rnncore_model* model);     /* of y and of the state */
RNNCORE_API int64_t rnncore_model_input_size(const rnncore_model* model);  /* I; 1 for labels */
RNNCORE_API int64_t rnncore_model_output_size(const rnncore_model* model); /* O */
RNNCORE_API int64_t rnncore_model_state_size(const rnncore_model* model);  /* elements of one row's state */
RNNCORE_API int64_t rnncore_model_label_count(const rnncore_model* model); /* labels are 0..this-1; 0: x is no label */
RNNCORE_API int rnncore_model_per_step(const rnncore_model* model);    /* 1: y has a step for each of x; 0: LastStep */
RNNCORE_API int rnncore_model_looks_ahead(const rnncore_model* model); /* 1: it cannot stream */

/* Bytes of x (T, N, I), of y (T, N, O), or (N, O) behind a LastStep, and of the state of N rows. Any thread; they
 * allocate nothing. SIZE_MAX for NULL, a negative number, or more than memory can hold. */
RNNCORE_API size_t rnncore_model_input_bytes(const rnncore_model* model, int64_t steps, int64_t rows);
RNNCORE_API size_t rnncore_model_output_bytes(const rnncore_model* model, int64_t steps, int64_t rows);
RNNCORE_API size_t rnncore_model_state_bytes(const rnncore_model* model, int64_t rows);

/* The state in which rows begin: zero, or what was learned. Any thread.
 *
 * The state of a model, here and below: the arrays h, and c of an LSTM, of one recurrent layer after the other, each
 * (L, N, H): L layers (times directions), H units. For one LSTM it is Python's h, then its c. */
RNNCORE_API int rnncore_model_initial_state(const rnncore_model* model, int64_t rows, void* state, size_t state_bytes);

/* Run N sequences of up to T steps.
 *   x            (T, N, I), or labels (T, N), whatever batch_first says of the model in Python
 *   lengths      (N) in 0..T, the steps of each row; NULL: T. Past them y is 0 and x is not looked at.
 *   resets       (T, N) of 0 and 1; NULL: 0. Where 1, the row begins anew before that step.
 *   state        in: before the first step; out: after each row's last one. NULL: the initial state, not given back.
 *   y            (T, N, O), or (N, O) behind a LastStep; apart from x
 *   num_threads  at most so many; 0: RNNCORE_NUM_THREADS, or as many as there are
 * Any thread; allocates what the layers hand on. */
RNNCORE_API int rnncore_model_forward(const rnncore_model* model, int64_t steps, int64_t rows, const void* x,
                                      size_t x_bytes, const int64_t* lengths, const uint8_t* resets, void* state,
                                      size_t state_bytes, void* y, size_t y_bytes, int num_threads);

/* ---- streams */

/* Open a stream of N >= 1 rows, each in its initial state. *stream is a handle to be freed with rnncore_stream_free().
 * A stream has an output at every step, so a LastStep takes no part in it. Any thread; allocates the state, and at the
 * first stream of a model the weights in the kernels' order, which all its streams share. Errors: CANNOT_STREAM. */
RNNCORE_API int rnncore_stream_open(const rnncore_model* model, int64_t rows, rnncore_stream** stream);

/* Another stream with the same weights, and a copy of the state. Allocates the state. */
RNNCORE_API int rnncore_stream_fork(const rnncore_stream* stream, rnncore_stream** copy);

/* Free a handle; NULL is allowed. */
RNNCORE_API void rnncore_stream_free(rnncore_stream* stream);

/* N; -1 for NULL. Then the bytes of x (T, N, I), of y (T, N, O), and of the state. They allocate nothing. */
RNNCORE_API int64_t rnncore_stream_rows(const rnncore_stream* stream);
RNNCORE_API size_t rnncore_stream_input_bytes(const rnncore_stream* stream, int64_t steps);
RNNCORE_API size_t rnncore_stream_output_bytes(const rnncore_stream* stream, int64_t steps);
RNNCORE_API size_t rnncore_stream_state_bytes(const rnncore_stream* stream);

/* Take one step with all rows: x (N, I), or labels (N), to y (N, O), apart from x. It runs on the calling thread and
 * neither allocates, nor locks, nor calls the system; it takes some 20 KB of the stack at most. */
RNNCORE_API int rnncore_stream_step(rnncore_stream* stream, const void* x, size_t x_bytes, void* y, size_t y_bytes);

/* Take T steps: x (T, N, I), or labels (T, N), to y (T, N, O), bit for bit as with rnncore_stream_step(). Allocates;
 * num_threads as of rnncore_model_forward(). */
RNNCORE_API int rnncore_stream_run(rnncore_stream* stream, int64_t steps, const void* x, size_t x_bytes, void* y,
                                   size_t y_bytes, int num_threads);

/* Put `count` rows, or with rows = NULL and count = 0 all of them, into their initial state. Allocates nothing. */
RNNCORE_API int rnncore_stream_reset(rnncore_stream* stream, const int64_t* rows, int64_t count);

/* Copy the state of all rows out, or in; rnncore_model_initial_state() says how it lies. They allocate nothing. */
RNNCORE_API int rnncore_stream_get_state(const rnncore_stream* stream, void* state, size_t state_bytes);
RNNCORE_API int rnncore_stream_set_state(rnncore_stream* stream, const void* state, size_t state_bytes);

/* ---- detectors of faults, see docs/detection.md */

/* A detector in operation: what is normal, and where N sensors of C channels stand. One thread at a time may use it. */
typedef struct rnncore_detector rnncore_detector;

/* What a row of a sensor is. The texts stay as long as the library. */
typedef struct {
  double score;       /* in [0, 1), 0.5 at the threshold */
  double evidence;    /* about -log10 of how rare the row is */
  const char* source; /* what the evidence is of: "forecast", "value", "level" ... */
  int64_t channel;    /* the one that contributes most */
  double expected;    /* of that channel; NaN without a forecast */
  int event;          /* 1: an alarm begins; -1: one ends; 0: neither */
  const char* kind;   /* of the alarm that lasts, or was last: "spike", "level shift" ... */
} rnncore_verdict;

/* Read what Python's `Detector.save` has written; the detector goes on where that one stood. *detector is a handle to
 * be freed with rnncore_detector_free(), NULL allowed. Any thread. Errors: NO_ACCESS, DAMAGED_FILE, WRONG_FORMAT. */
RNNCORE_API int rnncore_detector_load(const char* path, rnncore_detector** detector);
RNNCORE_API void rnncore_detector_free(rnncore_detector* detector);

/* N, C, the name of a channel (NULL if there is none), and the seconds from row to row (NaN if rows have no times). */
RNNCORE_API int64_t rnncore_detector_sensors(const rnncore_detector* detector);
RNNCORE_API int64_t rnncore_detector_channels(const rnncore_detector* detector);
RNNCORE_API const char* rnncore_detector_channel_name(const rnncore_detector* detector, int64_t channel);
RNNCORE_API double rnncore_detector_time_step(const rnncore_detector* detector);

/* Take the next row of each sensor, rows (N, C) of double, NaN where a value is missing, to verdicts (N).
 *   seconds  NaN: the next row. Otherwise its time, since 1970: rows that never came in between are taken as missing; a
 *            time before that of the last row is refused.
 * Allocates for missing rows, and if the detector goes on learning. */
RNNCORE_API int rnncore_detector_step(rnncore_detector* detector, const double* rows, size_t rows_bytes, double seconds,
                                      rnncore_verdict* verdicts, size_t verdicts_bytes);

/* ---- for rnncore's own Python module of the same version, which takes the kernels from this library */
RNNCORE_API const void* rnncore_kernels(void);

#ifdef __cplusplus
}
#endif

#endif /* RNNCORE_RNNCORE_H */
