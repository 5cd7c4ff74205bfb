// A network with everything that a call of it reads and writes, drawn at random.
#pragma once

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "rnncore/network.hpp"
#include "rnncore/stream.hpp"

namespace rnncore::bench {

struct Case {
  std::string cell;
  index hidden, input, rows, steps;

  double operations() const {
    const double gates = cell_description(cell).gates;
    return 2.0 * double(steps * rows * hidden) * gates * double(input + hidden);
  }
  std::string name() const {
    return cell + "/H:" + std::to_string(hidden) + "/I:" + std::to_string(input) + "/N:" + std::to_string(rows) +
           "/T:" + std::to_string(steps);
  }
};

template <class T>
class Problem {
 public:
  explicit Problem(const Case& c)
      : network(c.cell, c.input, c.hidden, 1, true, false),
        parameters(filled(network.parameter_count(), 0.1)),
        x(filled(c.steps * c.rows * c.input, 1)),
        y(filled(c.steps * c.rows * c.hidden, 1)),
        dy(y),
        dx(x),
        d_parameters(parameters),
        stream(std::make_shared<PackedNetwork<T>>(network, parameters.data()), c.rows),
        stream_state(filled(stream.state_size(), 1)),
        scratch(stream.scratch_size()) {
    for (auto& state : states) state = filled(c.rows * c.hidden, 1);
    inputs.steps = c.steps;
    inputs.rows = c.rows;
    inputs.parameters = parameters.data();
    inputs.x = {x.data(), c.rows * c.input, c.input};
    outputs.y = {y.data(), c.rows * c.hidden, c.hidden};
    for (index s = 0; s < network.num_states(); ++s) outputs.final[s] = states[s].data();
    control.threads = 1;
  }

  void infer() { network.forward(inputs, outputs, static_cast<Cache<T>*>(nullptr), control); }
  void train() {
    Cache<T> cache;
    network.forward(inputs, outputs, &cache, control);
    const OutputGradients<T> d_outputs{parameters.data(), {dy.data(), outputs.y.time, outputs.y.row}, {}};
    InputGradients<T> d_inputs{{dx.data(), inputs.x.time, inputs.x.row}, {}, d_parameters.data()};
    for (index s = 0; s < network.num_states(); ++s) d_inputs.initial[s] = states[max_states + s].data();
    network.backward(cache, d_outputs, d_inputs, control);
  }
  // The first step of x, from the state that the last call left.
  void step() {
    const index part = rows_at_a_time(stream.rows());
    for (index n = 0; n < stream.rows(); n += part)
      stream.step(stream_state.data(), scratch.data(), n, std::min(part, stream.rows() - n),
                  x.data() + n * inputs.x.row, inputs.x.row, y.data() + n * outputs.y.row, outputs.y.row);
  }

 private:
  static std::vector<T> filled(index count, double scale) {
    std::mt19937 random(1);
    std::uniform_real_distribution<double> uniform(-scale, scale);
    std::vector<T> values(static_cast<std::size_t>(count));
    for (auto& value : values) value = static_cast<T>(uniform(random));
    return values;
  }

  Network network;
  std::vector<T> parameters, x, y, dy, dx, d_parameters, states[2 * max_states];
  StreamPlan<T> stream;
  std::vector<T> stream_state;
  Buffer<T> scratch;
  Inputs<T> inputs;
  Outputs<T> outputs;
  Control control;
};

}  // namespace rnncore::bench
