// Memory for a call. Large blocks that a call gives back are kept for the next one: fresh ones cost a page fault for
// every 4 KB, a tenth of the time of training a small network.
#pragma once

#include "rnncore/arrays.hpp"

namespace rnncore {

struct Memory {
  void* data = nullptr;
  index bytes = 0;  // at least as many as asked for
};

inline constexpr index cache_line = 64;  // bytes

// At the start of a cache line, not initialised; throws OutOfMemory.
Memory take_memory(index bytes);
void give_memory(Memory) noexcept;

}  // namespace rnncore
