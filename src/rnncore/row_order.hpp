// Rows in the order of descending length, and their split among workers.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "rnncore/buffer.hpp"
#include "rnncore/kernels/table.hpp"

namespace rnncore {

// order[slot] is a row, lengths[slot] its length; the longest first, equal ones in their own order.
inline void sort_rows(const index* lengths, index rows, index steps, index* order, index* sorted) {
  std::iota(order, order + rows, index{0});
  if (lengths) std::stable_sort(order, order + rows, [&](index a, index b) { return lengths[a] > lengths[b]; });
  for (index slot = 0; slot < rows; ++slot) sorted[slot] = lengths ? lengths[order[slot]] : steps;
}

// split[w]..split[w + 1] are the slots of worker w: about equal sums of steps.
inline std::vector<index> split_rows(const index* lengths, index rows, int workers) {
  std::vector<index> split(static_cast<std::size_t>(workers) + 1, rows);
  split[0] = 0;
  const index total = std::accumulate(lengths, lengths + rows, index{0});
  index slot = 0, done = 0;
  for (int w = 1; w < workers; ++w) {
    while (slot < rows && (done + lengths[slot] / 2) * workers < total * w) done += lengths[slot++];
    split[static_cast<std::size_t>(w)] = slot;
  }
  return split;
}

// The slots of each worker, and what they share: rows where there are enough.
inline std::vector<index> share_work(const index* lengths, index rows, index directions, Team& team) {
  if (team.workers <= std::max<index>(rows, 1)) {
    team.share = Share::rows;
    return split_rows(lengths, rows, team.workers);
  }
  team.share = team.workers <= directions ? Share::directions : Share::units;
  std::vector<index> split(static_cast<std::size_t>(team.workers) + 1, rows);
  split[0] = 0;
  return split;
}

}  // namespace rnncore
