// A block of steps of the backward pass, and the large products over it.
#pragma once

#include "rnncore/kernels/gradients.hpp"
#include "rnncore/kernels/projection.hpp"

namespace rnncore::RNNCORE_ISA {

// A block of steps, shared by the team: its rows lie from the last step to the first, by slot within a step.
// The same block as operands in bf16, where weights are pairs: the right ones of the products for the weights, all at
// once, and the left ones of so many rows.
struct RoundedBlock {
  static constexpr index most_rows = 768;  // a multiple of 32; as many as pay for reading and writing dW
  std::uint32_t *x = nullptr, *h = nullptr, *raw = nullptr;  // [panel][pair of rows][W]
  Half* d_a = nullptr;                                       // [row][panel][gate][W]
  Half *gates = nullptr, *d_h = nullptr;                     // [panel][gate][W][row]; if projected: [panel][W][row]

  template <class T>
  static RoundedBlock of(Arena<T>& arena, index rows, index d_a_width, index inputs, index outputs, index units) {
    const index k = pair_k(rows), some = rows < most_rows ? rows : most_rows;
    const auto pairs = [&](index width) { return arena.template take_as<std::uint32_t>(width * k / 2); };
    const auto columns = [&](index width) { return arena.template take_as<Half>(width * pair_stride(some)); };
    return {pairs(inputs),      pairs(outputs),
            pairs(units),       arena.template take_as<Half>(pair_rows(some) * pair_stride(d_a_width)),
            columns(d_a_width), columns(units > 0 ? outputs : 0)};
  }
};

template <class C, class V>
struct BackwardBlock {
  using T = typename V::Scalar;
  static constexpr index min_rows = 192;  // fewer do not pay for reading and writing dW
  index steps, rows;
  T *d_a, *x, *h;  // d_a[panel][row][gradient][W], x[panel of I][row][W], h (of the step before) [panel][row][W]
  T** dx;          // [row]
  index* labels;   // [row] of an input by number; x and dx are then of the distinct rows
  T *d_h = nullptr, *raw = nullptr;  // if projected: d_h[panel of P][row][W], and the cell's output [panel][row][W]
  RoundedBlock rounded;

  BackwardBlock(const Backward<T>& call, Arena<T>& arena) {
    const index units = padded<V>(call.hidden_size), inputs = padded<V>(call.input_size),
                outputs = padded<V>(call.output_size);
    const index row = units * gradients_of<C> + inputs + outputs + (call.projected() ? outputs + units : 0);
    index wanted = block_bytes / (row * index(sizeof(T)));
    const index least = can_be_short<V> && call.format == WeightFormat::pairs ? RoundedBlock::most_rows : min_rows;
    if (wanted < least) wanted = least;
    steps = call.rows > 0 ? wanted / call.rows : 1;
    steps = steps < 1 ? 1 : steps > call.steps ? call.steps : steps;
    rows = steps * call.rows;
    d_a = arena.take(rows * units * gradients_of<C>);
    const index x_rows = call.labels ? call.distinct : rows;
    x = arena.take(x_rows * inputs);
    h = arena.take(rows * outputs);
    dx = arena.template take_as<T*>(x_rows);
    labels = arena.template take_as<index>(call.labels ? rows : 0);
    if (can_be_short<V> && call.format == WeightFormat::pairs)
      rounded = RoundedBlock::of(arena, rows, units * C::gates, inputs, outputs, call.projected() ? units : 0);
    if (!call.projected()) return;
    d_h = arena.take(rows * outputs);
    raw = arena.take(rows * units);
  }

 private:
  static constexpr index block_bytes = 256 * 1024;
};

// A row as it stands in panels of `rows` rows; null: zeros.
template <class V, class T>
void to_panels(const T* from, index columns, index row, index rows, T* to) {
  constexpr index W = V::width;
  for (index q = 0; q < panels_of<V>(columns); ++q)
    (from ? V::load_part(from + q * W, columns - q * W) : V::zero()).store(to + (q * rows + row) * W);
}

// The gradients by the weights and by x: this worker's share, added to what the blocks before gave.
template <class C, class V>
class BlockGradients {
  using T = typename V::Scalar;
  using Block = BackwardBlock<C, V>;
  static constexpr index W = V::width;

 public:
  BlockGradients(const Backward<T>& call, const Team& team, const Block& block)
      : call_(call),
        team_(team),
        block_(block),
        weights_(call.format, call.input_size, call.hidden_size, call.output_size),
        panels_(panels_of<V>(call.hidden_size)) {}

  // dW, dR, db and those of the projection for this worker's panels of units, dx for its share of the rows: some rows
  // at a time, which stay in the second cache.
  void multiply(index rows) const {
    if (pairs()) return multiply_rounded(rows);
    const index parts = rows / Block::min_rows > 1 ? rows / Block::min_rows : 1;
    for (index k = 0; k < parts && !team_.stopped(); ++k) multiply_rows(rows * k / parts, rows * (k + 1) / parts, rows);
  }

  // Of an input by number, when all blocks are done: dW_ih and dx from the sums by label.
  void multiply_distinct() const {
    const index rows = call_.distinct, I = call_.input_size;
    for (index row = team_.begin(rows); row < team_.end(rows); ++row) {
      to_panels<V>(call_.x.at(0, row), I, row, rows, block_.x);
      if (call_.dx.data) block_.dx[row] = call_.dx.at(0, row);
    }
    team_.synchronise();
    for (index p = team_.begin(panels_); p < team_.end(panels_) && !team_.stopped(); ++p) {
      team_.look();
      add_weights(by_label(p), {block_.x, nullptr}, 0, rows, C::x_gates, p, I, rows, call_.d_weights.weight_ih);
    }
    if (call_.dx.data) input_gradient(call_.by_label, block_.dx, rows, rows);
    team_.synchronise();
  }

 private:
  // The right operand of a product for weights.
  struct Operand {
    const T* rows;  // [panel][row][W]
    const std::uint32_t* pairs;
  };
  bool pairs() const { return can_be_short<V> && call_.format == WeightFormat::pairs; }

  void multiply_rounded(index rows) const {
    if constexpr (can_be_short<V>) {
      const auto pair = [&](const T* from, index columns, std::uint32_t* to) {
        const index panels = panels_of<V>(columns), size = pair_k(rows) / 2 * W;
        for (index q = team_.begin(panels); from && q < team_.end(panels); ++q)
          pair_rows_of(from + q * rows * W, W, rows, W, pair_k(rows), to + q * size);
      };
      pair(block_.x, call_.input_size, block_.rounded.x);
      pair(block_.h, call_.output_size, block_.rounded.h);
      pair(block_.raw, call_.hidden_size, block_.rounded.raw);
      team_.synchronise();
      constexpr index most = RoundedBlock::most_rows;
      for (index row = 0; row < rows; row += most) {
        if (row > 0) team_.synchronise();  // the shares of d_a are others when rows are fewer
        multiply_rows(row, row + most < rows ? row + most : rows, rows);
      }
    }
  }

  void multiply_rows(index first, index end, index all) const {
    const index H = call_.hidden_size, I = call_.input_size, d_a_row = gradients_of<C> * W, rows = end - first;
    const T* const d_a = block_.d_a + first * d_a_row;
    for (index p = team_.begin(panels_); p < team_.end(panels_) && !team_.stopped(); ++p) {
      team_.look();
      const T* x_side = d_a + p * all * d_a_row + C::x_first * W;
      const T* h_side = d_a + p * all * d_a_row + C::h_first * W;
      if (call_.labels)
        add_by_label(x_side, first, rows, by_label(p));
      else
        add_weights(x_side, {block_.x, block_.rounded.x}, first, all, C::x_gates, p, I, rows,
                    call_.d_weights.weight_ih);
      add_weights(h_side, {block_.h, block_.rounded.h}, first, all, C::h_gates, p, call_.output_size, rows,
                  call_.d_weights.weight_hh);
      add_bias_gradient<C, V>(x_side, rows, C::x_gates, H, p * W, call_.d_weights.bias_ih);
      add_bias_gradient<C, V>(h_side, rows, C::h_gates, H, p * W, call_.d_weights.bias_hh);
      for (int v = 0; v < vectors_of<C>; ++v)
        add_column<C, V>(d_a + p * all * d_a_row + (C::accumulators + v) * W, rows, H, p * W,
                         call_.d_weights.vectors[v]);
    }
    if constexpr (can_project<C>)
      if (block_.raw && call_.d_weights.weight_hr) add_projection(first, rows, all);
    if (call_.dx.data && !call_.labels) input_gradient(d_a, block_.dx + first, rows, all);
  }

  // Of panel p and the first gate of x.
  T* by_label(index p) const { return call_.by_label + p * call_.distinct * (gradients_of<C> * W) + C::x_first * W; }

  void add_by_label(const T* d_a, index first, index rows, T* to) const {
    constexpr index d_a_row = gradients_of<C> * W;
    for (index row = first; row < first + rows; ++row, d_a += d_a_row) {
      T* const sum = to + block_.labels[row] * d_a_row;
      for (index i = 0; i < C::gates * W; i += W) (V::load(sum + i) + V::load(d_a + i)).store(sum + i);
    }
  }

  // Of `rows` out of `all` in a panel of d_a.
  void input_gradient(const T* d_a, T* const* to, index rows, index all) const {
    const index H = call_.hidden_size, I = call_.input_size, d_a_row = gradients_of<C> * W;
    if constexpr (can_be_short<V>)
      if (pairs()) {
        const index tiles = pair_rows(rows) / 16, own = team_.begin(tiles) * 16, share = team_.end(tiles) * 16;
        const index count = (share < rows ? share : rows) - own;
        const RoundedGradient<V> body{panels_,
                                      C::gates * W,
                                      all * d_a_row,
                                      d_a + own * d_a_row + C::x_first * W,
                                      d_a_row,
                                      call_.weights + weights_.x_start,
                                      weights_.panel,
                                      to + own,
                                      I,
                                      call_.add_dx};
        Half* const rounded = block_.rounded.d_a + own * pair_stride(panels_ * C::gates * W);
        if (count <= 0) return;
        body.round(count, rounded);
        return body.multiply(count, rounded, 0, panels_of<V>(I), team_);
      }
    const index first = team_.begin(rows);
    const CellOperandGradient<C, V> body{d_a + first * d_a_row + C::x_first * W,
                                         d_a_row,
                                         all * d_a_row,
                                         C::gates * W,
                                         call_.weights + weights_.x_start,
                                         weights_.panel,
                                         to + first,
                                         I,
                                         call_.add_dx};
    product(body, body.extent(team_.end(rows) - first, I, H), team_);
  }

  void add_projection(index first, index rows, index all) const {
    const index P = call_.output_size, H = call_.hidden_size;
    for (index p = team_.begin(panels_of<V>(P)); p < team_.end(panels_of<V>(P)); ++p) {
      const T* const d_h = block_.d_h + (p * all + first) * W;
      if constexpr (can_be_short<V>)
        if (pairs()) {
          add_rounded(d_h, W, block_.rounded.d_h, block_.rounded.raw, first, all, Projection::of, P, p, H, rows,
                      call_.d_weights.weight_hr);
          continue;
        }
      const WeightGradient<V> body{d_h, W,     block_.raw + first * W,    all * W, Projection::of,
                                   P,   p * W, call_.d_weights.weight_hr, H};
      product(body, Extent{W, panels_, rows, rows});
    }
  }

  // Of the rows from `first` on: d_a begins with them.
  void add_weights(const T* d_a, const Operand& operand, index first, index all, const int (&gate)[C::gates], index p,
                   index columns, index rows, T* to) const {
    if (!to) return;
    const index H = call_.hidden_size;
    if constexpr (can_be_short<V>)
      if (pairs())
        return add_rounded(d_a, gradients_of<C> * W, block_.rounded.gates, operand.pairs, first, all, gate, H, p,
                           columns, rows, to);
    const WeightGradient<V> body{d_a,    gradients_of<C> * W, operand.rows + first * W, all * W, gate, H, p * W, to,
                                 columns};
    product(body,
            Extent{C::gates * W, panels_of<V>(columns), rows, rows > 2 * Block::min_rows ? Block::min_rows : rows});
  }

  template <int G>
  [[gnu::noinline]] void add_rounded(const T* d_a, index d_a_row, Half* rounded, const std::uint32_t* operand,
                                     index first, index all, const int (&gate)[G], index units, index p, index columns,
                                     index rows, T* weight) const {
    constexpr index most = RoundedBlock::most_rows;
    const index stride = pair_stride(rows), block = pair_k(all) / 2 * W;
    Half* const a = rounded + p * G * W * pair_stride(all < most ? all : most);  // this worker's: it owns panel p
    T* to[G * W];
    for (int g = 0; g < G; ++g) {
      round_columns(d_a + g * W, d_a_row, rows, a + g * W * stride, stride);
      for (index u = 0; u < W; ++u)
        to[g * W + u] = p * W + u < units ? weight + (gate[g] * units + p * W + u) * columns : nullptr;
    }
    const PairProducts use;
    multiply_pairs(
        {G * W, pair_k(rows), a, stride, operand + first / 2 * W, block, nullptr, true, nullptr, 0, to, 1, W, columns},
        0, panels_of<V>(columns), team_);
  }

  const Backward<T>& call_;
  const Team& team_;
  const Block& block_;
  BackwardPanels<C, V> weights_;
  index panels_;
};

}  // namespace rnncore::RNNCORE_ISA
