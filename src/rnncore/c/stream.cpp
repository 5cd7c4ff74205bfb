// The C face of a stream.
#include <cinttypes>

#include "rnncore/c/handles.hpp"

using namespace rnncore;
using namespace rnncore::c;

static_assert(noexcept(std::declval<StreamView<float>&>().step(static_cast<const float*>(nullptr), 0, nullptr, 0)));

namespace {

template <class Engine>
using ScalarOf = std::remove_pointer_t<decltype(std::declval<Engine&>().state(0))>;

// The weights in the kernels' order, once for all streams of a model.
template <class T>
std::shared_ptr<const PackedModel<T>> packed_of(const rnncore_model& model) {
  const std::lock_guard lock(model.mutex);
  if (std::holds_alternative<std::monostate>(model.packed))
    model.packed =
        std::make_shared<const PackedModel<T>>(model.loaded.model, std::get<Buffer<T>>(model.loaded.parameters).data());
  return std::get<std::shared_ptr<const PackedModel<T>>>(model.packed);
}

index rows_of(const rnncore_stream& stream) noexcept { return stream.shared->rows; }

// The handle takes the stream's memory over.
template <class T>
rnncore_stream* handle_of(ModelStream<T> stream) noexcept {
  return static_cast<rnncore_stream*>(stream.release());
}

// The arrays of some steps.
int check_arrays(const rnncore_stream& stream, index steps, const void* x, std::size_t x_bytes, const void* y,
                 std::size_t y_bytes) noexcept {
  int status = check_buffer("x", x, x_bytes, rnncore_stream_input_bytes(&stream, steps));
  if (!status) status = check_buffer("y", y, y_bytes, rnncore_stream_output_bytes(&stream, steps));
  if (!status) status = check_apart(x, x_bytes, y, y_bytes);
  if (!status && stream.shared->labels > 0)
    status = check_labels(static_cast<const index*>(x), steps, rows_of(stream), nullptr, stream.shared->labels);
  return status;
}

}  // namespace

extern "C" {

int rnncore_stream_open(const rnncore_model* model, int64_t rows, rnncore_stream** stream) {
  if (!model) return refuse_null("model");
  if (!stream) return refuse_null("stream", "where to put a handle");
  if (rows < 1) return fail(RNNCORE_INVALID_ARGUMENT, "rows is %" PRId64 ", expected at least 1", rows);
  if (model->loaded.model.looks_ahead())
    return fail(RNNCORE_CANNOT_STREAM,
                "the model has a bidirectional layer, which reads the future: expected layers in "
                "one direction, or rnncore_model_forward");
  return guarded([&] {
    if (model->sizes.element == 4)
      *stream = handle_of(ModelStream<float>(packed_of<float>(*model), rows));
    else
      *stream = handle_of(ModelStream<double>(packed_of<double>(*model), rows));
    return RNNCORE_OK;
  });
}

int rnncore_stream_fork(const rnncore_stream* stream, rnncore_stream** copy) {
  if (!stream) return refuse_null("stream");
  if (!copy) return refuse_null("copy", "where to put a handle");
  return guarded([&] {
    *copy = with_stream(stream, [](const auto& view) { return handle_of(view.fork()); });
    return RNNCORE_OK;
  });
}

void rnncore_stream_free(rnncore_stream* stream) {
  if (stream) with_stream(stream, [](const auto& view) { ModelStream<ScalarOf<decltype(view)>>{view}; });
}

int64_t rnncore_stream_rows(const rnncore_stream* stream) { return stream ? rows_of(*stream) : -1; }
size_t rnncore_stream_input_bytes(const rnncore_stream* stream, int64_t steps) {
  if (!stream) return SIZE_MAX;
  return bytes_of(steps, rows_of(*stream), stream->shared->features, stream->shared->input_element());
}
size_t rnncore_stream_output_bytes(const rnncore_stream* stream, int64_t steps) {
  return stream ? bytes_of(steps, rows_of(*stream), stream->shared->outputs, stream->shared->element) : SIZE_MAX;
}
size_t rnncore_stream_state_bytes(const rnncore_stream* stream) {
  return stream ? bytes_of(1, 1, stream->shared->state, stream->shared->element) : SIZE_MAX;
}

int rnncore_stream_step(rnncore_stream* stream, const void* x, size_t x_bytes, void* y, size_t y_bytes) {
  if (!stream) return refuse_null("stream");
  if (const int status = check_arrays(*stream, 1, x, x_bytes, y, y_bytes)) return status;
  with_stream(stream, [&](const auto& view) {
    using T = ScalarOf<decltype(view)>;
    const StreamSizes& sizes = view.sizes();
    if (sizes.labels > 0)
      view.step(static_cast<const index*>(x), static_cast<T*>(y), sizes.outputs);
    else
      view.step(static_cast<const T*>(x), sizes.features, static_cast<T*>(y), sizes.outputs);
  });
  return RNNCORE_OK;
}

int rnncore_stream_run(rnncore_stream* stream, int64_t steps, const void* x, size_t x_bytes, void* y, size_t y_bytes,
                       int num_threads) {
  if (!stream) return refuse_null("stream");
  if (num_threads < 0) return fail(RNNCORE_INVALID_ARGUMENT, "num_threads is %d, expected 0 or more", num_threads);
  if (const int status = check_count("steps", steps)) return status;
  if (const int status = check_arrays(*stream, steps, x, x_bytes, y, y_bytes)) return status;
  return guarded([&] {
    Control control;
    control.threads = num_threads;
    with_stream(stream, [&](const auto& view) {
      using T = ScalarOf<decltype(view)>;
      const index N = view.rows(), I = view.input_size(), O = view.output_size();
      const Rows<T> to{static_cast<T*>(y), N * O, O};
      if (view.sizes().labels > 0)
        view.run(steps, Rows<const index>{static_cast<const index*>(x), N, 1}, to, control);
      else
        view.run(steps, Rows<const T>{static_cast<const T*>(x), N * I, I}, to, control);
    });
    return RNNCORE_OK;
  });
}

int rnncore_stream_reset(rnncore_stream* stream, const int64_t* rows, int64_t count) {
  if (!stream) return refuse_null("stream");
  const index all = rows_of(*stream);
  if (const int status = check_count("count", count)) return status;
  if (!rows && count > 0)
    return fail(RNNCORE_INVALID_ARGUMENT, "rows is a null pointer, expected %" PRId64 " numbers; all rows: count 0",
                count);
  for (index k = 0; rows && k < count; ++k)
    if (rows[k] < 0 || rows[k] >= all)
      return fail(RNNCORE_INVALID_ARGUMENT, "rows[%" PRId64 "] is %" PRId64 ", expected 0..%" PRId64, k, rows[k],
                  all - 1);
  with_stream(stream, [&](const auto& view) {
    for (index k = 0; k < (rows ? count : all); ++k) view.reset(rows ? rows[k] : k);
  });
  return RNNCORE_OK;
}

int rnncore_stream_get_state(const rnncore_stream* stream, void* state, size_t state_bytes) {
  if (!stream) return refuse_null("stream");
  if (const int status = check_buffer("state", state, state_bytes, rnncore_stream_state_bytes(stream))) return status;
  with_stream(stream, [&](const auto& view) { view.copy_state(static_cast<ScalarOf<decltype(view)>*>(state)); });
  return RNNCORE_OK;
}

int rnncore_stream_set_state(rnncore_stream* stream, const void* state, size_t state_bytes) {
  if (!stream) return refuse_null("stream");
  if (const int status = check_buffer("state", state, state_bytes, rnncore_stream_state_bytes(stream))) return status;
  with_stream(stream, [&](const auto& view) { view.set_state(static_cast<const ScalarOf<decltype(view)>*>(state)); });
  return RNNCORE_OK;
}

}  // extern "C"
