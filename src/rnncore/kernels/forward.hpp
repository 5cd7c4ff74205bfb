// Forward through time, once for all cells.
#pragma once

#include "rnncore/kernels/forward_plan.hpp"
#include "rnncore/kernels/input_product.hpp"
#include "rnncore/kernels/projection.hpp"
#include "rnncore/kernels/short_step.hpp"
#include "rnncore/kernels/step.hpp"
#include "rnncore/kernels/unpacked.hpp"
#include "rnncore/simd/denormals.hpp"

namespace rnncore::RNNCORE_ISA {

template <class C, class V>
class ForwardPass {
  using T = typename V::Scalar;

 public:
  ForwardPass(const Forward<T>& call, const Team& team, T* workspace)
      : call_(call),
        team_(team),
        walk_{call, team.first_slot()},
        slots_(team.slots()),
        arena_(workspace),
        plan_(call, slots_, arena_),
        panels_(call.input_size, call.hidden_size, call.output_size),
        short_(call.format != WeightFormat::full),
        streams_(streams()) {}

  // False: stopped, and all workers say so.
  bool run() {
    load_initial();
    meet();
    index active = finish(slots_, 0);
    index cache_rows = 0;
    for (index begin = 0; begin < call_.steps && active > 0; begin += plan_.block_steps) {
      const index end = begin + plan_.block_steps < call_.steps ? begin + plan_.block_steps : call_.steps;
      const index rows = gather_x(begin, end, active);
      meet();
      if (call_.weight_ih)
        rows > most_unpacked_rows ? multiply_x_when_packed(rows) : multiply_unpacked_x(rows);
      else if (!plan_.folded && !call_.labels)
        multiply_x(rows);
      index row = 0;
      for (index step = begin; step < end && active > 0;) {
        const index all = all_active(step), count = alike(step, end, active, all);
        run_steps(step, count, active, row, rows, cache_rows, all);
        row += count * active;
        cache_rows += count * all;
        step += count;
        active = finish(active, step);
      }
      team_.look();
      meet();
      if (team_.stopped()) return false;
    }
    finish(active, call_.steps);
    if (streams_) fence_streams();
    return true;
  }

 private:
  // A cache that has left the second cache of the processor when backward reads it need not push the weights out of
  // there. Where sums are short its lines come faster than memory takes them. (Measured: AVX-512.)
  bool streams() const {
    const index line = 64, bytes = call_.rows * call_.steps * C::cached * plan_.panels * V::width * index(sizeof(T));
    return V::can_stream && call_.cache && C::cached > 1 && call_.input_size + call_.output_size >= 320 &&
           bytes > 4 * caches().second && reinterpret_cast<std::uintptr_t>(call_.cache) % line == 0;
  }
  // Where all workers take part in every step, they wait for one another: one does what belongs to the slots.
  void meet() const {
    if (team_.by_units()) team_.synchronise();
  }
  Extent own_panels(Extent extent) const {
    extent.first = first_panel() * parts_of<C, V>;
    extent.panels = last_panel() * parts_of<C, V>;
    return extent;
  }
  index first_panel() const { return team_.by_units() ? team_.begin(plan_.panels) : 0; }
  index last_panel() const { return team_.by_units() ? team_.end(plan_.panels) : plan_.panels; }

  T* state(int k, index slot) const {
    return k == 0 ? plan_.h + slot * plan_.h_stride : plan_.others[k - 1] + slot * plan_.state_stride;
  }

  void load_initial() {
    if (!team_.owns_slots()) return;
    for (index s = 0; s < slots_; ++s) {
      for (int k = 0; k < C::states; ++k) {
        const index size = call_.state_size(k);
        copy_or_zero(call_.initial[k] ? call_.initial[k] + walk_.row(s) * size : call_.reset_state[k], size,
                     state(k, s));
      }
      plan_.y[s] = walk_.start(call_.y, s);
      if (plan_.raw) plan_.raw_rows[s] = plan_.raw + s * plan_.state_stride;
    }
  }

  // Rows whose sequence has ended before `step` hand out their final state.
  index finish(index active, index step) {
    const index left = step == call_.steps ? 0 : walk_.active(active, step);
    for (index s = left; s < active && team_.owns_slots(); ++s)
      for (int k = 0; k < C::states; ++k)
        copy(state(k, s), call_.state_size(k), call_.final[k] + walk_.row(s) * call_.state_size(k));
    return left;
  }

  // Active rows of the whole team in this step: the cache is one for all, and so is a packed batch.
  index all_active(index step) {
    if (!call_.cache && !call_.y.starts) return 0;
    all_ = Walk<T>{call_, 0}.active(all_ < 0 ? call_.rows : all_, step);
    return all_;
  }

  index gather_x(index begin, index end, index active) {
    const index I = call_.input_size, pre_row = pre_gates() * V::width;
    const auto x = call_.x;  // by value: the stores of the loop could change what call_ says
    index rows = 0;
    for (index step = begin; step < end; ++step) {
      active = walk_.active(active, step);
      for (index s = 0; s < active && team_.owns_slots(); ++s) {
        const index row = rows + s;
        if (!call_.labels) copy(walk_.at(x, s, step), I, plan_.x + row * plan_.x_stride);
        if (!plan_.folded)
          plan_.pre_rows[row] =
              call_.labels ? call_.by_label + walk_.label(s, step) * pre_row : plan_.pre + row * pre_row;
      }
      rows += active;
    }
    return rows;
  }

  // Side by side in the products of x: all of them where weights have fewer bits.
  index pre_gates() const { return short_ ? C::gates : gates_of<C, V>; }
  // This worker's share of them.
  [[gnu::noinline]] ShortWeights<C, V> short_weights() const {
    return {call_.format, call_.weights, call_.input_size, call_.hidden_size, call_.output_size, first_panel(),
            last_panel(), team_,         plan_.rounded,    call_.widened,     call_.short_rows};
  }

  void multiply_x(index rows) {
    if (short_) return short_weights().multiply_x(plan_.x, plan_.x_stride, rows, plan_.pre);
    const auto body = input_product<C, V>(call_, plan_.x, plan_.x_stride, plan_.pre, rows);
    const index I = call_.input_size;
    product(body, own_panels({rows, plan_.panels * parts_of<C, V>, I, l1_block<V, gates_of<C, V>>(1, I)}), team_);
  }

  // This worker's panels of units, each by the number of its first unit.
  template <class F>
  void each_panel(const F& work) const {
    for (index panel = first_panel(), end = last_panel(); panel < end; ++panel) work(panel);
  }

  void multiply_unpacked_x(index rows) {
    constexpr index W = V::width, gates = gates_of<C, V>, parts = parts_of<C, V>;
    each_panel([&](index panel) {
      const auto sums_of = [&](int g) {  // as input_product() lays them out
        return plan_.pre + ((panel * parts + g / gates) * rows * gates + g % gates) * W;
      };
      for (int g = 0; g < C::gates; ++g)
        for (index row = 0; row < rows; ++row) bias(panel, C::x_first + g).store(sums_of(g) + row * gates * W);
      unpacked_product<V>(call_.weight_ih, C::x_gates, C::scale + C::x_first, call_.hidden_size, call_.input_size,
                          panel * W, plan_.x, plan_.x_stride, rows, sums_of, gates * W);
    });
  }
  // Some columns of the weights at a time, as soon as they are packed: they are in the first cache then, and read once.
  void multiply_x_when_packed(index rows) {
    constexpr index W = V::width, parts = parts_of<C, V>, together = C::gates < 4 ? 4 / C::gates : 1, most = 64;
    alignas(64) T packed[together * most * C::gates * W];
    const auto whole = input_product<C, V>(call_, plan_.x, plan_.x_stride, plan_.pre, rows);
    const index I = call_.input_size, end = last_panel();
    Pace pace{team_};
    for (index p = first_panel(); p < end; p += together) {
      const index panels = end - p < together ? end - p : together;
      auto body = whole;
      body.bias += p * parts * body.bias_panel;
      body.pre += p * parts * body.pre_panel;
      body.panels = packed;
      for (index k = 0; k == 0 || k < I; k += most, body.x += most, body.goes_on = true) {
        const index columns = I - k < most ? I - k : most;
        body.panel_size = columns * gates_of<C, V> * W;
        for (index i = 0; i < panels; ++i)
          pack_columns<V, parts>(call_.weight_ih + k, I, C::x_gates, C::scale + C::x_first, call_.hidden_size, columns,
                                 (p + i) * W, packed + i * parts * body.panel_size);
        product(body, {rows, panels * parts, columns, columns});
      }
      if (!pace.after(rows * panels * I * C::gates * W)) return;
    }
  }
  V bias(index panel, int accumulator) const {
    return V::load(call_.weights + (panel * C::accumulators + accumulator) * V::width);
  }

  // A step as product() does it, some rows at a time.
  void unpacked_step(Step<C, V> body, index active) {
    constexpr index W = V::width, gates = gates_of<C, V>, parts = parts_of<C, V>, row_size = C::accumulators * W,
                    most = 4;
    T sums[most * row_size];
    body.out.partial = sums;
    each_panel([&](index panel) {
      for (index first = 0; first < active; first += most) {
        const index rows = active - first < most ? active - first : most;
        for (index r = 0; r < rows; ++r) {
          T* const to = sums + r * row_size;
          for (int a = 0; a < C::accumulators; ++a) bias(panel, a).store(to + a * W);
          for (int g = 0; g < C::gates && !plan_.folded; ++g)
            V::load(body.in.pre[first + r] + (panel * parts + g / gates) * body.in.pre_panel + g % gates * W)
                .store(to + (C::x_first + g) * W);
        }
        unpacked_product<V>(
            call_.weight_hh, C::h_gates, C::scale + C::h_first, call_.hidden_size, call_.output_size, panel * W,
            plan_.h + first * plan_.h_stride, plan_.h_stride, rows, [&](int g) { return sums + (C::h_first + g) * W; },
            row_size);
        body.finish(first, panel * parts, rows);
      }
    });
  }

  void drop_states(index step, index active) {
    for (index s = 0; s < active; ++s) {
      if (!walk_.is_reset(s, step)) continue;
      for (int k = 0; k < C::states; ++k) copy_or_zero(call_.reset_state[k], call_.state_size(k), state(k, s));
    }
  }

  // So many steps from `step` on have the same rows at the same distances, none of them reset behind the first.
  index alike(index step, index end, index active, index all) const {
    if (call_.resets || (call_.y.starts && (call_.reverse || plan_.raw))) return 1;
    if (walk_.length(active - 1) < end) end = walk_.length(active - 1);
    if (all > 0 && call_.lengths[all - 1] < end) end = call_.lengths[all - 1];
    return end - step;
  }

  // From y of a row to that of its next step, among such steps.
  index y_distance(index all) const { return call_.y.starts ? all * call_.y.row : walk_.stride(call_.y); }

  void run_steps(index step, index count, index active, index row, index block_rows, index cache_rows, index all) {
    if (call_.resets || call_.y.starts) {
      if (team_.owns_slots()) {
        if (call_.resets) drop_states(step, active);
        for (index s = 0; call_.y.starts && s < active; ++s) plan_.y[s] = walk_.at(call_.y, s, step);
      }
      meet();
    }
    const index H = call_.hidden_size, W = V::width, slot_size = plan_.panels * W, cache_row = C::cached * slot_size;
    const bool raw = plan_.raw != nullptr;
    Step<C, V> body{{call_.weights, panels_, call_.input_size, H, call_.options},
                    {plan_.folded, plan_.x + row * plan_.x_stride, plan_.x_stride, plan_.pre_rows + row,
                     (call_.labels ? call_.distinct : block_rows) * pre_gates() * W},
                    {plan_.h, plan_.h_stride, raw ? plan_.raw : plan_.h, {}, plan_.state_stride},
                    {raw ? plan_.raw_rows : plan_.y, raw ? 0 : step * walk_.stride(call_.y),
                     call_.cache ? call_.cache + (cache_rows + walk_.first) * cache_row : nullptr, slot_size, streams_,
                     plan_.partial},
                    {active * plan_.x_stride, active, raw ? 0 : y_distance(all), all * cache_row}};
    for (int k = 0; k < others_of<C>; ++k) body.state.others[k] = plan_.others[k];
    const bool packed = !call_.weight_hh;
    if (short_)
      short_weights().describe(body.weights, call_.options);
    else if (packed && active == 1 && !plan_.raw && !team_.by_units() && body.recur(count))
      return;
    // Rows of one tile gain nothing from panels that stay in L1 (nor do those of two tiles whose sums are short).
    const bool few = active <= max_tile_rows<V, gates_of<C, V>>;
    const index K = call_.output_size, k_block = few ? K : l1_block<V, gates_of<C, V>>(1, K);
    Extent extent = own_panels({active, plan_.panels * parts_of<C, V>, K, k_block});
    for (index i = 0; i < count; ++i) {
      if (i > 0) body.advance();
      body.state.h = plan_.h;
      if (!raw) body.state.h_next = plan_.h_next;
      extent.backwards = ((step + i) % 2 == 1) != call_.backwards;
      if (short_)
        short_weights().step(body, active, plan_.sums, extent.backwards);
      else if (packed)
        product(body, extent, team_);
      else
        unpacked_step(body, active);
      if constexpr (can_project<C>)
        if (plan_.raw) project(step + i, active);
      T* const swap = plan_.h;
      plan_.h = plan_.h_next;
      plan_.h_next = swap;
      meet();
    }
  }

  // h' and y = W_hr raw.
  void project(index step, index active) {
    if (short_)
      return short_weights().project(plan_.raw, plan_.state_stride, plan_.h_next, plan_.h_stride, plan_.y,
                                     step * walk_.stride(call_.y), active, plan_.sums);
    const ProjectedStep<V> body{plan_.raw,
                                plan_.state_stride,
                                call_.weights + panels_.r_start,
                                panels_.r_panel,
                                plan_.h_next,
                                plan_.h_stride,
                                plan_.y,
                                step * walk_.stride(call_.y),
                                call_.output_size};
    product(body, body.extent(active, call_.hidden_size));
  }

  const Forward<T>& call_;
  const Team& team_;
  Walk<T> walk_;
  index slots_;
  Arena<T> arena_;
  ForwardPlan<C, V> plan_;
  ForwardPanels<C, V> panels_;
  const bool short_;    // weights in fewer bits
  const bool streams_;  // the cache is written past the processor's caches
  index all_ = -1;
};

template <class C, class V>
void forward(const Forward<typename V::Scalar>& call, const Team& team, typename V::Scalar* workspace) {
  const FlushDenormals guard;
  const Slabs<typename V::Scalar> slabs(call.hidden_size, team.slots());
  Team part = team.by_units() ? team : team.alone();
  for (index k = 0; k < slabs.count(); ++k) {  // each through all steps
    const index ends[] = {team.first_slot() + slabs.begin(k), team.first_slot() + slabs.begin(k + 1)};
    part.split = ends;
    if (!ForwardPass<C, V>(call, part, workspace).run()) return;
  }
}

// The products of all that the input may be, for this worker's panels; the weights are packed.
template <class C, class V>
void multiply_distinct(const Forward<typename V::Scalar>& call, const Team& team) {
  const FlushDenormals guard;
  const index rows = call.distinct, I = call.input_size, panels = panels_of<V>(call.hidden_size) * parts_of<C, V>;
  if (call.format != WeightFormat::full) {
    const index units = panels_of<V>(call.hidden_size);
    const ShortWeights<C, V> weights{
        call.format,     call.weights, I,  call.hidden_size, call.output_size, team.begin(units),
        team.end(units), team,         {}, call.widened};
    return weights.multiply_x(call.x.data, call.x.row, rows, call.by_label);
  }
  const auto body = input_product<C, V>(call, call.x.data, call.x.row, call.by_label, rows);
  Extent extent{rows, team.end(panels), I, l1_block<V, gates_of<C, V>>(1, I)};
  extent.first = team.begin(panels);
  product(body, extent, team);
}

}  // namespace rnncore::RNNCORE_ISA
