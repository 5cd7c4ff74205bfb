// A network in operation: packed weights, and steps that neither allocate nor lock, on a state that is the caller's.
#pragma once

#include <memory>
#include <vector>

#include "rnncore/network_packed.hpp"

namespace rnncore {

template <class T>
struct Forward;  // kernels/table.hpp
struct Team;

// A step takes so many of a stream's rows at a time: what lies between the layers stays small and near.
inline index rows_at_a_time(index rows) {
  constexpr index most = 256, tile = 12;  // a multiple of the rows of any tile
  const index parts = (rows + most - 1) / most;
  return parts <= 1 ? rows : ((rows + parts - 1) / parts + tile - 1) / tile * tile;
}

// All that streams of as many rows have in common. A stream is a state, state_size() elements: h of all layers [L, N,
// size], then c; and while it steps, scratch_size() elements of memory at the start of a cache line, which hold nothing
// between two steps.
template <class T>
class StreamPlan {
 public:
  // One direction only: std::invalid_argument.
  StreamPlan(std::shared_ptr<const PackedNetwork<T>> packed, index rows);

  const Network& network() const { return packed_->network(); }
  index rows() const { return rows_; }
  index state_size() const { return state_begin_[max_states]; }
  index state_begin(index s) const { return state_begin_[s]; }  // of state s (h, then c)
  index scratch_size() const { return 2 * between_size_ + workspace_size_; }

  // The row begins anew, from zero or the learned state.
  void reset(T* state, index row) const noexcept;
  // One step of `count` rows from `first` on, at most rows_at_a_time(rows()): x[n * x_row + i] to y[n * y_row + j],
  // which begin with the first of them.
  void step(T* state, T* scratch, index first, index count, const T* x, index x_row, T* y, index y_row) const noexcept;
  // Steps of all rows in one go, bit for bit the same, on several threads if there are rows for them; allocates. Throws
  // Stopped: the state is garbage then.
  void run(T* state, index steps, const Rows<const T>& x, const Rows<T>& y, Control& control) const;

 private:
  // Steps of some rows, in their order.
  struct Part {
    index steps, first, rows;
    const index *order, *lengths;  // [rows]: 0, 1, ..., and the steps of each
  };
  bool one_row() const { return rows_ == 1 && network().proj_size() == 0; }  // which has a kernel of its own
  Forward<T> shape(index layer, const Part& part) const;                     // without x, y and states
  Forward<T> call(T* state, index layer, const Part& part) const;
  void advance(T* state, const Part& part, const Rows<const T>& x, const Rows<T>& y, T* const* between, T* workspace,
               const Team& team) const noexcept;
  void advance_row(T* state, T* scratch, const T* x, T* y) const noexcept;
  index workspace_of(const Part& part, index slots) const;
  bool turns() const noexcept;

  std::shared_ptr<const PackedNetwork<T>> packed_;
  index rows_, state_begin_[max_states + 1], between_size_ = 0, workspace_size_ = 0;
  Buffer<index> order_, lengths_;  // of the rows that a step takes at a time
  // Weights that a cache cannot hold are read forwards and backwards in turn: what a step has read last is still there.
  // One flag for all streams of the plan, which read the same.
  bool large_ = false;
  mutable bool backwards_ = false;
};

}  // namespace rnncore
