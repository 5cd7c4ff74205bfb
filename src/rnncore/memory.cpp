#include "rnncore/memory.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

#include "rnncore/buffer.hpp"

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
    auto found = kept_.end();
    for (auto block = kept_.begin(); block != kept_.end(); ++block)
      if (block->bytes >= bytes && block->bytes / 2 <= bytes && (found == kept_.end() || block->bytes <= found->bytes))
        found = block;  // of equal ones the last, which is the nearest
    if (found == kept_.end()) return {};
    const Memory block = *found;
    kept_.erase(found);
    total_ -= block.bytes;
    return block;
  }
  // Whether it is kept. What nobody has asked for longest goes first, to make room.
  bool give(Memory block) {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock || block.bytes > limit_) return false;
    while (total_ + block.bytes > limit_ || kept_.size() == most) drop_oldest();
    kept_.push_back(block);
    total_ += block.bytes;
    return true;
  }
  void clear() {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    while (lock && !kept_.empty()) drop_oldest();
  }

  Pool() { kept_.reserve(most); }

 private:
  static constexpr std::size_t most = 64;

  void drop_oldest() {
    total_ -= kept_.front().bytes;
    std::free(kept_.front().data);
    kept_.erase(kept_.begin());
  }

  std::mutex mutex_;
  std::vector<Memory> kept_;  // the oldest first
  index total_ = 0;
  const index limit_ = kept_at_most();
};

Pool& pool() {
  static auto* const one = new Pool;  // for as long as the process lives: buffers of static storage may end after it
  return *one;
}
[[maybe_unused]] const Pool& made_at_load = pool();  // not by a call, which may not fail, or beside a fork

constexpr index huge = index(1) << 21;

// A few lines of a small call: malloc has such blocks at hand, and aligned_alloc takes ten times as long. What malloc
// gave stands in front of the block, where alignment leaves room for it.
void* small(index bytes) {
  void* const given = std::malloc(static_cast<std::size_t>(bytes + cache_line));
  if (!given) return nullptr;
  const auto address = reinterpret_cast<std::uintptr_t>(given);
  static_assert(alignof(std::max_align_t) >= sizeof(void*) && cache_line % alignof(std::max_align_t) == 0);
  char* const data = static_cast<char*>(given) + (cache_line - static_cast<index>(address % cache_line));
  std::memcpy(data - sizeof given, &given, sizeof given);
  return data;
}
void free_small(void* data) {
  void* given;
  std::memcpy(&given, static_cast<char*>(data) - sizeof given, sizeof given);
  std::free(given);
}

// What fills huge pages is faster in them: weights and gradients are read in many places at once.
Memory fresh(index bytes) {
  const index alignment = bytes >= huge ? huge : cache_line;
  if (bytes > std::numeric_limits<index>::max() - alignment) throw OutOfMemory("more than 2^63");
  const index rounded = (bytes + alignment - 1) / alignment * alignment;
  if (rounded < Pool::least) return {small(rounded), rounded};
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
  if (memory.bytes < Pool::least)
    free_small(memory.data);
  else if (!pool().give(memory))
    std::free(memory.data);
}

}  // namespace rnncore
