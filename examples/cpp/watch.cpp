// Watches sensors for faults: a detector that Python has fitted and saved, and rows from a pipe.
// tail -f pump.csv | watch pump.det
// A line holds the channels in their order, separated by commas, nothing or nan where a value is missing; where rows
// have times, the seconds since 1970 may stand before them. Out goes a line for each: its score, 0.5 at the threshold,
// and where an alarm begins or ends its kind and the channel.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "rnncore/rnncore.h"

struct Free {
  void operator()(rnncore_detector* detector) const { rnncore_detector_free(detector); }
};

static void check(int status) {
  if (status != RNNCORE_OK) throw std::runtime_error(rnncore_last_error());
}

static std::vector<double> numbers(const std::string& line) {
  std::vector<double> found;
  for (std::size_t begin = 0; begin <= line.size();) {
    const std::size_t end = std::min(line.find(',', begin), line.size());
    const std::string field = line.substr(begin, end - begin);
    char* rest = nullptr;
    const double value = std::strtod(field.c_str(), &rest);
    if (*rest != '\0') throw std::invalid_argument("expected a number, got '" + field + "'");
    found.push_back(field.empty() ? NAN : value);
    begin = end + 1;
  }
  return found;
}

class Watch {
 public:
  explicit Watch(const char* path) {
    rnncore_detector* loaded = nullptr;
    check(rnncore_detector_load(path, &loaded));
    detector_.reset(loaded);
    if (rnncore_detector_sensors(loaded) != 1) throw std::invalid_argument("expected a detector of one sensor");
    channels_ = static_cast<std::size_t>(rnncore_detector_channels(loaded));
  }

  void take(const std::string& line) {
    const std::vector<double> row = numbers(line);
    const bool timed = row.size() == channels_ + 1;
    if (!timed && row.size() != channels_)
      throw std::invalid_argument("expected " + std::to_string(channels_) + " numbers, got " +
                                  std::to_string(row.size()));
    rnncore_verdict verdict;
    check(rnncore_detector_step(detector_.get(), row.data() + timed, channels_ * sizeof(double), timed ? row[0] : NAN,
                                &verdict, sizeof verdict));
    std::printf("%.17g", verdict.score);
    if (verdict.event == 1)
      std::printf(" alarm: %s in %s", verdict.kind, rnncore_detector_channel_name(detector_.get(), verdict.channel));
    if (verdict.event == -1) std::printf(" end: %s", verdict.kind);
    std::puts("");
    std::fflush(stdout);
  }

 private:
  std::unique_ptr<rnncore_detector, Free> detector_;
  std::size_t channels_ = 0;
};

int main(int argc, char** argv) try {
  if (argc != 2) throw std::invalid_argument("usage: watch pump.det < rows.csv");
  Watch watch(argv[1]);
  long number = 0;
  for (std::string line; std::getline(std::cin, line);) {
    ++number;
    try {
      watch.take(line);
    } catch (const std::exception& error) {  // a sensor goes on, whatever a line holds
      std::fprintf(stderr, "line %ld left out: %s\n", number, error.what());
    }
  }
  return EXIT_SUCCESS;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return EXIT_FAILURE;
}
