// libFuzzer's target for files of models. Built so that digests are not compared (tests/fuzz/README.md says how): what
// stands behind them is reached. What is read is written and read again, to the same bytes.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "rnncore/model/file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view content(reinterpret_cast<const char*>(data), size);
  const auto written = [](const rnncore::LoadedModel& loaded) {
    return std::visit([&](const auto& parameters) { return rnncore::format_model(loaded.model, parameters.data()); },
                      loaded.parameters);
  };
  try {
    const std::string once = written(rnncore::parse_model(content, "fuzz"));
    const std::string twice = written(rnncore::parse_model(once, "again"));
    if (once == twice) return 0;
  } catch (const rnncore::DamagedFileError&) {
    return 0;
  } catch (const rnncore::FormatError&) {
    return 0;
  }
  std::fprintf(stderr, "what was written is not what was read\n");
  std::abort();
}
