/* The memory of many streams beside that of their states: many_streams model.safetensors count rows
 * Prints the bytes in use for the streams, the array of handles apart, over the bytes of their states: while they are
 * open, and once they are freed. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "rnncore/rnncore.h"

static size_t in_use(void) {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const long count = atol(argv[2]), rows = atol(argv[3]);
  rnncore_model* model;
  if (rnncore_model_load(argv[1], &model)) return fprintf(stderr, "%s\n", rnncore_last_error()), 1;
  rnncore_stream *first, **streams = calloc((size_t)count, sizeof *streams);
  if (!streams || rnncore_stream_open(model, rows, &first)) return 1; /* packs the weights */
  const size_t before = in_use();
  for (long k = 0; k < count; ++k)
    if (rnncore_stream_open(model, rows, &streams[k])) return 1;
  const double used = (double)(in_use() - before), states = (double)count * (double)rnncore_stream_state_bytes(first);
  for (long k = 0; k < count; ++k) rnncore_stream_free(streams[k]);
  printf("%.4f %.4f\n", used / states, ((double)in_use() - (double)before) / states);
  rnncore_stream_free(first);
  rnncore_model_free(model);
  free(streams);
  return 0;
}
