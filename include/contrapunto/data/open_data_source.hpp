// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <filesystem>
#include <memory>
#include <string>

#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/data/source_options.hpp"

namespace contrapunto {

/// Opens the source that `spec` describes: "synthetic"; a *.csv or *.tsv list; a directory of tar
/// shards or of class folders; or a pattern of shards such as "train-{000..019}.tar" or
/// "a/*.tar::b/*.tar", or a *.txt file of such patterns. Raises if it does not exist or contains no
/// sample.
[[nodiscard]] inline std::shared_ptr<const SampleSource> open_data_source(
    const std::string& spec, SourceOptions options = {}) {
  namespace fs = std::filesystem;
  TORCH_CHECK(!spec.empty(), "open_data_source: no data given; pass a path or 'synthetic'");
  if (!options.caption_fields.empty()) {
    options.shards.caption_fields = options.list.caption_columns = options.caption_fields;
    options.shards.caption_weights = options.list.caption_weights = options.caption_weights;
  }
  TORCH_CHECK(!options.caption_fields.empty() || options.caption_weights.empty(),
              "open_data_source: there are caption weights, but no caption fields are named");
  if (spec == "synthetic") return std::make_shared<const SyntheticShapes>(options.synthetic);
  const std::string extension = fs::path(spec).extension().string();
  if (extension == ".csv" || extension == ".tsv")
    return std::make_shared<const CsvSource>(spec, options.list);
  if (fs::is_directory(spec)) {
    for (const auto& entry : fs::directory_iterator(spec))
      if (entry.path().extension() == ".tar")
        return std::make_shared<const ShardSource>(spec, options.shards);
    return std::make_shared<const FolderSource>(spec, options.folder);
  }
  TORCH_CHECK(
      extension == ".tar" || extension == ".txt" || spec.find_first_of("*{:") != std::string::npos,
      "open_data_source: cannot tell what '", spec,
      "' is; expected 'synthetic', a *.csv or *.tsv list, a directory of class folders or of"
      " *.tar shards, a pattern of *.tar shards, or a *.txt file of such patterns");
  return std::make_shared<const ShardSource>(spec, options.shards);
}

}  // namespace contrapunto
