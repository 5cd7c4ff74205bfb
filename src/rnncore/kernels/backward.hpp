// Backward through time, once for all cells: per step only the gate gradients and dh, the rest as large products per block.
#pragma once

#include "rnncore/kernels/gradients.hpp"
#include "rnncore/kernels/projection.hpp"
#include "rnncore/simd/denormals.hpp"

namespace rnncore::RNNCORE_ISA {

// A block of steps, shared by the team: its rows lie from the last step to the first, by slot within a step.
template <class C, class V>
struct BackwardBlock {
  using T = typename V::Scalar;
  static constexpr index min_rows = 192;  // fewer do not pay for reading and writing dW
  index steps, rows;
  T *d_a, *x, *h;  // d_a[panel][row][accumulator][W], x[panel of I][row][W], h (of the step before) [panel][row][W]
  T** dx;          // [row]
  index* labels;   // [row] of an input by number; x and dx are then of the distinct rows
  T *d_h = nullptr, *raw = nullptr;  // if projected: d_h[panel of P][row][W], and the cell's output [panel][row][W]

  BackwardBlock(const Backward<T>& call, Arena<T>& arena) {
    const index units = padded<V>(call.hidden_size), inputs = padded<V>(call.input_size),
                outputs = padded<V>(call.output_size);
    const index row = units * C::accumulators + inputs + outputs + (call.projected() ? outputs + units : 0);
    index wanted = block_bytes / (row * index(sizeof(T)));
    if (wanted < min_rows) wanted = min_rows;
    steps = call.rows > 0 ? wanted / call.rows : 1;
    steps = steps < 1 ? 1 : steps > call.steps ? call.steps : steps;
    rows = steps * call.rows;
    d_a = arena.take(rows * units * C::accumulators);
    const index x_rows = call.labels ? call.distinct : rows;
    x = arena.take(x_rows * inputs);
    h = arena.take(rows * outputs);
    dx = arena.template take_as<T*>(x_rows);
    labels = arena.template take_as<index>(call.labels ? rows : 0);
    if (!call.projected()) return;
    d_h = arena.take(rows * outputs);
    raw = arena.take(rows * units);
  }

 private:
  static constexpr index block_bytes = 256 * 1024;
};

template <class C, class V>
class BackwardPass {
  using T = typename V::Scalar;
  static constexpr index W = V::width;
  static constexpr index l2_share = 128 * 1024;  // bytes

 public:
  BackwardPass(const Backward<T>& call, const Team& team, T* workspace, T* shared)
      : call_(call),
        team_(team),
        walk_{call, team.first_slot()},
        slots_(team.slots()),
        arena_(workspace),
        shared_(shared),
        block_(call, shared_),
        buffers_(call, slots_, arena_),
        weights_(call.input_size, call.hidden_size, call.output_size) {}

  bool run() {
    if (team_.owns_slots()) load_initial();
    index end = call_.rows > 0 ? call_.lengths[0] : 0;
    for (index s = 0; s < call_.rows; ++s) cache_row_ += call_.lengths[s];
    while (end > 0) {
      const index begin = (end - 1) / block_.steps * block_.steps;
      index rows = 0;
      for (index step = end - 1; step >= begin; --step) rows += count_active(step, &block_active_);
      for (index step = end - 1, row = 0; step >= begin; --step) row += run_step(step, row, rows);
      team_.look();
      team_.synchronise();
      if (team_.stopped()) return false;
      team_.synchronise();  // nobody looks again before all have seen the same
      multiply_block(rows);
      team_.synchronise();
      end = begin;
    }
    if (team_.owns_slots()) store_initial();
    return true;
  }

  // Of an input by number: dW_ih and dx from the sums by label.
  void multiply_distinct() {
    const index rows = call_.distinct, I = call_.input_size;
    for (index row = team_.begin(rows); row < team_.end(rows); ++row) {
      to_panels(call_.x.at(0, row), I, row, rows, block_.x);
      if (call_.dx.data) block_.dx[row] = call_.dx.at(0, row);
    }
    team_.synchronise();
    for (index p = team_.begin(buffers_.panels); p < team_.end(buffers_.panels) && !team_.stopped(); ++p) {
      team_.look();
      add_weights(by_label(p), block_.x, C::x_gates, p * W, I, rows, call_.d_weight_ih);
    }
    if (call_.dx.data) input_gradient(call_.by_label, rows);
    team_.synchronise();
  }

  static index workspace(const Backward<T>& call, index slots) {
    Arena<T> arena(nullptr);
    Buffers(call, slots, arena);
    return arena.used();
  }

 private:
  struct Buffers {
    index panels, stride, h_stride;
    T *dh, *d_state, *first_state, *reset_state;
    T** dh_rows;
    T *d_raw = nullptr, **d_raw_rows = nullptr;  // by the cell's output, if it is projected: else that is h
    const T** previous;

    Buffers(const Backward<T>& call, index slots, Arena<T>& arena) {
      panels = panels_of<V>(call.hidden_size);
      stride = row_stride<T>(padded<V>(call.hidden_size));
      h_stride = row_stride<T>(padded<V>(call.output_size));
      dh = arena.take(slots * h_stride);
      d_state = arena.take(C::states > 1 ? slots * stride : 0);
      first_state = arena.take(C::states > 1 ? slots * stride : 0);
      reset_state = arena.take(stride);
      dh_rows = arena.template take_as<T*>(slots);
      previous = arena.template take_as<const T*>(slots);
      if (!call.projected()) return;
      d_raw = arena.take(slots * stride);
      d_raw_rows = arena.template take_as<T*>(slots);
    }
  };

  // Where all workers take part in every step, they wait for one another: one does what belongs to the slots.
  void meet() const {
    if (team_.by_units()) team_.synchronise();
  }
  index first_panel() const { return team_.by_units() ? team_.begin(buffers_.panels) : 0; }
  index last_panel() const { return team_.by_units() ? team_.end(buffers_.panels) : buffers_.panels; }

  void load_initial() {
    const index H = call_.hidden_size, P = call_.output_size;
    fill_zero(buffers_.dh, slots_ * buffers_.h_stride);
    if (buffers_.d_raw) fill_zero(buffers_.d_raw, slots_ * buffers_.stride);
    fill_zero(buffers_.reset_state, buffers_.stride);
    if constexpr (C::states > 1) {
      fill_zero(buffers_.d_state, slots_ * buffers_.stride);
      fill_zero(buffers_.first_state, slots_ * buffers_.stride);
      if (call_.reset_state[1]) copy(call_.reset_state[1], H, buffers_.reset_state);
    }
    for (index s = 0; s < slots_; ++s) {
      const index at = s * buffers_.stride, row = walk_.row(s) * H;
      buffers_.dh_rows[s] = buffers_.dh + s * buffers_.h_stride;
      if (buffers_.d_raw) buffers_.d_raw_rows[s] = buffers_.d_raw + at;
      if (call_.d_final[0]) copy(call_.d_final[0] + walk_.row(s) * P, P, buffers_.dh_rows[s]);
      if constexpr (C::states > 1) {
        if (call_.d_final[1]) copy(call_.d_final[1] + row, H, buffers_.d_state + at);
        copy(call_.initial[1] ? call_.initial[1] + row : buffers_.reset_state, H, buffers_.first_state + at);
      }
    }
  }

  void store_initial() {
    const index H = call_.hidden_size, P = call_.output_size;
    for (index s = 0; s < slots_; ++s) {
      copy(buffers_.dh_rows[s], P, call_.d_initial[0] + walk_.row(s) * P);
      if constexpr (C::states > 1)
        copy(buffers_.d_state + s * buffers_.stride, H, call_.d_initial[1] + walk_.row(s) * H);
    }
  }

  // Rows of the whole team that are active in a step, for steps that descend.
  index count_active(index step, index* known) const {
    while (*known < call_.rows && call_.lengths[*known] > step) ++*known;
    return *known;
  }

  // One step back, for this worker's slots; its first row in the block is `row` of `rows`. Returns the team's rows.
  index run_step(index step, index row, index rows) {
    const index all = count_active(step, &active_);
    cache_row_ -= all;
    index own = active_ - walk_.first;
    own = own < 0 ? 0 : own > slots_ ? slots_ : own;
    const index before = step > 0 ? cache_row_ - count_active(step - 1, &active_before_) : 0;
    if (team_.owns_slots()) gather(step, row, rows, own, before);
    meet();
    if constexpr (can_project<C>)
      if (buffers_.d_raw) project(step, row + walk_.first, rows, own);
    for (index s = 0; s < own; ++s) cell_row(step, s, row + walk_.first + s, rows);
    const index d_a_row = C::accumulators * W;
    const OperandGradient<C, V> body{block_.d_a + (row + walk_.first) * d_a_row + C::h_first * W,
                                     rows * d_a_row,
                                     call_.weights + weights_.h_start,
                                     weights_.panel,
                                     buffers_.dh_rows,
                                     call_.output_size,
                                     C::direct_h};
    Extent extent = body.extent(own, call_.output_size, call_.hidden_size);
    extent.backwards = step % 2 == 1;
    if (team_.by_units()) extent.first = first_panel(), extent.panels = last_panel();
    meet();
    product(body, extent, team_);
    if (!call_.resets) return all;
    meet();
    if (team_.owns_slots()) drop_gradients(step, own);
    return all;
  }

  void drop_gradients(index step, index own) {
    for (index s = 0; s < own; ++s) {
      if (!walk_.is_reset(s, step)) continue;
      T* const d[max_states] = {buffers_.dh_rows[s], buffers_.d_state + s * buffers_.stride};
      for (int k = 0; k < C::states; ++k) {
        const index size = call_.state_size(k);
        T* const to = call_.d_reset_state[k] ? call_.d_reset_state[k] + walk_.row(s) * size : nullptr;
        for (index j = 0; to && j < size; ++j) to[j] += d[k][j];
        fill_zero(d[k], size);
      }
    }
  }

  // The operands of the weight gradients, and where the state before each row lies.
  void gather(index step, index row, index rows, index own, index cache_row_before) {
    const index P = call_.output_size, I = call_.input_size, slot_size = buffers_.panels * W;
    const bool near = own * C::cached * slot_size * index(sizeof(T)) <= l2_share;
    for (index s = 0; s < own; ++s) {
      if (step > 0 && near) fetch(call_.cache + (cache_row_before + walk_.first + s) * C::cached * slot_size);
      const index at = row + walk_.first + s;
      const bool reset = call_.resets && walk_.is_reset(s, step);
      const T* h = reset              ? call_.reset_state[0]
                   : step > 0         ? walk_.start(call_.y, s) + (step - 1) * walk_.stride(call_.y)
                   : call_.initial[0] ? call_.initial[0] + walk_.row(s) * P
                                      : call_.reset_state[0];
      to_panels(h, P, at, rows, block_.h);
      if (call_.labels) {
        block_.labels[at] = walk_.label(s, step);
      } else {
        to_panels(walk_.start(call_.x, s) + step * walk_.stride(call_.x), I, at, rows, block_.x);
        if (call_.dx.data) block_.dx[at] = walk_.start(call_.dx, s) + step * walk_.stride(call_.dx);
      }
      if constexpr (C::states > 1) {
        const T* cached =
            call_.cache + ((cache_row_before + walk_.first + s) * C::cached + C::cached_state[1]) * slot_size;
        buffers_.previous[s] = reset      ? buffers_.reset_state
                               : step > 0 ? cached
                                          : buffers_.first_state + s * buffers_.stride;
      }
    }
  }

  // A row of the cache that the next step reads: it has left the second cache since it was written.
  void fetch(const T* row) const {
    for (index i = 0; i < C::cached * buffers_.panels * W; i += 64 / index(sizeof(T)))
      __builtin_prefetch(row + i, 0, 2);
  }

  static void to_panels(const T* from, index columns, index row, index rows, T* to) {
    for (index q = 0; q < panels_of<V>(columns); ++q)
      (from ? V::load_part(from + q * W, columns - q * W) : V::zero()).store(to + (q * rows + row) * W);
  }

  // d_raw = (dh + dy) W_hr.
  void project(index step, index row, index rows, index own) {
    const index P = call_.output_size, H = call_.hidden_size;
    for (index s = 0; s < own; ++s) {
      const T* const dy = call_.dy.data ? walk_.start(call_.dy, s) + step * walk_.stride(call_.dy) : nullptr;
      for (index q = 0; q < panels_of<V>(P); ++q) {
        V d = V::load_part(buffers_.dh_rows[s] + q * W, P - q * W);
        if (dy) d = d + V::load_part(dy + q * W, P - q * W);
        d.store(block_.d_h + (q * rows + row + s) * W);
      }
    }
    const OperandGradient<Projection, V> body{block_.d_h + row * W,
                                              rows * W,
                                              call_.weights + weights_.r_start,
                                              weights_.r_panel,
                                              buffers_.d_raw_rows,
                                              H,
                                              false};
    product(body, body.extent(own, H, P));
  }

  void cell_row(index step, index s, index row, index rows) {
    const index H = call_.hidden_size, slot_size = buffers_.panels * W;
    const T* const dy =
        call_.dy.data && !buffers_.d_raw ? walk_.start(call_.dy, s) + step * walk_.stride(call_.dy) : nullptr;
    const T* const from = call_.cache + (cache_row_ + walk_.first + s) * C::cached * slot_size;
    T* const dh = buffers_.d_raw ? buffers_.d_raw_rows[s] : buffers_.dh_rows[s];
    [[maybe_unused]] T* const dc = buffers_.d_state + s * buffers_.stride;
    for (index p = first_panel(), unit = p * W; p < last_panel(); ++p, unit += W) {
      V cache[C::cached], previous[C::states], d_state[C::states], d_a[C::accumulators];
      for (int j = 0; j < C::cached; ++j) cache[j] = V::load(from + j * slot_size + unit);
      if constexpr (can_project<C>) {
        if (block_.raw) C::output(cache).store(block_.raw + (p * rows + row) * W);
      } else {
        previous[0] = V::load(block_.h + (p * rows + row) * W);
      }
      d_state[0] = V::load(dh + unit);
      if (dy) d_state[0] = d_state[0] + V::load_part(dy + unit, H - unit);
      if constexpr (C::states > 1) {
        previous[1] = V::load(buffers_.previous[s] + unit);
        d_state[1] = V::load(dc + unit);
      }
      C::backward(cache, previous, d_state, d_a);
      if constexpr (C::direct_h) d_state[0].store(dh + unit);
      if constexpr (C::states > 1) d_state[1].store(dc + unit);
      T* const to = block_.d_a + (p * rows + row) * (C::accumulators * W);
      for (int a = 0; a < C::accumulators; ++a) {
        d_a[a].store(to + a * W);
        if (H - unit < W) fill_zero(to + a * W + (H - unit), W - (H - unit));
      }
    }
  }

  // dW, dR, db and those of the projection for this worker's panels of units, dx for its share of the rows.
  void multiply_block(index rows) {
    const index H = call_.hidden_size, I = call_.input_size, d_a_row = C::accumulators * W;
    for (index p = team_.begin(buffers_.panels); p < team_.end(buffers_.panels) && !team_.stopped(); ++p) {
      team_.look();
      const T* x_side = block_.d_a + p * rows * d_a_row + C::x_first * W;
      const T* h_side = block_.d_a + p * rows * d_a_row + C::h_first * W;
      if (call_.labels)
        add_by_label(x_side, rows, by_label(p));
      else
        add_weights(x_side, block_.x, C::x_gates, p * W, I, rows, call_.d_weight_ih);
      add_weights(h_side, block_.h, C::h_gates, p * W, call_.output_size, rows, call_.d_weight_hh);
      add_bias_gradient<C, V>(x_side, rows, C::x_gates, H, p * W, call_.d_bias_ih);
      add_bias_gradient<C, V>(h_side, rows, C::h_gates, H, p * W, call_.d_bias_hh);
    }
    if constexpr (can_project<C>)
      if (block_.raw) add_projection(rows);
    if (call_.dx.data && !call_.labels) input_gradient(block_.d_a, rows);
  }

  // Of panel p and the first gate of x.
  T* by_label(index p) const { return call_.by_label + p * call_.distinct * (C::accumulators * W) + C::x_first * W; }

  void add_by_label(const T* d_a, index rows, T* to) const {
    constexpr index d_a_row = C::accumulators * W;
    for (index row = 0; row < rows; ++row, d_a += d_a_row) {
      T* const sum = to + block_.labels[row] * d_a_row;
      for (index i = 0; i < C::gates * W; i += W) (V::load(sum + i) + V::load(d_a + i)).store(sum + i);
    }
  }

  void input_gradient(const T* d_a, index rows) {
    const index H = call_.hidden_size, I = call_.input_size, d_a_row = C::accumulators * W, first = team_.begin(rows);
    const OperandGradient<C, V> body{d_a + first * d_a_row + C::x_first * W,
                                     rows * d_a_row,
                                     call_.weights + weights_.x_start,
                                     weights_.panel,
                                     block_.dx + first,
                                     I,
                                     call_.add_dx};
    product(body, body.extent(team_.end(rows) - first, I, H), team_);
  }

  void add_projection(index rows) {
    const index P = call_.output_size, H = call_.hidden_size;
    for (index p = team_.begin(panels_of<V>(P)); p < team_.end(panels_of<V>(P)); ++p) {
      const WeightGradient<Projection, V> body{
          block_.d_h + p * rows * W, block_.raw, rows * W, Projection::of, P, p * W, call_.d_weight_hr, H};
      product(body, Extent{W, buffers_.panels, rows, rows});
    }
  }

  void add_weights(const T* d_a, const T* operand, const int (&gate)[C::gates], index unit, index columns, index rows,
                   T* to) {
    const WeightGradient<C, V> body{d_a, operand, rows * W, gate, call_.hidden_size, unit, to, columns};
    product(body, Extent{C::gates * W, panels_of<V>(columns), rows, rows > block_.rows ? block_.min_rows : rows});
  }

  const Backward<T>& call_;
  const Team& team_;
  Walk<T> walk_;
  index slots_;
  Arena<T> arena_, shared_;
  BackwardBlock<C, V> block_;
  Buffers buffers_;
  BackwardPanels<C, V> weights_;
  index cache_row_ = 0, active_ = 0, active_before_ = 0, block_active_ = 0;
};

template <class C, class V>
bool backward(const Backward<typename V::Scalar>& call, const Team& team, typename V::Scalar* workspace,
              typename V::Scalar* shared) {
  const FlushDenormals guard;
  return BackwardPass<C, V>(call, team, workspace, shared).run();
}

template <class C, class V>
void distinct_gradients(const Backward<typename V::Scalar>& call, const Team& team, typename V::Scalar* workspace,
                        typename V::Scalar* shared) {
  const FlushDenormals guard;
  BackwardPass<C, V>(call, team, workspace, shared).multiply_distinct();
}

template <class C, class V>
index backward_shared(const Backward<typename V::Scalar>& call) {
  Arena<typename V::Scalar> arena(nullptr);
  BackwardBlock<C, V>(call, arena);
  return arena.used();
}

}  // namespace rnncore::RNNCORE_ISA
