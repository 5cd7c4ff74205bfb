// Watches the rows of sensors beside what was forecast of them: how far one leaves what was normal, and when that is
// an alarm. Twin: python/rnncore/reference/detection.py
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "rnncore/detection/tail.hpp"

namespace rnncore {

// What can leave its range, one number for each channel and row. Their names stand in kinds.hpp.
namespace statistic {
enum : index { value, level, trend, roughness, spread, repeats, gap, pace, count };
}
inline constexpr index statistics = statistic::count;

inline constexpr index short_window = 12, long_window = 96, change_window = 24;  // rows

// What a row gives forecasters: z of each channel, its change, and where in the day the row falls.
inline constexpr index day_inputs = 4;
constexpr index input_width(index channels) { return 2 * channels + day_inputs; }

struct MonitorShape {
  index channels = 1;
  std::vector<index> lags;  // of each head: it forecast the change from so many rows ago until now
  index history = 5000;     // errors that a head remembers
  index warm = 100;         // rows before there is any evidence
  index calm = 12;          // rows without evidence that end an alarm
  // Rows after the beginning of an alarm in which no other begins, unless it is ten times rarer than all of that one,
  // and that one has ended or is of another channel.
  index quiet = 100;
  index delay = 0;        // rows that have to follow a row without an alarm before it becomes normal
  index patience = 1000;  // rows of one alarm after which what goes on is the new normal

  index rows_kept() const;  // in rings: of the longest window or lag, and the current one
};

struct Range {
  double low, high;
};

// What is normal. Monitors share it unless they learn.
struct Normal {
  std::vector<double> centre, scale;  // [C] z = asinh((y - centre) / scale)
  std::vector<double> whitening;      // [K, C, C] of the errors of each head
  std::vector<double> spread;         // [K, C] of the errors of each channel alone
  std::vector<Tail> tails;            // [K]
  std::vector<Range> ranges;          // [statistics, C], low > high until known
};

struct Verdict {
  double evidence = 0;  // -log10 of how rare the row is, roughly
  double heads = 0;     // the part of the forecasts
  index kind = 0;       // 0: forecasts; 1 + the statistic
  index channel = 0;    // the one that contributes most
  index event = 0;      // 1: an alarm begins; -1: one ends
};

class Monitor {
 public:
  Monitor(const MonitorShape& shape, std::shared_ptr<Normal> normal);

  index input_size() const { return input_width(C_); }
  index forecast_size() const { return K_ * C_; }
  const MonitorShape& shape() const { return shape_; }

  double threshold = 3;
  bool learns = false;  // rows become normal when `delay` rows have followed them without an alarm

  // x [input_size()] of row y [C], NaN where missing; `seconds` is its time, NaN if it has none: day_inputs are 0 then.
  void inputs(const double* y, double seconds, float* x);
  // The row after its inputs, with what was forecast from them, [K, C]: changes of z over each head's lag.
  Verdict judge(const float* forecast);
  // Ask for the memory of inputs() and of judge(): with many sensors it lies in no cache when a sensor's turn comes.
  // Inline, since GCC takes a call that does nothing else for one without an effect.
  [[gnu::always_inline]] void ask_for_inputs() const {
    for (const index back : {index{0}, short_window, change_window, change_window + 1, long_window}) {
      if (back > rows_) break;
      ask(u_, at(back), C_);
      ask(z_, at(back), C_);
    }
    ask(sums_, 0, 5 * C_);
    ask(swings_, 0, 5 * C_);
  }
  [[gnu::always_inline]] void ask_for_judge() const {
    ask(forecasts_, static_cast<std::size_t>(rows_ % R_ * K_ * C_), K_ * C_);
    for (index k = 0; k < K_; ++k) {
      const index lag = shape_.lags[static_cast<std::size_t>(k)];
      if (lag > rows_) continue;
      ask(z_, at(lag), C_);
      ask(missing_, at(lag), C_);
      ask(forecasts_, static_cast<std::size_t>((rows_ - lag) % R_ * K_ * C_ + k * C_), C_);
    }
    ask(now_, 0, statistics * C_);
    ask(out_, 0, statistics * C_);
  }
  // In place of judge() where only inputs are asked for.
  void skip() { ++rows_; }

  // Of the last row: what the heads say [K], how far statistics are out [statistics, C], errors [K, C] by their spread.
  const std::vector<double>& head_scores() const { return head_scores_; }
  const std::vector<double>& out_of_range() const { return out_; }
  const std::vector<double>& errors() const { return scaled_; }
  // The statistics themselves [statistics, C], NaN where unknown, and the size of the whitened error of each head [K].
  const std::vector<double>& now() const { return now_; }
  const std::vector<double>& head_errors() const { return head_errors_; }
  // What the head with the shortest lag expected of the last row [C], in z; NaN before there is one.
  const std::vector<double>& expected() const { return expected_; }
  bool alarmed() const { return alarmed_; }
  void end_alarm() {
    alarmed_ = false;
    began_ = never;
    peak_ = 0;
  }
  // Of the alarm that lasts or was last: its first row, and how many rows since had evidence, by kind [1 + statistics].
  index began() const { return began_; }
  const std::vector<double>& tally() const { return tally_; }
  // The change of z in the last row of a channel, over the largest spread of changes that is normal.
  double suddenness(index channel) const;
  index rows() const { return rows_; }
  const std::shared_ptr<Normal>& normal() const { return normal_; }
  void forget_errors() { normal_->tails.assign(normal_->tails.size(), Tail(shape_.history)); }
  void own_normal() { normal_ = std::make_shared<Normal>(*normal_); }

  // Calls visit(name, vector) for all that changes from row to row, but for what is normal.
  template <class Visit>
  void visit_state(Visit&& visit) {
    position_ = {double(rows_),   double(alarmed_), double(began_), double(last_),
                 double(queued_), double(channel_), peak_};
    visit("u", u_);
    visit("z", z_);
    visit("missing", missing_);
    visit("forecasts", forecasts_);
    visit("sums", sums_);
    visit("counts", counts_);
    visit("swings", swings_);
    visit("waiting", waiting_);
    visit("tally", tally_);
    visit("position", position_);
    rows_ = index(position_[0]);
    alarmed_ = position_[1] != 0;
    began_ = index(position_[2]);
    last_ = index(position_[3]);
    queued_ = index(position_[4]);
    channel_ = index(position_[5]);
    peak_ = position_[6];
  }

 private:
  [[gnu::always_inline]] static void ask(const std::vector<double>& of, std::size_t from, index size) {
    for (index i = 0; i < size; i += 8) __builtin_prefetch(of.data() + from + i);  // a cache line
    if (size > 0) __builtin_prefetch(of.data() + from + size - 1);
  }
  std::size_t at(index back) const {
    return static_cast<std::size_t>((rows_ - back) % R_ * C_);
  }  // of a row in u_ and z_
  // A row of a ring; before the first one, zeros.
  const double* past(const std::vector<double>& ring, index back) const {
    return rows_ < back ? nothing_.data() : ring.data() + at(back);
  }
  bool out_of_sight(index c) const { return counts_[static_cast<std::size_t>(C_ + c)] > 0; }
  void add_up();
  void follow_swing(index c, double z);
  void measure();
  double judge_heads(index& channel);
  double judge_ranges(index& kind, index& channel);
  void raise(Verdict& verdict);
  void learn();
  void admit(const double* row);

  MonitorShape shape_;
  std::shared_ptr<Normal> normal_;
  index C_, K_, R_, first_head_;   // R_: rows that the rings hold; first_head_: the one of the shortest lag
  index rows_ = 0;                 // before the current one
  std::vector<double> u_;          // [R, C] (y - centre) / scale, the last one known where missing
  std::vector<double> z_;          // [R, C] asinh(u)
  std::vector<double> missing_;    // [R, C] 0 or 1
  std::vector<double> nothing_;    // [C] zeros
  std::vector<double> forecasts_;  // [R, K, C]
  std::vector<double> sums_;    // [5, C] of 12 and 96 u, of 96 z and their squares, of the squares of 24 changes of z
  std::vector<double> counts_;  // [3, C] rows of the same value, rows missing until now, rows missing of the last 96
  // [5 + turns, C] the highest z since it turned upwards or the lowest since it turned down, whether it goes up, rows
  // known; log of the rows that the last swings took, NaN unless they are alike; when the next turn is overdue; the
  // last turns upwards, the latest first, in rows known
  std::vector<double> swings_;
  std::vector<double> waiting_;   // [delay, K + statistics * C] rows on their way to become normal
  std::vector<double> tally_;     // [1 + statistics]
  std::vector<double> position_;  // the integers of the state as visit_state shows them
  std::vector<double> now_, out_, head_scores_, head_errors_, scaled_, expected_, error_;
  static constexpr index never = -(index{1} << 52);  // a double holds it
  bool alarmed_ = false;
  index began_ = never, last_ = 0, queued_ = 0;
  index channel_ = 0;  // of the last alarm, and its highest evidence
  double peak_ = 0;
};

}  // namespace rnncore
