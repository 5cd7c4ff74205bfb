// The C face of a model.
#include <algorithm>
#include <cinttypes>
#include <vector>

#include "rnncore/c/handles.hpp"
#include "rnncore/dispatch.hpp"

using namespace rnncore;
using namespace rnncore::c;

namespace {

StreamSizes sizes_of(const Model& model, const std::string& name) {
  if (!model.out_features())
    throw FormatError(name + " holds a model without a layer that has a number of features, expected at least one");
  StreamSizes sizes;
  sizes.rows = 1;
  sizes.element = model.architecture().dtype == "float64" ? 8 : 4;
  sizes.outputs = *model.out_features();
  sizes.features = model.takes_labels() ? 1 : model.in_features().value();
  for (const auto& state : model.states()) sizes.state += checked_product({state.layers, state.size});
  if (model.takes_labels())
    sizes.labels = std::get<EmbeddingOptions>(model.architecture().layers.front().options).num_embeddings;
  return sizes;
}

int hand_out(LoadedModel loaded, const std::string& name, rnncore_model** model) {
  const StreamSizes sizes = sizes_of(loaded.model, name);
  kernels<float>();  // an RNNCORE_ISA that cannot run fails here, not in a step
  *model = new rnncore_model{std::move(loaded), sizes, {}, {}};
  return RNNCORE_OK;
}

int check_rows(index steps, index rows, const index* lengths, const std::uint8_t* resets) noexcept {
  for (index n = 0; lengths && n < rows; ++n)
    if (lengths[n] < 0 || lengths[n] > steps)
      return fail(RNNCORE_INVALID_ARGUMENT, "lengths[%" PRId64 "] is %" PRId64 ", expected 0..%" PRId64, n, lengths[n],
                  steps);
  for (index k = 0; resets && k < steps * rows; ++k)
    if (resets[k] > 1)
      return fail(RNNCORE_INVALID_ARGUMENT, "resets[%" PRId64 "] is %d, expected 0 or 1", k, resets[k]);
  return RNNCORE_OK;
}

// The arrays of a state that lie one behind the other; all null for a null one.
template <class T>
std::vector<T*> arrays_of(const Model& model, T* state, index rows) {
  std::vector<T*> arrays;
  for (const auto& each : model.states()) {
    arrays.push_back(state);
    if (state) state += each.layers * rows * each.size;
  }
  return arrays;
}

// One call, its arguments checked.
struct Call {
  const rnncore_model& model;
  index steps, rows;
  const void* x;
  const index* lengths;
  const std::uint8_t* resets;
  void *state, *y;
  bool initial;  // begin with the state
  int threads;

  template <class T>
  int run(const Buffer<T>& parameters) const {
    const Model& layers = model.loaded.model;
    const index I = model.sizes.features, O = model.sizes.outputs;
    ModelInputs<T> in;
    in.steps = steps;
    in.rows = rows;
    in.features = I;
    in.parameters = parameters.data();
    if (model.sizes.labels > 0)
      in.labels = {static_cast<const index*>(x), rows, 1};
    else
      in.x = {static_cast<const T*>(x), rows * I, I};
    in.lengths = lengths;
    in.resets = resets;
    const auto begin = arrays_of<const T>(layers, initial ? static_cast<const T*>(state) : nullptr, rows);
    in.initial = begin.data();
    // Into memory of its own: the initial state has to stay until the end, and a call that fails changes nothing.
    const Buffer<T> final(checked_product({model.sizes.state, rows}));
    const auto end = arrays_of<T>(layers, final.data(), rows);
    const ModelOutputs<T> out{{static_cast<T*>(y), rows * O, O}, end.data()};
    Control control;
    control.threads = threads;
    layers.forward<T>(in, out, nullptr, control);
    if (state) std::copy_n(final.data(), final.size(), static_cast<T*>(state));
    return RNNCORE_OK;
  }
};

}  // namespace

extern "C" {

int rnncore_model_load(const char* path, rnncore_model** model) {
  if (!path) return refuse_null("path", "the name of a file");
  if (!model) return refuse_null("model", "where to put a handle");
  return guarded([&] { return hand_out(load_model(path), path, model); });
}

int rnncore_model_load_bytes(const void* content, size_t bytes, rnncore_model** model) {
  if (!content) return refuse_null("content", "the bytes of a file");
  if (!model) return refuse_null("model", "where to put a handle");
  const char* const name = "the content";
  return guarded([&] { return hand_out(parse_model({static_cast<const char*>(content), bytes}, name), name, model); });
}

int rnncore_model_save(const rnncore_model* model, const char* path) {
  if (!model) return refuse_null("model");
  if (!path) return refuse_null("path", "the name of a file");
  return guarded([&] {
    std::visit([&](const auto& parameters) { save_model(model->loaded.model, parameters.data(), path); },
               model->loaded.parameters);
    return RNNCORE_OK;
  });
}

void rnncore_model_free(rnncore_model* model) { delete model; }

int rnncore_model_input_type(const rnncore_model* model) {
  if (!model) return -1;
  return model->sizes.labels > 0 ? RNNCORE_INT64 : rnncore_model_output_type(model);
}
int rnncore_model_output_type(const rnncore_model* model) {
  if (!model) return -1;
  return model->sizes.element == 4 ? RNNCORE_FLOAT32 : RNNCORE_FLOAT64;
}
int64_t rnncore_model_input_size(const rnncore_model* model) { return model ? model->sizes.features : -1; }
int64_t rnncore_model_output_size(const rnncore_model* model) { return model ? model->sizes.outputs : -1; }
int64_t rnncore_model_state_size(const rnncore_model* model) { return model ? model->sizes.state : -1; }
int64_t rnncore_model_label_count(const rnncore_model* model) { return model ? model->sizes.labels : -1; }
int rnncore_model_per_step(const rnncore_model* model) { return model ? model->loaded.model.per_step() : -1; }
int rnncore_model_looks_ahead(const rnncore_model* model) { return model ? model->loaded.model.looks_ahead() : -1; }

size_t rnncore_model_input_bytes(const rnncore_model* model, int64_t steps, int64_t rows) {
  if (!model) return SIZE_MAX;
  return bytes_of(steps, rows, model->sizes.features, model->sizes.input_element());
}
size_t rnncore_model_output_bytes(const rnncore_model* model, int64_t steps, int64_t rows) {
  if (!model || steps < 0) return SIZE_MAX;
  return bytes_of(model->loaded.model.per_step() ? steps : 1, rows, model->sizes.outputs, model->sizes.element);
}
size_t rnncore_model_state_bytes(const rnncore_model* model, int64_t rows) {
  return model ? bytes_of(1, rows, model->sizes.state, model->sizes.element) : SIZE_MAX;
}

int rnncore_model_initial_state(const rnncore_model* model, int64_t rows, void* state, size_t state_bytes) {
  if (!model) return refuse_null("model");
  if (const int status = check_count("rows", rows)) return status;
  if (const int status = check_buffer("state", state, state_bytes, rnncore_model_state_bytes(model, rows)))
    return status;
  return guarded([&] {  // no step leads to it
    return std::visit(
        [&](const auto& parameters) {
          using T = std::remove_pointer_t<decltype(parameters.data())>;
          const Buffer<T> y(checked_product({rows, model->sizes.outputs}));
          return Call{*model, 0, rows, nullptr, nullptr, nullptr, state, y.data(), false, 1}.run(parameters);
        },
        model->loaded.parameters);
  });
}

int rnncore_model_forward(const rnncore_model* model, int64_t steps, int64_t rows, const void* x, size_t x_bytes,
                          const int64_t* lengths, const uint8_t* resets, void* state, size_t state_bytes, void* y,
                          size_t y_bytes, int num_threads) {
  if (!model) return refuse_null("model");
  int status = check_count("steps", steps);
  if (!status) status = check_count("rows", rows);
  if (!status) status = check_buffer("x", x, x_bytes, rnncore_model_input_bytes(model, steps, rows));
  if (!status) status = check_buffer("y", y, y_bytes, rnncore_model_output_bytes(model, steps, rows));
  if (!status && (state || state_bytes > 0))
    status = check_buffer("state", state, state_bytes, rnncore_model_state_bytes(model, rows));
  if (!status) status = check_apart(x, x_bytes, y, y_bytes);
  if (!status) status = check_rows(steps, rows, lengths, resets);
  if (!status && model->sizes.labels > 0)
    status = check_labels(static_cast<const index*>(x), steps, rows, lengths, model->sizes.labels);
  if (!status && num_threads < 0)
    status = fail(RNNCORE_INVALID_ARGUMENT, "num_threads is %d, expected 0 or more", num_threads);
  if (status) return status;
  return guarded([&] {
    const Call call{*model, steps, rows, x, lengths, resets, state, y, state != nullptr, num_threads};
    return std::visit([&](const auto& parameters) { return call.run(parameters); }, model->loaded.parameters);
  });
}

}  // extern "C"
