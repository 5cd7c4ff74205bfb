// rnncore._core.Stream: a step costs little more than the kernel. Python's rnncore.Stream adds the rest.
#include "rnncore/model/stream.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/call.hpp"
#include "bindings/model.hpp"

namespace rnncore::bindings {
namespace {

template <class T>
std::shared_ptr<const PackedModel<T>> pack(const PyModel& model, const py::object& parameters, WeightFormat format) {
  const auto array = contiguous<T>(parameters, "parameters", {model.model.parameter_count()}, Access::read);
  return std::make_shared<const PackedModel<T>>(model.model, pointer<T>(array), format);
}

class PyStream {
 public:
  virtual ~PyStream() = default;
  virtual py::object step(const py::object& x, const py::object& out) = 0;
  virtual void run(const py::object& x, const py::object& y, int threads) = 0;
  virtual py::tuple states() = 0;
  virtual void set_states(const py::object& arrays) = 0;
  virtual void reset(const std::vector<index>& rows) = 0;
  virtual void replace(const PyModel& model, const py::object& parameters) = 0;
  virtual std::unique_ptr<PyStream> with_rows(index rows) = 0;  // the same weights, every row at its start
  virtual index rows() const = 0;
};

template <class T>
class StreamOf final : public PyStream {
 public:
  StreamOf(const std::shared_ptr<const PackedModel<T>>& packed, index rows) : stream_(packed, rows) {}

  py::object step(const py::object& x, const py::object& out) override {
    const InUse guard(in_use_);
    if (stream_.model().takes_labels()) return step_labels(x, out);
    const index I = stream_.input_size(), P = stream_.output_size(), N = stream_.rows();
    const Matrix from = matrix(x, "x", N, I, Access::read);
    if (out.is_none()) {
      py::array y = from.flat ? empty<T>({P}) : empty<T>({N, P});
      stream_.step(from.data, from.stride, static_cast<T*>(y.mutable_data()), P);
      return y;
    }
    const Matrix to = target(out, from.flat);
    if (overlap(from, I, to, P, N)) throw py::value_error("out overlaps x");
    stream_.step(from.data, from.stride, to.data, to.stride);
    return out;
  }

  void run(const py::object& x, const py::object& y, int threads) override {
    const InUse guard(in_use_);
    const bool labels = stream_.model().takes_labels();
    if (!py::isinstance<py::array>(x) || py::reinterpret_borrow<py::array>(x).ndim() != 3)
      throw py::value_error("x must be a NumPy array of 3 dimensions");
    const index steps = py::reinterpret_borrow<py::array>(x).shape(0), N = stream_.rows();
    const auto to = bindings::rows<T>(y, "y", {steps, N, stream_.output_size()}, Access::write);
    if (labels) {
      const auto from = bindings::rows<const index>(x, "x", {steps, N, 1}, Access::read);
      for (index t = 0; t < steps; ++t)
        for (index n = 0; n < N; ++n) check_label(*from.at(t, n), stream_.sizes().labels);
      without_gil(threads, [&](Control& control) { stream_.run(steps, from, to, control); });
    } else {
      const auto from = bindings::rows<const T>(x, "x", {steps, N, stream_.input_size()}, Access::read);
      without_gil(threads, [&](Control& control) { stream_.run(steps, from, to, control); });
    }
  }

  py::tuple states() override {
    const InUse guard(in_use_);
    py::tuple arrays(stream_.model().states().size());
    const auto wanted = shapes();
    for (std::size_t s = 0; s < wanted.size(); ++s) {
      py::array_t<T> array(wanted[s]);
      std::copy_n(stream_.state(s), array.size(), array.mutable_data());
      arrays[s] = array;
    }
    return arrays;
  }

  void set_states(const py::object& arrays) override {
    const InUse guard(in_use_);
    std::vector<const T*> from(stream_.model().states().size());
    const auto wanted = shapes();
    bindings::states(
        arrays, "state", static_cast<index>(wanted.size()),
        [&](index s) { return Shape(wanted[static_cast<std::size_t>(s)]); }, Access::read, from.data());
    for (std::size_t s = 0; s < wanted.size(); ++s)
      std::copy_n(from[s], checked_product({wanted[s][0], wanted[s][1], wanted[s][2]}), stream_.state(s));
  }

  void reset(const std::vector<index>& rows) override {
    const InUse guard(in_use_);
    for (const index row : rows)
      if (row < 0 || row >= stream_.rows()) throw py::index_error("there is no row " + std::to_string(row));
    for (const index row : rows) stream_.reset(row);
  }

  void replace(const PyModel& model, const py::object& parameters) override {
    const InUse guard(in_use_);
    stream_.replace(pack<T>(model, parameters, stream_.packed().format()));
  }

  std::unique_ptr<PyStream> with_rows(index rows) override {
    return std::make_unique<StreamOf>(stream_.packed().shared_from_this(), rows);
  }
  index rows() const override { return stream_.rows(); }

 private:
  struct Matrix {
    T* data;
    index stride;
    bool flat;
  };

  // Labels (N,), or () where there is one row.
  py::object step_labels(const py::object& x, const py::object& out) {
    if (!py::isinstance<py::array>(x)) throw py::type_error("x must be a NumPy array");
    const bool flat = py::reinterpret_borrow<py::array>(x).ndim() == 0 && stream_.rows() == 1;
    const auto shape = flat ? std::vector<index>() : std::vector<index>{stream_.rows()};
    const index* labels = pointer<index>(contiguous<index>(x, "x", shape, Access::read));
    for (index n = 0; n < stream_.rows(); ++n) check_label(labels[n], stream_.sizes().labels);
    const index P = stream_.output_size();
    if (out.is_none()) {
      py::array y = flat ? empty<T>({P}) : empty<T>({stream_.rows(), P});
      stream_.step(labels, static_cast<T*>(y.mutable_data()), P);
      return y;
    }
    const Matrix to = target(out, flat);
    stream_.step(labels, to.data, to.stride);
    return out;
  }

  std::vector<std::vector<index>> shapes() const {
    std::vector<std::vector<index>> shapes;
    for (const auto& state : stream_.model().states()) shapes.push_back({state.layers, stream_.rows(), state.size});
    return shapes;
  }

  Matrix target(const py::object& out, bool flat) const {
    const Matrix to = matrix(out, "out", stream_.rows(), stream_.output_size(), Access::write);
    if (to.flat != flat) throw py::value_error("out has another number of dimensions than x");
    return to;
  }

  // (rows, columns), or (columns,) where there is one row.
  static Matrix matrix(const py::object& object, const char* name, index rows, index columns, Access access) {
    if (py::isinstance<py::array>(object) && py::reinterpret_borrow<py::array>(object).ndim() == 1 && rows == 1)
      return {pointer<T>(contiguous<T>(object, name, {columns}, access)), columns, true};
    const auto array = checked<T>(object, name, {rows, columns}, access);
    constexpr index size = sizeof(T);
    if ((columns > 1 && array.strides(1) != size) || array.strides(0) % size)
      throw py::value_error(std::string(name) + " has rows that are not contiguous");
    const index stride = array.strides(0) / size;
    if (access == Access::write && rows > 1 && std::abs(stride) < columns)
      throw py::value_error(std::string(name) + " has rows that overlap each other");
    return {pointer<T>(array), stride, false};
  }

  static bool overlap(const Matrix& a, index a_columns, const Matrix& b, index b_columns, index rows) {
    const auto ends = [rows](const Matrix& m, index columns) {
      const T *first = m.data, *last = m.data + (rows - 1) * m.stride;
      return std::pair(std::min(first, last), std::max(first, last) + columns);
    };
    const auto [a_begin, a_end] = ends(a, a_columns);
    const auto [b_begin, b_end] = ends(b, b_columns);
    return a_begin < b_end && b_begin < a_end;
  }

  ModelStream<T> stream_;
  std::atomic_flag in_use_;
};

std::unique_ptr<PyStream> make_stream(const PyModel& model, const py::object& parameters, index rows,
                                      const std::optional<std::string>& weights) {
  const WeightFormat format = format_of(weights);
  if (model.is_float()) return std::make_unique<StreamOf<float>>(pack<float>(model, parameters, format), rows);
  return std::make_unique<StreamOf<double>>(pack<double>(model, parameters, format), rows);
}

}  // namespace

void bind_stream(py::module_& module) {
  using namespace py::literals;
  py::class_<PyStream>(module, "Stream", "Packed weights and a state, for steps.", py::is_final())
      .def(py::init(&make_stream), "model"_a, "parameters"_a, "batch_size"_a = 1, "weights"_a = py::none())
      .def("step", &PyStream::step, "x"_a, "out"_a = py::none())
      .def("run", &PyStream::run, "x"_a, "y"_a, "num_threads"_a = 1)
      .def("states", &PyStream::states)
      .def("set_states", &PyStream::set_states, "states"_a)
      .def("reset", &PyStream::reset, "rows"_a)
      .def("replace", &PyStream::replace, "model"_a, "parameters"_a)
      .def("with_rows", &PyStream::with_rows, "batch_size"_a)
      .def_property_readonly("batch_size", &PyStream::rows);
}

}  // namespace rnncore::bindings
