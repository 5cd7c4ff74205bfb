// A model as an audio effect: the host hands over blocks of samples, and nothing may allocate, lock or wait in between.
// audio_effect model.safetensors < in.f32 > out.f32   (mono, float32; the model takes a sample and gives one)
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "rnncore/rnncore.h"

static long allocations = 0;
void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

struct Free {
  void operator()(rnncore_model* model) const { rnncore_model_free(model); }
  void operator()(rnncore_stream* stream) const { rnncore_stream_free(stream); }
};

static void check(int status) {
  if (status != RNNCORE_OK) throw std::runtime_error(rnncore_last_error());
}

class Effect {
 public:
  explicit Effect(const std::string& path) {
    rnncore_model* loaded = nullptr;
    check(rnncore_model_load(path.c_str(), &loaded));
    const std::unique_ptr<rnncore_model, Free> model(loaded);  // the stream keeps the weights
    rnncore_stream* opened = nullptr;
    check(rnncore_stream_open(model.get(), 1, &opened));
    stream_.reset(opened);
    if (rnncore_model_input_type(loaded) != RNNCORE_FLOAT32 || rnncore_model_input_size(loaded) != 1 ||
        rnncore_model_output_size(loaded) != 1)
      throw std::invalid_argument(path + ": an effect takes one sample and gives one");
  }

  // Called by the host, on the thread that must not wait.
  void process(const float* in, float* out, std::size_t frames) noexcept {
    for (std::size_t k = 0; k < frames; ++k)
      rnncore_stream_step(stream_.get(), in + k, sizeof(float), out + k, sizeof(float));
  }
  // The transport stops: what was heard is forgotten.
  void reset() noexcept { rnncore_stream_reset(stream_.get(), nullptr, 0); }

 private:
  std::unique_ptr<rnncore_stream, Free> stream_;
};

int main(int argc, char** argv) try {
  if (argc != 2) throw std::invalid_argument("usage: audio_effect model.safetensors < in.f32 > out.f32");
  Effect effect(argv[1]);
  std::array<float, 64> in, out;
  long within = 0;
  while (const std::size_t frames = std::fread(in.data(), sizeof(float), in.size(), stdin)) {
    const long before = allocations;
    effect.process(in.data(), out.data(), frames);
    within += allocations - before;
    std::fwrite(out.data(), sizeof(float), frames, stdout);
  }
  std::fprintf(stderr, "%ld allocations in the callback\n", within);
  return within == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return EXIT_FAILURE;
}
