// Linear: the packed weights give the bits of the whole call, whatever rows are taken at once.
#include "rnncore/linear.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <random>
#include <utility>
#include <vector>

using rnncore::Control;
using rnncore::index;
using rnncore::Linear;
using rnncore::Matrix;
using rnncore::PackedLinear;

namespace {

template <class T>
std::vector<T> draw(index count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (auto& value : values) value = static_cast<T>(uniform(generator));
  return values;
}

}  // namespace

TEST_CASE_TEMPLATE("packed weights give the bits of the whole call, row by row", T, float, double) {
  for (const auto& [I, O] : {std::pair<index, index>{1, 1}, {17, 5}, {64, 33}, {0, 3}}) {
    const Linear linear(I, O, true);
    const index rows = 29;
    const auto parameters = draw<T>(linear.parameter_count(), 1), x = draw<T>(rows * I, 2);
    std::vector<T> whole(static_cast<std::size_t>(rows * O)), single(whole.size());
    Control control;
    linear.forward<T>(parameters.data(), rows, {x.data(), I}, {whole.data(), O}, nullptr, control);
    const PackedLinear<T> packed(linear, parameters.data());
    for (index row = 0; row < rows; ++row)
      packed.forward(1, Matrix<const T>{x.data() + row * I, I}, Matrix<T>{single.data() + row * O, O});
    CHECK(single == whole);
  }
}

TEST_CASE("sizes out of range are refused") {
  CHECK_THROWS_WITH(Linear(-1, 1, true), "in_features must be at least 0, got -1");
  CHECK_THROWS_WITH(Linear(1, 0, true), "out_features must be at least 1, got 0");
}
