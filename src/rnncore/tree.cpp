#include "rnncore/tree.hpp"

#include <algorithm>
#include <stdexcept>

#include "rnncore/dispatch.hpp"
#include "rnncore/kernels/table.hpp"
#include "rnncore/parallel.hpp"

namespace rnncore {
namespace {

using Order = std::vector<index>;  // the caller's block of H rows that stands in each place of the kernels' order

template <class T>
void take_blocks(const T* from, const Order& order, index block, T* to) {
  for (const index k : order) to = std::copy_n(from + k * block, block, to);
}

template <class T>
void add_blocks(const T* from, const Order& order, index block, T* to) {
  for (const index k : order)
    for (index i = 0; i < block; ++i) to[k * block + i] += *from++;
}

template <class T>
Buffer<T> zeros(index count) {
  Buffer<T> buffer(count);
  std::fill_n(buffer.data(), count, T(0));
  return buffer;
}

}  // namespace

Tree::Tree(const std::string& cell, bool binary, index input_size, index hidden_size, bool bias)
    : lstm_(cell == "lstm"), binary_(binary), bias_(bias), input_size_(input_size), hidden_size_(hidden_size) {
  if (!lstm_ && cell != "rnn") throw std::invalid_argument("cell must be one of lstm, rnn, got '" + cell + "'");
  check_at_least("input_size", 0, input_size);
  check_at_least("hidden_size", 1, hidden_size);
  checked_product({input_size + 2 * hidden_size + 1, hidden_size, 5, 8});
  const auto add = [&](const char* name, index rows, index columns) {
    layout_.push_back({name, parameter_count_, rows, columns});
    parameter_count_ += rows * (columns > 0 || name[0] == 'w' ? columns : 1);
  };
  add("weight_ih", x_gates() * hidden_size, input_size);
  add("weight_hh", (h_gates() + (forgets_by_child() ? 1 : 0)) * hidden_size, children_width());
  if (bias) add("bias", x_gates() * hidden_size, 0);
}

// Threads meet behind every level: levels have to hold rows enough for all of them.
int Tree::useful_threads(int asked, const Forest& forest) const {
  constexpr double worthwhile = 4e6;  // multiply-adds
  constexpr index rows = 32;          // of a level, for each thread
  const double row =
      static_cast<double>(hidden_size_) * static_cast<double>(x_gates() * input_size_ + h_gates() * children_width());
  if (forest.nodes() == 0 || row * static_cast<double>(forest.nodes()) < worthwhile) return 1;
  const index mean = forest.nodes() / forest.levels();
  return static_cast<int>(std::clamp<index>(mean / rows, 1, thread_count(asked)));
}

// The parameters in the kernels' order: gates f i g o of x; i g o of the children's sum, or fl fr i g o of a binary
// node's two.
template <class T>
struct Tree::Weights {
  const Tree& tree;
  const LinearKernels<T>& kernel;
  Order x_order, h_order, f_order;
  Buffer<T> x, bias, h, f;

  explicit Weights(const Tree& of)
      : tree(of),
        kernel(kernels<T>().linear),
        x(tree.x_gates() * tree.hidden_size_ * tree.input_size_),
        h(tree.h_gates() * tree.hidden_size_ * tree.children_width()) {
    if (!tree.lstm_)
      x_order = h_order = {0};
    else if (tree.binary_)
      x_order = {1, 0, 2, 3}, h_order = {1, 2, 0, 3, 4};
    else
      x_order = {1, 0, 2, 3}, h_order = {0, 2, 3}, f_order = {1};
    if (tree.bias_) bias = Buffer<T>(tree.x_gates() * tree.hidden_size_);
    if (tree.forgets_by_child()) f = Buffer<T>(tree.hidden_size_ * tree.hidden_size_);
  }
  void take(const T* parameters) const {
    const index H = tree.hidden_size_;
    take_blocks(parameters + tree.layout_[0].offset, x_order, H * tree.input_size_, x.data());
    take_blocks(parameters + tree.layout_[1].offset, h_order, H * tree.children_width(), h.data());
    take_blocks(parameters + tree.layout_[1].offset, f_order, H * H, f.data());
    if (tree.bias_) take_blocks(parameters + tree.layout_[2].offset, x_order, H, bias.data());
  }
  void clear() const {
    for (const Buffer<T>* buffer : {&x, &bias, &h, &f}) std::fill_n(buffer->data(), buffer->size(), T(0));
  }
  void add_to(T* parameters) const {
    const index H = tree.hidden_size_;
    add_blocks(x.data(), x_order, H * tree.input_size_, parameters + tree.layout_[0].offset);
    add_blocks(h.data(), h_order, H * tree.children_width(), parameters + tree.layout_[1].offset);
    add_blocks(f.data(), f_order, H * H, parameters + tree.layout_[1].offset);
    if (tree.bias_) add_blocks(bias.data(), x_order, H, parameters + tree.layout_[2].offset);
  }
  LinearWeights<T> of_x() const {
    return {tree.input_size_, tree.x_gates() * tree.hidden_size_, x.data(), tree.bias_ ? bias.data() : nullptr};
  }
  LinearWeights<T> of_h() const {
    return {tree.children_width(), tree.h_gates() * tree.hidden_size_, h.data(), nullptr};
  }
  LinearWeights<T> of_f() const { return {tree.hidden_size_, tree.hidden_size_, f.data(), nullptr}; }
};

template <class T>
class Tree::Forward {
 public:
  Forward(const Tree& tree, const T* parameters, const Forest& forest, Matrix<const T> x, TreeCache<T>& keep)
      : tree_(tree),
        forest_(forest),
        weights_(tree),
        kernel_(weights_.kernel),
        trees_(kernels<T>().trees),
        x_(forest.nodes() * tree.input_size_),
        h_sums_(forest.widest() * tree.h_gates() * tree.hidden_size_),
        x_panels_(panels(weights_.of_x())),
        h_panels_(panels(weights_.of_h())),
        f_panels_(tree.forgets_by_child() ? panels(weights_.of_f()) : 0) {
    const index H = tree.hidden_size_, nodes = forest.nodes();
    weights_.take(parameters);
    for (index s = 0; s < nodes; ++s)
      std::copy_n(x.at(forest.node[static_cast<std::size_t>(s)]), tree.input_size_, x_.data() + s * tree.input_size_);
    keep.x = x;
    keep.gates = Buffer<T>(nodes * tree.x_gates() * H);
    keep.children_h = Buffer<T>(nodes * tree.children_width());
    keep.h = Buffer<T>(nodes * H);
    if (tree.lstm_) keep.c = Buffer<T>(nodes * H), keep.forget = Buffer<T>(nodes * H);
    level_.hidden_size = H, level_.binary = forest.binary;
    level_.child_begin = forest.child_begin.data(), level_.child = forest.child.data();
    level_.position = forest.position.data();
    level_.gates = keep.gates.data(), level_.forget = keep.forget.data(), level_.children_h = keep.children_h.data();
    level_.h = keep.h.data(), level_.c = keep.c.data();
  }

  void work(const Team& team) const {
    kernel_.pack_forward(weights_.of_x(), x_panels_.data(), team);
    kernel_.pack_forward(weights_.of_h(), h_panels_.data(), team);
    if (f_panels_.size() > 0) kernel_.pack_forward(weights_.of_f(), f_panels_.data(), team);
    team.synchronise();
    const index I = tree_.input_size_, G = tree_.x_gates() * tree_.hidden_size_, nodes = forest_.nodes();
    kernel_.forward(I, G, x_panels_.data(), {x_.data(), I}, {level_.gates, G}, team.begin(nodes), team.end(nodes));
    team.synchronise();
    for (index k = 0; k < forest_.levels(); ++k) {
      nodes_of(k, team);
      team.look();
      team.synchronise();
      if (team.stopped()) return;
    }
  }

 private:
  index panels(const LinearWeights<T>& of) const { return kernel_.forward_panels(of.inputs, of.outputs); }

  void nodes_of(index k, const Team& team) const {
    const index H = tree_.hidden_size_, K = tree_.children_width(), G = tree_.h_gates() * H;
    TreeLevel<T> level = level_;
    level.first = forest_.level_begin[static_cast<std::size_t>(k)];
    level.end = forest_.level_begin[static_cast<std::size_t>(k) + 1];
    const index rows = level.end - level.first, first = team.begin(rows), end = team.end(rows);
    if (k > 0) {
      trees_.gather(level, level.first + first, level.first + end);
      kernel_.forward(K, G, h_panels_.data(), {level.children_h + level.first * K, K}, {h_sums_.data(), G}, first, end);
      level.h_sums = h_sums_.data();
    }
    (tree_.lstm_ ? trees_.lstm_forward : trees_.rnn_forward)(level, level.first + first, level.first + end);
    if (tree_.forgets_by_child())
      kernel_.forward(H, H, f_panels_.data(), {level.h, H}, {level.forget, H}, level.first + first, level.first + end);
  }

  const Tree& tree_;
  const Forest& forest_;
  const Weights<T> weights_;
  const LinearKernels<T>& kernel_;
  const TreeKernels<T>& trees_;
  const Buffer<T> x_, h_sums_, x_panels_, h_panels_, f_panels_;
  TreeLevel<T> level_;
};

template <class T>
void Tree::forward(const T* parameters, const Forest& forest, Matrix<const T> x, T* h, T* c, TreeCache<T>* cache,
                   Control& control) const {
  TreeCache<T> own;
  TreeCache<T>& keep = cache ? *cache : own;
  const Forward<T> call(*this, parameters, forest, x, keep);
  parallel(useful_threads(control.threads, forest), control, [&](const Team& team) { call.work(team); });
  for (index s = 0; s < forest.nodes(); ++s) {
    const index to = forest.node[static_cast<std::size_t>(s)] * hidden_size_, from = s * hidden_size_;
    std::copy_n(keep.h.data() + from, hidden_size_, h + to);
    if (lstm_) std::copy_n(keep.c.data() + from, hidden_size_, c + to);
  }
  if (cache) cache->forest = forest;
}

template <class T>
class Tree::Backward {
 public:
  Backward(const Tree& tree, const T* parameters, const TreeCache<T>& cache, const T* dh, const T* dc, bool wants_dx)
      : tree_(tree),
        cache_(cache),
        forest_(cache.forest),
        weights_(tree),
        kernel_(weights_.kernel),
        trees_(kernels<T>().trees),
        wants_dx_(wants_dx),
        x_(nodes() * tree.input_size_),
        d_h_(zeros<T>(nodes() * tree.hidden_size_)),
        d_c_(zeros<T>(tree.lstm_ ? nodes() * tree.hidden_size_ : 0)),
        d_x_sums_(nodes() * tree.x_gates() * tree.hidden_size_),
        d_h_sums_(tree.binary_ && tree.lstm_ ? nodes() * 5 * tree.hidden_size_ : 0),
        d_forget_(zeros<T>(tree.forgets_by_child() ? nodes() * tree.hidden_size_ : 0)),
        d_children_h_(nodes() * tree.children_width()),
        d_h_forget_(tree.forgets_by_child() ? forest_.widest() * tree.hidden_size_ : 0),
        dx_(wants_dx ? nodes() * tree.input_size_ : 0),
        x_panels_(wants_dx ? panels(weights_.of_x()) : 0),
        h_panels_(panels(weights_.of_h())),
        f_panels_(tree.forgets_by_child() ? panels(weights_.of_f()) : 0),
        gradients_(tree),
        workspace_(kernel_.gradient_workspace(std::max(tree.input_size_, tree.children_width()))) {
    const index H = tree.hidden_size_, I = tree.input_size_;
    weights_.take(parameters);
    gradients_.clear();
    for (index s = 0; s < nodes(); ++s) {
      const index n = forest_.node[static_cast<std::size_t>(s)];
      std::copy_n(cache.x.at(n), I, x_.data() + s * I);
      if (dh) std::copy_n(dh + n * H, H, d_h_.data() + s * H);
      if (dc) std::copy_n(dc + n * H, H, d_c_.data() + s * H);
    }
    level_.hidden_size = H, level_.binary = forest_.binary;
    level_.child_begin = forest_.child_begin.data(), level_.child = forest_.child.data();
    level_.position = forest_.position.data(), level_.position_of = forest_.position_of.data();
    level_.parent = forest_.parent.data();
    level_.gates = cache.gates.data(), level_.forget = cache.forget.data();
    level_.h = cache.h.data(), level_.c = cache.c.data();
    level_.d_h = d_h_.data(), level_.d_children_h = d_children_h_.data(), level_.d_c = d_c_.data();
    level_.d_x_sums = d_x_sums_.data(), level_.d_h_sums = d_h_sums_.data(), level_.d_forget = d_forget_.data();
  }

  void work(const Team& team) const {
    if (wants_dx_) kernel_.pack_backward(weights_.of_x(), x_panels_.data(), team);
    kernel_.pack_backward(weights_.of_h(), h_panels_.data(), team);
    if (f_panels_.size() > 0) kernel_.pack_backward(weights_.of_f(), f_panels_.data(), team);
    team.synchronise();
    for (index k = forest_.levels() - 1; k >= 0; --k) {
      nodes_of(k, team);
      team.look();
      team.synchronise();
      if (team.stopped()) return;
    }
    products(team);
  }

  void results(Matrix<T> dx, T* d_parameters) const {
    gradients_.add_to(d_parameters);
    for (index s = 0; wants_dx_ && s < nodes(); ++s)
      std::copy_n(dx_.data() + s * tree_.input_size_, tree_.input_size_,
                  dx.at(forest_.node[static_cast<std::size_t>(s)]));
  }

 private:
  index nodes() const { return forest_.nodes(); }
  index panels(const LinearWeights<T>& of) const { return kernel_.backward_panels(of.inputs, of.outputs); }
  // The gradients by the sums of the children's product: those of x, less f, unless a binary node has its own.
  Matrix<const T> d_h_sums() const {
    const index H = tree_.hidden_size_;
    if (!tree_.lstm_) return {d_x_sums_.data(), H};
    if (tree_.binary_) return {d_h_sums_.data(), 5 * H};
    return {d_x_sums_.data() + H, 4 * H};
  }

  void nodes_of(index k, const Team& team) const {
    const index H = tree_.hidden_size_, K = tree_.children_width(), G = tree_.h_gates() * H;
    TreeLevelGradient<T> level = level_;
    level.first = forest_.level_begin[static_cast<std::size_t>(k)];
    level.end = forest_.level_begin[static_cast<std::size_t>(k) + 1];
    const index rows = level.end - level.first, first = team.begin(rows), end = team.end(rows);
    if (tree_.forgets_by_child()) {
      kernel_.input_gradient(H, H, f_panels_.data(), {d_forget_.data() + level.first * H, H}, {d_h_forget_.data(), H},
                             first, end);
      level.d_h_forget = d_h_forget_.data();
    }
    (tree_.lstm_ ? trees_.lstm_backward : trees_.rnn_backward)(level, level.first + first, level.first + end);
    if (k > 0)
      kernel_.input_gradient(K, G, h_panels_.data(), d_h_sums(), {d_children_h_.data(), K}, level.first + first,
                             level.first + end);
  }

  // All nodes at once: dx, and the gradients by the parameters.
  void products(const Team& team) const {
    const index H = tree_.hidden_size_, I = tree_.input_size_, K = tree_.children_width(), G = tree_.x_gates() * H;
    const Matrix<const T> d_sums{d_x_sums_.data(), G};
    if (wants_dx_)
      kernel_.input_gradient(I, G, x_panels_.data(), d_sums, {dx_.data(), I}, team.begin(nodes()), team.end(nodes()));
    const index inner = forest_.levels() > 1 ? forest_.level_begin[1] : nodes();
    const Matrix<const T> children{cache_.children_h.data() + inner * K, K}, d_h = d_h_sums();
    kernel_.parameter_gradients(
        {I, G, nodes(), {x_.data(), I}, d_sums, gradients_.x.data(), tree_.bias_ ? gradients_.bias.data() : nullptr},
        team, workspace_.data());
    team.synchronise();  // they share the workspace
    kernel_.parameter_gradients(
        {K, tree_.h_gates() * H, nodes() - inner, children, {d_h.at(inner), d_h.row}, gradients_.h.data(), nullptr},
        team, workspace_.data());
    team.synchronise();
    if (tree_.forgets_by_child())
      kernel_.parameter_gradients(
          {H, H, nodes(), {cache_.h.data(), H}, {d_forget_.data(), H}, gradients_.f.data(), nullptr}, team,
          workspace_.data());
  }

  const Tree& tree_;
  const TreeCache<T>& cache_;
  const Forest& forest_;
  const Weights<T> weights_;
  const LinearKernels<T>& kernel_;
  const TreeKernels<T>& trees_;
  const bool wants_dx_;
  const Buffer<T> x_, d_h_, d_c_, d_x_sums_, d_h_sums_, d_forget_, d_children_h_, d_h_forget_, dx_;
  const Buffer<T> x_panels_, h_panels_, f_panels_;
  const Weights<T> gradients_;
  const Buffer<T> workspace_;
  TreeLevelGradient<T> level_;
};

template <class T>
void Tree::backward(const T* parameters, const TreeCache<T>& cache, const T* dh, const T* dc, Matrix<T> dx,
                    T* d_parameters, Control& control) const {
  const Backward<T> call(*this, parameters, cache, dh, dc, dx.data != nullptr);
  parallel(useful_threads(control.threads, cache.forest), control, [&](const Team& team) { call.work(team); });
  call.results(dx, d_parameters);
}

#define RNNCORE_INSTANTIATE(T)                                                                                  \
  template void Tree::forward(const T*, const Forest&, Matrix<const T>, T*, T*, TreeCache<T>*, Control&) const; \
  template void Tree::backward(const T*, const TreeCache<T>&, const T*, const T*, Matrix<T>, T*, Control&) const;
RNNCORE_INSTANTIATE(float)
RNNCORE_INSTANTIATE(double)
#undef RNNCORE_INSTANTIATE

}  // namespace rnncore
