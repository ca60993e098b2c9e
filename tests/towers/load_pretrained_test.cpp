// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/towers/load_pretrained.hpp"

#include <cstdlib>

#include "contrapunto/text/byte_tokenizer.hpp"
#include "contrapunto/text/write_hugging_face_tokenizer.hpp"
#include "contrapunto/towers/write_model_config.hpp"
#include "io/temporary_folder.hpp"
#include "nn/raises.hpp"
#include "support/catch.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;

namespace {

/// Writes a random model that knows `tokens` tokens into `folder`, as OpenCLIP does, and returns
/// it.
PretrainedModel write_model(const test::TemporaryFolder& folder, std::int64_t tokens) {
  torch::manual_seed(5);
  PretrainedModel written{.config = test::small_config("ViT-B-32")};
  written.config.text.vocab_size = tokens;
  written.model = make_dual_encoder(written.config);
  written.model->eval();
  write_model_config(folder / "open_clip_config.json", written.config);
  write_safetensors(folder / "open_clip_model.safetensors",
                    open_clip_state(written.model, written.config));
  return written;
}

void check_same(const PretrainedModel& a, const PretrainedModel& b) {
  const at::NoGradGuard no_grad;
  const auto image = torch::randn({2, 3, a.config.image_size(), a.config.image_size()});
  const auto tokens = b.tokenizer.encode_all({"a red door", "two boats"});
  CHECK(at::equal(a.model->encode_image(image), b.model->encode_image(image)));
  CHECK(at::equal(a.model->encode_text(tokens), b.model->encode_text(tokens)));
}

}  // namespace

TEST_CASE("A folder and a file give the model that was written, ready to use", "[towers][cpu]") {
  const test::TemporaryFolder folder;
  const std::int64_t bytes = ByteTokenizer({.context_length = 16}).vocab_size();
  const auto written = write_model(folder, bytes);
  const auto whole = load_pretrained(folder.path().string());
  CHECK_FALSE(whole.model->is_training());
  CHECK(whole.tokenizer.context_length == written.config.text.context_length);
  check_same(written, whole);
  const auto file = (folder / "open_clip_model.safetensors").string();
  check_same(written, load_pretrained(file, folder.path().string()));
}

TEST_CASE("Weights and vocabulary must belong together", "[towers][cpu]") {
  const test::TemporaryFolder folder;
  write_model(folder, 49'408);
  const auto path = folder.path().string();
  const auto load = [](const std::string& weights, const std::string& vocabulary = "") {
    return [=] { static_cast<void>(load_pretrained(weights, "", vocabulary)); };
  };
  CHECK(test::raises(load(path), {"49408 tokens", "bytes", "258"}));
  CHECK(test::raises(load(""), {"there are no weights at ''"}));
  CHECK(test::raises(load(path + "/none"), {"there are no weights at", "/none"}));
  CHECK(test::raises(load(path, path + "/none.gz"), {"none.gz"}));
}

TEST_CASE("The vocabulary in a folder of transformers is found", "[towers][cpu]") {
  const char* vocabulary = std::getenv("CONTRAPUNTO_BPE_VOCAB");
  if (vocabulary == nullptr) {
    WARN("CONTRAPUNTO_BPE_VOCAB is not set: skipping what needs CLIP's vocabulary");
    return;
  }
  const test::TemporaryFolder folder;
  const auto written = write_model(folder, 49'408);
  static_cast<void>(write_hugging_face_tokenizer(folder.path(), vocabulary, 16));
  const auto found = load_pretrained(folder.path().string());
  const auto given = load_pretrained(folder.path().string(), "", vocabulary);
  check_same(written, found);
  const std::vector<std::string> texts{"Two   boats & a café", "it's 3 o'clock"};
  CHECK(at::equal(found.tokenizer.encode_all(texts), given.tokenizer.encode_all(texts)));
}
