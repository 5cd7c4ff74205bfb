#include "rnncore/detection/file.hpp"

#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "rnncore/buffer.hpp"
#include "rnncore/detection/tensor_values.hpp"
#include "rnncore/files/disk.hpp"
#include "rnncore/files/errors.hpp"

namespace rnncore {
namespace {

using json = nlohmann::json;

constexpr const char* format_name = "rnncore.detector";
constexpr int format_version = 1;
constexpr index most = index{1} << 40;  // of any size

index size_of(const json& value, index least) {
  if (!value.is_number_integer() || value < least || value > most)
    throw FormatError("a size is " + value.dump() + ", expected at least " + std::to_string(least));
  return value.get<index>();
}

double number_or_nan(const json& value) { return value.is_null() ? next_row : value.get<double>(); }

ForecasterShape forecaster_shape(const json& told, index sensors, index channels) {
  const json& parameters = told.at("parameters");
  ForecasterShape shape{
      parameters.at("forecaster").get<std::string>(), sensors, channels, size_of(parameters.at("hidden_size"), 1),
      size_of(parameters.at("members"), 1),           {}};
  for (const json& horizon : parameters.at("horizons")) shape.horizons.push_back(size_of(horizon, 1));
  shape.seasonal = parameters.contains("season") && !parameters.at("season").is_null();
  return shape;
}

MonitorShape monitor_shape(const json& sizes, index channels, std::vector<index> lags) {
  MonitorShape shape{channels, std::move(lags)};
  index* const to[] = {&shape.history, &shape.warm, &shape.calm, &shape.quiet, &shape.delay, &shape.patience};
  for (std::size_t k = 0; k < std::size(to); ++k) *to[k] = size_of(sizes.at(k), 0);
  return shape;
}

// What is normal of a sensor; its arrays have the sizes that the shape asks for.
std::shared_ptr<Normal> read_normal(const MonitorShape& shape, const Tensors& tensors, const std::string& prefix,
                                    const std::string& file) {
  const index C = shape.channels, K = static_cast<index>(shape.lags.size());
  const auto take = [&](const std::string& name, index size) {
    return values_of<double>(tensors, prefix + name, size, file);
  };
  const auto of_shape = [&](const std::string& name, std::initializer_list<index> extents) {
    return take(name, checked_product(extents));
  };
  auto normal = std::make_shared<Normal>();
  normal->centre = take("centre", C);
  normal->scale = take("scale", C);
  normal->whitening = of_shape("whitening", {K, C, C});
  normal->spread = of_shape("spread", {K, C});
  for (index k = 0; k < K; ++k) {
    const std::string number = std::to_string(k);
    normal->tails.emplace_back(shape.history);
    normal->tails.back().set(take("recent" + number, any_size), take("pending" + number, any_size));
  }
  const std::vector<double> low = take("low", statistics * C), high = take("high", statistics * C);
  for (std::size_t i = 0; i < low.size(); ++i) normal->ranges.push_back({low[i], high[i]});
  return normal;
}

// A monitor takes memory for what its shape says; the arrays of its state have to be as large.
void check_state_sizes(const MonitorShape& shape, const Tensors& tensors, const std::string& prefix,
                       const std::string& file) {
  const auto check = [&](const char* name, std::initializer_list<index> extents) {
    values_of<double>(tensors, prefix + name, checked_product(extents), file);
  };
  const index K = static_cast<index>(shape.lags.size());
  check("u", {shape.rows_kept(), shape.channels});
  check("forecasts", {shape.rows_kept(), K, shape.channels});
  check("waiting", {shape.delay, K + statistics * shape.channels});
}

void take_state(Monitor& monitor, const Tensors& tensors, const std::string& prefix, const std::string& file) {
  monitor.visit_state([&](const char* name, std::vector<double>& values) {
    values = values_of<double>(tensors, prefix + name, static_cast<index>(values.size()), file);
  });
}

Detector build(const json& told, const Tensors& tensors, const std::string& file) {
  Detector::Parts parts;
  const json &found = told.at("found"), &place = told.at("place");
  parts.channels = found.at("channels_").get<std::vector<std::string>>();
  const index channels = size_of(json(parts.channels.size()), 1), sensors = size_of(place.at("sensors"), 1);
  const ForecasterShape forecaster = forecaster_shape(told, sensors, channels);
  parts.forecaster = make_forecaster(forecaster, tensors, file);
  const MonitorShape shape = monitor_shape(told.at("shape"), channels, forecaster.lags());
  const bool learns = told.at("learns").get<bool>();
  const json& sudden = told.at("sudden");
  std::shared_ptr<Normal> normal;
  for (index n = 0; n < sensors; ++n) {
    const std::string number = std::to_string(n);
    check_state_sizes(shape, tensors, "state" + number + ".", file);
    if (n == 0 || learns) normal = read_normal(shape, tensors, "normal" + number + ".", file);
    Monitor& monitor = parts.monitors.emplace_back(shape, normal);
    monitor.threshold = found.at("threshold_").get<double>();
    monitor.learns = learns;
    take_state(monitor, tensors, "state" + number + ".", file);
    parts.suddenness.push_back(sudden.contains(number) ? sudden.at(number).get<double>() : 0);
  }
  parts.seconds = number_or_nan(place.at("seconds"));
  if (!place.at("step").is_null()) parts.time_step = place.at("step").get<double>();
  return Detector(std::move(parts));
}

}  // namespace

Detector parse_detector(std::string_view content, const std::string& name) {
  const Tensors tensors = parse_tensors(content, name, format_name, format_version);
  const auto described = tensors.metadata.find("detector");
  if (described == tensors.metadata.end()) throw FormatError(name + " does not say what detector it holds");
  try {
    return build(json::parse(described->second), tensors, name);
  } catch (const json::exception& error) {
    throw FormatError(name + " describes no detector of this version: " + error.what());
  } catch (const std::invalid_argument& error) {
    throw FormatError(name + " describes no detector of this version: " + error.what());
  } catch (const OutOfMemory& error) {
    throw FormatError(name + " describes no detector of this version: " + error.what());
  }
}

Detector load_detector(const std::string& path) { return parse_detector(read_file(path), path); }

}  // namespace rnncore
