// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "contrapunto/export/average_states.hpp"
#include "contrapunto/export/write_hugging_face.hpp"
#include "contrapunto/export/write_open_clip.hpp"
#include "contrapunto/io/read_file.hpp"
#include "contrapunto/io/read_weights.hpp"
#include "contrapunto/towers/find_model_config.hpp"
#include "contrapunto/towers/make_dual_encoder.hpp"
#include "contrapunto/towers/open_clip_state.hpp"
#include "io/temporary_folder.hpp"
#include "nn/raises.hpp"
#include "support/catch.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;

namespace {

/// The features of a model of `config` with the weights of a file or folder.
at::Tensor features(const ModelConfig& config, const std::filesystem::path& weights) {
  const at::NoGradGuard no_grad;
  auto model = make_dual_encoder(config);
  load_open_clip_state(model, config, read_weights(weights));
  torch::manual_seed(3);
  return at::cat(
      {model->encode_image(test::images(config, 2)), model->encode_text(test::texts({5, 9}))});
}

}  // namespace

TEST_CASE("Folders of transformers and OpenCLIP hold the same model", "[export][cpu]") {
  torch::manual_seed(62);
  const test::TemporaryFolder folder;
  auto config = test::small_config("ViT-B-32");
  const auto state = open_clip_state(make_dual_encoder(config), config);
  const auto theirs = folder.path() / "hf", ours = folder.path() / "open_clip";
  write_hugging_face(theirs, state, config);
  write_open_clip(ours, state, config);
  CHECK(std::filesystem::exists(theirs / "preprocessor_config.json"));
  CHECK_FALSE(std::filesystem::exists(theirs / "vocab.json"));
  CHECK(at::equal(features(find_model_config(theirs), theirs), features(config, ours)));
  CHECK(at::equal(features(find_model_config(ours), ours), features(config, ours)));

  // A model that cannot be written leaves the older folder as it is.
  const auto before = read_file(theirs / "config.json");
  auto other = config;
  other.initial_logit_bias = -10.0;
  CHECK(test::raises([&] { write_hugging_face(theirs, state, other); }, {"bias"}));
  CHECK(read_file(theirs / "config.json") == before);
  CHECK(test::raises([&] { static_cast<void>(read_weights(folder.path())); },
                     {"model.safetensors", folder.path().c_str()}));
}

TEST_CASE("The tokenizer is written with the vocabulary of the model", "[export][cpu]") {
  const char* vocabulary = std::getenv("CONTRAPUNTO_BPE_VOCAB");
  if (vocabulary == nullptr || *vocabulary == '\0') {
    WARN("CONTRAPUNTO_BPE_VOCAB is not set");
    return;
  }
  const test::TemporaryFolder folder;
  auto config = test::small_config("ViT-B-32");
  auto state = open_clip_state(make_dual_encoder(config), config);
  CHECK(test::raises([&] { write_hugging_face(folder.path() / "a", state, config, vocabulary); },
                     {"100 tokens", "49408"}));
  config.text.vocab_size = 49408;
  state = open_clip_state(make_dual_encoder(config), config);
  write_hugging_face(folder.path() / "b", state, config, vocabulary);
  const auto ids = nlohmann::json::parse(read_file(folder.path() / "b" / "vocab.json"));
  CHECK(ids.size() == 49408);
  CHECK((ids["<|endoftext|>"] == 49407 && ids["!"] == 0 && ids["!</w>"] == 256));
  const BpeTokenizer tokenizer(vocabulary);
  CHECK(tokenizer.encode("photo") == std::vector<std::int64_t>{ids["photo</w>"]});
  const auto merges = read_file(folder.path() / "b" / "merges.txt");
  CHECK(std::count(merges.begin(), merges.end(), '\n') == 48'895);
}

TEST_CASE("The average of states is the mean of their numbers", "[export][cpu]") {
  const TensorMap a{{"x", torch::tensor({1.0F, 2.0F})}, {"n", torch::tensor({7})}};
  const TensorMap b{{"x", torch::tensor({2.0F, 6.0F})}, {"n", torch::tensor({9})}};
  const auto mean = average_states({a, b});
  CHECK(at::equal(mean.at("x"), torch::tensor({1.5F, 4.0F})));
  CHECK(mean.at("n").item<std::int64_t>() == 7);
  CHECK(at::equal(average_states({b}).at("x"), b.at("x")));
  // Halves are summed in float32.
  const TensorMap half{{"x", torch::tensor({60000.0F}).to(torch::kHalf)}};
  CHECK(average_states({half, half, half}).at("x").item<float>() == 60000.0F);
  CHECK(test::raises([&] { static_cast<void>(average_states({a, half})); }, {"state 2", "'n'"}));
  CHECK(test::raises([] { static_cast<void>(average_states({})); }, {"no state"}));
}
