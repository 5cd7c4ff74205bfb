#include "probe.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "rnncore/buffer.hpp"
#include "rnncore/dispatch.hpp"

namespace rnncore {

#define RNNCORE_DECLARE(set)                        \
  const probe::Probe<float>& probe_##set##_float(); \
  const probe::Probe<double>& probe_##set##_double();
RNNCORE_DECLARE(baseline)
RNNCORE_DECLARE(avx2)
RNNCORE_DECLARE(avx512)
RNNCORE_DECLARE(neon)
#undef RNNCORE_DECLARE

namespace probe {
namespace {

template <class T>
const Probe<T>& of(const std::string& set) {
  constexpr bool single = sizeof(T) == sizeof(float);
#define RNNCORE_RETURN(name)          \
  if (set == #name) {                 \
    if constexpr (single)             \
      return probe_##name##_float();  \
    else                              \
      return probe_##name##_double(); \
  }
#ifdef RNNCORE_HAVE_BASELINE
  RNNCORE_RETURN(baseline)
#endif
#ifdef RNNCORE_HAVE_AVX2
  RNNCORE_RETURN(avx2)
#endif
#ifdef RNNCORE_HAVE_AVX512
  RNNCORE_RETURN(avx512)
#endif
#ifdef RNNCORE_HAVE_NEON
  RNNCORE_RETURN(neon)
#endif
#undef RNNCORE_RETURN
  throw std::invalid_argument("no probe for the instruction set " + set);
}

}  // namespace

template <class T>
std::vector<Probe<T>> probes() {
  std::vector<Probe<T>> all;
  for (const auto& set : available_instruction_sets()) all.push_back(of<T>(set));
  return all;
}

template <class T>
Probe<T> probe() {
  return of<T>(instruction_set());
}

template <class T>
double peak(const Probe<T>& probe, double seconds) {
  using clock = std::chrono::steady_clock;
  constexpr index k = 2048;
  const Tile<T>& tile = probe.tiles[0];
  const index width = probe.width;
  const Buffer<T> a(tile.rows * k), b(k * tile.columns * width), out(tile.rows * tile.columns * width);
  std::fill_n(a.data(), a.size(), T(0.5));
  std::fill_n(b.data(), b.size(), T(0.5));
  const auto work = [&](double duration) {
    const auto stop = clock::now() + std::chrono::duration<double>(duration);
    while (clock::now() < stop) tile.multiply(a.data(), b.data(), k, out.data());
  };
  const auto end = clock::now() + std::chrono::duration<double>(seconds);
  double best = 0;
  while (clock::now() < end) {
    work(1e-3);
    const auto start = clock::now();
    const double operations = probe.multiply_add(20'000);
    const std::chrono::duration<double> took = clock::now() - start;
    best = std::max(best, 1e-9 * operations / took.count());
  }
  return best;
}

template std::vector<Probe<float>> probes();
template std::vector<Probe<double>> probes();
template Probe<float> probe();
template Probe<double> probe();
template double peak(const Probe<float>&, double);
template double peak(const Probe<double>&, double);

}  // namespace probe
}  // namespace rnncore
