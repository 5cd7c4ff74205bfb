// Windows of long series, by where they begin: what they look like, and their values, shifted and scaled.
// Sizes: K windows of L values. Twin: python/rnncore/reference/windows.py
#pragma once

#include "rnncore/arrays.hpp"

namespace rnncore {

// The k-th window is values[starts[k]], ..., values[starts[k] + length - 1]; all of them lie inside of the values.
struct WindowsOf {
  const double* values = nullptr;
  const index* starts = nullptr;  // [count]
  index count = 0, length = 0;
};

// What a window looks like, in the order of the columns that describe() writes.
enum WindowMeasure : index { window_level, window_change, window_size, window_spread, window_measures };

// Writes (K, window_measures): the mean of the last `last` values, the mean |x_t - x_(t - lag)| (0 if there is no such
// pair), the mean |x_t|, and the standard deviation. 1 <= last <= length, 1 <= lag.
void describe(const WindowsOf& windows, index last, index lag, double* measures);

// Writes (x - level) / scale, cut to [-limit, limit] (NaN stays), in steps of as many values as `to` has columns:
// step s of window k is values s * columns to (s + 1) * columns - 1 of it.
template <class T>
void gather(const WindowsOf& windows, const double* level, const double* scale, double limit, index columns,
            const Rows<T>& to);

}  // namespace rnncore
