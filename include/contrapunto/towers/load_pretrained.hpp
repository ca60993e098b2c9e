// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <filesystem>
#include <string>
#include <utility>

#include "contrapunto/io/read_weights.hpp"
#include "contrapunto/nn/skip_initialization.hpp"
#include "contrapunto/text/make_tokenizer.hpp"
#include "contrapunto/text/tokenizer.hpp"
#include "contrapunto/towers/dual_encoder.hpp"
#include "contrapunto/towers/find_model_config.hpp"
#include "contrapunto/towers/make_dual_encoder.hpp"
#include "contrapunto/towers/model_config.hpp"
#include "contrapunto/towers/open_clip_state.hpp"

namespace contrapunto {

/// A trained model of images and texts, with what prepares their input.
struct PretrainedModel {
  ModelConfig config = {};
  DualEncoder model = nullptr;
  Tokenizer tokenizer = {};
};

/// Loads the model whose weights read_weights() finds at `weights`, on the CPU and in evaluation
/// mode. find_model_config() reads its configuration from `model`, or from `weights` if `model` is
/// empty; the number of tokens is that of the weights. The tokenizer is that of make_tokenizer()
/// for the file `vocabulary`; if it is empty and `weights` is a folder with the merges.txt of
/// Hugging Face's transformers, for that file. Raises as these functions do, if there is nothing at
/// `weights`, and if the vocabulary has another number of tokens than the weights.
[[nodiscard]] inline PretrainedModel load_pretrained(const std::string& weights,
                                                     const std::string& model = "",
                                                     std::string vocabulary = "") {
  namespace fs = std::filesystem;
  TORCH_CHECK(!weights.empty() && fs::exists(weights), "load_pretrained: there are no weights at '",
              weights, "'; give a file, or a folder of OpenCLIP, transformers or a run");
  PretrainedModel loaded{.config = find_model_config(model.empty() ? weights : model)};
  auto state = read_weights(weights, WeightsAccess::kMapped);
  auto& text = loaded.config.text;
  for (const auto& [name, tensor] : state)
    if (name.ends_with("token_embedding.weight")) text.vocab_size = tensor.size(0);
  if (const auto merges = fs::path(weights) / "merges.txt";
      vocabulary.empty() && fs::exists(merges))
    vocabulary = merges.string();
  loaded.tokenizer = make_tokenizer(vocabulary, text.context_length);
  TORCH_CHECK(loaded.tokenizer.vocab_size == text.vocab_size, "load_pretrained: the weights '",
              weights, "' have ", text.vocab_size, " tokens, but ",
              vocabulary.empty() ? "bytes" : "the vocabulary '" + vocabulary + "'", " have ",
              loaded.tokenizer.vocab_size, "; give the vocabulary that they were trained with");
  {
    const SkipInitialization loads_all;
    loaded.model = make_dual_encoder(loaded.config);
  }
  load_open_clip_state(loaded.model, loaded.config, std::move(state));
  loaded.model->eval();
  return loaded;
}

}  // namespace contrapunto
