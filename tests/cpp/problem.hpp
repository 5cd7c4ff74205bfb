// A random problem for a network, with everything that forward and backward read and write. Sizes as in network.hpp.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "rnncore/network.hpp"

template <class T>
struct Problem {
  using index = rnncore::index;

  rnncore::Network network;
  index T_, N;
  rnncore::Control control{1};
  index checkpoint = 0;
  std::vector<T> parameters, x, dy;
  std::vector<T> h0[rnncore::max_states], dhn[rnncore::max_states];
  std::vector<index> lengths;        // empty: all are T
  std::vector<std::uint8_t> resets;  // empty: none
  std::vector<index> labels;         // empty: x is (T, N, I), else (distinct, I)
  std::vector<index> starts;         // empty: (T, N, ...) arrays, else a packed batch in the same memory
  rnncore::WeightFormat format = rnncore::WeightFormat::full;
  rnncore::Dropout dropout;

  std::vector<T> y, dx, dparameters;
  std::vector<T> hn[rnncore::max_states], dh0[rnncore::max_states];
  rnncore::Cache<T> cache;

  Problem(rnncore::Network net, index steps, index rows) : network(std::move(net)), T_(steps), N(rows) {
    parameters = random(network.parameter_count());
    x = random(T_ * N * network.input_size());
    dy = random(T_ * N * outputs());
    for (index s = 0; s < network.num_states(); ++s) {
      h0[s] = random(state_size(s));
      dhn[s] = random(state_size(s));
    }
  }

  index outputs() const { return network.output_size(); }
  index state_size(index s) const {
    return network.num_layers() * network.num_directions() * N * network.state_size(s);
  }

  void forward(bool keep = true) {
    y.assign(static_cast<std::size_t>(T_ * N * outputs()), T(77));  // poisoned: every element has to be written
    rnncore::Inputs<T> in;
    in.steps = T_;
    in.rows = N;
    in.checkpoint = checkpoint;
    in.format = format;
    in.dropout = dropout;
    in.parameters = parameters.data();
    in.x = rows<const T>(x.data(), network.input_size());
    if (!lengths.empty()) in.lengths = lengths.data();
    if (!resets.empty()) in.resets = resets.data();
    if (!labels.empty()) {
      in.labels = labels.data();
      in.distinct = static_cast<index>(x.size()) / network.input_size();
      in.x.time = 0;
    }
    rnncore::Outputs<T> out;
    out.y = rows(y.data(), outputs());
    for (index s = 0; s < network.num_states(); ++s) {
      in.initial[s] = h0[s].data();
      hn[s].assign(static_cast<std::size_t>(state_size(s)), T(77));
      out.final[s] = hn[s].data();
    }
    network.forward(in, out, keep ? &cache : nullptr, control);
  }

  void backward() {
    rnncore::OutputGradients<T> out;
    out.parameters = parameters.data();
    out.y = rows<const T>(dy.data(), outputs());
    dx.assign(x.size(), T(77));
    dparameters.assign(parameters.size(), T(0));
    rnncore::InputGradients<T> in;
    in.x = rows(dx.data(), network.input_size());
    if (!labels.empty()) in.x.time = 0;
    in.parameters = dparameters.data();
    for (index s = 0; s < network.num_states(); ++s) {
      out.final[s] = dhn[s].data();
      dh0[s].assign(static_cast<std::size_t>(state_size(s)), T(77));
      in.initial[s] = dh0[s].data();
    }
    network.backward(cache, out, in, control);
  }

  // The sum of dy * y and dhn * hn: what backward differentiates.
  T loss() {
    forward(false);
    T sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += dy[i] * y[i];
    for (index s = 0; s < network.num_states(); ++s)
      for (std::size_t i = 0; i < hn[s].size(); ++i) sum += dhn[s][i] * hn[s][i];
    return sum;
  }

 private:
  template <class E>
  rnncore::Rows<E> rows(E* data, index columns) const {
    return {data, starts.empty() ? N * columns : 0, columns, starts.empty() ? nullptr : starts.data()};
  }

  std::vector<T> random(index count) {
    std::vector<T> values(static_cast<std::size_t>(count));
    std::uniform_real_distribution<double> uniform(-0.7, 0.7);
    for (T& value : values) value = static_cast<T>(uniform(generator_));
    return values;
  }

  std::mt19937_64 generator_{20};
};
