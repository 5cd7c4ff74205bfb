/* Runs a model of rnncore on lines of numbers: run_steps model.safetensors < x.txt > y.txt
 * Each line is a step, its numbers are the features; each line that comes out is the model's output at that step. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "rnncore/rnncore.h"

static int refuse(const char* what) {
  fprintf(stderr, "%s: %s\n", what, rnncore_last_error());
  return EXIT_FAILURE;
}

/* Reads a line of exactly so many numbers; 0 at the end of the input, -1 for anything else. */
static int read_line(float* x, size_t count) {
  for (size_t k = 0; k < count; ++k) {
    const int end = scanf("%f", &x[k]);
    if (end != 1) return end == EOF && k == 0 ? 0 : -1;
    int next = getchar();
    while (next != '\n' && isspace(next)) next = getchar();
    if ((next == '\n' || next == EOF) != (k + 1 == count)) return -1;
    ungetc(next, stdin);
  }
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s model.safetensors < x.txt\n", argv[0]);
    return 2;
  }
  rnncore_model* model = NULL;
  rnncore_stream* stream = NULL;
  if (rnncore_model_load(argv[1], &model) != RNNCORE_OK) return refuse("cannot load");
  if (rnncore_model_input_type(model) != RNNCORE_FLOAT32) {
    fprintf(stderr, "%s: expected a model of float32 that takes no labels\n", argv[1]);
    return EXIT_FAILURE;
  }
  if (rnncore_stream_open(model, 1, &stream) != RNNCORE_OK) return refuse("cannot stream");

  const size_t inputs = (size_t)rnncore_model_input_size(model), outputs = (size_t)rnncore_model_output_size(model);
  float *x = malloc(inputs * sizeof *x), *y = malloc(outputs * sizeof *y);
  if (!x || !y) return EXIT_FAILURE;
  int line = 1, got;
  for (; (got = read_line(x, inputs)) > 0; ++line) {
    if (rnncore_stream_step(stream, x, inputs * sizeof *x, y, outputs * sizeof *y) != RNNCORE_OK) return refuse("step");
    for (size_t k = 0; k < outputs; ++k) printf("%.9g%c", (double)y[k], k + 1 < outputs ? ' ' : '\n');
  }
  if (got < 0) {
    fprintf(stderr, "line %d: expected %zu numbers\n", line, inputs);
    return EXIT_FAILURE;
  }
  free(x);
  free(y);
  rnncore_stream_free(stream);
  rnncore_model_free(model);
  return EXIT_SUCCESS;
}
