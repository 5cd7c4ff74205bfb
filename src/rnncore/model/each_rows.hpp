// Work on rows that need nothing of each other, shared by threads.
#pragma once

#include <algorithm>
#include <functional>

#include "rnncore/control.hpp"
#include "rnncore/kernels/table.hpp"
#include "rnncore/parallel.hpp"

namespace rnncore {

// Work on so many rows, shared by threads where it is worth it: each row takes `cost` times as long as a
// multiplication.
inline void each_rows(index rows, index cost, Control& control, const std::function<void(index, index)>& work) {
  constexpr double worthwhile = 2e6;
  const bool alone = static_cast<double>(rows) * static_cast<double>(cost) < worthwhile;
  if (alone) return work(0, rows);
  const int threads = static_cast<int>(std::min<index>(thread_count(control.threads), rows));
  parallel(threads, control, [&](const Team& team) {
    constexpr index block = 1024;
    const index end = team.end(rows);
    for (index row = team.begin(rows); row < end && !team.stopped(); row += block) {
      work(row, std::min(row + block, end));
      team.look();
    }
  });
}

}  // namespace rnncore
