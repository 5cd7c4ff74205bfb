// Streams: step by step the bits of the whole sequence, without an allocation.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <utility>

#include "problem.hpp"
#include "rnncore/stream.hpp"

using rnncore::index;
using rnncore::Network;

static_assert(noexcept(std::declval<rnncore::Stream<float>&>().step(nullptr, 0, nullptr, 0)));

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
      rnncore::Stream<T> stream(packed, rows);
      for (index s = 0; s < p.network.num_states(); ++s) std::copy(p.h0[s].begin(), p.h0[s].end(), stream.state(s));
      std::vector<T> y(p.y.size());
      const int before = allocations;
      for (index t = 0; t < p.T_; ++t) stream.step(p.x.data() + t * rows * 5, 5, y.data() + t * rows * P, P);
      CHECK(allocations == before);
      CHECK(y == p.y);
      for (index s = 0; s < p.network.num_states(); ++s)
        CHECK(std::vector<T>(stream.state(s), stream.state(s) + p.state_size(s)) == p.hn[s]);
    }
}

TEST_CASE_TEMPLATE("linear layers behind the network allocate nothing either", T, float, double) {
  Problem<T> p(Network("lstm", 5, 12, 2, true, false), 8, 3);
  p.forward(false);
  const rnncore::Linear first(12, 7, true), second(7, 2, false);
  std::vector<T> weights(200);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<T>(static_cast<int>(i * 37 % 19) - 9) / 10;
  std::vector<T> between(8 * 3 * 7), expected(8 * 3 * 2), y(expected.size()), block(expected.size());
  rnncore::Control control;
  first.forward<T>(weights.data(), 24, {p.y.data(), 12}, {between.data(), 7}, control);
  second.forward<T>(weights.data(), 24, {between.data(), 7}, {expected.data(), 2}, control);

  std::vector<rnncore::PackedLinear<T>> heads;
  heads.emplace_back(first, weights.data());
  heads.emplace_back(second, weights.data());
  const auto packed =
      std::make_shared<const rnncore::PackedNetwork<T>>(p.network, p.parameters.data(), std::move(heads));
  rnncore::Stream<T> stream(packed, 3), blocks(packed, 3);
  for (auto* s : {&stream, &blocks})
    for (index k = 0; k < 2; ++k) std::copy(p.h0[k].begin(), p.h0[k].end(), s->state(k));
  const int before = allocations;
  for (index t = 0; t < p.T_; ++t) stream.step(p.x.data() + t * 3 * 5, 5, y.data() + t * 3 * 2, 2);
  CHECK(allocations == before);
  CHECK(y == expected);
  control.threads = 2;
  blocks.run(8, {p.x.data(), 15, 5}, {block.data(), 6, 2}, control);
  CHECK(block == expected);

  std::vector<rnncore::PackedLinear<T>> wrong;
  wrong.emplace_back(second, weights.data());
  CHECK_THROWS_WITH(rnncore::PackedNetwork<T>(p.network, p.parameters.data(), std::move(wrong)),
                    "a head takes 7 features, it gets 12");
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
  CHECK_THROWS_AS(rnncore::PackedNetwork<float>(network, parameters.data()), std::invalid_argument);
}
