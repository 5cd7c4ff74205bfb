#include "rnncore/detection/monitor.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "rnncore/buffer.hpp"

namespace rnncore {
namespace {

constexpr index most_missing = 24;                        // of the long window, to speak of its spread
constexpr double least_spread = 1e-3, least_width = 0.1;  // in units of z
constexpr index swings = 4, turns = swings + 1;           // that make the pace, from turn to turn upwards
constexpr double least_swing = 1.0;                       // in units of z: what turns by less goes on
constexpr double alike = 1.5;                             // the longest of the swings over the shortest, at most
constexpr double day = 86400, full_turn = 6.283185307179586, ln10 = 2.302585092994046;
constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

// Evidence 3 at `margin` outside a range, and so much more for each ln 10 * scale further out.
double outside(double distance, double margin, double scale) {
  return distance > 0 ? 3 + (distance - margin) / (scale * ln10) : 0;
}

double evidence(index of, double x, const Range& range) {
  if (std::isnan(x) || range.low > range.high) return 0;
  switch (of) {
    case statistic::roughness:
      return outside(x - range.high, 0.3, 0.3);
    case statistic::spread:
      return outside(range.low - x, 0.3, 0.3);
    case statistic::repeats:
    case statistic::gap: {
      const double times = (x + 1e-9) / (2 * range.high + 2);
      return times > 1 ? outside(std::log(times), 0.3, 0.3) : 0;  // a logarithm takes long
    }
    case statistic::pace:
      return outside(std::max(range.low - x, x - range.high), 0.05, 0.05);
    default: {
      const double width = std::max(range.high - range.low, least_width);
      return outside(std::max(range.low - x, x - range.high) / width, 0.01, 0.05);
    }
  }
}

std::size_t sized(index size) { return static_cast<std::size_t>(size); }

}  // namespace

index MonitorShape::rows_kept() const {
  index longest = long_window;
  for (const index lag : lags) longest = std::max(longest, lag);
  return longest + 1;
}

Monitor::Monitor(const MonitorShape& shape, std::shared_ptr<Normal> normal)
    : shape_(shape), normal_(std::move(normal)), C_(shape.channels), K_(static_cast<index>(shape.lags.size())) {
  check_at_least("channels", 1, C_);
  R_ = shape_.rows_kept();
  first_head_ = std::min_element(shape_.lags.begin(), shape_.lags.end()) - shape_.lags.begin();
  u_.resize(sized(R_ * C_));
  z_.resize(u_.size());
  nothing_.resize(sized(C_));
  missing_.resize(z_.size());
  forecasts_.resize(sized(R_ * K_ * C_), unknown);
  sums_.resize(sized(5 * C_));
  counts_.resize(sized(3 * C_));
  swings_.resize(sized((5 + turns) * C_));
  std::fill(swings_.begin() + 3 * C_, swings_.end(), unknown);
  waiting_.resize(sized(shape_.delay * (K_ + statistics * C_)));
  tally_.resize(sized(1 + statistics));
  now_.resize(sized(statistics * C_), unknown);
  out_.resize(now_.size());
  head_scores_.resize(sized(K_));
  head_errors_.resize(sized(K_), unknown);
  scaled_.resize(sized(K_ * C_));
  expected_.resize(sized(C_), unknown);
  error_.resize(sized(C_));
}

void Monitor::inputs(const double* y, double seconds, float* x) {
  const bool first = rows_ == 0;
  const std::size_t here = at(0);
  const double *const u_last = past(u_, 1), *const z_last = past(z_, 1), *const u_short = past(u_, short_window),
                      *const u_long = past(u_, long_window), *const z_long = past(z_, long_window),
                      *const z_change = past(z_, change_window), *const z_before = past(z_, change_window + 1),
                      *const missing_long = past(missing_, long_window);
  for (index c = 0; c < C_; ++c) {
    const bool missing = std::isnan(y[c]);
    const double held = u_last[c], last = z_last[c];
    const double u = missing ? held : (y[c] - normal_->centre[sized(c)]) / normal_->scale[sized(c)];
    const double z = u == held ? last : std::asinh(u);
    counts_[sized(2 * C_ + c)] += missing - missing_long[c];
    counts_[sized(C_ + c)] = missing ? counts_[sized(C_ + c)] + 1 : 0;
    if (!missing) counts_[sized(c)] = !first && u == held ? counts_[sized(c)] + 1 : 1;
    const double change = first ? 0 : z - last, gone = rows_ > change_window ? z_change[c] - z_before[c] : 0;
    double* const sum = sums_.data() + c;
    sum[0] += u - u_short[c];
    sum[C_] += u - u_long[c];
    sum[2 * C_] += z - z_long[c];
    sum[3 * C_] += z * z - z_long[c] * z_long[c];
    sum[4 * C_] += change * change - gone * gone;
    if (!missing) follow_swing(c, z);
    u_[here + sized(c)] = u;
    z_[here + sized(c)] = z;
    missing_[here + sized(c)] = missing;
    x[c] = static_cast<float>(z);
    x[C_ + c] = static_cast<float>(change);
  }
  if (rows_ % R_ == R_ - 1) add_up();
  const double turn = std::isnan(seconds) ? 0 : full_turn * seconds / day;
  for (index k = 0; k < 2; ++k) {
    x[2 * C_ + 2 * k] = std::isnan(seconds) ? 0 : static_cast<float>(std::sin(double(k + 1) * turn));
    x[2 * C_ + 2 * k + 1] = std::isnan(seconds) ? 0 : static_cast<float>(std::cos(double(k + 1) * turn));
  }
}

// The sums anew, lest rounding errors pile up.
void Monitor::add_up() {
  std::fill(sums_.begin(), sums_.end(), 0.0);
  for (index back = long_window - 1; back >= 0; --back)
    for (index c = 0; c < C_; ++c) {
      const std::size_t here = at(back) + sized(c);
      const double z = z_[here], change = z - z_[at(back + 1) + sized(c)];
      double* const sum = sums_.data() + c;
      if (back < short_window) sum[0] += u_[here];
      sum[C_] += u_[here];
      sum[2 * C_] += z;
      sum[3 * C_] += z * z;
      if (back < change_window) sum[4 * C_] += change * change;
    }
}

void Monitor::follow_swing(index c, double z) {
  double* const of = swings_.data() + c;
  double &extreme = of[0], &upwards = of[C_], &row = of[2 * C_], &pace = of[3 * C_], &due = of[4 * C_];
  double* const turn = of + 5 * C_;
  const bool first = row++ == 0;
  if (first || (upwards != 0 ? z > extreme : z < extreme)) {
    extreme = z;
    return;
  }
  if (std::abs(z - extreme) < least_swing) return;
  extreme = z;
  upwards = upwards == 0;
  if (upwards == 0) return;
  for (index k = turns - 1; k > 0; --k) turn[k * C_] = turn[(k - 1) * C_];
  turn[0] = row;
  double shortest = row, longest = 0;
  for (index k = 0; k < swings; ++k) {
    const double length = turn[k * C_] - turn[(k + 1) * C_];
    shortest = std::min(shortest, length);
    longest = std::max(longest, length);
  }
  pace = longest <= alike * shortest ? std::log(turn[0] - turn[swings * C_]) : unknown;
  due = row + alike * shortest;
}

Verdict Monitor::judge(const float* forecast) {
  std::copy_n(forecast, K_ * C_, forecasts_.begin() + rows_ % R_ * K_ * C_);
  Verdict verdict;
  index kind = 0, channel = 0;
  measure();
  verdict.heads = verdict.evidence = judge_heads(verdict.channel);
  if (const double out = judge_ranges(kind, channel); out > verdict.evidence) {
    verdict.evidence = out;
    verdict.kind = kind;
    verdict.channel = channel;
  }
  raise(verdict);
  if (learns) learn();
  ++rows_;
  return verdict;
}

void Monitor::measure() {
  const double* const u = past(u_, 0);
  for (index c = 0; c < C_; ++c) {
    double* const now = now_.data() + c;
    const bool hidden = out_of_sight(c);
    const double mean = sums_[sized(2 * C_ + c)] / long_window;
    const double variance = std::max(sums_[sized(3 * C_ + c)] / long_window - mean * mean, 0.0);
    const bool full = rows_ + 1 >= long_window && !hidden;
    const bool rough = rows_ >= change_window && !hidden;
    const double changes = std::max(sums_[sized(4 * C_ + c)] / change_window, 0.0);
    now[statistic::value * C_] = hidden ? unknown : u[c];
    now[statistic::level * C_] = rows_ + 1 >= short_window && !hidden ? sums_[sized(c)] / short_window : unknown;
    now[statistic::trend * C_] = full ? sums_[sized(C_ + c)] / long_window : unknown;
    now[statistic::roughness * C_] = rough ? std::log(std::max(std::sqrt(changes), least_spread)) : unknown;
    now[statistic::spread * C_] = full && counts_[sized(2 * C_ + c)] <= most_missing
                                      ? std::log(std::max(std::sqrt(variance), least_spread))
                                      : unknown;
    now[statistic::repeats * C_] = hidden ? unknown : counts_[sized(c)];
    now[statistic::gap * C_] = counts_[sized(C_ + c)];
    now[statistic::pace * C_] =
        hidden || swings_[sized(2 * C_ + c)] > swings_[sized(4 * C_ + c)] ? unknown : swings_[sized(3 * C_ + c)];
  }
}

double Monitor::judge_heads(index& channel) {
  double total = 0, most = -1;
  const double *const z = past(z_, 0), *const missing = past(missing_, 0);
  std::fill(scaled_.begin(), scaled_.end(), 0.0);
  std::fill(head_scores_.begin(), head_scores_.end(), 0.0);
  std::fill(head_errors_.begin(), head_errors_.end(), unknown);
  std::fill(expected_.begin(), expected_.end(), unknown);
  for (index k = 0; k < K_; ++k) {
    const index lag = shape_.lags[sized(k)];
    if (lag > rows_) continue;
    const double* const made = forecasts_.data() + (rows_ - lag) % R_ * K_ * C_ + k * C_;
    const double *const was = past(z_, lag), *const was_missing = past(missing_, lag);
    for (index c = 0; c < C_; ++c) {
      const double expected = was[c] + made[c];
      error_[sized(c)] = missing[c] == 0 && was_missing[c] == 0 ? z[c] - expected : 0;
      scaled_[sized(k * C_ + c)] = error_[sized(c)] / normal_->spread[sized(k * C_ + c)];
      if (k == first_head_) expected_[sized(c)] = expected;
    }
    double square = 0;
    const double* row = normal_->whitening.data() + k * C_ * C_;
    for (index i = 0; i < C_; ++i, row += C_) {
      double white = 0;
      for (index c = 0; c < C_; ++c) white += row[c] * error_[sized(c)];
      square += white * white;
    }
    head_errors_[sized(k)] = std::sqrt(square / static_cast<double>(C_));
    head_scores_[sized(k)] = normal_->tails[sized(k)].score(head_errors_[sized(k)]);
    total += head_scores_[sized(k)];
  }
  for (index c = 0; c < C_; ++c) {
    double sum = 0;
    for (index k = 0; k < K_; ++k) sum += std::abs(scaled_[sized(k * C_ + c)]);
    if (sum > most) most = sum, channel = c;
  }
  return rows_ < shape_.warm || K_ == 0 ? 0 : total / static_cast<double>(K_);
}

double Monitor::judge_ranges(index& kind, index& channel) {
  double most = 0;
  for (index s = 0; s < statistics; ++s)
    for (index c = 0; c < C_; ++c) {
      const std::size_t place = sized(s * C_ + c);
      out_[place] = rows_ < shape_.warm ? 0 : evidence(s, now_[place], normal_->ranges[place]);
      if (out_[place] > most) most = out_[place], kind = 1 + s, channel = c;
    }
  return most;
}

void Monitor::raise(Verdict& verdict) {
  const bool above = verdict.evidence >= threshold;
  if (alarmed_ && !above && rows_ - last_ >= shape_.calm) {
    alarmed_ = false;
    verdict.event = -1;
  }
  const bool quiet = alarmed_ || rows_ - began_ <= shape_.quiet;
  const bool another = verdict.evidence > peak_ + 1 && (!alarmed_ || verdict.channel != channel_);
  if (above && (!quiet || another)) {
    alarmed_ = true;
    verdict.event = 1;
    began_ = rows_;
    channel_ = verdict.channel;
    peak_ = 0;
    std::fill(tally_.begin(), tally_.end(), 0.0);
  }
  if (!above || !alarmed_) return;
  last_ = rows_;
  peak_ = std::max(peak_, verdict.evidence);
  tally_[0] += verdict.heads >= threshold;
  for (index s = 0; s < statistics; ++s) {
    const auto out = out_.begin() + s * C_;
    tally_[sized(1 + s)] += *std::max_element(out, out + C_) >= threshold;
  }
}

double Monitor::suddenness(index channel) const {
  if (rows_ < 2) return 0;
  const auto z = [&](index back) {
    return z_[sized((rows_ - back) % R_ * C_ + channel)];
  };  // rows_ is past the last row
  const Range& range = normal_->ranges[sized(statistic::roughness * C_ + channel)];
  return range.low > range.high ? 0 : std::abs(z(1) - z(2)) / std::exp(range.high);
}

void Monitor::learn() {
  if (alarmed_ && rows_ - began_ < shape_.patience) {
    queued_ = 0;  // what came before an alarm may belong to it
    return;
  }
  const index width = K_ + statistics * C_;
  std::vector<double> row(head_errors_);
  row.insert(row.end(), now_.begin(), now_.end());
  if (shape_.delay == 0) return admit(row.data());
  double* const slot = waiting_.data() + rows_ % shape_.delay * width;
  if (queued_ == shape_.delay) admit(slot);
  queued_ = std::min(queued_ + 1, shape_.delay);
  std::copy(row.begin(), row.end(), slot);
}

void Monitor::admit(const double* row) {
  for (index k = 0; k < K_; ++k)
    if (!std::isnan(row[k])) normal_->tails[sized(k)].add(row[k]);
  row += K_;
  for (index i = 0; i < statistics * C_; ++i) {
    if (std::isnan(row[i])) continue;
    Range& range = normal_->ranges[sized(i)];
    if (i / C_ == statistic::pace && range.low > range.high) continue;  // the history had none
    range = range.low > range.high ? Range{row[i], row[i]}
                                   : Range{std::min(range.low, row[i]), std::max(range.high, row[i])};
  }
}

}  // namespace rnncore
