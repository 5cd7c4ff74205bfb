#include "rnncore/windows.hpp"

#include <algorithm>
#include <cmath>

namespace rnncore {
namespace {

// The sum of term(0), ..., term(count - 1): four chains side by side, always the same ones.
template <class Term>
double sum(index count, const Term& term) {
  double chains[4] = {};
  index j = 0;
  for (; j + 4 <= count; j += 4)
    for (index i = 0; i < 4; ++i) chains[i] += term(j + i);
  for (; j < count; ++j) chains[0] += term(j);
  return (chains[0] + chains[1]) + (chains[2] + chains[3]);
}

}  // namespace

void describe(const WindowsOf& windows, index last, index lag, double* measures) {
  const index L = windows.length, pairs = std::max<index>(0, L - lag);
  for (index k = 0; k < windows.count; ++k, measures += window_measures) {
    const double* const x = windows.values + windows.starts[k];
    const double* const end = x + L - last;
    const double mean = sum(L, [&](index j) { return x[j]; }) / static_cast<double>(L);
    measures[window_level] = sum(last, [&](index j) { return end[j]; }) / static_cast<double>(last);
    measures[window_change] = 0;
    if (pairs > 0)
      measures[window_change] =
          sum(pairs, [&](index j) { return std::abs(x[j + lag] - x[j]); }) / static_cast<double>(pairs);
    measures[window_size] = sum(L, [&](index j) { return std::abs(x[j]); }) / static_cast<double>(L);
    const double square = sum(L, [&](index j) { return (x[j] - mean) * (x[j] - mean); });
    measures[window_spread] = std::sqrt(square / static_cast<double>(L));
  }
}

template <class T>
void gather(const WindowsOf& windows, const double* level, const double* scale, double limit, index columns,
            const Rows<T>& to) {
  for (index k = 0; k < windows.count; ++k) {
    const double* x = windows.values + windows.starts[k];
    for (index s = 0; s < windows.length / columns; ++s, x += columns) {
      T* const out = to.at(s, k);
      for (index j = 0; j < columns; ++j) {
        const double z = (x[j] - level[k]) / scale[k];
        out[j] = static_cast<T>(z > limit ? limit : z < -limit ? -limit : z);
      }
    }
  }
}

template void gather(const WindowsOf&, const double*, const double*, double, index, const Rows<float>&);
template void gather(const WindowsOf&, const double*, const double*, double, index, const Rows<double>&);

}  // namespace rnncore
