// How rare an error is among those before it: rank, and an exponential tail where ranks end.
// Twin: python/rnncore/reference/detection.py
#pragma once

#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

#include "rnncore/arrays.hpp"

namespace rnncore {

// -log10 of the share of the last `capacity` errors that are larger. Above their 95 % quantile u it is
// 1.301 + (e - u) / (beta ln 10), beta the mean excess over u. New errors count from the next renewal on.
class Tail {
 public:
  explicit Tail(index capacity) : capacity_(capacity) {}

  double score(double error) const {
    const auto n = static_cast<double>(sorted_.size());
    if (sorted_.empty()) return 0;
    if (error > u_) return 1.301 + (error - u_) / (beta_ * 2.302585092994046);
    const auto above = static_cast<double>(sorted_.end() - std::lower_bound(sorted_.begin(), sorted_.end(), error));
    return std::clamp(-std::log10((above + 0.5) / (n + 1)), 0.0, 1.301);
  }

  void add(double error) {
    pending_.push_back(error);
    const auto known = static_cast<index>(sorted_.size());
    if (static_cast<index>(pending_.size()) >= std::max<index>(50, known / 50)) renew();
  }

  // Takes in what was added.
  void renew() {
    if (pending_.empty()) return;
    recent_.insert(recent_.end(), pending_.begin(), pending_.end());
    const auto leaving = std::max<index>(0, static_cast<index>(recent_.size()) - capacity_);
    std::vector<double> old(recent_.begin(), recent_.begin() + leaving), all;
    std::sort(old.begin(), old.end());
    std::sort(pending_.begin(), pending_.end());
    std::merge(sorted_.begin(), sorted_.end(), pending_.begin(), pending_.end(), std::back_inserter(all));
    sorted_.clear();
    std::set_difference(all.begin(), all.end(), old.begin(), old.end(), std::back_inserter(sorted_));
    recent_.erase(recent_.begin(), recent_.begin() + leaving);
    pending_.clear();
    measure();
  }

  index size() const { return static_cast<index>(sorted_.size()); }
  double quantile(double q) const {
    return sorted_.empty() ? 0 : sorted_[static_cast<std::size_t>(q * static_cast<double>(sorted_.size() - 1))];
  }

  // The errors in their order, those that do not count yet behind the others, and how many these are.
  const std::vector<double>& recent() const { return recent_; }
  const std::vector<double>& pending() const { return pending_; }
  void set(std::vector<double> recent, std::vector<double> pending) {
    recent_ = sorted_ = std::move(recent);
    pending_ = std::move(pending);
    std::sort(sorted_.begin(), sorted_.end());
    measure();
  }

 private:
  void measure() {
    u_ = quantile(0.95);
    double excess = 0, count = 0;
    for (auto e = std::upper_bound(sorted_.begin(), sorted_.end(), u_); e != sorted_.end(); ++e) {
      excess += *e - u_;
      ++count;
    }
    beta_ = std::max({count > 0 ? excess / count : 0.0, 0.1 * (u_ - quantile(0.5)), 1e-3});
  }

  index capacity_;
  std::vector<double> recent_, pending_, sorted_;
  double u_ = 0, beta_ = 1e-3;
};

}  // namespace rnncore
