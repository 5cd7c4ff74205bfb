// Memory for a call: aligned, not initialised, sizes checked.
#pragma once

#include <cstdlib>
#ifdef __linux__
#include <sys/mman.h>
#endif
#include <initializer_list>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "rnncore/kernels/table.hpp"

namespace rnncore {

class OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(const std::string& amount) : text_("could not allocate " + amount + " bytes") {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

// The product, or an error where it leaves 63 bits.
inline index checked_product(std::initializer_list<index> factors) {
  index product = 1;
  for (const index factor : factors) {
    if (factor < 0) throw std::invalid_argument("a size is negative: " + std::to_string(factor));
    if (__builtin_mul_overflow(product, factor, &product)) throw OutOfMemory("more than 2^63");
  }
  return product;
}

// At the start of a cache line. What an allocator asks of the system each time (32 MB with glibc) is faster in huge pages.
inline void* aligned_memory(index bytes) {
  constexpr index line = 64, huge = index(1) << 21;
  const index alignment = bytes >= 16 * huge ? huge : line;
  if (bytes > std::numeric_limits<index>::max() - alignment) throw OutOfMemory("more than 2^63");
  const auto rounded = static_cast<std::size_t>((bytes + alignment - 1) / alignment * alignment);
  void* const memory = std::aligned_alloc(static_cast<std::size_t>(alignment), rounded);
  if (!memory) throw OutOfMemory(std::to_string(bytes));
#ifdef MADV_HUGEPAGE
  if (alignment == huge) madvise(memory, rounded, MADV_HUGEPAGE);
#endif
  return memory;
}

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(index count) : size_(count) {
    const index bytes = checked_product({count, sizeof(T)});
    if (bytes > 0) data_ = static_cast<T*>(aligned_memory(bytes));
  }
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() { std::free(data_); }

  T* data() const { return data_; }
  index size() const { return size_; }

 private:
  T* data_ = nullptr;
  index size_ = 0;
};

}  // namespace rnncore
