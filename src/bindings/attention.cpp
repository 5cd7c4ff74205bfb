// rnncore._core.attend and attend_backward: view the arrays, release the GIL around one call, return.
#include "rnncore/attention.hpp"

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/call.hpp"

namespace rnncore::bindings {
namespace {

template <class T>
Attention<T> described(const py::object& query, const py::object& keys, const py::object& lengths,
                       const py::object& weights, Access access) {
  const auto extents = [](const py::object& array, const char* name) {
    if (!py::isinstance<py::array>(array) || py::reinterpret_borrow<py::array>(array).ndim() != 3)
      throw py::value_error(std::string(name) + " must be a NumPy array of 3 dimensions");
    return py::reinterpret_borrow<py::array>(array);
  };
  Attention<T> call;
  const py::array of_query = extents(query, "query"), of_keys = extents(keys, "keys");
  call.queries = of_query.shape(0), call.rows = of_query.shape(1), call.features = of_query.shape(2);
  call.keys = of_keys.shape(0);
  call.query = rows<const T>(query, "query", {call.queries, call.rows, call.features}, Access::read);
  call.key = rows<const T>(keys, "keys", {call.keys, call.rows, call.features}, Access::read);
  call.weights = pointer<T>(contiguous<T>(weights, "weights", {call.rows, call.queries, call.keys}, access));
  if (lengths.is_none()) return call;
  call.lengths = pointer<index>(contiguous<index>(lengths, "lengths", {call.rows}, Access::read));
  for (index n = 0; n < call.rows; ++n)
    if (call.lengths[n] < 0 || call.lengths[n] > call.keys)
      throw py::value_error("lengths must be in 0.." + std::to_string(call.keys) + ", got " +
                            std::to_string(call.lengths[n]));
  return call;
}

template <class T>
void attend_as(const py::object& query, const py::object& keys, const py::object& lengths, const py::object& weights,
               const py::object& context, int threads) {
  const auto call = described<T>(query, keys, lengths, weights, Access::write);
  const auto to = rows<T>(context, "context", {call.queries, call.rows, call.features}, Access::write);
  without_gil(threads, [&](Control& control) { rnncore::attend(call, to, control); });
}

template <class T>
void attend_backward_as(const py::object& query, const py::object& keys, const py::object& lengths,
                        const py::object& weights, const py::object& d_context, const py::object& d_query,
                        const py::object& d_keys, int threads) {
  const auto call = described<T>(query, keys, lengths, weights, Access::read);
  const auto d = rows<const T>(d_context, "d_context", {call.queries, call.rows, call.features}, Access::read);
  const auto to_query = rows<T>(d_query, "d_query", {call.queries, call.rows, call.features}, Access::write);
  const auto to_keys = rows<T>(d_keys, "d_keys", {call.keys, call.rows, call.features}, Access::write);
  without_gil(threads, [&](Control& control) { rnncore::attend_backward(call, d, to_query, to_keys, control); });
}

}  // namespace

void bind_attention(py::module_& module) {
  using namespace py::literals;
  module.def(
      "attend",
      [](const py::object& query, const py::object& keys, const py::object& lengths, const py::object& weights,
         const py::object& context, int threads) {
        const bool single = py::isinstance<py::array_t<float>>(query);
        (single ? attend_as<float> : attend_as<double>)(query, keys, lengths, weights, context, threads);
      },
      "query"_a, "keys"_a, "lengths"_a, "weights"_a, "context"_a, "num_threads"_a = 0);
  module.def(
      "attend_backward",
      [](const py::object& query, const py::object& keys, const py::object& lengths, const py::object& weights,
         const py::object& d_context, const py::object& d_query, const py::object& d_keys, int threads) {
        const bool single = py::isinstance<py::array_t<float>>(query);
        (single ? attend_backward_as<float> : attend_backward_as<double>)(query, keys, lengths, weights, d_context,
                                                                          d_query, d_keys, threads);
      },
      "query"_a, "keys"_a, "lengths"_a, "weights"_a, "d_context"_a, "d_query"_a, "d_keys"_a, "num_threads"_a = 0);
}

}  // namespace rnncore::bindings
