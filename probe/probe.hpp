// Parts of one instruction set's kernels laid open, for tests and benchmarks; the library does not contain it.
#pragma once

#include <string>
#include <vector>

#include "rnncore/kernels/table.hpp"

namespace rnncore::probe {

// `rows` rows times the `width * columns` numbers of a panel stay in registers over k.
template <class T>
struct Tile {
  int rows, columns;
  // out[rows, columns, width] = a[rows, k] b[k, columns, width]
  void (*multiply)(const T* a, const T* b, index k, T* out);
};

template <class T>
struct Probe {
  const char* set;
  int width;  // elements of T in a register
  void (*tanh)(const T* x, index count, T* y);
  void (*tanh_of_exponent)(const T* x, index count, T* y);     // 1 - 2 / (1 + 2^x)
  void (*sigmoid_of_exponent)(const T* x, index count, T* y);  // 1 / (1 + 2^x)
  void (*gelu)(const T* x, index count, T* y);                 // x Phi(x)
  void (*gelu_slope)(const T* x, index count, T* y);           // its derivative
  double (*multiply_add)(index rounds);                        // in independent chains; returns the operations done
  double (*read)(const T* data, index count);                  // reads all, returns the sum
  const Tile<T>* tiles;
  int tile_count;
};

// Those that this build has and this processor runs, best first.
template <class T>
std::vector<Probe<T>> probes();
// The one of the instruction set in use.
template <class T>
Probe<T> probe();

// GFLOP/s of multiply-adds on one thread for about `seconds`: the best of short runs, each directly behind products
// that read memory, for with those the clock may fall, and is slow to rise.
template <class T>
double peak(const Probe<T>& probe, double seconds = 0.02);

}  // namespace rnncore::probe
