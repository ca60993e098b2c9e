// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "contrapunto/core/unit_rows.hpp"
#include "contrapunto/text/fill_prompt.hpp"

namespace contrapunto {

/// Returns a row of unit length per class, [C, D]: the mean over `templates` of the normalized text
/// embeddings, normalized again. `tokenize(std::vector<std::string>)` returns tokens [T, L].
/// `encode_text(tokens)` returns [T, D] and moves the tokens to its device itself. A call has at
/// most `batch` texts, but always all prompts of a class. No gradient is recorded. The caller must
/// put the model into eval mode. Raises without class names, without templates, and if
/// `encode_text` returns another number of rows.
template <class EncodeText, class Tokenize>
[[nodiscard]] at::Tensor zero_shot_classifier(EncodeText&& encode_text, Tokenize&& tokenize,
                                              const std::vector<std::string>& class_names,
                                              const std::vector<std::string>& templates,
                                              std::int64_t batch = 1024) {
  TORCH_CHECK(!class_names.empty(), "zero_shot_classifier: there are no class names");
  TORCH_CHECK(!templates.empty(), "zero_shot_classifier: there are no prompt templates");
  const at::NoGradGuard no_grad;
  const auto prompts = templates.size();
  const auto classes = std::max<std::size_t>(static_cast<std::size_t>(batch) / prompts, 1);
  std::vector<at::Tensor> rows;
  for (std::size_t begin = 0; begin < class_names.size(); begin += classes) {
    const auto end = std::min(begin + classes, class_names.size());
    std::vector<std::string> texts;
    for (std::size_t i = begin; i < end; ++i)
      for (const auto& prompt : templates) texts.push_back(fill_prompt(prompt, class_names[i]));
    const at::Tensor embeddings = encode_text(tokenize(texts));  // [classes * prompts, D]
    TORCH_CHECK(
        embeddings.dim() == 2 && embeddings.size(0) == static_cast<std::int64_t>(texts.size()),
        "zero_shot_classifier: encode_text returned ", embeddings.sizes(), " for ", texts.size(),
        " texts; it must return one row for each");
    const auto by_class =
        unit_rows(embeddings).view({-1, static_cast<std::int64_t>(prompts), embeddings.size(1)});
    rows.push_back(unit_rows(by_class.mean(1)));
  }
  return at::cat(rows);
}

}  // namespace contrapunto
