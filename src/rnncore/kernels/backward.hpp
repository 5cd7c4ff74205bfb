// Backward through time, once for all cells: per step only the gate gradients and dh, the rest as large products per
// block.
#pragma once

#include "rnncore/kernels/weight_gradients.hpp"
#include "rnncore/simd/denormals.hpp"

namespace rnncore::RNNCORE_ISA {

template <class C, class V>
class BackwardPass {
  using T = typename V::Scalar;
  static constexpr index W = V::width, l2_share = 128 * 1024;  // bytes

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
        weights_(call.format, call.input_size, call.hidden_size, call.output_size),
        gradients_(call, team, block_) {}

  bool run() {
    if (team_.owns_slots()) load_initial();  // of many rows in fresh memory: it takes a while
    team_.look();
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
      gradients_.multiply(rows);
      team_.synchronise();
      end = begin;
    }
    if (team_.owns_slots()) store_initial();
    return true;
  }

  static index workspace(const Backward<T>& call, index slots) {
    Arena<T> arena(nullptr);
    Buffers(call, slots, arena);
    return arena.used();
  }

 private:
  struct Buffers {
    index panels, stride, h_stride;
    T *dh, *d_state[others_of<C>], *first_state[others_of<C>], *reset_state[others_of<C>];
    T** dh_rows;
    T *d_raw = nullptr, **d_raw_rows = nullptr;  // by the cell's output, if it is projected: else that is h
    const T** previous;                          // [state behind h][slot]
    Half* rounded = nullptr;                     // [slot] the left operand of a step's product, where weights are pairs

    Buffers(const Backward<T>& call, index slots, Arena<T>& arena) {
      panels = panels_of<V>(call.hidden_size);
      stride = row_stride<T>(padded<V>(call.hidden_size));
      h_stride = row_stride<T>(padded<V>(call.output_size));
      dh = arena.take(slots * h_stride);
      for (int k = 0; k < others_of<C>; ++k) {
        d_state[k] = arena.take(C::states > 1 ? slots * stride : 0);
        first_state[k] = arena.take(C::states > 1 ? slots * stride : 0);
        reset_state[k] = arena.take(C::states > 1 ? stride : 0);
      }
      dh_rows = arena.template take_as<T*>(slots);
      previous = arena.template take_as<const T*>(slots * others_of<C>);
      if (can_be_short<V> && call.format == WeightFormat::pairs) {
        const index gates = C::gates * panels * W, outputs = call.projected() ? padded<V>(call.output_size) : 0;
        rounded = arena.template take_as<Half>(pair_rows(slots) * pair_stride(gates > outputs ? gates : outputs));
      }
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
    for (int k = 1; k < C::states; ++k) {
      fill_zero(buffers_.reset_state[k - 1], buffers_.stride);
      fill_zero(buffers_.d_state[k - 1], slots_ * buffers_.stride);
      fill_zero(buffers_.first_state[k - 1], slots_ * buffers_.stride);
      if (call_.reset_state[k]) copy(call_.reset_state[k], H, buffers_.reset_state[k - 1]);
    }
    for (index s = 0; s < slots_; ++s) {
      const index at = s * buffers_.stride, row = walk_.row(s) * H;
      buffers_.dh_rows[s] = buffers_.dh + s * buffers_.h_stride;
      if (buffers_.d_raw) buffers_.d_raw_rows[s] = buffers_.d_raw + at;
      if (call_.d_final[0]) copy(call_.d_final[0] + walk_.row(s) * P, P, buffers_.dh_rows[s]);
      for (int k = 1; k < C::states; ++k) {
        if (call_.d_final[k]) copy(call_.d_final[k] + row, H, buffers_.d_state[k - 1] + at);
        copy(call_.initial[k] ? call_.initial[k] + row : buffers_.reset_state[k - 1], H,
             buffers_.first_state[k - 1] + at);
      }
    }
  }

  void store_initial() {
    const index H = call_.hidden_size, P = call_.output_size;
    for (index s = 0; s < slots_; ++s) {
      copy(buffers_.dh_rows[s], P, call_.d_initial[0] + walk_.row(s) * P);
      for (int k = 1; k < C::states; ++k)
        copy(buffers_.d_state[k - 1] + s * buffers_.stride, H, call_.d_initial[k] + walk_.row(s) * H);
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
    const Slabs<T> slabs(call_.hidden_size, slots_);
    const bool near = slabs.count() == 1 && own * C::cached * buffers_.panels * W * index(sizeof(T)) <= l2_share;
    for (index k = 0; k < slabs.count() && slabs.begin(k) < own; ++k) {
      const index first = slabs.begin(k), end = slabs.begin(k + 1) < own ? slabs.begin(k + 1) : own;
      if (k > 0) team_.look();
      if (team_.stopped() && !team_.by_units()) break;
      if (team_.owns_slots()) gather(step, row, rows, first, end, before, near);
      meet();
      run_cells(step, row, rows, first, end, (step + k) % 2 == 1);
    }
    if (!call_.resets) return all;
    meet();
    if (team_.owns_slots()) drop_gradients(step, own);
    return all;
  }

  // The gate gradients of the slots [first, end), and dh.
  void run_cells(index step, index row, index rows, index first, index end, bool backwards) {
    if constexpr (can_project<C>)
      if (buffers_.d_raw) project(step, row + walk_.first, rows, first, end);
    for (index s = first; s < end; ++s) cell_row(step, s, row + walk_.first + s, rows);
    const index d_a_row = gradients_of<C> * W;
    if constexpr (can_be_short<V>)
      if (call_.format == WeightFormat::pairs)
        return multiply_rounded({buffers_.panels, C::gates * W, rows * d_a_row,
                                 block_.d_a + (row + walk_.first + first) * d_a_row + C::h_first * W, d_a_row,
                                 call_.weights + weights_.h_start, weights_.panel, buffers_.dh_rows + first,
                                 call_.output_size, C::direct_h},
                                end - first);
    const CellOperandGradient<C, V> body{block_.d_a + (row + walk_.first + first) * d_a_row + C::h_first * W,
                                         d_a_row,
                                         rows * d_a_row,
                                         C::gates * W,
                                         call_.weights + weights_.h_start,
                                         weights_.panel,
                                         buffers_.dh_rows + first,
                                         call_.output_size,
                                         C::direct_h};
    Extent extent = body.extent(end - first, call_.output_size, call_.hidden_size);
    extent.backwards = backwards;
    if (team_.by_units()) extent.first = first_panel(), extent.panels = last_panel();
    meet();
    product(body, extent, team_);
  }

  [[gnu::noinline]] void multiply_rounded(const RoundedGradient<V>& body, index rows) {
    const index all = panels_of<V>(body.width);
    meet();
    if (team_.owns_slots()) body.round(rows, buffers_.rounded);
    meet();
    body.multiply(rows, buffers_.rounded, team_.by_units() ? team_.begin(all) : 0,
                  team_.by_units() ? team_.end(all) : all, team_);
  }

  void drop_gradients(index step, index own) {
    for (index s = 0; s < own; ++s) {
      if (!walk_.is_reset(s, step)) continue;
      for (int k = 0; k < C::states; ++k) {
        T* const d = k == 0 ? buffers_.dh_rows[s] : buffers_.d_state[k - 1] + s * buffers_.stride;
        const index size = call_.state_size(k);
        T* const to = call_.d_reset_state[k] ? call_.d_reset_state[k] + walk_.row(s) * size : nullptr;
        for (index j = 0; to && j < size; ++j) to[j] += d[j];
        fill_zero(d, size);
      }
    }
  }

  // The operands of the weight gradients, and where the state before each row lies.
  void gather(index step, index row, index rows, index first, index end, index cache_row_before, bool near) {
    const index P = call_.output_size, I = call_.input_size, slot_size = buffers_.panels * W;
    const auto x = call_.x, y = call_.y;  // by value: the stores of the loop could change what call_ says
    const auto dx = call_.dx;
    for (index s = first; s < end; ++s) {
      if (step > 0 && near) fetch(call_.cache + (cache_row_before + walk_.first + s) * C::cached * slot_size);
      const index at = row + walk_.first + s;
      const bool reset = call_.resets && walk_.is_reset(s, step);
      const T* h = reset              ? call_.reset_state[0]
                   : step > 0         ? walk_.at(y, s, step - 1)
                   : call_.initial[0] ? call_.initial[0] + walk_.row(s) * P
                                      : call_.reset_state[0];
      to_panels<V>(h, P, at, rows, block_.h);
      if (call_.labels) {
        block_.labels[at] = walk_.label(s, step);
      } else {
        to_panels<V>(walk_.at(x, s, step), I, at, rows, block_.x);
        if (dx.data) block_.dx[at] = walk_.at(dx, s, step);
      }
      for (int k = 1; k < C::states; ++k) {
        const T* cached =
            call_.cache + ((cache_row_before + walk_.first + s) * C::cached + C::cached_state[k]) * slot_size;
        buffers_.previous[(k - 1) * slots_ + s] = reset      ? buffers_.reset_state[k - 1]
                                                  : step > 0 ? cached
                                                             : buffers_.first_state[k - 1] + s * buffers_.stride;
      }
    }
  }

  // A row of the cache that the next step reads: it has left the second cache since it was written.
  void fetch(const T* row) const {
    for (index i = 0; i < C::cached * buffers_.panels * W; i += 64 / index(sizeof(T)))
      __builtin_prefetch(row + i, 0, 2);
  }

  // d_raw = (dh + dy) W_hr.
  void project(index step, index row, index rows, index first, index end) {
    const index P = call_.output_size, H = call_.hidden_size;
    for (index s = first; s < end; ++s) {
      const T* const dy = call_.dy.data ? walk_.at(call_.dy, s, step) : nullptr;
      for (index q = 0; q < panels_of<V>(P); ++q) {
        V d = V::load_part(buffers_.dh_rows[s] + q * W, P - q * W);
        if (dy) d = d + V::load_part(dy + q * W, P - q * W);
        d.store(block_.d_h + (q * rows + row + s) * W);
      }
    }
    if constexpr (can_be_short<V>)
      if (call_.format == WeightFormat::pairs)
        return multiply_rounded(
            {panels_of<V>(P), W, rows * W, block_.d_h + (row + first) * W, W, call_.weights + weights_.r_start,
             weights_.r_panel, buffers_.d_raw_rows + first, H, false},
            end - first);
    const CellOperandGradient<C, V> body{
        block_.d_h + (row + first) * W, W, rows * W, W, call_.weights + weights_.r_start, weights_.r_panel,
        buffers_.d_raw_rows + first,    H, false};
    product(body, body.extent(end - first, H, P));
  }

  // Where the cells of a row find and leave their numbers: by value, since the loop's stores could change all else.
  struct CellRow {
    const T *cache, *dy, *h, *previous[others_of<C>];
    T *dh, *d_state[others_of<C>], *d_a, *raw;
    index slot, panel;  // distances of the cache's slots, and of panels of one pack a row
    [[no_unique_address]] OwnOperands<C, V> own;
  };

  void cell_row(index step, index s, index row, index rows) {
    const index H = call_.hidden_size, slot = buffers_.panels * W, first = first_panel(), last = last_panel();
    CellRow at{call_.cache + (cache_row_ + walk_.first + s) * C::cached * slot,
               call_.dy.data && !buffers_.d_raw ? walk_.at(call_.dy, s, step) : nullptr,
               block_.h + row * W,
               {},
               buffers_.d_raw ? buffers_.d_raw_rows[s] : buffers_.dh_rows[s],
               {},
               block_.d_a + row * (gradients_of<C> * W),
               block_.raw ? block_.raw + row * W : nullptr,
               slot,
               rows * W,
               {call_.options, call_.weights + weights_.vector_start}};
    for (int k = 1; k < C::states; ++k) {
      at.previous[k - 1] = buffers_.previous[(k - 1) * slots_ + s];
      at.d_state[k - 1] = buffers_.d_state[k - 1] + s * buffers_.stride;
    }
    const index whole = H / W < last ? H / W : last;
    index p = first;
    for (; p < whole; ++p) cell(at, p, W);
    if (p < last) cell(at, p, H - p * W);
  }

  // The cells of panel p, of which `units` are there.
  static RNNCORE_INLINE void cell(const CellRow& at, index p, index units) {
    const index unit = p * W;
    V cache[C::cached], previous[C::states], d_state[C::states], d_a[gradients_of<C>];
    for (int j = 0; j < C::cached; ++j) cache[j] = V::load(at.cache + j * at.slot + unit);
    if constexpr (can_project<C>) {
      if (at.raw) C::output(cache).store(at.raw + p * at.panel);
    } else {
      previous[0] = V::load(at.h + p * at.panel);
    }
    d_state[0] = V::load(at.dh + unit);
    if (at.dy) d_state[0] = d_state[0] + V::load_part(at.dy + unit, units);
    for (int k = 1; k < C::states; ++k) {
      previous[k] = V::load(at.previous[k - 1] + unit);
      d_state[k] = V::load(at.d_state[k - 1] + unit);
    }
    if constexpr (has_own<C>) {
      Own<C, V> own{at.own.options, {}};
      for (int v = 0; v < vectors_of<C>; ++v) own.vector[v] = at.own.load(v, p);
      C::backward(own, cache, previous, d_state, d_a);
    } else {
      C::backward(cache, previous, d_state, d_a);
    }
    if constexpr (C::direct_h) d_state[0].store(at.dh + unit);
    for (int k = 1; k < C::states; ++k) d_state[k].store(at.d_state[k - 1] + unit);
    T* const to = at.d_a + p * at.panel * gradients_of<C>;
    for (int a = 0; a < gradients_of<C>; ++a) {
      d_a[a].store(to + a * W);
      if (units < W) fill_zero(to + a * W + units, W - units);
    }
  }

  const Backward<T>& call_;
  const Team& team_;
  Walk<T> walk_;
  index slots_;
  Arena<T> arena_, shared_;
  BackwardBlock<C, V> block_;
  Buffers buffers_;
  BackwardPanels<C, V> weights_;
  BlockGradients<C, V> gradients_;
  index cache_row_ = 0, active_ = 0, active_before_ = 0, block_active_ = 0;
};

template <class C, class V>
bool backward(const Backward<typename V::Scalar>& call, const Team& team, typename V::Scalar* workspace,
              typename V::Scalar* shared) {
  const FlushDenormals guard;
  return BackwardPass<C, V>(call, team, workspace, shared).run();
}

template <class C, class V>
void distinct_gradients(const Backward<typename V::Scalar>& call, const Team& team, typename V::Scalar* shared) {
  const FlushDenormals guard;
  Arena<typename V::Scalar> arena(shared);
  const BackwardBlock<C, V> block(call, arena);
  BlockGradients<C, V>(call, team, block).multiply_distinct();
}

template <class C, class V>
index backward_shared(const Backward<typename V::Scalar>& call) {
  Arena<typename V::Scalar> arena(nullptr);
  BackwardBlock<C, V>(call, arena);
  return arena.used();
}

}  // namespace rnncore::RNNCORE_ISA
