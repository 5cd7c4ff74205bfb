// A detector in operation, from the file that Python's `Detector.save` has written: networks, what is normal, the
// threshold, and where it stood. Twin: python/rnncore/detection/row_by_row.py, store.py
#pragma once

#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rnncore/detection/forecaster.hpp"
#include "rnncore/detection/monitor.hpp"

namespace rnncore {

constexpr double next_row = std::numeric_limits<double>::quiet_NaN();

class Detector {
 public:
  // What parse_detector (file.hpp) takes out of a file.
  struct Parts {
    std::vector<std::string> channels;
    std::unique_ptr<Forecaster> forecaster;
    std::vector<Monitor> monitors;    // one for each sensor
    std::vector<double> suddenness;   // at the first row of each sensor's last alarm
    double seconds = next_row;        // time of the last row, NaN if rows have no times
    std::optional<double> time_step;  // seconds from row to row
  };
  explicit Detector(Parts parts);

  index sensors() const { return static_cast<index>(parts_.monitors.size()); }
  const std::vector<std::string>& channels() const { return parts_.channels; }
  double threshold() const { return parts_.monitors[0].threshold; }
  std::optional<double> time_step() const { return parts_.time_step; }

  // Take the next row of each sensor, y [N, C], NaN where a value is missing. With `seconds` since 1970 the rows that
  // never came in between are taken as missing, and an alarm that begins in one of them counts as one of this row; a
  // time before that of the last row is refused (std::invalid_argument), and nothing has changed. Does not allocate,
  // unless the detector goes on learning.
  void step(const double* y, double seconds = next_row);

  // Of the last row of sensor n: what the evidence is, and the same as a score in [0, 1), 0.5 at the threshold.
  const Verdict& verdict(index n) const { return verdicts_[static_cast<std::size_t>(n)]; }
  double score(index n) const;
  // What was expected of a channel in it; NaN without a forecast.
  double expected(index n, index channel) const;
  // The kind of the alarm that lasts, or was last; see kinds.hpp.
  const char* kind(index n) const;

 private:
  index rows_missing_before(double seconds) const;
  void advance(const double* y);

  Parts parts_;
  std::vector<Verdict> verdicts_;
  std::vector<float> x_, forecasts_;
  std::vector<double> missing_;  // [N, C] NaN
};

}  // namespace rnncore
