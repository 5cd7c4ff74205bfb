// Files of models: written, read again, and streamed.
#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "rnncore/files/sha256.hpp"
#include "rnncore/model/file.hpp"
#include "rnncore/model/stream.hpp"

using rnncore::index;

namespace {

rnncore::Model small_model() {
  rnncore::RecurrentOptions lstm;
  lstm.cell = "lstm";
  lstm.input_size = 2;
  lstm.hidden_size = 5;
  lstm.num_layers = 2;
  lstm.proj_size = 3;
  return rnncore::Model(
      {"float64", {{"memory", lstm}, {"head", rnncore::LinearOptions{3, 1, true, rnncore::Activation::gelu}}}});
}

std::vector<double> numbers(index count) {
  std::vector<double> values(static_cast<std::size_t>(count));
  for (std::size_t k = 0; k < values.size(); ++k) values[k] = static_cast<double>(k * 37 % 19) / 19 - 0.5;
  return values;
}

}  // namespace

TEST_CASE("digests are those of FIPS 180-4") {
  const auto digest = [](const std::string& text) {
    rnncore::Sha256 sha;
    for (std::size_t k = 0; k < text.size(); k += 37) sha.update(text.substr(k, 37));
    return sha.hexdigest();
  };
  CHECK(digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(digest(std::string(1000000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("a model comes back from its file, and streams") {
  const rnncore::Model model = small_model();
  const auto parameters = numbers(model.parameter_count());
  const std::string path = (std::filesystem::temp_directory_path() / "rnncore_test_files.safetensors").string();
  rnncore::save_model(model, parameters.data(), path);
  const rnncore::LoadedModel loaded = rnncore::load_model(path);
  std::filesystem::remove(path);
  CHECK(loaded.model.signature() == model.signature());
  const auto& read = std::get<rnncore::Buffer<double>>(loaded.parameters);
  CHECK(std::vector<double>(read.data(), read.data() + read.size()) == parameters);

  rnncore::ModelStream<double> stream(std::make_shared<const rnncore::PackedModel<double>>(loaded.model, read.data()),
                                      1);
  const double x[] = {1, -1};
  double y = 0, again = 0;
  stream.step(x, 2, &y, 1);
  auto fork = stream.fork();
  stream.step(x, 2, &y, 1);
  fork.step(x, 2, &again, 1);
  CHECK(y == again);
  CHECK(y != 0);
}

TEST_CASE("files that are none are refused by name") {
  CHECK_THROWS_AS(rnncore::load_model("/nowhere/model.safetensors"), std::filesystem::filesystem_error);
  CHECK_THROWS_WITH_AS(rnncore::parse_model("", "x"),
                       "x is no safetensors file, or damaged: it has 0 bytes, expected at least 8",
                       rnncore::DamagedFileError);
  const rnncore::Model model = small_model();
  const auto parameters = numbers(model.parameter_count());
  std::string content = rnncore::format_model(model, parameters.data());
  content.back() = static_cast<char>(content.back() ^ 1);
  CHECK_THROWS_WITH_AS(rnncore::parse_model(content, "x"), "x is damaged: its content does not match its digest",
                       rnncore::DamagedFileError);
  CHECK_THROWS_WITH(rnncore::format_model(model, static_cast<const float*>(nullptr)),
                    "the model is of float64, its parameters are float32");
}
