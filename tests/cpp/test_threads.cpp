// Whatever workers share, they give the bits of one. Compiled with the thread sanitizer this shows too where one of them
// touches what another writes, and they have not met in between.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "problem.hpp"
#include "rnncore/attention.hpp"
#include "rnncore/linear.hpp"
#include "rnncore/model/fleet.hpp"
#include "rnncore/model/training.hpp"
#include "rnncore/parallel.hpp"
#include "rnncore/tree.hpp"

using rnncore::Control;
using rnncore::index;
using rnncore::Network;
using rnncore::Precision;
using rnncore::WeightFormat;

namespace {

constexpr int workers = 3;

enum class Batch { even, ragged, packed, by_number };

// Calls that share rows, directions or units, with every use of what workers have in common.
struct Case {
  std::string name;
  index input_size, hidden_size, num_layers;
  bool bidirectional;
  index steps, rows;
  Batch batch = Batch::even;
  index checkpoint = 0;
  WeightFormat format = WeightFormat::full;
};

const Case cases[] = {
    {"rows", 24, 40, 2, true, 30, 9, Batch::ragged},
    {"rows, blocks of a checkpointed call", 24, 40, 2, false, 50, 9, Batch::ragged, 7},
    {"rows, more than are rounded at a time", 16, 24, 1, false, 2, 900},
    {"rows, a packed batch", 24, 40, 2, true, 30, 9, Batch::packed},
    {"rows, inputs by number", 24, 40, 1, true, 40, 9, Batch::by_number},
    {"rows, large weights of x", 256, 512, 1, false, 2, 9},
    {"rows, weights in bf16", 512, 512, 1, false, 2, 5, Batch::ragged, 0, WeightFormat::bf16},
    {"rows, weights in int8", 512, 512, 1, false, 2, 30, Batch::ragged, 0, WeightFormat::int8},
    {"directions", 48, 64, 2, true, 40, 1},
    {"units", 64, 128, 2, true, 6, 2, Batch::ragged},
    {"units, inputs by number", 64, 128, 1, false, 30, 2, Batch::by_number},
    {"units, weights that are not packed", 512, 512, 1, false, 2, 2},
    {"units, large weights of x", 256, 512, 1, false, 4, 2},
    {"units, a single step", 512, 512, 1, false, 1, 2},
    {"units, weights in int8", 512, 512, 1, true, 3, 1, Batch::even, 0, WeightFormat::int8},
};

template <class T>
Problem<T> problem_of(const Case& c, const Network& network) {
  Problem<T> p(network, c.steps, c.rows);
  const index count = c.steps * c.rows;
  p.checkpoint = c.checkpoint;
  p.format = c.format;
  if (c.num_layers > 1) p.dropout = {0.3, 5};
  if (c.batch == Batch::ragged || c.batch == Batch::packed) {
    for (index n = 0; n < c.rows; ++n) p.lengths.push_back(c.steps - n * c.steps / (c.rows + 1));
    p.resets.assign(static_cast<std::size_t>(count), 0);
    for (std::size_t k = 0; k < p.resets.size(); k += 7) p.resets[k] = 1;
  }
  if (c.batch == Batch::ragged) std::rotate(p.lengths.begin(), p.lengths.begin() + 1, p.lengths.end());
  for (index t = 0, first = 0; c.batch == Batch::packed && t < c.steps; ++t) {
    p.starts.push_back(first);
    first += std::count_if(p.lengths.begin(), p.lengths.end(), [&](index length) { return length > t; });
  }
  if (c.batch == Batch::by_number) {
    p.x.resize(static_cast<std::size_t>(5 * c.input_size));
    for (index k = 0; k < count; ++k) p.labels.push_back((7 * k + k / 4) % 5);
  }
  return p;
}

// What there is: bf16 for float32, a projection for some cells, and neither for every call.
template <class T>
bool exists(const Case& c, const rnncore::CellDescription& cell, Precision precision, bool projected) {
  if (projected && !cell.can_project) return false;
  if (sizeof(T) > sizeof(float) && (precision == Precision::bf16 || c.format != WeightFormat::full)) return false;
  return precision == Precision::float32 || (c.batch != Batch::by_number && c.format == WeightFormat::full);
}

template <class T>
void check_network(const Case& c, const Network& network) {
  CAPTURE(c.name);
  CAPTURE(network.signature());
  auto alone = problem_of<T>(c, network), together = problem_of<T>(c, network);
  together.control.threads = workers;
  const auto& lengths = alone.lengths;
  const index valid = lengths.empty() ? c.steps * c.rows : std::accumulate(lengths.begin(), lengths.end(), index{0});
  REQUIRE(network.useful_threads(workers, valid, c.rows, network.num_directions(), 1) > 1);
  const bool kept = c.format == WeightFormat::full;
  for (auto* p : {&alone, &together}) {
    p->forward(kept);
    if (kept) p->backward();
  }
  CHECK(alone.y == together.y);
  CHECK(alone.dx == together.dx);
  CHECK(alone.dparameters == together.dparameters);
  for (index s = 0; s < network.num_states(); ++s) {
    CHECK(alone.hn[s] == together.hn[s]);
    CHECK(alone.dh0[s] == together.dh0[s]);
  }
}

template <class T>
std::vector<T> draw(index count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> uniform(-0.5, 0.5);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& value : values) value = static_cast<T>(uniform(generator));
  return values;
}

// run(control) returns what a call has written.
template <class Run>
void check_same(const Run& run) {
  Control alone{1}, together{workers};
  const auto expected = run(alone);
  CHECK(run(together) == expected);
}

template <class T>
std::vector<T> join(std::initializer_list<std::vector<T>> parts) {
  std::vector<T> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

// An embedding, a network, and layers that look at one step.
rnncore::Model small_model(index labels) {
  rnncore::Architecture a;
  rnncore::RecurrentOptions rnn{"rnn_tanh", 64, 64};
  rnn.num_layers = 2, rnn.dropout = 0.2;
  if (labels > 0) a.layers.push_back({"table", rnncore::EmbeddingOptions{labels, 64}});
  a.layers.push_back({"rnn", rnn});
  a.layers.push_back({"norm", rnncore::LayerNormOptions{64}});
  a.layers.push_back({"drop", rnncore::DropoutOptions{0.3}});
  a.layers.push_back({"wide", rnncore::LinearOptions{64, 64, true, rnncore::Activation::gelu}});
  a.layers.push_back({"out", rnncore::LinearOptions{64, 20}});
  return rnncore::Model(a);
}

// An emulator leaves the large ones out.
template <class T>
void check_networks(bool large) {
  for (const Case& c : cases)
    for (const auto& cell : rnncore::cell_names())
      for (const Precision precision : {Precision::float32, Precision::bf16})
        for (const bool projected : {false, true})
          if ((c.hidden_size > 128) == large && exists<T>(c, rnncore::cell_description(cell), precision, projected))
            check_network<T>(c, Network(cell, c.input_size, c.hidden_size, c.num_layers, true, c.bidirectional, true,
                                        projected ? c.hidden_size / 2 + 1 : 0, {}, {}, precision));
}

}  // namespace

TEST_CASE_TEMPLATE("networks", T, float, double) { check_networks<T>(false); }
TEST_CASE_TEMPLATE("large networks", T, float, double) { check_networks<T>(true); }

TEST_CASE_TEMPLATE("workers agree to stop", T, float, double) {
  struct Stop {
    bool* stop;
    int left;
    static void poll(void* self) {
      auto& own = *static_cast<Stop*>(self);
      if (--own.left == 0) __atomic_store_n(own.stop, true, __ATOMIC_RELAXED);
    }
  };
  const index piece = rnncore::set_piece(1000);
  for (const Case& c : cases)
    for (const int looks : {1, 4, 16}) {
      if (c.format != WeightFormat::full) continue;
      CAPTURE(c.name);
      CAPTURE(looks);
      auto p = problem_of<T>(c, Network("lstm", c.input_size, c.hidden_size, c.num_layers, true, c.bidirectional));
      p.control.threads = workers;
      p.forward();
      Stop stop{&p.control.stop, looks};
      p.control.poll = Stop::poll;
      p.control.poll_context = &stop;
      const auto stops = [&](const auto& call) {
        p.control.stop = false;
        stop.left = looks;
        try {
          call();
        } catch (const rnncore::Stopped&) {
          return true;
        }
        return false;
      };
      CHECK(stops([&] { p.backward(); }) == p.control.stop);
      if (looks == 1) CHECK(p.control.stop);
      CHECK(stops([&] { p.forward(); }) == p.control.stop);
      if (looks == 1) CHECK(p.control.stop);
    }
  rnncore::set_piece(piece);
}

TEST_CASE_TEMPLATE("a linear layer", T, float, double) {
  const rnncore::Linear linear(64, 33, true, rnncore::Activation::gelu);
  const index rows = 1200;
  const auto parameters = draw<T>(linear.parameter_count(), 1), x = draw<T>(rows * 64, 2), dy = draw<T>(rows * 33, 3);
  check_same([&](Control& control) {
    std::vector<T> y(dy.size()), sums(dy.size()), dx(x.size()), d(parameters.size());
    linear.forward<T>(parameters.data(), rows, {x.data(), 64}, {y.data(), 33}, sums.data(), control);
    linear.backward<T>(parameters.data(), rows, {x.data(), 64}, {sums.data(), 33}, {dy.data(), 33}, {dx.data(), 64},
                       d.data(), control);
    return join({y, sums, dx, d});
  });
}

TEST_CASE_TEMPLATE("trees", T, float, double) {
  constexpr index nodes = 2100, roots = 300, H = 32;
  std::vector<index> children(2 * nodes, -1), parent(nodes, -1);
  for (index k = roots; k < nodes; ++k)
    if (k % 11 != 0) {
      const index above = (k - roots) / 2;
      children[static_cast<std::size_t>(2 * above + k % 2)] = k;
      parent[static_cast<std::size_t>(k)] = above;
    }
  for (const char* cell : {"lstm", "rnn"})
    for (const bool binary : {false, true}) {
      CAPTURE(cell);
      CAPTURE(binary);
      const auto forest = binary ? rnncore::Forest::from_children(children.data(), nodes)
                                 : rnncore::Forest::from_parents(parent.data(), nodes);
      const rnncore::Tree tree(cell, binary, H, H, true);
      const auto parameters = draw<T>(tree.parameter_count(), 1), x = draw<T>(nodes * H, 2), dh = draw<T>(nodes * H, 3);
      check_same([&](Control& control) {
        std::vector<T> h(dh.size()), c(dh.size()), dx(x.size()), d(parameters.size());
        rnncore::TreeCache<T> cache;
        tree.forward<T>(parameters.data(), forest, {x.data(), H}, h.data(), c.data(), &cache, control);
        tree.backward<T>(parameters.data(), cache, dh.data(), nullptr, {dx.data(), H}, d.data(), control);
        return join({h, c, dx, d});
      });
    }
}

TEST_CASE_TEMPLATE("attention", T, float, double) {
  constexpr index queries = 20, keys = 30, rows = 60, E = 64;
  std::vector<index> lengths;
  for (index n = 0; n < rows; ++n) lengths.push_back(n % (keys + 1));
  const auto query = draw<T>(queries * rows * E, 1), key = draw<T>(keys * rows * E, 2),
             d = draw<T>(queries * rows * E, 3);
  check_same([&](Control& control) {
    std::vector<T> weights(rows * queries * keys), context(d.size()), d_query(query.size()), d_key(key.size());
    const auto of = [&](auto& array) { return rnncore::Rows{array.data(), rows * E, E}; };
    const rnncore::Attention<T> call{queries, keys, rows, E, lengths.data(), of(query), of(key), weights.data()};
    rnncore::attend<T>(call, of(context), control);
    rnncore::attend_backward<T>(call, of(d), of(d_query), of(d_key), control);
    return join({weights, context, d_query, d_key});
  });
}

TEST_CASE_TEMPLATE("a step of training", T, float, double) {
  constexpr index steps = 40, rows = 240, V = 50;
  const rnncore::Model model = small_model(V);
  const auto parameters = draw<T>(model.parameter_count(), 1);
  std::vector<index> labels(steps * rows), lengths;
  for (std::size_t k = 0; k < labels.size(); ++k) labels[k] = static_cast<index>(k * k % V % 20);
  for (index n = 0; n < rows; ++n) lengths.push_back(steps - n % 5);
  const std::vector<std::uint64_t> keys(model.layers().size(), 3);
  check_same([&](Control& control) {
    std::vector<T> updated = parameters, gradient(parameters.size()), h(2 * rows * 64), velocity(parameters.size());
    T* const final[] = {h.data()};
    rnncore::ModelInputs<T> inputs;
    inputs.steps = steps, inputs.rows = rows, inputs.parameters = updated.data();
    inputs.labels = {labels.data(), rows, 1};
    inputs.lengths = lengths.data();
    inputs.keys = keys.data();
    rnncore::Targets<T> targets;
    targets.labels = inputs.labels;
    rnncore::SgdUpdate<T> update;
    update.parameters = updated.data(), update.velocity = velocity.data(), update.lr = 0.1;
    index done = 0;
    const auto result = rnncore::train_step<T>(model, inputs, targets, rnncore::loss_named("cross_entropy", 0, {}),
                                               final, gradient.data(), {{}, 1.0}, update, done, control);
    CHECK(done == 1);
    return join({updated, gradient, h, {static_cast<T>(result.loss)}});
  });
}

TEST_CASE_TEMPLATE("streams", T, float, double) {
  constexpr index K = 12, steps = 6, rows = 4, I = 64, O = 20;
  const rnncore::Model model = small_model(0);
  const auto parameters = draw<T>(K * model.parameter_count(), 1), x = draw<T>(K * steps * rows * I, 2);
  std::vector<T> expected;
  check_same([&](Control& control) {  // a fleet, each of its models one worker's
    const rnncore::FleetStream<T> fleet(model, K, parameters.data(), rows);
    std::vector<T> y(K * steps * rows * O), step(K * rows * O);
    fleet.run(steps, x.data(), y.data(), control);
    fleet.step(x.data(), step.data(), control);
    expected.assign(y.begin(), y.begin() + steps * rows * O);
    return join({y, step});
  });
  const auto packed = std::make_shared<const rnncore::PackedModel<T>>(model, parameters.data());
  check_same([&](Control& control) {  // rows of one stream
    const rnncore::ModelStream<T> stream(packed, 40);
    std::vector<T> y(3 * 40 * O);
    stream.run(3, rnncore::Rows<const T>{x.data(), 40 * I, I}, rnncore::Rows<T>{y.data(), 40 * O, O}, control);
    return y;
  });
  std::vector<T> y[workers];
  std::vector<std::thread> callers;
  for (auto& own : y)  // streams of the caller's threads, of the same weights
    callers.emplace_back([&] {
      const rnncore::ModelStream<T> stream(packed, rows);
      own.resize(expected.size());
      for (index t = 0; t < steps; ++t) stream.step(x.data() + t * rows * I, I, own.data() + t * rows * O, O);
    });
  for (auto& caller : callers) caller.join();
  for (const auto& own : y) CHECK(own == expected);
}
