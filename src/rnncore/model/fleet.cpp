#include "rnncore/model/fleet.hpp"

#include <algorithm>
#include <atomic>

#include "rnncore/kernels/table.hpp"
#include "rnncore/parallel.hpp"

namespace rnncore {
namespace {

// What a model's call asks in place of the caller: worker 0 asks the caller, all heed the answer.
struct Watch {
  const Team* team;
  Control* own;

  static void poll(void* self) {
    const auto& watch = *static_cast<Watch*>(self);
    watch.team->look();
    if (watch.team->stopped()) watch.own->stop = true;
  }
};

}  // namespace

void each_model(index count, Control& control, const std::function<void(index, Control&)>& work) {
  std::atomic<index> next{0};
  const int threads = static_cast<int>(std::min<index>(thread_count(control.threads), std::max<index>(count, 1)));
  parallel(
      threads, [](Team&) {},
      [&](const Team& team) {
        Control own;
        own.threads = 1;
        Watch watch{&team, &own};
        own.poll = Watch::poll;
        own.poll_context = &watch;
        for (index k = next++; k < count && !team.stopped(); k = next++) {
          try {
            work(k, own);
          } catch (const Stopped&) {
            return;
          }
          team.look();
        }
      },
      control.poll, control.poll_context, &control.stop);
  if (control.stop) throw Stopped();
}

}  // namespace rnncore
