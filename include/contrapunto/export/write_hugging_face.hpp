// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <filesystem>
#include <string>

#include "contrapunto/core/state.hpp"
#include "contrapunto/io/atomic_directory.hpp"
#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/io/safetensors.hpp"
#include "contrapunto/towers/hugging_face_config.hpp"
#include "contrapunto/towers/hugging_face_state.hpp"
#include "contrapunto/towers/model_config.hpp"

#ifdef CONTRAPUNTO_HAS_TEXT
#include "contrapunto/text/write_hugging_face_tokenizer.hpp"
#endif

namespace contrapunto {

/// Writes a folder that from_pretrained() of CLIPModel or SiglipModel, and of AutoProcessor, in
/// Hugging Face's transformers read: config.json, model.safetensors, preprocessor_config.json and,
/// if `vocabulary` is CLIP's vocabulary file, the tokenizer. `state` is an open_clip_state() of a
/// model of `config`. The folder appears as a whole, and replaces an older one. Raises for a model
/// that neither of them can express, if the vocabulary has another size than the model, and if the
/// folder cannot be written.
inline void write_hugging_face(const std::filesystem::path& folder, const TensorMap& state,
                               const ModelConfig& config, const std::string& vocabulary = "") {
  const auto model = hugging_face_config(config);
  const auto preprocessor = hugging_face_preprocessor(config);
  const auto weights = hugging_face_state(state);
  AtomicDirectory files(folder);
  if (!vocabulary.empty()) {
#ifdef CONTRAPUNTO_HAS_TEXT
    const auto tokens =
        write_hugging_face_tokenizer(files.path(), vocabulary, config.text.context_length);
    TORCH_CHECK(tokens == config.text.vocab_size, "write_hugging_face: '", config.name, "' has ",
                config.text.vocab_size, " tokens, but the vocabulary '", vocabulary, "' has ",
                tokens, "; leave the vocabulary empty for a model that reads bytes");
#else
    TORCH_CHECK(false,
                "write_hugging_face: the tokenizer needs the component `text`: use "
                "find_package(Contrapunto COMPONENTS text) and link contrapunto::text, or "
                "leave the vocabulary empty");
#endif
  }
  write_file_atomically(files.path() / "config.json", model.dump(2) + "\n");
  write_file_atomically(files.path() / "preprocessor_config.json", preprocessor.dump(2) + "\n");
  write_safetensors(files.path() / "model.safetensors", weights, {{"format", "pt"}});
  files.commit();
}

}  // namespace contrapunto
