// Streams: step by step the bits of the whole sequence, without an allocation.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <stdexcept>

#include "problem.hpp"
#include "rnncore/stream.hpp"

using rnncore::index;
using rnncore::Network;

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
  for (const auto& cell : rnncore::cell_names()) networks.emplace_back(cell, 5, 12, 2, true, false);
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
