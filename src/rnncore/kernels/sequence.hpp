// How a direction walks through time: which rows are active in a step, where their data lies, and the memory that a
// call needs.
// Twin: python/rnncore/reference/sequence.py
#pragma once

#include "rnncore/kernels/packing.hpp"
#include "rnncore/kernels/tile.hpp"

namespace rnncore::RNNCORE_ISA {

template <class C>
inline constexpr int others_of = C::states > 1 ? C::states - 1 : 1;  // states behind h, or room for none

// Hands out aligned parts of one block; without a block it only counts.
template <class T>
class Arena {
 public:
  explicit Arena(T* block) : block_(block) {}

  T* take(index count) {
    T* part = block_ ? block_ + used_ : nullptr;
    used_ += (count + line - 1) / line * line;
    return part;
  }
  template <class U>
  U* take_as(index count) {
    return reinterpret_cast<U*>(take((count * index(sizeof(U)) + index(sizeof(T)) - 1) / index(sizeof(T))));
  }
  index used() const { return used_; }

 private:
  static constexpr index line = 64 / sizeof(T);
  T* block_;
  index used_ = 0;
};

// Distance of rows whose starts shall not share the few sets of a cache: an odd number of lines.
template <class T>
constexpr index row_stride(index columns) {
  constexpr index line = 64 / sizeof(T);
  const index lines = (columns + line - 1) / line;
  return (lines | 1) * line;
}

// A direction's walk, for the slots from `first` on.
template <class T>
struct Walk {
  const Sequence<T>& sequence;
  index first;

  index row(index slot) const { return sequence.order[first + slot]; }
  index length(index slot) const { return sequence.lengths[first + slot]; }
  index time(index slot, index step) const { return sequence.reverse ? length(slot) - 1 - step : step; }
  index label(index slot, index step) const { return sequence.labels[time(slot, step) * sequence.rows + row(slot)]; }

  // Is the state dropped before this step?
  bool is_reset(index slot, index step) const {
    if (!sequence.resets || (sequence.reverse && step == 0)) return false;
    const index boundary = sequence.reverse ? length(slot) - step : step;
    return sequence.resets[boundary * sequence.rows + row(slot)] != 0;
  }
  index active(index slots, index step) const {
    while (slots > 0 && length(slots - 1) <= step) --slots;
    return slots;
  }
  // Pointer to a step of the row, by the number of the visit.
  template <class U>
  U* at(const Rows<U>& rows, index slot, index step) const {
    return rows.at(time(slot, step), row(slot));
  }
  // To the first one, and the distance to the next (of a packed batch 0: it differs from step to step).
  template <class U>
  U* start(const Rows<U>& rows, index slot) const {
    return rows.at(sequence.reverse && length(slot) > 0 ? length(slot) - 1 : 0, row(slot));
  }
  template <class U>
  index stride(const Rows<U>& rows) const {
    return sequence.reverse ? -rows.time : rows.time;
  }
};

// Many slots are taken a slab at a time, so that what a slab works on stays in the second cache. Rows need nothing of
// each other: slabs change no bit.
template <class T>
class Slabs {
 public:
  Slabs(index hidden_size, index slots) : slots_(slots) {
    const index most = hidden_size * index(sizeof(T)) <= 1024 ? 64 : 128;  // wide weights are worth more rows
    count_ = slots > most ? (slots + most - 1) / most : 1;
  }
  index count() const { return count_; }
  index begin(index k) const { return slots_ * k / count_; }
  index longest() const { return (slots_ + count_ - 1) / count_; }

 private:
  index slots_, count_;
};

// By packs: most rows are a few of them, and a loop of the compiler's would take longer to begin.
template <class T>
RNNCORE_INLINE void copy(const T* from, index count, T* to) {
  using V = Pack<T>;
  for (; count >= V::width; count -= V::width, from += V::width, to += V::width) V::load(from).store(to);
  for (index i = 0; i < count; ++i) to[i] = from[i];
}
template <class T>
void fill_zero(T* to, index count) {
  for (index i = 0; i < count; ++i) to[i] = T(0);
}
template <class T>
void copy_or_zero(const T* from, index count, T* to) {
  from ? copy(from, count, to) : fill_zero(to, count);
}

}  // namespace rnncore::RNNCORE_ISA
