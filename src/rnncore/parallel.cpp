#include "rnncore/parallel.hpp"

#include "rnncore/kernels/table.hpp"

#include <atomic>
#include <cstdlib>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#include <pthread.h>
#endif

namespace rnncore {
namespace {

std::atomic<int> configured{0};
std::atomic<index> piece{usual_piece};

int environment_threads() {
  const char* text = std::getenv("RNNCORE_NUM_THREADS");
  const long threads = text ? std::strtol(text, nullptr, 10) : 0;
  return threads > 0 && threads < 4096 ? static_cast<int>(threads) : 0;
}

// Workers spin, since the wait is short, and give way once it is not.
class Barrier {
 public:
  explicit Barrier(int count) : count_(count) {}

  void wait() {
    const int generation = generation_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count_) {
      arrived_.store(0, std::memory_order_relaxed);
      generation_.store(generation + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; generation_.load(std::memory_order_acquire) == generation; ++spins)
      if (spins > 2000) std::this_thread::yield();
  }

 private:
  const int count_;
  std::atomic<int> arrived_{0}, generation_{0};
};

#ifdef _OPENMP
// OpenMP's threads do not live on in a forked child, but its runtime waits for them: the child stays on one thread.
std::atomic<bool> forked{false};
[[maybe_unused]] const int watching_forks = pthread_atfork(nullptr, nullptr, [] { forked = true; });

int threads_to_start(int asked) {
  if (forked || omp_in_parallel()) return 1;
  const int limit = omp_get_thread_limit();
  return asked < limit ? asked : limit;
}

// member(worker, workers) on so many threads, or on fewer. The thread sanitizer does not see how those of OpenMP meet.
void start(int threads, const std::function<void(int, int)>& member) {
#ifdef __SANITIZE_THREAD__
  std::vector<std::thread> others;
  for (int worker = 1; worker < threads; ++worker) others.emplace_back(std::cref(member), worker, threads);
  member(0, threads);
  for (std::thread& other : others) other.join();
#else
#pragma omp parallel num_threads(threads)
  member(omp_get_thread_num(), omp_get_num_threads());
#endif
}
#endif

}  // namespace

int get_num_threads() { return thread_count(0); }
void set_num_threads(int threads) { configured = threads; }

int thread_count(int asked) {
  static const int from_environment = environment_threads();
  if (asked > 0) return asked;
  if (configured > 0) return configured;
  if (from_environment > 0) return from_environment;
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

bool has_threads() {
#ifdef _OPENMP
  return true;
#else
  return false;
#endif
}

index set_piece(index multiply_adds) { return piece.exchange(multiply_adds); }

namespace {

void run(int threads, Team team, const std::function<void(const Team&)>& work,
         const std::function<void(Team&)>& prepare) {
#ifdef _OPENMP
  if (threads > 1) threads = threads_to_start(threads);
  if (threads > 1) {
    team.workers = threads;
    prepare(team);
    Barrier barrier(threads);
    team.wait = [](void* b) { static_cast<Barrier*>(b)->wait(); };
    team.barrier = &barrier;
    std::exception_ptr failure;
    std::mutex failing;
    bool too_few = false;
    start(threads, [&](int worker, int workers) {
      Team own = team;
      own.worker = worker;
      if (workers != threads) {  // the runtime may give fewer: nobody begins
        if (worker == 0) too_few = true;
        return;
      }
      try {
        work(own);
      } catch (...) {
        const std::lock_guard lock(failing);
        failure = std::current_exception();
      }
    });
    if (failure) std::rethrow_exception(failure);
    if (!too_few) return;
    team.workers = 1;
  }
#endif
  prepare(team);
  work(team);
}

}  // namespace

void parallel(int threads, Control& control, const std::function<void(const Team&)>& work,
              const std::function<void(Team&)>& prepare) {
  Team team;
  team.poll = control.poll;
  team.poll_context = control.poll_context;
  team.stop = &control.stop;
  team.piece = piece.load(std::memory_order_relaxed);
  run(threads, team, work, prepare);
  if (control.stop) throw Stopped();
}

}  // namespace rnncore
