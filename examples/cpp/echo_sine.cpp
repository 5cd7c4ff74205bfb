// Trains a GRU of 16 units to say what a sine was four steps ago, with the C++ library alone.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "rnncore/network.hpp"

int main() {
  using rnncore::index;
  const index steps = 100, rows = 8, hidden = 16, delay = 4;
  const rnncore::Network network("gru", 1, hidden, 1, true, false);

  std::mt19937 generator(1);
  std::uniform_real_distribution<float> uniform(-0.25f, 0.25f), phase(0.0f, 6.28f);
  std::vector<float> parameters(static_cast<std::size_t>(network.parameter_count()));
  for (float& p : parameters) p = uniform(generator);

  // x is [step][row][1]; the first hidden unit is the network's answer.
  std::vector<float> x, target;
  std::vector<float> start(rows);
  for (float& s : start) s = phase(generator);
  for (index t = 0; t < steps; ++t)
    for (const float s : start) {
      x.push_back(0.8f * std::sin(s + 0.3f * static_cast<float>(t)));
      target.push_back(0.8f * std::sin(s + 0.3f * static_cast<float>(t - delay)));
    }

  std::vector<float> y(static_cast<std::size_t>(steps * rows * hidden)), dy(y.size());
  std::vector<float> final(static_cast<std::size_t>(rows * hidden)), d_initial(final.size());
  std::vector<float> gradient(parameters.size()), mean(parameters.size()), square(parameters.size());

  rnncore::Inputs<float> in;
  in.steps = steps;
  in.rows = rows;
  in.parameters = parameters.data();
  in.x = {x.data(), rows, 1};

  float loss = 0;
  for (int step = 1; step <= 200; ++step) {
    rnncore::Cache<float> cache;
    rnncore::Control control;
    network.forward(in, rnncore::Outputs<float>{{y.data(), rows * hidden, hidden}, {final.data()}}, &cache, control);

    loss = 0;
    std::fill(dy.begin(), dy.end(), 0.0f);
    for (std::size_t i = 0; i < target.size(); ++i) {
      const float error = y[i * hidden] - target[i];
      loss += error * error / static_cast<float>(target.size());
      dy[i * hidden] = 2 * error / static_cast<float>(target.size());
    }

    std::fill(gradient.begin(), gradient.end(), 0.0f);
    rnncore::OutputGradients<float> out;
    out.parameters = parameters.data();
    out.y = {dy.data(), rows * hidden, hidden};
    network.backward(cache, out, rnncore::InputGradients<float>{{}, {d_initial.data()}, gradient.data()}, control);

    // Adam (Kingma and Ba, 2015).
    const float rate = 0.02f * std::sqrt(1 - std::pow(0.999f, step)) / (1 - std::pow(0.9f, step));
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      mean[i] += 0.1f * (gradient[i] - mean[i]);
      square[i] += 0.001f * (gradient[i] * gradient[i] - square[i]);
      parameters[i] -= rate * mean[i] / (std::sqrt(square[i]) + 1e-8f);
    }
  }
  std::printf("loss after 200 steps: %.4f\n", static_cast<double>(loss));
}
