// Streams: step by step the bits of the whole sequence, without an allocation.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <utility>

#include "problem.hpp"
#include "rnncore/model/stream.hpp"

using rnncore::index;
using rnncore::Network;

static_assert(noexcept(std::declval<rnncore::StreamPlan<float>&>().step(nullptr, nullptr, 0, 1, nullptr, 0, nullptr,
                                                                        0)));

namespace {
std::atomic<int> allocations{0};
}

// The linker sends the calls here (see CMakeLists.txt).
extern "C" {
void* __real_malloc(std::size_t size);
void* __real_aligned_alloc(std::size_t alignment, std::size_t size);
void* __real__Znwm(std::size_t size);

void* __wrap_malloc(std::size_t size) {
  ++allocations;
  return __real_malloc(size);
}
void* __wrap_aligned_alloc(std::size_t alignment, std::size_t size) {
  ++allocations;
  return __real_aligned_alloc(alignment, size);
}
void* __wrap__Znwm(std::size_t size) {
  ++allocations;
  return __real__Znwm(size);
}
}

TEST_CASE_TEMPLATE("a stream gives the bits of the whole sequence and allocates nothing", T, float, double) {
  std::vector<Network> networks{Network("lstm", 5, 12, 2, true, false, false, 7)};
  for (const auto& cell : rnncore::cell_names())
    for (const index hidden_size : {4, 8, 12, 16, 24, 32, 40, 48})
      networks.emplace_back(cell, 5, hidden_size, 2, true, false);
  for (const auto& network : networks)
    for (const index rows : {1, 3}) {
      CAPTURE(network.signature());
      CAPTURE(rows);
      Problem<T> p(network, 8, rows);
      const index P = network.output_size();
      p.forward(false);

      const auto packed = std::make_shared<const rnncore::PackedNetwork<T>>(p.network, p.parameters.data());
      const rnncore::StreamPlan<T> stream(packed, rows);
      const rnncore::Buffer<T> states(stream.state_size()), scratch(stream.scratch_size());
      const auto state = [&](index s) { return states.data() + stream.state_begin(s); };
      for (index s = 0; s < p.network.num_states(); ++s) std::copy(p.h0[s].begin(), p.h0[s].end(), state(s));
      std::vector<T> y(p.y.size());
      const int before = allocations;
      for (index t = 0; t < p.T_; ++t)
        stream.step(states.data(), scratch.data(), 0, rows, p.x.data() + t * rows * 5, 5, y.data() + t * rows * P, P);
      CHECK(allocations == before);
      CHECK(y == p.y);
      for (index s = 0; s < p.network.num_states(); ++s)
        CHECK(std::vector<T>(state(s), state(s) + p.state_size(s)) == p.hn[s]);
    }
}

// Layers of every kind that looks at one step, between recurrent ones of different cells.
rnncore::Architecture every_kind(bool labels) {
  rnncore::Architecture a;
  a.dtype = "float64";
  if (labels) a.layers.push_back({"table", rnncore::EmbeddingOptions{9, 5}});
  rnncore::RecurrentOptions lstm{"lstm", 5, 12}, gru{"gru", 12, 6}, rnn{"rnn_tanh", 7, 7};
  lstm.num_layers = 2;
  lstm.learned_state = true;
  a.layers.push_back({"lstm", lstm});
  a.layers.push_back({"drop", rnncore::DropoutOptions{0.5}});
  a.layers.push_back({"norm", rnncore::LayerNormOptions{12}});
  a.layers.push_back({"gru", gru});
  a.layers.push_back({"wide", rnncore::LinearOptions{6, 7, true, rnncore::Activation::gelu}});
  a.layers.push_back({"rnn", rnn});
  a.layers.push_back({"out", rnncore::LinearOptions{7, 3, false, rnncore::Activation::tanh}});
  return a;
}

TEST_CASE_TEMPLATE("a model's steps have the bits of its own call, and allocate nothing", T, float, double) {
  constexpr index T_ = 8;
  for (const bool labels : {false, true})
    for (const index N : {1, 3}) {
      const rnncore::Model model(every_kind(labels));
      std::vector<T> parameters(static_cast<std::size_t>(model.parameter_count()));
      for (std::size_t i = 0; i < parameters.size(); ++i)
        parameters[i] = static_cast<T>(static_cast<int>(i * 37 % 19) - 9) / 20;
      std::vector<T> x(static_cast<std::size_t>(T_ * N * 5)), y(static_cast<std::size_t>(T_ * N * 3)), steps(y),
          block(y);
      std::vector<index> numbers(static_cast<std::size_t>(T_ * N));
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<T>(i % 7) / 3;
      for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<index>(i * i % 9);
      std::vector<std::vector<T>> final;
      std::vector<T*> pointers;
      for (const auto& state : model.states())
        final.emplace_back(static_cast<std::size_t>(state.layers * N * state.size));
      for (auto& array : final) pointers.push_back(array.data());
      rnncore::ModelInputs<T> in;
      in.steps = T_, in.rows = N, in.parameters = parameters.data();
      in.x = {x.data(), N * 5, 5};
      in.labels = {numbers.data(), N, 1};
      rnncore::ModelOutputs<T> out;
      out.y = {y.data(), N * 3, 3};
      out.final = pointers.data();
      rnncore::Control control;
      model.forward<T>(in, out, nullptr, control);

      const auto packed = std::make_shared<const rnncore::PackedModel<T>>(model, parameters.data());
      rnncore::ModelStream<T> stream(packed, N), blocks(packed, N);
      const int before = allocations;
      for (index t = 0; t < T_; ++t)
        labels ? stream.step(numbers.data() + t * N, steps.data() + t * N * 3, 3)
               : stream.step(x.data() + t * N * 5, 5, steps.data() + t * N * 3, 3);
      CHECK(allocations == before);
      CHECK(steps == y);
      std::vector<T> state(static_cast<std::size_t>(stream.state_size())), joined;
      stream.copy_state(state.data());
      for (const auto& array : final) joined.insert(joined.end(), array.begin(), array.end());
      CHECK(state == joined);

      control.threads = 2;
      const rnncore::Rows<T> to{block.data(), N * 3, 3};
      labels ? blocks.run(T_, rnncore::Rows<const index>{numbers.data(), N, 1}, to, control)
             : blocks.run(T_, rnncore::Rows<const T>{x.data(), N * 5, 5}, to, control);
      CHECK(block == y);
      for (index n = 0; n < N; ++n) blocks.reset(n);
      blocks.set_state(state.data());
      stream.copy_state(joined.data());
      CHECK(state == joined);
    }
}

TEST_CASE("a model that does not fit together is refused") {
  rnncore::Architecture a = every_kind(false);
  std::get<rnncore::LinearOptions>(a.layers.back().options).in_features = 8;
  CHECK_THROWS_WITH(rnncore::Model{a}, "layer out (Linear) expects 8 features, layer rnn (rnn_tanh) gives 7");
  a = every_kind(false);
  a.layers.push_back({"table", rnncore::EmbeddingOptions{9, 5}});
  CHECK_THROWS_WITH(rnncore::Model{a}, "layer table (Embedding) takes integers: it must be the first layer");
  a = every_kind(false);
  std::get<rnncore::RecurrentOptions>(a.layers[3].options).bidirectional = true;
  std::get<rnncore::LinearOptions>(a.layers[4].options).in_features = 12;
  const rnncore::Model both(a);
  const std::vector<double> parameters(static_cast<std::size_t>(both.parameter_count()));
  CHECK_THROWS_WITH(rnncore::PackedModel<double>(both, parameters.data()),
                    "a bidirectional layer cannot stream: it reads the future");
}

TEST_CASE("the count of allocations counts") {
  const int before = allocations;
  const rnncore::Buffer<float> buffer(10);
  ::operator delete(::operator new(8));
  CHECK(buffer.size() == 10);
  CHECK(allocations == before + 2);
}

TEST_CASE("a network that reads backwards cannot be streamed") {
  const Network network("gru", 3, 4, 1, true, true);
  const std::vector<float> parameters(static_cast<std::size_t>(network.parameter_count()));
  const auto packed = std::make_shared<const rnncore::PackedNetwork<float>>(network, parameters.data());
  CHECK_THROWS_AS(rnncore::StreamPlan<float>(packed, 1), std::invalid_argument);
}
