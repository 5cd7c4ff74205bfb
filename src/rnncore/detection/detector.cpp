#include "rnncore/detection/detector.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "rnncore/detection/kinds.hpp"

namespace rnncore {
namespace {

constexpr index most_missing = 10000;  // rows in a gap that are filled, at most

}  // namespace

Detector::Detector(Parts parts)
    : parts_(std::move(parts)),
      verdicts_(parts_.monitors.size()),
      x_(parts_.monitors.size() * static_cast<std::size_t>(parts_.monitors[0].input_size())),
      forecasts_(parts_.monitors.size() * static_cast<std::size_t>(parts_.monitors[0].forecast_size())),
      missing_(parts_.monitors.size() * parts_.channels.size(), next_row) {}

void Detector::step(const double* y, double seconds) {
  const bool timed = parts_.time_step && !std::isnan(seconds);
  const index missing = timed ? rows_missing_before(seconds) : 0;
  constexpr index none = -1;
  std::vector<index> begun;  // the channel of an alarm that begins in a missing row
  if (missing > 0) begun.resize(verdicts_.size(), none);
  for (index k = 0; k < missing; ++k) {
    advance(missing_.data());
    for (std::size_t n = 0; n < begun.size(); ++n)
      if (verdicts_[n].event == 1 && begun[n] == none) begun[n] = verdicts_[n].channel;
  }
  advance(y);
  for (std::size_t n = 0; n < begun.size(); ++n)
    if (begun[n] != none) {
      verdicts_[n].event = 1;
      verdicts_[n].channel = begun[n];
    }
  if (timed) parts_.seconds = seconds;
}

index Detector::rows_missing_before(double seconds) const {
  const double steps = (seconds - parts_.seconds) / *parts_.time_step;
  if (!(steps >= 0.5))
    throw std::invalid_argument("time goes backwards, or stands still: " + std::to_string(seconds) + " after " +
                                std::to_string(parts_.seconds) + " seconds");
  return static_cast<index>(std::min(std::nearbyint(steps) - 1, double{most_missing}));
}

void Detector::advance(const double* y) {
  auto& monitors = parts_.monitors;
  const std::size_t N = monitors.size(), C = parts_.channels.size();
  const auto width = static_cast<std::size_t>(monitors[0].input_size());
  const auto told = static_cast<std::size_t>(monitors[0].forecast_size());
  if (parts_.time_step) parts_.seconds += *parts_.time_step;
  for (std::size_t n = 0; n < N; ++n) {
    if (n + 1 < N) monitors[n + 1].ask_for_inputs();
    monitors[n].inputs(y + n * C, parts_.seconds, x_.data() + n * width);
  }
  parts_.forecaster->step(x_.data(), forecasts_.data());
  for (std::size_t n = 0; n < N; ++n) {
    if (n + 1 < N) monitors[n + 1].ask_for_judge();
    verdicts_[n] = monitors[n].judge(forecasts_.data() + n * told);
    if (verdicts_[n].event == 1) parts_.suddenness[n] = monitors[n].suddenness(verdicts_[n].channel);
  }
}

double Detector::score(index n) const {
  const double evidence = verdict(n).evidence;
  return evidence / (evidence + threshold());
}

double Detector::expected(index n, index channel) const {
  const Monitor& monitor = parts_.monitors[static_cast<std::size_t>(n)];
  const auto c = static_cast<std::size_t>(channel);
  return monitor.normal()->centre[c] + monitor.normal()->scale[c] * std::sinh(monitor.expected()[c]);
}

const char* Detector::kind(index n) const {
  const auto place = static_cast<std::size_t>(n);
  return kind_of(parts_.monitors[place].tally(), parts_.suddenness[place]);
}

}  // namespace rnncore
