// What stands around the kernels: sizes and memory, threads, dropout, the choice of an instruction set.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "rnncore/buffer.hpp"
#include "rnncore/dispatch.hpp"
#include "rnncore/dropout.hpp"
#include "rnncore/kernels/table.hpp"
#include "rnncore/parallel.hpp"
#include "rnncore/row_order.hpp"

using rnncore::index;

namespace {

constexpr index most = std::numeric_limits<index>::max();

std::vector<index> even_split(index count, int workers) {
  std::vector<index> split;
  for (int w = 0; w <= workers; ++w) split.push_back(count * w / workers);
  return split;
}

}  // namespace

TEST_CASE("large memory that a call gives back is there for the next one, small memory and too much of it are not") {
  if (std::getenv("RNNCORE_KEEP_MB")) return;  // a run without it
  constexpr index megabyte = index(1) << 20;
  const auto first = rnncore::take_memory(21 * megabyte + 1);
  CHECK(reinterpret_cast<std::uintptr_t>(first.data) % 64 == 0);
  CHECK(first.bytes > 21 * megabyte);
  rnncore::give_memory(first);
  const auto far_less = rnncore::take_memory(9 * megabyte);
  CHECK(far_less.data != first.data);  // more than half would lie idle
  const auto less = rnncore::take_memory(15 * megabyte);
  CHECK(less.data == first.data);
  CHECK(less.bytes == first.bytes);
  const auto other = rnncore::take_memory(15 * megabyte);
  CHECK(other.data != first.data);  // in use
  for (const auto& block : {far_less, less, other}) rnncore::give_memory(block);
  std::vector<rnncore::Memory> many;
  for (int k = 0; k < 100; ++k) many.push_back(rnncore::take_memory(megabyte));
  for (const auto& block : many) rnncore::give_memory(block);  // 100 MB: not all are kept, none is lost or freed twice
  many.clear();
  for (int k = 0; k < 100; ++k) many.push_back(rnncore::take_memory(80 << 10));
  for (const auto& block : many) rnncore::give_memory(block);
  const auto wanted = rnncore::take_memory(3 * megabyte);
  rnncore::give_memory(wanted);
  CHECK(rnncore::take_memory(3 * megabyte).data == wanted.data);  // small ones that nobody asks for do not keep it out
  rnncore::give_memory(wanted);
  rnncore::give_memory(rnncore::take_memory(1));
  CHECK_THROWS_AS(rnncore::take_memory(most), rnncore::OutOfMemory);
}

TEST_CASE("sizes are checked up to 2^63") {
  CHECK(rnncore::checked_product({}) == 1);
  CHECK(rnncore::checked_product({3, 0, most}) == 0);
  CHECK(rnncore::checked_product({most, 1}) == most);
  CHECK_THROWS_AS(rnncore::checked_product({index(1) << 32, index(1) << 31}), rnncore::OutOfMemory);
  CHECK_THROWS_AS(rnncore::checked_product({-1, 2}), std::invalid_argument);
}

TEST_CASE("memory is aligned, and what cannot be had is named") {
  rnncore::Buffer<double> buffer(7);
  CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64 == 0);
  CHECK(rnncore::Buffer<double>(0).data() == nullptr);
  CHECK_THROWS_AS(rnncore::Buffer<double>{most}, rnncore::OutOfMemory);
  CHECK_THROWS_AS(rnncore::Buffer<char>{most}, rnncore::OutOfMemory);
  const double* place = buffer.data();
  rnncore::Buffer<double> moved(std::move(buffer));
  CHECK(moved.data() == place);
  CHECK(moved.size() == 7);
}

TEST_CASE("the best available instruction set runs unless one is named") {
  const auto compiled = rnncore::compiled_instruction_sets(), available = rnncore::available_instruction_sets();
  for (const auto& name : available) CHECK(std::find(compiled.begin(), compiled.end(), name) != compiled.end());
  const char* wanted = std::getenv("RNNCORE_ISA");
  CHECK(rnncore::instruction_set() == (wanted ? wanted : available.front()));
  CHECK(rnncore::kernels<float>().width == 2 * rnncore::kernels<double>().width);
}

TEST_CASE("each worker runs once and all meet at the barrier") {
  for (const int asked : {1, 2, 5}) {
    CAPTURE(asked);
    std::vector<index> split;
    int prepared = 0;
    std::atomic<int> arrived{0}, early{0};
    std::vector<std::atomic<int>> runs(64);
    const auto prepare = [&](rnncore::Team& team) {
      prepared = team.workers;
      split = even_split(64, team.workers);
      team.split = split.data();
    };
    const auto work = [&](const rnncore::Team& team) {
      ++arrived;
      team.synchronise();
      if (arrived != team.workers) ++early;
      team.synchronise();
      for (index i = team.split[team.worker]; i < team.split[team.worker + 1]; ++i) ++runs[static_cast<std::size_t>(i)];
    };
    rnncore::Control control;
    rnncore::parallel(asked, control, work, prepare);
    CHECK(prepared <= asked);
    CHECK(arrived == prepared);
    CHECK(early == 0);
    for (const auto& count : runs) CHECK(count == 1);
  }
}

TEST_CASE("workers share rows where there are enough, then directions, then units") {
  const index lengths[] = {5, 3, 3};
  const auto share = [&](int workers, index rows, index directions) {
    rnncore::Team team;
    team.workers = workers;
    const auto split = rnncore::share_work(lengths, rows, directions, team);
    CHECK(split.front() == 0);
    CHECK(split.back() == rows);
    if (team.share != rnncore::Share::rows) CHECK(split[1] == rows);
    return team.share;
  };
  CHECK(share(3, 3, 2) == rnncore::Share::rows);
  CHECK(share(2, 1, 2) == rnncore::Share::directions);
  CHECK(share(2, 1, 1) == rnncore::Share::units);
  CHECK(share(5, 3, 2) == rnncore::Share::units);
}

TEST_CASE("an exception of a worker comes out of the region") {
  for (const int asked : {1, 3}) {
    std::vector<index> split;
    const auto prepare = [&](rnncore::Team& team) {
      split = even_split(3, team.workers);
      team.split = split.data();
    };
    const auto fail = [](const rnncore::Team& team) {
      if (team.worker == team.workers - 1) throw std::runtime_error("worker " + std::to_string(team.worker));
    };
    rnncore::Control control;
    CHECK_THROWS_AS(rnncore::parallel(asked, control, fail, prepare), std::runtime_error);
  }
}

TEST_CASE("the number of threads: asked, then set, then the environment's") {
  const int before = rnncore::get_num_threads();
  CHECK(rnncore::thread_count(3) == 3);
  rnncore::set_num_threads(2);
  CHECK(rnncore::thread_count(0) == 2);
  rnncore::set_num_threads(0);
  CHECK(rnncore::get_num_threads() == before);
}

TEST_CASE("dropout keeps the mean, and all or nothing at its ends") {
  const auto mean = [](double probability) {
    std::vector<float> values(200000, 1);
    rnncore::drop({probability, 5}, 0, static_cast<index>(values.size()), values.data(), values.data());
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  };
  CHECK(mean(0.3) == doctest::Approx(1).epsilon(0.01));
  CHECK(mean(0) == 1);
  CHECK(mean(1) == 0);
}
