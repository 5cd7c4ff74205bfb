// rnncore._core.Stream: a step costs little more than the kernel. Python's rnncore.Stream adds the rest.
#include "rnncore/stream.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/call.hpp"
#include "bindings/network.hpp"

namespace rnncore::bindings {
namespace {

// The linear layers behind the network: in_features, out_features, bias, parameters.
using Heads = std::vector<std::tuple<index, index, bool, py::object>>;

template <class T>
std::shared_ptr<const PackedNetwork<T>> pack(const PyNetwork& network, const py::object& parameters,
                                             const Heads& heads) {
  std::vector<PackedLinear<T>> packed;
  for (const auto& [in_features, out_features, bias, own] : heads) {
    const Linear linear(in_features, out_features, bias);
    packed.emplace_back(linear, pointer<T>(contiguous<T>(own, "heads", {linear.parameter_count()}, Access::read)));
  }
  const auto array = contiguous<T>(parameters, "parameters", {network.network.parameter_count()}, Access::read);
  return std::make_shared<const PackedNetwork<T>>(network.network, pointer<T>(array), std::move(packed));
}

// One call at a time: a block runs without the GIL.
class InUse {
 public:
  explicit InUse(std::atomic_flag& flag) : flag_(flag) {
    if (flag.test_and_set(std::memory_order_acquire))
      throw std::runtime_error("the stream is in use by another thread");
  }
  ~InUse() { flag_.clear(std::memory_order_release); }

 private:
  std::atomic_flag& flag_;
};

class PyStream {
 public:
  virtual ~PyStream() = default;
  virtual py::object step(const py::object& x, const py::object& out, const py::object& table) = 0;
  virtual bool run(const py::object& x, const py::object& y, int threads, const py::object& table) = 0;
  virtual py::tuple states() = 0;
  virtual void set_states(const py::object& arrays) = 0;
  virtual void reset(const std::vector<index>& rows) = 0;
  virtual void replace(const PyNetwork& network, const py::object& parameters, const Heads& heads,
                       const py::object& table) = 0;
  virtual std::unique_ptr<PyStream> with_rows(index rows) = 0;  // the same weights, every row at its start
  virtual index rows() const = 0;

  // Where Python looks labels up, or None. It goes with the weights: steps and blocks of what was looked up elsewhere are
  // not taken (None, false), since the weights were replaced meanwhile.
  py::object table;
};

template <class T>
class StreamOf final : public PyStream {
 public:
  StreamOf(std::shared_ptr<const PackedNetwork<T>> packed, index rows)
      : packed_(packed), stream_(std::move(packed), rows) {}

  py::object step(const py::object& x, const py::object& out, const py::object& looked_up) override {
    const InUse guard(in_use_);
    if (!looked_up.is(table)) return py::none();
    const index I = stream_.network().input_size(), P = stream_.output_size(), N = stream_.rows();
    const Matrix from = matrix(x, "x", N, I, Access::read);
    if (out.is_none()) {
      py::array_t<T> y = from.flat ? py::array_t<T>(P) : py::array_t<T>({N, P});
      stream_.step(from.data, from.stride, y.mutable_data(), P);
      return y;
    }
    const Matrix to = matrix(out, "out", N, P, Access::write);
    if (to.flat != from.flat) throw py::value_error("out has another number of dimensions than x");
    if (overlap(from, I, to, P, N)) throw py::value_error("out overlaps x");
    stream_.step(from.data, from.stride, to.data, to.stride);
    return out;
  }

  bool run(const py::object& x, const py::object& y, int threads, const py::object& looked_up) override {
    const InUse guard(in_use_);
    if (!looked_up.is(table)) return false;
    if (!py::isinstance<py::array>(x) || py::reinterpret_borrow<py::array>(x).ndim() != 3)
      throw py::value_error("x must be a NumPy array of 3 dimensions");
    const index steps = py::reinterpret_borrow<py::array>(x).shape(0), N = stream_.rows();
    const auto from = bindings::rows<const T>(x, "x", {steps, N, stream_.network().input_size()}, Access::read);
    const auto to = bindings::rows<T>(y, "y", {steps, N, stream_.output_size()}, Access::write);
    without_gil(threads, [&](Control& control) { stream_.run(steps, from, to, control); });
    return true;
  }

  py::tuple states() override {
    const InUse guard(in_use_);
    py::tuple arrays(stream_.network().num_states());
    const auto wanted = shapes();
    for (std::size_t s = 0; s < wanted.size(); ++s) {
      py::array_t<T> array(wanted[s]);
      std::copy_n(stream_.state(static_cast<index>(s)), array.size(), array.mutable_data());
      arrays[s] = array;
    }
    return arrays;
  }

  void set_states(const py::object& arrays) override {
    const InUse guard(in_use_);
    const T* from[max_states] = {};
    bindings::states(arrays, "state", shapes(), Access::read, from);
    const auto wanted = shapes();
    for (std::size_t s = 0; s < wanted.size(); ++s)
      std::copy_n(from[s], checked_product({wanted[s][0], wanted[s][1], wanted[s][2]}),
                  stream_.state(static_cast<index>(s)));
  }

  void reset(const std::vector<index>& rows) override {
    const InUse guard(in_use_);
    for (const index row : rows)
      if (row < 0 || row >= stream_.rows()) throw py::index_error("there is no row " + std::to_string(row));
    for (const index row : rows) stream_.reset(row);
  }

  void replace(const PyNetwork& network, const py::object& parameters, const Heads& heads,
               const py::object& other) override {
    const InUse guard(in_use_);
    auto packed = pack<T>(network, parameters, heads);
    stream_.replace(packed);
    packed_ = std::move(packed);
    table = other;
  }

  std::unique_ptr<PyStream> with_rows(index rows) override {
    auto other = std::make_unique<StreamOf>(packed_, rows);
    other->table = table;
    return other;
  }
  index rows() const override { return stream_.rows(); }

 private:
  struct Matrix {
    T* data;
    index stride;
    bool flat;
  };

  std::vector<std::vector<index>> shapes() const {
    const Network& network = stream_.network();
    std::vector<std::vector<index>> shapes;
    for (index s = 0; s < network.num_states(); ++s)
      shapes.push_back({network.num_layers(), stream_.rows(), network.state_size(s)});
    return shapes;
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

  std::shared_ptr<const PackedNetwork<T>> packed_;
  Stream<T> stream_;
  std::atomic_flag in_use_;
};

std::unique_ptr<PyStream> make_stream(const PyNetwork& network, const py::object& parameters, index rows,
                                      const Heads& heads, const py::object& table) {
  auto stream = network.dtype.visit([&](auto zero) -> std::unique_ptr<PyStream> {
    using T = decltype(zero);
    return std::make_unique<StreamOf<T>>(pack<T>(network, parameters, heads), rows);
  });
  stream->table = table;
  return stream;
}

}  // namespace

void bind_stream(py::module_& module) {
  using namespace py::literals;
  py::class_<PyStream>(module, "Stream", "Packed weights and a state, for steps.", py::is_final())
      .def(py::init(&make_stream), "network"_a, "parameters"_a, "batch_size"_a = 1, "heads"_a = Heads(),
           "table"_a = py::none())
      .def("step", &PyStream::step, "x"_a, "out"_a = py::none(), "table"_a = py::none())
      .def("run", &PyStream::run, "x"_a, "y"_a, "num_threads"_a = 1, "table"_a = py::none())
      .def("states", &PyStream::states)
      .def("set_states", &PyStream::set_states, "states"_a)
      .def("reset", &PyStream::reset, "rows"_a)
      .def("replace", &PyStream::replace, "network"_a, "parameters"_a, "heads"_a = Heads(), "table"_a = py::none())
      .def("with_rows", &PyStream::with_rows, "batch_size"_a)
      .def_readonly("table", &PyStream::table)
      .def_property_readonly("batch_size", &PyStream::rows);
}

}  // namespace rnncore::bindings
