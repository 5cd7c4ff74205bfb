// The sizes of the processor's caches, by which the kernels choose their blocks and what they ask for ahead.
#pragma once

#include "rnncore/arrays.hpp"

namespace rnncore {

struct Caches {
  index first, second, third;  // bytes that one core reads from; third: 0 where there is none

  // A second cache that holds a layer's weights has a third one far behind it, whose lines are asked for long before
  // they are read, a few at a time and into the second cache. Otherwise the third one is near: the first of a
  // product's tiles asks for what comes next, into the first cache.
  bool far() const { return second >= 1 << 20; }
};

// Read once, at load. RNNCORE_CACHES=48,2048,32768 (KB) says otherwise; std::invalid_argument where it is no such text.
const Caches& caches();

}  // namespace rnncore
