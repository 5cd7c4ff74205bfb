// A network in operation: packed weights, the state of a batch, and steps that neither allocate nor lock.
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

template <class T>
class Stream {
 public:
  // Every row at its start. One direction only: std::invalid_argument.
  Stream(std::shared_ptr<const PackedNetwork<T>> packed, index rows);

  const Network& network() const { return packed_->network(); }
  index rows() const { return rows_; }
  index output_size() const { return network().output_size(); }
  // State s (h, then c), [L, N, state_size], to read and to write between steps.
  T* state(index s) const { return states_[s].data(); }

  // The row begins anew, from zero or the learned state.
  void reset(index row) noexcept;
  // One step of all rows: x[n * x_row + i] to y[n * y_row + j].
  void step(const T* x, index x_row, T* y, index y_row) noexcept;
  // The same of `count` rows from `first` on, at most rows_at_a_time(rows()); x and y begin with the first of them.
  void step(index first, index count, const T* x, index x_row, T* y, index y_row) noexcept;
  // As many steps in one go, bit for bit the same, on several threads if there are rows for them; allocates.
  void run(index steps, const Rows<const T>& x, const Rows<T>& y, Control& control);
  // Other weights of the same shape, from the next step on. The state stays.
  void replace(std::shared_ptr<const PackedNetwork<T>> packed);

 private:
  // Steps of some rows, in their order.
  struct Part {
    index steps, first, rows;
    const index *order, *lengths;  // [rows]: 0, 1, ..., and the steps of each
  };
  bool one_row() const { return rows_ == 1 && network().proj_size() == 0; }  // which has a kernel of its own
  Forward<T> call(index layer, const Part& part) const;
  void advance(const Part& part, const Rows<const T>& x, const Rows<T>& y, T* const* between, T* workspace,
               const Team& team) noexcept;
  void advance_row(const T* x, T* y) noexcept;
  index workspace_size(const Part& part, index slots) const;

  std::shared_ptr<const PackedNetwork<T>> packed_;
  index rows_;
  Buffer<T> states_[max_states], between_[2], workspace_;
  Buffer<index> order_, lengths_;  // of the rows that a step takes at a time
};

}  // namespace rnncore
