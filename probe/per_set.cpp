// Compiled per instruction set and scalar type, as the kernels are. No std:: templates in here.
#include "probe.hpp"
#include "rnncore/kernels/activation.hpp"
#include "rnncore/kernels/tile.hpp"
#include "rnncore/simd/denormals.hpp"
#include "rnncore/simd/math.hpp"

#define RNNCORE_JOIN_(a, b) a##_##b
#define RNNCORE_JOIN(a, b) RNNCORE_JOIN_(a, b)

namespace rnncore {
namespace RNNCORE_ISA {

using T = RNNCORE_SCALAR;
using V = Pack<T>;

struct Tanh {
  static RNNCORE_INLINE V of(V x) { return tanh(x).value(); }
};
struct TanhOfExponent {
  static RNNCORE_INLINE V of(V x) { return tanh_of_exponent(x).value(); }
};
struct SigmoidOfExponent {
  static RNNCORE_INLINE V of(V x) { return sigmoid_of_exponent(x).value(); }
};

struct Gelu {
  static RNNCORE_INLINE V of(V x) { return gelu(x); }
};
struct GeluSlope {
  static RNNCORE_INLINE V of(V x) { return gelu_slope(x); }
};

template <class Function>
static void of_all(const T* x, index count, T* y) {
  const FlushDenormals guard;
  for (index i = 0; i < count; i += V::width) Function::of(V::load_part(x + i, count - i)).store_part(y + i, count - i);
}

// Twelve chains hide the latency of two units and fit into sixteen registers beside the operands.
constexpr int chains = 12;

// Unrolled like all loops over registers: an index known at run time only would keep the chains in memory.
static RNNCORE_INLINE T sum(const V (&acc)[chains]) {
  V total = acc[0];
#pragma GCC unroll 16
  for (int j = 1; j < chains; ++j) total = total + acc[j];
  T part[V::width], result = 0;
  total.store(part);
  for (int i = 0; i < V::width; ++i) result += part[i];
  return result;
}

static double multiply_add(index rounds) {
  const V a = V::broadcast(T(0.999)), b = V::broadcast(T(1e-3));
  V acc[chains];
#pragma GCC unroll 16
  for (int j = 0; j < chains; ++j) acc[j] = b;
  for (index i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < chains; ++j) {
      acc[j] = fma(acc[j], a, b);
      pin(acc[j]);
    }
  }
  return sum(acc) > T(0) ? 2.0 * double(rounds) * chains * V::width : 0;
}

static double read(const T* data, index count) {
  V acc[chains];
#pragma GCC unroll 16
  for (int j = 0; j < chains; ++j) acc[j] = V::zero();
  for (index i = 0; i + chains * V::width <= count; i += chains * V::width)
#pragma GCC unroll 16
    for (int j = 0; j < chains; ++j) acc[j] = acc[j] + V::load(data + i + j * V::width);
  return double(sum(acc));
}

template <int R, int P, int G>
static void multiply(const T* a, const T* b, index k, T* out) {
  V acc[R][P][G];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
      for (int g = 0; g < G; ++g) acc[r][p][g] = V::zero();
  accumulate<0, G>(acc, RowMajor<T>{a, k}, k, {b, k * G * V::width});
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
      for (int g = 0; g < G; ++g) acc[r][p][g].store(out + ((r * P + p) * G + g) * V::width);
}

// The tallest tile of each number of gates, and a single row.
template <int R, int G>
constexpr probe::Tile<T> tile_of() {
  constexpr int panels = tile_panels<V, G>(R);
  return {R, panels * G, multiply<R, panels, G>};
}
static const probe::Tile<T> tiles[] = {tile_of<max_tile_rows<V, 1>, 1>(),
                                       tile_of<max_tile_rows<V, 3>, 3>(),
                                       tile_of<max_tile_rows<V, 4>, 4>(),
                                       tile_of<1, 3>(),
                                       tile_of<1, 4>(),
                                       tile_of<6, 2>()};

#define RNNCORE_TEXT_(name) #name
#define RNNCORE_TEXT(name) RNNCORE_TEXT_(name)
static const probe::Probe<T> parts = {RNNCORE_TEXT(RNNCORE_ISA),
                                      V::width,
                                      of_all<Tanh>,
                                      of_all<TanhOfExponent>,
                                      of_all<SigmoidOfExponent>,
                                      of_all<Gelu>,
                                      of_all<GeluSlope>,
                                      multiply_add,
                                      read,
                                      tiles,
                                      sizeof(tiles) / sizeof(tiles[0])};

}  // namespace RNNCORE_ISA

// What probe.cpp calls, e.g. probe_avx2_float().
const probe::Probe<RNNCORE_SCALAR>& RNNCORE_JOIN(RNNCORE_JOIN(probe, RNNCORE_ISA), RNNCORE_SCALAR)() {
  return RNNCORE_ISA::parts;
}

}  // namespace rnncore
