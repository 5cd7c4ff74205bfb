// rnncore._core.Monitor: N sensors watched side by side, which share what is normal until they learn.
#include "rnncore/detection/monitor.hpp"

#include <pybind11/stl.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "rnncore/detection/kinds.hpp"

namespace rnncore::bindings {
namespace {

using Values = std::vector<double>;
using Named = std::map<std::string, Values>;

class PyMonitor {
 public:
  PyMonitor(index channels, std::vector<index> lags, index history, index warm, index calm, index quiet, index delay,
            index patience, index sensors) {
    shape_ = {channels, std::move(lags), history, warm, calm, quiet, delay, patience};
    if (sensors < 1) throw py::value_error("sensors must be at least 1, got " + std::to_string(sensors));
    const auto C = static_cast<std::size_t>(channels), K = shape_.lags.size();
    auto normal = std::make_shared<Normal>();
    normal->centre.assign(C, 0);
    normal->scale.assign(C, 1);
    normal->whitening.assign(K * C * C, 0);
    for (std::size_t k = 0; k < K; ++k)
      for (std::size_t c = 0; c < C; ++c) normal->whitening[(k * C + c) * C + c] = 1;
    normal->spread.assign(K * C, 1);
    normal->tails.assign(K, Tail(history));
    normal->ranges.assign(static_cast<std::size_t>(statistics) * C, {1, 0});
    for (index n = 0; n < sensors; ++n) monitors_.emplace_back(shape_, normal);
  }

  // Others with the same idea of what is normal, at their beginning.
  std::unique_ptr<PyMonitor> with_sensors(index sensors) const {
    auto other = std::make_unique<PyMonitor>(*this);
    if (sensors < 1) throw py::value_error("sensors must be at least 1, got " + std::to_string(sensors));
    other->monitors_.clear();
    for (index n = 0; n < sensors; ++n) {
      other->monitors_.emplace_back(shape_, monitors_[0].normal());
      other->monitors_.back().threshold = monitors_[0].threshold;
      if (monitors_[0].learns) other->monitors_.back().own_normal();
      other->monitors_.back().learns = monitors_[0].learns;
    }
    return other;
  }

  // The same sensors where they are now, on their own from here on.
  std::unique_ptr<PyMonitor> fork() const {
    auto other = std::make_unique<PyMonitor>(*this);
    for (auto& monitor : other->monitors_) monitor.own_normal();
    return other;
  }

  // One step: rows y (N, C) -> inputs x (N, 2 C + 4) of the model.
  void inputs(const py::array& y, double seconds, const py::array& x) {
    const auto N = static_cast<index>(monitors_.size()), C = shape_.channels;
    const auto* from = pointer<double>(contiguous<double>(y, "y", {N, C}, Access::read));
    auto* to = pointer<float>(contiguous<float>(x, "x", {N, input_width(C)}, Access::write));
    for (std::size_t n = 0; n < monitors_.size(); ++n, from += C, to += input_width(C)) {
      if (n + 1 < monitors_.size()) monitors_[n + 1].ask_for_inputs();
      monitors_[n].inputs(from, seconds, to);
    }
  }

  // The rest of the step, with forecasts (N, K C): whether any event happened.
  bool judge(const py::array& forecast) {
    const auto N = static_cast<index>(monitors_.size()), width = monitors_[0].forecast_size();
    const auto* from = pointer<float>(contiguous<float>(forecast, "forecast", {N, width}, Access::read));
    verdicts_.resize(monitors_.size());
    bool any = false;
    for (std::size_t n = 0; n < monitors_.size(); ++n, from += width) {
      if (n + 1 < monitors_.size()) monitors_[n + 1].ask_for_judge();
      verdicts_[n] = monitors_[n].judge(from);
      any = any || verdicts_[n].event != 0;
    }
    return any;
  }

  py::tuple verdict(std::size_t n) const {
    const Verdict& v = verdicts_.at(n);
    return py::make_tuple(v.evidence, v.kind, v.channel, v.event);
  }

  // What the model gets of a block y (T, C) that a copy of the first sensor would see; the sensor itself stays.
  py::array inputs_of(const py::array& y, const py::array& seconds) const {
    const index T = y.ndim() ? y.shape(0) : 0, C = shape_.channels;
    const auto* from = pointer<double>(contiguous<double>(y, "y", {T, C}, Access::read));
    const auto* at = pointer<double>(contiguous<double>(seconds, "seconds", {T}, Access::read));
    py::array_t<float> x({T, input_width(C)});
    Monitor copy = monitors_[0];
    copy.learns = false;
    for (index t = 0; t < T; ++t) {
      copy.inputs(from + t * C, at[t], x.mutable_data(t));
      copy.skip();
    }
    return x;
  }

  // A block at once: T steps of the first sensor with forecasts (T, K C). By name: what a verdict holds (T,), and of
  // each row what the monitor tells of its last one.
  py::dict run(const py::array& y, const py::array& seconds, const py::array& forecasts) {
    using namespace py::literals;
    Monitor& monitor = monitors_[0];
    const index T = y.ndim() ? y.shape(0) : 0, C = shape_.channels, width = monitor.forecast_size();
    const auto* from = pointer<double>(contiguous<double>(y, "y", {T, C}, Access::read));
    const auto* at = pointer<double>(contiguous<double>(seconds, "seconds", {T}, Access::read));
    const auto* told = pointer<float>(contiguous<float>(forecasts, "forecasts", {T, width}, Access::read));
    py::array_t<double> evidence(T), heads(T), sudden(T), expected({T, C});
    py::array_t<index> kind(T), channel(T), event(T);
    const auto K = static_cast<index>(shape_.lags.size());
    py::array_t<float> errors({T, K, C}), out({T, index{statistics}, C}), now({T, index{statistics}, C}), sizes({T, K});
    const auto copy = [](const Values& values, auto* to) {
      for (const double value : values) *to++ = static_cast<std::remove_reference_t<decltype(*to)>>(value);
    };
    std::vector<float> x(static_cast<std::size_t>(monitor.input_size()));
    for (index t = 0; t < T; ++t) {
      monitor.inputs(from + t * C, at[t], x.data());
      const Verdict v = monitor.judge(told + t * width);
      evidence.mutable_at(t) = v.evidence;
      heads.mutable_at(t) = v.heads;
      sudden.mutable_at(t) = monitor.suddenness(v.channel);
      kind.mutable_at(t) = v.kind;
      channel.mutable_at(t) = v.channel;
      event.mutable_at(t) = v.event;
      copy(monitor.expected(), expected.mutable_data() + t * C);
      copy(monitor.errors(), errors.mutable_data() + t * width);
      copy(monitor.out_of_range(), out.mutable_data() + t * statistics * C);
      copy(monitor.now(), now.mutable_data() + t * statistics * C);
      copy(monitor.head_errors(), sizes.mutable_data() + t * K);
    }
    return py::dict("evidence"_a = evidence, "heads"_a = heads, "sudden"_a = sudden, "kind"_a = kind,
                    "channel"_a = channel, "event"_a = event, "expected"_a = expected, "errors"_a = errors,
                    "out"_a = out, "now"_a = now, "sizes"_a = sizes);
  }

  Values errors(std::size_t n) const { return monitors_.at(n).errors(); }
  Values out_of_range(std::size_t n) const { return monitors_.at(n).out_of_range(); }
  Values expected(std::size_t n) const { return monitors_.at(n).expected(); }
  Values tally(std::size_t n) const { return monitors_.at(n).tally(); }
  double suddenness(std::size_t n, index channel) const {
    if (channel < 0 || channel >= shape_.channels) throw py::index_error("no such channel");
    return monitors_.at(n).suddenness(channel);
  }
  bool alarmed(std::size_t n) const { return monitors_.at(n).alarmed(); }
  index began(std::size_t n) const { return monitors_.at(n).began(); }
  void forget_errors() { monitors_[0].forget_errors(); }
  void end_alarms() {
    for (auto& monitor : monitors_) monitor.end_alarm();
  }
  index rows() const { return monitors_[0].rows(); }
  // What a new monitor needs besides channels and lags, in the constructor's order.
  py::tuple shape() const {
    return py::make_tuple(shape_.history, shape_.warm, shape_.calm, shape_.quiet, shape_.delay, shape_.patience);
  }
  index sensors() const { return static_cast<index>(monitors_.size()); }

  double threshold() const { return monitors_[0].threshold; }
  void set_threshold(double threshold) {
    for (auto& monitor : monitors_) monitor.threshold = threshold;
  }
  bool learns() const { return monitors_[0].learns; }
  void set_learns(bool learns) {
    for (auto& monitor : monitors_) {
      if (learns && !monitor.learns && monitors_.size() > 1) monitor.own_normal();
      monitor.learns = learns;
    }
  }

  // ---- what is normal, of sensor n (all share it unless they learn)

  Named normal(std::size_t n) const {
    const Normal& normal = *monitors_.at(n).normal();
    Named named{
        {"centre", normal.centre}, {"scale", normal.scale}, {"whitening", normal.whitening}, {"spread", normal.spread}};
    for (std::size_t k = 0; k < normal.tails.size(); ++k) {
      named["recent" + std::to_string(k)] = normal.tails[k].recent();
      named["pending" + std::to_string(k)] = normal.tails[k].pending();
    }
    for (const Range& range : normal.ranges) {
      named["low"].push_back(range.low);
      named["high"].push_back(range.high);
    }
    return named;
  }

  void set_normal(std::size_t n, Named named) {
    Normal& normal = *monitors_.at(n).normal();
    const auto take = [&](const std::string& name, Values& to) {
      const auto found = named.find(name);
      if (found == named.end()) return;
      if (found->second.size() != to.size())
        throw py::value_error(name + " has " + std::to_string(found->second.size()) + " values, expected " +
                              std::to_string(to.size()));
      to = found->second;
    };
    take("centre", normal.centre);
    take("scale", normal.scale);
    take("whitening", normal.whitening);
    take("spread", normal.spread);
    for (std::size_t k = 0; k < normal.tails.size(); ++k) {
      const auto recent = named.find("recent" + std::to_string(k)), pending = named.find("pending" + std::to_string(k));
      if (recent != named.end() && pending != named.end())
        normal.tails[k].set(std::move(recent->second), std::move(pending->second));
    }
    Values low(normal.ranges.size()), high(low.size());
    if (!named.count("low") || !named.count("high")) return;
    take("low", low);
    take("high", high);
    for (std::size_t i = 0; i < low.size(); ++i) normal.ranges[i] = {low[i], high[i]};
  }

  Named state(std::size_t n) {
    Named named;
    monitors_.at(n).visit_state([&](const char* name, Values& values) { named[name] = values; });
    return named;
  }

  void set_state(std::size_t n, const Named& named) {
    monitors_.at(n).visit_state([&](const char* name, Values& values) {
      const auto found = named.find(name);
      if (found == named.end() || found->second.size() != values.size())
        throw py::value_error(std::string("the state of a monitor lacks ") + name + ", or has it in another size");
      values = found->second;
    });
  }

 private:
  MonitorShape shape_;
  std::vector<Monitor> monitors_;
  std::vector<Verdict> verdicts_;
};

}  // namespace

void bind_monitor(py::module_& module) {
  using namespace py::literals;
  module.attr("evidence_names") = py::tuple(py::cast(evidence_names));
  module.attr("kind_names") = py::tuple(py::cast(kind_names));
  module.def(
      "kind_of",
      [](const Values& tally, double suddenness) {
        if (tally.size() != evidence_names.size())
          throw py::value_error("tally has " + std::to_string(tally.size()) + " numbers, expected " +
                                std::to_string(evidence_names.size()));
        return kind_of(tally, suddenness);
      },
      "tally"_a, "suddenness"_a);
  py::class_<PyMonitor>(module, "Monitor", "Evidence of faults and alarms, a row at a time.", py::is_final())
      .def(py::init<index, std::vector<index>, index, index, index, index, index, index, index>(), "channels"_a,
           "lags"_a, "history"_a = 5000, "warm"_a = 100, "calm"_a = 12, "quiet"_a = 100, "delay"_a = 0,
           "patience"_a = 1000, "sensors"_a = 1)
      .def("with_sensors", &PyMonitor::with_sensors, "sensors"_a)
      .def("fork", &PyMonitor::fork)
      .def("inputs", &PyMonitor::inputs, "y"_a, "seconds"_a, "x"_a)
      .def("judge", &PyMonitor::judge, "forecast"_a)
      .def("verdict", &PyMonitor::verdict, "sensor"_a = 0)
      .def("inputs_of", &PyMonitor::inputs_of, "y"_a, "seconds"_a)
      .def("run", &PyMonitor::run, "y"_a, "seconds"_a, "forecasts"_a)
      .def("errors", &PyMonitor::errors, "sensor"_a = 0)
      .def("out_of_range", &PyMonitor::out_of_range, "sensor"_a = 0)
      .def("expected", &PyMonitor::expected, "sensor"_a = 0)
      .def("tally", &PyMonitor::tally, "sensor"_a = 0)
      .def("suddenness", &PyMonitor::suddenness, "sensor"_a, "channel"_a)
      .def("began", &PyMonitor::began, "sensor"_a = 0)
      .def("forget_errors", &PyMonitor::forget_errors)
      .def("end_alarms", &PyMonitor::end_alarms)
      .def("alarmed", &PyMonitor::alarmed, "sensor"_a = 0)
      .def("normal", &PyMonitor::normal, "sensor"_a = 0)
      .def("set_normal", &PyMonitor::set_normal, "sensor"_a, "named"_a)
      .def("state", &PyMonitor::state, "sensor"_a = 0)
      .def("set_state", &PyMonitor::set_state, "sensor"_a, "named"_a)
      .def_property("threshold", &PyMonitor::threshold, &PyMonitor::set_threshold)
      .def_property("learns", &PyMonitor::learns, &PyMonitor::set_learns)
      .def_property_readonly("shape", &PyMonitor::shape)
      .def_property_readonly("rows", &PyMonitor::rows)
      .def_property_readonly("sensors", &PyMonitor::sensors);
}

}  // namespace rnncore::bindings
