#include "rnncore/memory.hpp"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

#include "rnncore/workspace.hpp"

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace rnncore {
namespace {

index kept_at_most() {
  const char* text = std::getenv("RNNCORE_KEEP_MB");
  const long megabytes = text ? std::strtol(text, nullptr, 10) : 32;
  return std::clamp<index>(megabytes, 0, 1 << 20) << 20;
}

class Pool {
 public:
  static constexpr index least = index(64) << 10;  // smaller blocks stay in the allocator's own hands

  // The smallest that will do, unless half of it would lie idle.
  Memory take(index bytes) {
    const std::unique_lock lock(mutex_, std::try_to_lock);  // never waits: a forked child may find it locked for ever
    if (!lock) return {};
    const auto at_least = [](const Memory& block, index wanted) { return block.bytes < wanted; };
    const auto found = std::lower_bound(kept_.begin(), kept_.end(), bytes, at_least);
    if (found == kept_.end() || found->bytes / 2 > bytes) return {};
    const Memory block = *found;
    kept_.erase(found);
    total_ -= block.bytes;
    return block;
  }
  // Whether it is kept. The largest blocks go first, to make room.
  bool give(Memory block) {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock || block.bytes > limit_ || kept_.size() == kept_.capacity()) return false;
    while (total_ + block.bytes > limit_) drop_largest();
    const auto less = [](const Memory& a, const Memory& b) { return a.bytes < b.bytes; };
    kept_.insert(std::upper_bound(kept_.begin(), kept_.end(), block, less), block);
    total_ += block.bytes;
    return true;
  }
  void clear() {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    while (lock && !kept_.empty()) drop_largest();
  }

  Pool() { kept_.reserve(64); }

 private:
  void drop_largest() {
    total_ -= kept_.back().bytes;
    std::free(kept_.back().data);
    kept_.pop_back();
  }

  std::mutex mutex_;
  std::vector<Memory> kept_;  // by size
  index total_ = 0;
  const index limit_ = kept_at_most();
};

Pool& pool() {
  static auto* const one = new Pool;  // for as long as the process lives: buffers of static storage may end after it
  return *one;
}

constexpr index line = 64, huge = index(1) << 21;

// What an allocator asks of the system each time (32 MB with glibc) is faster in huge pages.
Memory fresh(index bytes) {
  const index alignment = bytes >= 16 * huge ? huge : line;
  if (bytes > std::numeric_limits<index>::max() - alignment) throw OutOfMemory("more than 2^63");
  const index rounded = (bytes + alignment - 1) / alignment * alignment;
  void* const data = std::aligned_alloc(static_cast<std::size_t>(alignment), static_cast<std::size_t>(rounded));
#ifdef MADV_HUGEPAGE
  if (data && alignment == huge) madvise(data, static_cast<std::size_t>(rounded), MADV_HUGEPAGE);
#endif
  return {data, rounded};
}

}  // namespace

Memory take_memory(index bytes) {
  if (bytes >= Pool::least)
    if (const Memory kept = pool().take(bytes); kept.data) return kept;
  Memory memory = fresh(bytes);
  if (!memory.data) {
    pool().clear();
    memory = fresh(bytes);
  }
  if (!memory.data) throw OutOfMemory(std::to_string(bytes));
  return memory;
}

void give_memory(Memory memory) noexcept {
  if (memory.bytes < Pool::least || !pool().give(memory)) std::free(memory.data);
}

}  // namespace rnncore
