// rnncore._core.Training: a model, its loss and its optimiser, bound together so that a step is one short call.
#include "rnncore/model/training.hpp"

#include <pybind11/stl.h>

#include <optional>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/call.hpp"
#include "bindings/model.hpp"
#include "bindings/optim.hpp"
#include "rnncore/model/fleet.hpp"

namespace rnncore::bindings {
namespace {

// An array over time, rows and columns, or behind a LastStep over rows and columns; an axis of extent 1 is the same all
// along.
template <class T, class Value>
Cells<const Value> cells(const py::object& object, const std::string& name, const std::vector<index>& full) {
  if (object.is_none()) return {};
  if (!py::isinstance<py::array>(object) ||
      static_cast<std::size_t>(py::reinterpret_borrow<py::array>(object).ndim()) != full.size())
    throw py::value_error(name + " must be a NumPy array of " + std::to_string(full.size()) + " dimensions");
  const auto array = py::reinterpret_borrow<py::array>(object);
  std::vector<index> shape(full), strides;
  for (std::size_t k = 0; k < full.size(); ++k) {
    const auto axis = static_cast<py::ssize_t>(k);
    if (array.shape(axis) == 1) shape[k] = 1;
    strides.push_back(shape[k] == 1 ? 0 : array.strides(axis) / static_cast<index>(sizeof(T)));
  }
  const auto fitting = checked<T>(object, name, shape, Access::read);
  Cells<const Value> found;
  found.data = reinterpret_cast<const Value*>(pointer<const T>(fitting));
  if (full.size() == 3) found.time = strides[0];
  found.row = strides[full.size() - 2];
  found.column = strides[full.size() - 1];
  return found;
}

// What is to be learnt: (T, N, F) or labels (T, N, 1); without T behind a LastStep.
template <class T>
Targets<T> targets_of(const Model& model, const Loss& loss, const ModelInputs<T>& inputs, const py::object& target,
                      const py::object& mask, const py::object& weights) {
  Targets<T> found;
  const index columns = model.out_features().value_or(inputs.features);
  if (columns % loss.outputs_per_feature() != 0)
    throw py::value_error("the model gives " + std::to_string(columns) + " features, the loss expects a multiple of " +
                          std::to_string(loss.outputs_per_feature()));
  found.features = loss.of_labels() ? 1 : columns / loss.outputs_per_feature();
  const std::vector<index> shape{model.per_step() ? inputs.steps : 1, inputs.rows, found.features};
  if (loss.of_labels())
    found.labels = bindings::rows<const index>(target, "target", shape, Access::read);
  else
    found.values = bindings::rows<const T>(target, "target", shape, Access::read);
  found.mask = cells<bool, std::uint8_t>(mask, "mask", shape);
  found.weights = cells<T, T>(weights, "weights", shape);
  for (index t = 0; loss.of_labels() && t < shape[0]; ++t)
    for (index n = 0; n < inputs.rows; ++n) {
      const index label = *found.labels.at(t, n);
      if (label >= 0 && label < columns) continue;
      const bool counts = (!found.mask.data || found.mask.at(t, n, 0)) &&
                          (!found.weights.data || found.weights.at(t, n, 0) > 0) &&
                          (!inputs.lengths || !model.per_step() || t < inputs.lengths[n]);
      if (counts)
        throw py::value_error("target must be in 0.." + std::to_string(columns - 1) + ", got " + std::to_string(label));
    }
  return found;
}

// A step whose arguments have been checked.
class Pending {
 public:
  virtual ~Pending() = default;
  virtual void run(Control& control) = 0;
  StepResult result;

  py::tuple tuple() const { return py::make_tuple(result.loss, result.weight, result.finite); }
};

class Training {
 public:
  virtual ~Training() = default;
  virtual std::unique_ptr<Pending> prepare(double lr, const py::object& x, const py::object& initial,
                                           const py::object& final, const py::object& lengths, const py::object& resets,
                                           const py::object& keys, const py::object& target, const py::object& mask,
                                           const py::object& weights) = 0;
};

template <class T>
class TrainingOf final : public Training {
 public:
  TrainingOf(const PyModel& model, const Loss& loss, const std::string& kind, const py::dict& arrays,
             const py::object& steps, const py::dict& options, const py::object& gradient, const Clipping& clipping)
      : model_(model),
        loss_(loss),
        arrays_(arrays),
        steps_(steps),
        gradient_(gradient),
        parameters_(py::cast<py::list>(arrays["parameters"])[0]),
        clipping_(clipping),
        update_(update_of<T>(kind, Vectors(arrays), 0, options)),
        counter_(pointer<index>(contiguous<index>(steps, "steps", {}, Access::write))),
        d_(pointer<T>(contiguous<T>(gradient, "gradient", {model.model.parameter_count()}, Access::write))) {
    contiguous<T>(parameters_, "parameters", {model.model.parameter_count()}, Access::write);
  }

  std::unique_ptr<Pending> prepare(double lr, const py::object& x, const py::object& initial, const py::object& final,
                                   const py::object& lengths, const py::object& resets, const py::object& keys,
                                   const py::object& target, const py::object& mask,
                                   const py::object& weights) override {
    const Arguments<T> call(model_.model, parameters_, x, initial, final, lengths, resets, keys);
    const auto targets = targets_of<T>(model_.model, loss_, call.inputs, target, mask, weights);
    std::visit([&](auto& update) { update.lr = lr; }, update_);
    return std::unique_ptr<Pending>(new Step(*this, call, targets));
  }

 private:
  struct Step final : Pending {
    Step(TrainingOf& own, const Arguments<T>& arguments, const Targets<T>& of)
        : training(own), call(arguments), targets(of) {
      call.inputs.initial = call.initial.data();
    }
    void run(Control& control) override {
      result = train_step(training.model_.model, call.inputs, targets, training.loss_, call.final.data(), training.d_,
                          training.clipping_, training.update_, *training.counter_, control);
    }
    TrainingOf& training;
    Arguments<T> call;
    Targets<T> targets;
  };

  const PyModel& model_;
  const Loss loss_;
  const py::object arrays_, steps_, gradient_, parameters_;  // kept alive
  const Clipping clipping_;
  AnyUpdate<T> update_;
  index* counter_;
  T* d_;
};

std::unique_ptr<Training> make(const PyModel& model, const Loss& loss, const std::string& kind, const py::dict& arrays,
                               const py::object& steps, const py::dict& options, const py::object& gradient,
                               std::optional<double> clip_value, std::optional<double> clip_norm) {
  const Clipping clipping{clip_value, clip_norm};
  if (model.is_float())
    return std::make_unique<TrainingOf<float>>(model, loss, kind, arrays, steps, options, gradient, clipping);
  return std::make_unique<TrainingOf<double>>(model, loss, kind, arrays, steps, options, gradient, clipping);
}

py::tuple step(Training& training, double lr, const py::object& x, const py::object& initial, const py::object& final,
               const py::object& lengths, const py::object& resets, const py::object& keys, const py::object& target,
               const py::object& mask, const py::object& weights, int threads) {
  const auto pending = training.prepare(lr, x, initial, final, lengths, resets, keys, target, mask, weights);
  without_gil(threads, [&](Control& control) { pending->run(control); });
  return pending->tuple();
}

// One forward and one backward call with the loss between them: writes final, dx and d_initial, adds to gradient.
py::tuple loss_and_gradients_of(const PyModel& self, const Loss& loss, const py::object& parameters,
                                const py::object& x, const py::object& initial, const py::object& final,
                                const py::object& lengths, const py::object& resets, const py::object& keys,
                                const py::object& target, const py::object& mask, const py::object& weights,
                                const py::object& dx, const py::object& d_initial, const py::object& gradient,
                                int threads) {
  const Model& model = self.model;
  const auto run = [&]<class T>(T) {
    Arguments<T> call(model, parameters, x, initial, final, lengths, resets, keys);
    const auto targets = targets_of<T>(model, loss, call.inputs, target, mask, weights);
    const index steps = call.inputs.steps, N = call.inputs.rows;
    ModelInputGradients<T> gradients;
    if (!dx.is_none()) gradients.x = rows<T>(dx, "dx", {steps, N, call.inputs.features}, Access::write);
    const auto starts = model_states<T>(model, d_initial, "d_initial", N, true);
    gradients.initial = starts.data();
    gradients.parameters = pointer<T>(contiguous<T>(gradient, "gradient", {model.parameter_count()}, Access::write));
    LossResult result;
    without_gil(threads, [&](Control& control) {
      result = loss_and_gradients(model, call.inputs, targets, loss, call.final.data(), gradients, control);
    });
    return py::make_tuple(result.loss, result.weight);
  };
  return self.is_float() ? run(float()) : run(double());
}

// The steps of several models side by side: a list of trainings, and of the arguments of each one's step but the
// threads.
py::list step_all(const py::list& trainings, const py::list& calls, int threads) {
  if (trainings.size() != calls.size()) throw py::value_error("there are not as many calls as trainings");
  std::vector<std::unique_ptr<Pending>> pending;
  for (std::size_t k = 0; k < calls.size(); ++k) {
    const py::tuple a = calls[k];
    pending.push_back(py::cast<Training&>(trainings[k])
                          .prepare(py::cast<double>(a[0]), a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9]));
  }
  without_gil(threads, [&](Control& control) {
    each_model(static_cast<index>(pending.size()), control,
               [&](index k, Control& own) { pending[static_cast<std::size_t>(k)]->run(own); });
  });
  py::list results;
  for (const auto& step : pending) results.append(step->tuple());
  return results;
}

}  // namespace

void bind_training(py::module_& module) {
  using namespace py::literals;
  py::class_<Training>(module, "Training", "A model, its loss and its optimiser.")
      .def(py::init(&make), py::keep_alive<1, 2>(), "model"_a, "loss"_a, "kind"_a, "arrays"_a, "steps"_a, "options"_a,
           "gradient"_a, "clip_value"_a, "clip_norm"_a)
      .def("step", &step, "lr"_a, "x"_a, "initial"_a, "final"_a, "lengths"_a, "resets"_a, "keys"_a, "target"_a,
           "mask"_a, "weights"_a, "num_threads"_a = 0);
  module.def("loss_and_gradients", &loss_and_gradients_of, "model"_a, "loss"_a, "parameters"_a, "x"_a, "initial"_a,
             "final"_a, "lengths"_a, "resets"_a, "keys"_a, "target"_a, "mask"_a, "weights"_a, "dx"_a, "d_initial"_a,
             "gradient"_a, "num_threads"_a = 0);
  module.def("step_all", &step_all, "trainings"_a, "calls"_a, "num_threads"_a = 0);
}

}  // namespace rnncore::bindings
