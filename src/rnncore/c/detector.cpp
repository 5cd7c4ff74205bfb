// The C face of a detector.
#include <cinttypes>
#include <cmath>

#include "rnncore/c/error.hpp"
#include "rnncore/c/handles.hpp"
#include "rnncore/detection/file.hpp"
#include "rnncore/detection/kinds.hpp"
#include "rnncore/dispatch.hpp"

using namespace rnncore;
using namespace rnncore::c;

struct rnncore_detector {
  Detector engine;
};

namespace {

index channels_of(const rnncore_detector& detector) noexcept {
  return static_cast<index>(detector.engine.channels().size());
}

rnncore_verdict told_of(const Detector& engine, index n) {
  const Verdict& verdict = engine.verdict(n);
  rnncore_verdict told{};
  told.score = engine.score(n);
  told.evidence = verdict.evidence;
  told.source = evidence_names[static_cast<std::size_t>(verdict.kind)];
  told.channel = verdict.channel;
  told.expected = engine.expected(n, verdict.channel);
  told.event = static_cast<int>(verdict.event);
  told.kind = engine.kind(n);
  return told;
}

}  // namespace

extern "C" {

int rnncore_detector_load(const char* path, rnncore_detector** detector) {
  if (!path) return refuse_null("path", "the name of a file");
  if (!detector) return refuse_null("detector", "where to put a handle");
  return guarded([&] {
    kernels<float>();  // an RNNCORE_ISA that cannot run fails here, not in a step
    *detector = new rnncore_detector{load_detector(path)};
    return RNNCORE_OK;
  });
}

void rnncore_detector_free(rnncore_detector* detector) { delete detector; }

int64_t rnncore_detector_sensors(const rnncore_detector* detector) {
  return detector ? detector->engine.sensors() : -1;
}
int64_t rnncore_detector_channels(const rnncore_detector* detector) { return detector ? channels_of(*detector) : -1; }
const char* rnncore_detector_channel_name(const rnncore_detector* detector, int64_t channel) {
  if (!detector || channel < 0 || channel >= channels_of(*detector)) return nullptr;
  return detector->engine.channels()[static_cast<std::size_t>(channel)].c_str();
}
double rnncore_detector_time_step(const rnncore_detector* detector) {
  return detector ? detector->engine.time_step().value_or(next_row) : next_row;
}

int rnncore_detector_step(rnncore_detector* detector, const double* rows, size_t rows_bytes, double seconds,
                          rnncore_verdict* verdicts, size_t verdicts_bytes) {
  if (!detector) return refuse_null("detector");
  const index sensors = detector->engine.sensors();
  int status = check_buffer("rows", rows, rows_bytes, bytes_of(1, sensors, channels_of(*detector), sizeof(double)));
  if (!status)
    status = check_buffer("verdicts", verdicts, verdicts_bytes, bytes_of(1, sensors, 1, sizeof(rnncore_verdict)));
  for (index i = 0; !status && i < sensors * channels_of(*detector); ++i)
    if (std::isinf(rows[i]))
      status = fail(RNNCORE_INVALID_ARGUMENT, "rows[%" PRId64 "] is infinite, expected a number, or NaN", i);
  if (status) return status;
  return guarded([&] {
    detector->engine.step(rows, seconds);
    for (index n = 0; n < sensors; ++n) verdicts[n] = told_of(detector->engine, n);
    return RNNCORE_OK;
  });
}

}  // extern "C"
