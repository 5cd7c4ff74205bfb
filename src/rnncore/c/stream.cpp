// The C face of a stream.
#include <cinttypes>

#include "rnncore/c/handles.hpp"

using namespace rnncore;
using namespace rnncore::c;

static_assert(noexcept(std::declval<ModelStream<float>&>().step(static_cast<const float*>(nullptr), 0, nullptr, 0)));

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

int refuse_null() noexcept { return fail(RNNCORE_INVALID_ARGUMENT, "stream is a null pointer, expected a handle"); }

index rows_of(const rnncore_stream& stream) noexcept {
  return std::visit([](const auto& engine) { return engine.rows(); }, stream.engine);
}

// The arrays of some steps.
int check_arrays(const rnncore_stream& stream, index steps, const void* x, std::size_t x_bytes, const void* y,
                 std::size_t y_bytes) noexcept {
  int status = check_buffer("x", x, x_bytes, rnncore_stream_input_bytes(&stream, steps));
  if (!status) status = check_buffer("y", y, y_bytes, rnncore_stream_output_bytes(&stream, steps));
  if (!status) status = check_apart(x, x_bytes, y, y_bytes);
  if (!status && stream.sizes.labels > 0)
    status = check_labels(static_cast<const index*>(x), steps, rows_of(stream), nullptr, stream.sizes.labels);
  return status;
}

}  // namespace

extern "C" {

int rnncore_stream_open(const rnncore_model* model, int64_t rows, rnncore_stream** stream) {
  if (!model) return fail(RNNCORE_INVALID_ARGUMENT, "model is a null pointer, expected a handle");
  if (!stream) return fail(RNNCORE_INVALID_ARGUMENT, "stream is a null pointer, expected where to put a handle");
  if (rows < 1) return fail(RNNCORE_INVALID_ARGUMENT, "rows is %" PRId64 ", expected at least 1", rows);
  if (model->loaded.model.looks_ahead())
    return fail(RNNCORE_CANNOT_STREAM,
                "the model has a bidirectional layer, which reads the future: expected layers in "
                "one direction, or rnncore_model_forward");
  return guarded([&] {
    if (model->sizes.element == 4)
      *stream = new rnncore_stream{model->sizes, ModelStream<float>(packed_of<float>(*model), rows)};
    else
      *stream = new rnncore_stream{model->sizes, ModelStream<double>(packed_of<double>(*model), rows)};
    return RNNCORE_OK;
  });
}

int rnncore_stream_fork(const rnncore_stream* stream, rnncore_stream** copy) {
  if (!stream) return refuse_null();
  if (!copy) return fail(RNNCORE_INVALID_ARGUMENT, "copy is a null pointer, expected where to put a handle");
  return guarded([&] {
    std::visit([&](const auto& engine) { *copy = new rnncore_stream{stream->sizes, engine.fork()}; }, stream->engine);
    return RNNCORE_OK;
  });
}

void rnncore_stream_free(rnncore_stream* stream) { delete stream; }

int64_t rnncore_stream_rows(const rnncore_stream* stream) { return stream ? rows_of(*stream) : -1; }
size_t rnncore_stream_input_bytes(const rnncore_stream* stream, int64_t steps) {
  if (!stream) return SIZE_MAX;
  return bytes_of(steps, rows_of(*stream), stream->sizes.features, stream->sizes.input_element());
}
size_t rnncore_stream_output_bytes(const rnncore_stream* stream, int64_t steps) {
  return stream ? bytes_of(steps, rows_of(*stream), stream->sizes.outputs, stream->sizes.element) : SIZE_MAX;
}
size_t rnncore_stream_state_bytes(const rnncore_stream* stream) {
  return stream ? bytes_of(1, rows_of(*stream), stream->sizes.state, stream->sizes.element) : SIZE_MAX;
}

int rnncore_stream_step(rnncore_stream* stream, const void* x, size_t x_bytes, void* y, size_t y_bytes) {
  if (!stream) return refuse_null();
  if (const int status = check_arrays(*stream, 1, x, x_bytes, y, y_bytes)) return status;
  std::visit(
      [&](auto& engine) {
        using T = ScalarOf<decltype(engine)>;
        T* const to = static_cast<T*>(y);
        if (stream->sizes.labels > 0)
          engine.step(static_cast<const index*>(x), to, stream->sizes.outputs);
        else
          engine.step(static_cast<const T*>(x), stream->sizes.features, to, stream->sizes.outputs);
      },
      stream->engine);
  return RNNCORE_OK;
}

int rnncore_stream_run(rnncore_stream* stream, int64_t steps, const void* x, size_t x_bytes, void* y, size_t y_bytes,
                       int num_threads) {
  if (!stream) return refuse_null();
  if (num_threads < 0) return fail(RNNCORE_INVALID_ARGUMENT, "num_threads is %d, expected 0 or more", num_threads);
  if (const int status = check_arrays(*stream, steps, x, x_bytes, y, y_bytes)) return status;
  return guarded([&] {
    Control control;
    control.threads = num_threads;
    const index N = rows_of(*stream), I = stream->sizes.features, O = stream->sizes.outputs;
    std::visit(
        [&](auto& engine) {
          using T = ScalarOf<decltype(engine)>;
          const Rows<T> to{static_cast<T*>(y), N * O, O};
          if (stream->sizes.labels > 0)
            engine.run(steps, Rows<const index>{static_cast<const index*>(x), N, 1}, to, control);
          else
            engine.run(steps, Rows<const T>{static_cast<const T*>(x), N * I, I}, to, control);
        },
        stream->engine);
    return RNNCORE_OK;
  });
}

int rnncore_stream_reset(rnncore_stream* stream, const int64_t* rows, int64_t count) {
  if (!stream) return refuse_null();
  const index all = rows_of(*stream);
  if (rows && count < 0) return fail(RNNCORE_INVALID_ARGUMENT, "count is %" PRId64 ", expected 0 or more", count);
  for (index k = 0; rows && k < count; ++k)
    if (rows[k] < 0 || rows[k] >= all)
      return fail(RNNCORE_INVALID_ARGUMENT, "rows[%" PRId64 "] is %" PRId64 ", expected 0..%" PRId64, k, rows[k],
                  all - 1);
  std::visit(
      [&](auto& engine) {
        for (index k = 0; k < (rows ? count : all); ++k) engine.reset(rows ? rows[k] : k);
      },
      stream->engine);
  return RNNCORE_OK;
}

int rnncore_stream_get_state(const rnncore_stream* stream, void* state, size_t state_bytes) {
  if (!stream) return refuse_null();
  if (const int status = check_buffer("state", state, state_bytes, rnncore_stream_state_bytes(stream))) return status;
  std::visit([&](const auto& engine) { engine.copy_state(static_cast<ScalarOf<decltype(engine)>*>(state)); },
             stream->engine);
  return RNNCORE_OK;
}

int rnncore_stream_set_state(rnncore_stream* stream, const void* state, size_t state_bytes) {
  if (!stream) return refuse_null();
  if (const int status = check_buffer("state", state, state_bytes, rnncore_stream_state_bytes(stream))) return status;
  std::visit([&](auto& engine) { engine.set_state(static_cast<const ScalarOf<decltype(engine)>*>(state)); },
             stream->engine);
  return RNNCORE_OK;
}

}  // extern "C"
