// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/data/label_captions.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/data/source_mixture.hpp"
#include "contrapunto/data/source_options.hpp"

namespace contrapunto {

namespace detail {

/// Splits data at each `::`. Raises for an empty part.
[[nodiscard]] inline std::vector<std::string> data_parts(const std::string& spec) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= spec.size();) {
    const std::size_t end = std::min(spec.find("::", begin), spec.size());
    parts.push_back(spec.substr(begin, end - begin));
    TORCH_CHECK(!parts.back().empty(), "the data '", spec, "' has an empty part next to '::'");
    begin = end + 2;
  }
  return parts;
}

/// Opens one part of the data; see open_data_source().
[[nodiscard]] inline std::shared_ptr<const SampleSource> open_part(const std::string& spec,
                                                                   const SourceOptions& options) {
  namespace fs = std::filesystem;
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

/// The same, with captions from the templates, if there are any.
[[nodiscard]] inline std::shared_ptr<const SampleSource> open_captioned_part(
    const std::string& spec, SourceOptions options) {
  if (options.caption_templates.empty()) return open_part(spec, options);
  options.folder.caption_templates = options.caption_templates;
  auto source = open_part(spec, options);
  if (source->class_names().empty()) return source;
  return std::make_shared<const LabelCaptions>(std::move(source), options.caption_templates);
}

}  // namespace detail

/// Opens the source that `spec` describes: "synthetic"; a *.csv or *.tsv list; a directory of tar
/// shards or of class folders; a pattern of shards such as "train-{000..019}.tar" or "a/*.tar"; or
/// a *.txt file of such patterns. Several of these are joined by `::`, with `options.shares` as
/// shares of their own in an epoch. Raises if something does not exist or contains no sample.
[[nodiscard]] inline std::shared_ptr<const SampleSource> open_data_source(
    const std::string& spec, SourceOptions options = {}) {
  TORCH_CHECK(!spec.empty(), "open_data_source: no data given; pass a path or 'synthetic'");
  if (!options.caption_fields.empty()) {
    options.shards.caption_fields = options.list.caption_columns = options.caption_fields;
    options.shards.caption_weights = options.list.caption_weights = options.caption_weights;
  }
  TORCH_CHECK(!options.caption_fields.empty() || options.caption_weights.empty(),
              "open_data_source: there are caption weights, but no caption fields are named");
  const auto parts = detail::data_parts(spec);
  if (parts.size() == 1 && options.shares.empty())
    return detail::open_captioned_part(spec, options);
  TORCH_CHECK(options.shares.empty() || options.shares.size() == parts.size(),
              "open_data_source: there are ", options.shares.size(), " shares for ", parts.size(),
              " parts of the data, '", spec, "'; give one for each part");
  std::vector<SourceMixture::Member> members;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const double share = options.shares.empty() ? 0.0 : options.shares[i];
    TORCH_CHECK(options.shares.empty() || share > 0.0, "open_data_source: the share of '", parts[i],
                "' (", share, ") must be positive; leave the part out instead");
    members.push_back({detail::open_captioned_part(parts[i], options), parts[i], share});
  }
  return std::make_shared<const SourceMixture>(std::move(members));
}

}  // namespace contrapunto
