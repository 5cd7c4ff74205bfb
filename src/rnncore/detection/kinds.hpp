// What goes wrong, by name. An alarm has a kind from its first row on, which may change while it lasts: a spike is over
// at once, a level shift stays. Twin: python/rnncore/reference/detection.py
#pragma once

#include <algorithm>
#include <array>
#include <vector>

namespace rnncore {

// What evidence is of: forecasts, then what can leave its range, in the order of `statistic` (monitor.hpp).
inline constexpr std::array<const char*, 9> evidence_names = {"forecast", "value",   "level", "trend", "roughness",
                                                              "spread",   "repeats", "gap",   "pace"};
inline constexpr std::array<const char*, 8> kind_names = {"spike", "level shift",  "drift",   "stuck",
                                                          "noise", "missing data", "pattern", "change of rate"};

// The kind follows from how many rows since the alarm began had evidence of each sort above the threshold (tally, in
// the order of evidence_names), and from the change at its first row, in the largest spread of changes that is usual.
inline const char* kind_of(const std::vector<double>& tally, double suddenness) {
  constexpr double brief = 3;         // rows of a spike, at most
  constexpr double brief_level = 15;  // rows in which a spike moves the mean over 12
  constexpr double sudden_from = 2;   // times the largest usual change
  const double value = tally[1], level = tally[2], trend = tally[3], roughness = tally[4], spread = tally[5];
  const double repeats = tally[6], gap = tally[7], pace = tally[8];
  if (gap > 0) return kind_names[5];
  if (repeats > 0) return kind_names[3];
  if (pace > 2 * (value + level + roughness)) return kind_names[7];
  if (spread > std::max({level, trend, value})) return kind_names[3];
  const bool sudden = suddenness > sudden_from, moved = level > 0 || trend > 0;
  if (sudden && value <= brief && level <= brief_level && (value > 0 || !(moved || roughness > 0)))
    return kind_names[0];
  if (roughness > std::max(level, trend)) return kind_names[4];
  if (moved) return kind_names[sudden ? 1 : 2];
  return kind_names[roughness > 0 ? 4 : 6];
}

}  // namespace rnncore
