// The engine through its C++ face: against a plain loop, against differences, and against itself in other ways of
// running.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "problem.hpp"

using rnncore::index;
using rnncore::Network;

namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// One layer, one direction, one row, as the equations stand: y of all steps.
std::vector<double> plain(const Problem<double>& p) {
  const index I = p.network.input_size(), H = p.network.hidden_size();
  const auto& layout = p.network.layout();
  const double* W = p.parameters.data() + layout[0].offset;
  const double* R = p.parameters.data() + layout[1].offset;
  const double* b = p.parameters.data() + layout[2].offset;
  const double* d = p.parameters.data() + layout[3].offset;
  std::vector<double> h = p.h0[0], c = p.h0[1], y;
  for (index t = 0; t < p.T_; ++t) {
    const auto before = h;
    const auto from_x = [&](index gate, index j) {
      double sum = b[gate * H + j];
      for (index i = 0; i < I; ++i) sum += W[(gate * H + j) * I + i] * p.x[static_cast<std::size_t>(t * I + i)];
      return sum;
    };
    const auto from_h = [&](index gate, index j) {
      double sum = d[gate * H + j];
      for (index i = 0; i < H; ++i) sum += R[(gate * H + j) * H + i] * before[static_cast<std::size_t>(i)];
      return sum;
    };
    const auto both = [&](index gate, index j) { return from_x(gate, j) + from_h(gate, j); };
    const auto vector = [&](std::size_t k, index j) { return p.parameters.data()[layout[4 + k].offset + j]; };
    const auto option = [&](std::size_t k) { return p.network.options()[k]; };
    for (index j = 0; j < H; ++j) {
      double& out = h[static_cast<std::size_t>(j)];
      const auto lstm = [&](double peephole_i, double peephole_o, double peephole_f) {
        double& memory = c[static_cast<std::size_t>(j)];
        const double i = sigmoid(both(0, j) + peephole_i * memory), f = sigmoid(both(1, j) + peephole_f * memory);
        memory = f * memory + i * std::tanh(both(2, j));
        out = sigmoid(both(3, j) + peephole_o * memory) * std::tanh(memory);
      };
      const std::map<std::string, std::function<void()>> equations = {
          {"rnn_tanh", [&] { out = std::tanh(both(0, j)); }},
          {"rnn_relu", [&] { out = std::max(0.0, both(0, j)); }},
          {"lstm", [&] { lstm(0, 0, 0); }},
          {"lstm_peephole", [&] { lstm(vector(0, j), vector(1, j), vector(2, j)); }},
          {"gru",
           [&] {
             const double n = std::tanh(from_x(2, j) + sigmoid(both(0, j)) * from_h(2, j));
             out = n + sigmoid(both(1, j)) * (out - n);
           }},
          {"mgu",
           [&] {
             const double f = sigmoid(both(0, j)), n = std::tanh(from_x(1, j) + f * from_h(1, j));
             out += f * (n - out);
           }},
          {"leaky",  // options: alpha, learned_alpha, relu
           [&] {
             const double alpha = option(1) != 0 ? sigmoid(vector(0, j)) : option(0);
             const double n = option(2) != 0 ? std::max(0.0, both(0, j)) : std::tanh(both(0, j));
             out = (1 - alpha) * out + alpha * n;
           }},
      };
      equations.at(p.network.cell())();  // throws for a cell that nobody has written out
    }
    y.insert(y.end(), h.begin(), h.end());
  }
  return y;
}

// A network of each cell, and of each of its flags set.
std::vector<Network> every_arithmetic(index inputs, index hidden) {
  std::vector<Network> all;
  for (const auto& cell : rnncore::cell_names()) {
    all.emplace_back(cell, inputs, hidden, 1, true, false);
    const auto& description = rnncore::cell_description(cell);
    for (int k = 0; k < description.options; ++k)
      if (description.option[k].flag)
        all.emplace_back(cell, inputs, hidden, 1, true, false, false, 0,
                         rnncore::CellOptions{{description.option[k].name, 1}});
  }
  return all;
}

// Two layers, both directions, rows of different lengths, one of them cut in two segments.
Problem<double> ragged(const std::string& cell) {
  Problem<double> p(Network(cell, 3, 5, 2, true, true), 6, 3);
  p.lengths = {6, 0, 4};
  p.resets.assign(18, 0);
  p.resets[3 * 3] = 1;
  return p;
}

void check_gradient(Problem<double>& p, std::vector<double>& values, const std::vector<double>& gradient) {
  constexpr double step = 1e-5;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double value = values[i];
    values[i] = value + step;
    const double above = p.loss();
    values[i] = value - step;
    const double below = p.loss();
    values[i] = value;
    REQUIRE(gradient[i] == doctest::Approx((above - below) / (2 * step)).epsilon(1e-7));
  }
}

}  // namespace

TEST_CASE("forward follows the equations") {
  for (const index hidden : {1, 7, 20})
    for (const Network& network : every_arithmetic(3, hidden)) {
      CAPTURE(network.signature());
      Problem<double> p(network, 9, 1);
      p.forward();
      const auto expected = plain(p);
      for (std::size_t i = 0; i < expected.size(); ++i) REQUIRE(p.y[i] == doctest::Approx(expected[i]).epsilon(1e-13));
    }
}

TEST_CASE("backward is the derivative of forward") {
  for (const auto& cell : rnncore::cell_names()) {
    CAPTURE(cell);
    auto p = ragged(cell);
    p.forward();
    p.backward();
    check_gradient(p, p.parameters, p.dparameters);
    check_gradient(p, p.x, p.dx);
    for (index s = 0; s < p.network.num_states(); ++s) check_gradient(p, p.h0[s], p.dh0[s]);
  }
}

TEST_CASE("an input by number is the rows that it names") {
  for (const auto& cell : rnncore::cell_names()) {
    CAPTURE(cell);
    Problem<double> named = ragged(cell), written = ragged(cell);
    named.x.resize(5 * 3);
    named.labels.resize(18);
    for (std::size_t i = 0; i < 18; ++i) {
      const std::size_t label = (7 * i + i / 4) % 5;
      named.labels[i] = static_cast<index>(label);
      std::copy_n(named.x.begin() + std::ptrdiff_t(label * 3), 3, written.x.begin() + std::ptrdiff_t(i * 3));
    }
    for (auto* p : {&named, &written}) {
      p->forward();
      p->backward();
    }
    for (std::size_t i = 0; i < written.y.size(); ++i) REQUIRE(named.y[i] == doctest::Approx(written.y[i]));
    check_gradient(named, named.parameters, named.dparameters);
    check_gradient(named, named.x, named.dx);
  }
}

TEST_CASE_TEMPLATE("a sequence in two blocks gives the bits of the whole", T, float, double) {
  for (const auto& cell : rnncore::cell_names()) {
    CAPTURE(cell);
    const Network network(cell, 4, 11, 2, true, false);
    Problem<T> whole(network, 10, 3), first(network, 6, 3), second(network, 4, 3);
    first.parameters = second.parameters = whole.parameters;
    const auto cut = whole.x.begin() + 6 * 3 * 4;
    first.x.assign(whole.x.begin(), cut);
    second.x.assign(cut, whole.x.end());
    whole.forward();
    for (index s = 0; s < network.num_states(); ++s) first.h0[s] = whole.h0[s];
    first.forward();
    for (index s = 0; s < network.num_states(); ++s) second.h0[s] = first.hn[s];
    second.forward(false);
    auto y = first.y;
    y.insert(y.end(), second.y.begin(), second.y.end());
    CHECK(y == whole.y);
    for (index s = 0; s < network.num_states(); ++s) CHECK(second.hn[s] == whole.hn[s]);
  }
}

TEST_CASE_TEMPLATE("checkpoints change no bit", T, float, double) {
  for (const auto& cell : rnncore::cell_names())
    for (const index checkpoint : {1, 4, 30}) {
      CAPTURE(cell);
      CAPTURE(checkpoint);
      Problem<T> full(Network(cell, 6, 12, 3, true, false), 13, 4), blocks(full.network, 13, 4);
      blocks.checkpoint = checkpoint;
      blocks.control.threads = 2;
      for (auto* p : {&full, &blocks}) {
        p->lengths = {13, 0, 7, 12};
        p->resets.assign(13 * 4, 0);
        p->resets[4 * 4] = 1;
        for (int twice = 0; twice < 2; ++twice) p->forward();  // a cache may be used again
        p->backward();
      }
      CHECK(full.y == blocks.y);
      CHECK(full.dx == blocks.dx);
      CHECK(full.dparameters == blocks.dparameters);
      for (index s = 0; s < full.network.num_states(); ++s) {
        CHECK(full.hn[s] == blocks.hn[s]);
        CHECK(full.dh0[s] == blocks.dh0[s]);
      }
    }
}

TEST_CASE("a network that reads backwards cannot be checkpointed") {
  Problem<float> p(Network("gru", 3, 4, 1, true, true), 5, 2);
  p.checkpoint = 2;
  CHECK_THROWS_AS(p.forward(), std::invalid_argument);
}

TEST_CASE_TEMPLATE("NaN stays in its own row", T, float, double) {
  for (const auto& cell : rnncore::cell_names()) {
    CAPTURE(cell);
    Problem<T> clean(Network(cell, 4, 9, 1, true, false), 5, 4), spoiled(clean.network, 5, 4);
    spoiled.x[2 * 4 * 4 + 1 * 4] = std::numeric_limits<T>::quiet_NaN();  // step 2, row 1
    clean.forward();
    spoiled.forward();
    for (index t = 0; t < 5; ++t)
      for (index n = 0; n < 4; ++n)
        for (index j = 0; j < 9; ++j) {
          const auto i = static_cast<std::size_t>((t * 4 + n) * 9 + j);
          if (n == 1 && t >= 2) {
            REQUIRE(std::isnan(spoiled.y[i]));
          } else {
            REQUIRE(spoiled.y[i] == clean.y[i]);
          }
        }
  }
}

TEST_CASE("nothing to do leaves the state as it was") {
  for (const auto& cell : rnncore::cell_names()) {
    CAPTURE(cell);
    Problem<float> no_steps(Network(cell, 3, 5, 2, true, true), 0, 2), no_rows(no_steps.network, 4, 0);
    no_steps.forward();
    no_steps.backward();
    for (index s = 0; s < no_steps.network.num_states(); ++s) {
      CHECK(no_steps.hn[s] == no_steps.h0[s]);
      CHECK(no_steps.dh0[s] == no_steps.dhn[s]);
    }
    CHECK(no_steps.dparameters == std::vector<float>(no_steps.parameters.size(), 0));
    no_rows.forward();
    no_rows.backward();
    CHECK(no_rows.dparameters == std::vector<float>(no_rows.parameters.size(), 0));
  }
}

TEST_CASE("a network that cannot be is refused") {
  CHECK_THROWS_AS(Network("elman", 1, 1, 1, true, false), std::invalid_argument);
  CHECK_THROWS_WITH(Network("gru", 1, 0, 1, true, false), "hidden_size must be at least 1, got 0");
  CHECK_THROWS_WITH(Network("gru", -1, 1, 1, true, false), "input_size must be at least 0, got -1");
  CHECK_THROWS_WITH(Network("gru", 1, 1, 0, true, false), "num_layers must be at least 1, got 0");
  CHECK_THROWS_AS(Network("lstm", index(1) << 40, index(1) << 40, 1, true, false), rnncore::OutOfMemory);
}

TEST_CASE("a cell says its own names, sizes and options") {
  for (const auto& name : rnncore::cell_names()) {
    const auto& cell = rnncore::cell_description(name);
    CHECK(cell.name == name);
    CHECK(std::string(cell.state_names[0]) == "h");
    const Network network(name, 3, 4, 1, true, false);
    CHECK(network.num_states() == cell.states);
    CHECK(network.layout()[0].rows == 4 * cell.gates);
    CHECK_THROWS_AS(Network(name, 3, 4, 1, true, false, false, 0, {{"tree", 1.0}}), std::invalid_argument);
  }
  CHECK_THROWS_AS(rnncore::cell_description("tree"), std::invalid_argument);
}

TEST_CASE("parameters stand in PyTorch's order") {
  const Network network("gru", 3, 5, 2, true, true);
  const auto& layout = network.layout();
  REQUIRE(layout.size() == 16);
  CHECK(layout[0].name == "weight_ih_l0");
  CHECK(layout[5].name == "weight_hh_l0_reverse");
  CHECK(layout[8].name == "weight_ih_l1");
  CHECK(layout[8].columns == 10);
  CHECK(layout[15].name == "bias_hh_l1_reverse");
  CHECK(layout[15].offset + layout[15].rows == network.parameter_count());
}
