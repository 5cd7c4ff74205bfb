#include "bindings/model.hpp"

#include <pybind11/stl.h>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/call.hpp"
#include "bindings/network.hpp"
#include "rnncore/model/fleet.hpp"

namespace rnncore::bindings {
namespace {

py::array any_array(const py::object& object, const std::string& name, int dimensions) {
  if (!py::isinstance<py::array>(object) || py::reinterpret_borrow<py::array>(object).ndim() != dimensions)
    throw py::value_error(name + " must be a NumPy array of " + std::to_string(dimensions) + " dimensions");
  return py::reinterpret_borrow<py::array>(object);
}

template <class Value>
Value option(const py::dict& options, const char* name, Value otherwise) {
  return options.contains(name) ? py::cast<Value>(options[name]) : otherwise;
}

LayerOptions options_of(const std::string& kind, const py::dict& given) {
  const auto size = [&](const char* name) { return py::cast<index>(given[name]); };
  if (kind == "Embedding") return EmbeddingOptions{size("num_embeddings"), size("embedding_dim")};
  if (kind == "Dropout") return DropoutOptions{py::cast<double>(given["p"])};
  if (kind == "LastStep") return LastStepOptions{};
  if (kind == "LayerNorm")
    return LayerNormOptions{size("normalized_shape"), option(given, "eps", 1e-5),
                            option(given, "elementwise_affine", true), option(given, "bias", true)};
  if (kind == "Linear") {
    LinearOptions linear{size("in_features"), size("out_features"), option(given, "bias", true)};
    if (given.contains("activation") && !given["activation"].is_none())
      linear.activation = activation_of(py::cast<std::string>(given["activation"]));
    return linear;
  }
  RecurrentOptions recurrent{kind, size("input_size"), size("hidden_size")};
  recurrent.num_layers = option(given, "num_layers", index{1});
  recurrent.bias = option(given, "bias", true);
  recurrent.batch_first = option(given, "batch_first", false);
  recurrent.dropout = option(given, "dropout", 0.0);
  recurrent.bidirectional = option(given, "bidirectional", false);
  recurrent.learned_state = option(given, "learned_state", false);
  recurrent.proj_size = option(given, "proj_size", index{0});
  recurrent.precision = precision_of(option(given, "precision", std::string("float32")));
  recurrent.cell_options = option(given, "cell_options", CellOptions());
  recurrent.constraints =
      constraints_of(option(given, "mask_hh", py::object(py::none())), option(given, "dale", py::object(py::none())));
  return recurrent;
}

// y or dy: (T, N, O), or (N, O) behind a LastStep.
template <class T>
Rows<T> outputs(const Model& model, const py::object& object, const std::string& name, index steps, index rows,
                index features, Access access) {
  const index columns = model.out_features().value_or(features);
  if (model.per_step()) return bindings::rows<T>(object, name, {steps, rows, columns}, access);
  using Value = std::remove_const_t<T>;
  return {pointer<T>(contiguous<Value>(object, name, {rows, columns}, access)), 0, columns};
}

}  // namespace

Architecture architecture_of(const std::string& dtype, const py::list& layers, WeightFormat weights) {
  Architecture architecture;
  architecture.dtype = dtype;
  architecture.weights = weights;
  for (const auto& entry : layers) {
    const auto layer = py::cast<py::tuple>(entry);
    architecture.layers.push_back(
        {py::cast<std::string>(layer[0]), options_of(py::cast<std::string>(layer[1]), py::cast<py::dict>(layer[2]))});
  }
  return architecture;
}

template <class T>
std::vector<T*> model_states(const Model& model, const py::object& arrays, const std::string& name, index rows,
                             bool optional) {
  using Value = std::remove_const_t<T>;
  constexpr Access access = std::is_const_v<T> ? Access::read : Access::write;
  std::vector<T*> pointers(model.states().size());
  if (arrays.is_none()) return pointers;
  const py::tuple given(arrays);
  if (given.size() != pointers.size())
    throw py::value_error(name + " has " + std::to_string(given.size()) + " arrays, expected " +
                          std::to_string(pointers.size()));
  for (std::size_t k = 0; k < pointers.size(); ++k) {
    if (optional && given[k].is_none()) continue;
    const ModelState& state = model.states()[k];
    pointers[k] =
        pointer<T>(contiguous<Value>(given[k], name + " " + state.name, {state.layers, rows, state.size}, access));
  }
  return pointers;
}

template <class T>
Arguments<T>::Arguments(const Model& model, const py::object& parameters, const py::object& x,
                        const py::object& initial_states, const py::object& final_states, const py::object& lengths,
                        const py::object& resets, const py::object& keys) {
  inputs.parameters =
      pointer<const T>(contiguous<T>(parameters, "parameters", {model.parameter_count()}, Access::read));
  const auto array = any_array(x, "x", model.takes_labels() ? 2 : 3);
  const index T_ = inputs.steps = array.shape(0), N = inputs.rows = array.shape(1);
  if (lengths.is_none()) {
    inputs.lengths = nullptr;
  } else {
    inputs.lengths = pointer<index>(contiguous<index>(lengths, "lengths", {N}, Access::read));
    for (index n = 0; n < N; ++n)
      if (inputs.lengths[n] < 0 || inputs.lengths[n] > T_)
        throw py::value_error("lengths must be in 0.." + std::to_string(T_) + ", got " +
                              std::to_string(inputs.lengths[n]));
  }
  if (model.takes_labels()) {
    const auto wide = array.attr("__getitem__")(py::make_tuple(py::ellipsis(), py::none()));
    inputs.labels = bindings::rows<const index>(wide, "x", {T_, N, 1}, Access::read);
    const index count = std::get<EmbeddingOptions>(model.layers()[0].options).num_embeddings;
    for (index t = 0; t < T_; ++t)
      for (index n = 0; n < N; ++n)
        if (const index label = *inputs.labels.at(t, n);
            (label < 0 || label >= count) && (!inputs.lengths || t < inputs.lengths[n]))
          throw py::value_error("x must be in 0.." + std::to_string(count - 1) + ", got " + std::to_string(label));
  } else {
    inputs.features = model.in_features().value_or(array.shape(2));
    inputs.x = bindings::rows<const T>(x, "x", {T_, N, inputs.features}, Access::read);
  }
  if (!resets.is_none())
    inputs.resets = reinterpret_cast<const std::uint8_t*>(
        pointer<const bool>(contiguous<bool>(resets, "resets", {T_, N}, Access::read)));
  if (!keys.is_none())
    inputs.keys = pointer<const std::uint64_t>(
        contiguous<std::uint64_t>(keys, "keys", {static_cast<index>(model.layers().size())}, Access::read));
  initial = model_states<const T>(model, initial_states, "initial", N, true);
  inputs.initial = initial.data();
  final = model_states<T>(model, final_states, "final", N, false);
}

namespace {

// One model's call, its arguments checked: run needs no Python.
class Call {
 public:
  virtual ~Call() = default;
  virtual void run(Control& control) = 0;
  virtual std::unique_ptr<PyModelCache> cache() = 0;  // after a forward call that keeps one
};

template <class T>
class ForwardCall final : public Call {
 public:
  ForwardCall(const Model& model, const py::object& parameters, const py::object& x, const py::object& initial,
              const py::object& y, const py::object& final, const py::object& lengths, const py::object& resets,
              const py::object& keys, bool keep, index checkpoint)
      : model_(model), call_(model, parameters, x, initial, final, lengths, resets, keys), keep_(keep) {
    call_.inputs.checkpoint = checkpoint < 0 ? automatic_checkpoint(call_.inputs.steps) : checkpoint;
    out_.y = outputs<T>(model, y, "y", call_.inputs.steps, call_.inputs.rows, call_.inputs.features, Access::write);
    out_.final = call_.final.data();
    if (keep) kept_.reset(new PyModelCache{ModelCache<T>(), call_.inputs.features, parameters, x, y, initial});
  }
  void run(Control& control) override {
    model_.forward(call_.inputs, out_, keep_ ? &std::get<ModelCache<T>>(kept_->cache) : nullptr, control);
  }
  std::unique_ptr<PyModelCache> cache() override { return std::move(kept_); }

 private:
  const Model& model_;
  Arguments<T> call_;
  ModelOutputs<T> out_;
  const bool keep_;
  std::unique_ptr<PyModelCache> kept_;
};

template <class T>
class BackwardCall final : public Call {
 public:
  BackwardCall(const Model& model, const ModelCache<T>& cache, index features, const py::object& parameters,
               const py::object& dy, const py::object& d_final, const py::object& dx, const py::object& d_initial,
               const py::object& d_parameters)
      : model_(model), cache_(cache) {
    if (cache.signature() != model.signature())
      throw py::value_error("cache is of " + cache.signature() + ", the model is " + model.signature());
    const index steps = cache.steps(), N = cache.rows();
    out_.parameters = pointer<T>(contiguous<T>(parameters, "parameters", {model.parameter_count()}, Access::read));
    if (!dy.is_none()) out_.y = outputs<const T>(model, dy, "dy", steps, N, features, Access::read);
    final_ = model_states<const T>(model, d_final, "d_final", N, true);
    out_.final = final_.data();
    if (!dx.is_none())
      in_.x = bindings::rows<T>(dx, "dx", {steps, N, model.in_features().value_or(features)}, Access::write);
    initial_ = model_states<T>(model, d_initial, "d_initial", N, true);
    in_.initial = initial_.data();
    in_.parameters = pointer<T>(contiguous<T>(d_parameters, "d_parameters", {model.parameter_count()}, Access::write));
  }
  void run(Control& control) override { model_.backward(cache_, out_, in_, control); }
  std::unique_ptr<PyModelCache> cache() override { return nullptr; }

 private:
  const Model& model_;
  const ModelCache<T>& cache_;
  ModelOutputGradients<T> out_;
  ModelInputGradients<T> in_;
  std::vector<const T*> final_;
  std::vector<T*> initial_;
};

std::unique_ptr<Call> backward_call(const Model& model, const PyModelCache& kept, const py::object& parameters,
                                    const py::object& dy, const py::object& d_final, const py::object& dx,
                                    const py::object& d_initial, const py::object& d_parameters) {
  return std::visit(
      [&](const auto& cache) -> std::unique_ptr<Call> {
        using T = typename std::remove_cvref_t<decltype(cache)>::Scalar;
        return std::make_unique<BackwardCall<T>>(model, cache, kept.features, parameters, dy, d_final, dx, d_initial,
                                                 d_parameters);
      },
      kept.cache);
}

void run_all(const std::vector<std::unique_ptr<Call>>& calls, int threads) {
  without_gil(threads, [&](Control& control) {
    each_model(static_cast<index>(calls.size()), control,
               [&](index k, Control& own) { calls[static_cast<std::size_t>(k)]->run(own); });
  });
}

std::unique_ptr<Call> call_of(const PyModel& self, const py::object& parameters, const py::object& x,
                              const py::object& initial, const py::object& y, const py::object& final,
                              const py::object& lengths, const py::object& resets, const py::object& keys, bool keep,
                              index checkpoint) {
  if (self.is_float())
    return std::make_unique<ForwardCall<float>>(self.model, parameters, x, initial, y, final, lengths, resets, keys,
                                                keep, checkpoint);
  return std::make_unique<ForwardCall<double>>(self.model, parameters, x, initial, y, final, lengths, resets, keys,
                                               keep, checkpoint);
}

// The calls of several models of one architecture side by side, each with the arguments of forward before `keep`.
std::vector<std::unique_ptr<PyModelCache>> forward_all(const PyModel& self, const py::list& arguments, bool keep,
                                                       index checkpoint, int threads) {
  std::vector<std::unique_ptr<Call>> calls;
  for (const auto& each : arguments) {
    const py::tuple a = py::reinterpret_borrow<py::tuple>(each);
    calls.push_back(call_of(self, a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], keep, checkpoint));
  }
  run_all(calls, threads);
  std::vector<std::unique_ptr<PyModelCache>> caches;
  for (const auto& call : calls) caches.push_back(call->cache());
  return caches;
}

// Each with the arguments of backward before the threads.
void backward_all(const PyModel& self, const py::list& arguments, int threads) {
  std::vector<std::unique_ptr<Call>> calls;
  for (const auto& each : arguments) {
    const py::tuple a = py::reinterpret_borrow<py::tuple>(each);
    calls.push_back(backward_call(self.model, py::cast<const PyModelCache&>(a[0]), a[1], a[2], a[3], a[4], a[5], a[6]));
  }
  run_all(calls, threads);
}

}  // namespace

std::unique_ptr<PyModelCache> PyModel::forward(const py::object& parameters, const py::object& x,
                                               const py::object& initial, const py::object& y, const py::object& final,
                                               const py::object& lengths, const py::object& resets,
                                               const py::object& keys, bool keep, index checkpoint, int threads) const {
  const auto call = call_of(*this, parameters, x, initial, y, final, lengths, resets, keys, keep, checkpoint);
  without_gil(threads, [&](Control& control) { call->run(control); });
  return call->cache();
}

void PyModel::round(const std::string& weights, const py::object& parameters) const {
  const auto run = [&]<class T>(T) {
    model.round(weight_format_of(weights),
                pointer<T>(contiguous<T>(parameters, "parameters", {model.parameter_count()}, Access::write)));
  };
  is_float() ? run(float()) : run(double());
}

void PyModel::backward(const PyModelCache& kept, const py::object& parameters, const py::object& dy,
                       const py::object& d_final, const py::object& dx, const py::object& d_initial,
                       const py::object& d_parameters, int threads) const {
  const auto call = backward_call(model, kept, parameters, dy, d_final, dx, d_initial, d_parameters);
  without_gil(threads, [&](Control& control) { call->run(control); });
}

template struct Arguments<float>;
template struct Arguments<double>;
template std::vector<const float*> model_states(const Model&, const py::object&, const std::string&, index, bool);
template std::vector<const double*> model_states(const Model&, const py::object&, const std::string&, index, bool);
template std::vector<float*> model_states(const Model&, const py::object&, const std::string&, index, bool);
template std::vector<double*> model_states(const Model&, const py::object&, const std::string&, index, bool);

void bind_model(py::module_& module) {
  using namespace py::literals;
  py::class_<PyModelCache>(module, "ModelCache", "What one forward call keeps for backward.", py::is_final())
      .def_property_readonly("by_number", [](const PyModelCache& self) {
        return std::visit([](const auto& cache) { return cache.by_number(); }, self.cache);
      });
  py::class_<PyModel>(module, "Model", "Layers over one flat vector; its twin is rnncore.reference.model.",
                      py::is_final())
      .def(py::init<const std::string&, const py::list&, const std::optional<std::string>&>(), "dtype"_a, "layers"_a,
           "weights"_a = py::none())
      .def_property_readonly("parameter_count", [](const PyModel& self) { return self.model.parameter_count(); })
      .def_property_readonly("layout",
                             [](const PyModel& self) {
                               py::list entries;
                               for (const auto& p : self.model.layout()) {
                                 py::tuple shape = py::make_tuple(p.rows, p.columns);
                                 if (p.columns == Parameter::vector) shape = py::make_tuple(p.rows);
                                 entries.append(py::make_tuple(p.name, p.offset, shape));
                               }
                               return entries;
                             })
      .def_property_readonly("states",
                             [](const PyModel& self) {
                               py::list entries;
                               for (const auto& s : self.model.states())
                                 entries.append(py::make_tuple(s.name, s.layers, s.size));
                               return entries;
                             })
      .def("forward", &PyModel::forward, "parameters"_a, "x"_a, "initial"_a, "y"_a, "final"_a, "lengths"_a = py::none(),
           "resets"_a = py::none(), "keys"_a = py::none(), "keep"_a = false, "checkpoint"_a = 0, "num_threads"_a = 0)
      .def("backward", &PyModel::backward, "cache"_a, "parameters"_a, "dy"_a, "d_final"_a, "dx"_a, "d_initial"_a,
           "d_parameters"_a, "num_threads"_a = 0)
      .def("round", &PyModel::round, "weights"_a, "parameters"_a)
      .def("forward_all", &forward_all, "calls"_a, "keep"_a, "checkpoint"_a, "num_threads"_a)
      .def("backward_all", &backward_all, "calls"_a, "num_threads"_a);
}

}  // namespace rnncore::bindings
