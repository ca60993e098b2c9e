// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/data/label_captions.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/data/shard_list.hpp"
#include "contrapunto/data/shard_stage.hpp"
#include "contrapunto/data/source_mixture.hpp"
#include "contrapunto/data/source_options.hpp"

namespace contrapunto {

namespace detail {

enum class DataKind { kSynthetic, kTable, kClassFolders, kShards };

/// Returns what one part of the data is; see open_data_source().
[[nodiscard]] inline DataKind data_kind(const std::string& spec) {
  namespace fs = std::filesystem;
  if (spec == "synthetic") return DataKind::kSynthetic;
  if (is_command(spec)) return DataKind::kShards;
  const std::string extension = fs::path(spec).extension().string();
  if (extension == ".csv" || extension == ".tsv") return DataKind::kTable;
  if (fs::is_directory(spec)) {
    for (const auto& entry : fs::directory_iterator(spec))
      if (entry.path().extension() == ".tar") return DataKind::kShards;
    return DataKind::kClassFolders;
  }
  TORCH_CHECK(
      extension == ".tar" || extension == ".txt" || spec.find_first_of("*{:") != std::string::npos,
      "open_data_source: cannot tell what '", spec,
      "' is; expected 'synthetic', a *.csv or *.tsv list, a directory of class folders or "
      "of *.tar shards, a pattern of *.tar shards, or a *.txt file of such patterns");
  return DataKind::kShards;
}

/// Opens one part of the data, or several parts that are all shards.
[[nodiscard]] inline std::shared_ptr<const SampleSource> open_part(const std::string& spec,
                                                                   DataKind kind,
                                                                   const SourceOptions& options) {
  switch (kind) {
    case DataKind::kSynthetic:
      return std::make_shared<const SyntheticShapes>(options.synthetic);
    case DataKind::kTable:
      return std::make_shared<const CsvSource>(spec, options.list);
    case DataKind::kClassFolders:
      return std::make_shared<const FolderSource>(spec, options.folder);
    case DataKind::kShards:
      break;
  }
  return std::make_shared<const ShardSource>(spec, options.shards);
}

/// The same, with captions from the templates, if there are any.
[[nodiscard]] inline std::shared_ptr<const SampleSource> open_captioned_part(
    const std::string& spec, DataKind kind, const SourceOptions& options) {
  auto source = open_part(spec, kind, options);
  if (options.caption_templates.empty() || source->class_names().empty()) return source;
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
  const auto parts = detail::split_parts(spec);
  std::vector<detail::DataKind> kinds;
  for (const auto& part : parts) kinds.push_back(detail::data_kind(part));
  const bool all_shards =
      std::count(kinds.begin(), kinds.end(), detail::DataKind::kShards) == std::ssize(kinds);
  if (options.shares.empty() && (parts.size() == 1 || all_shards))
    return detail::open_captioned_part(spec, kinds.front(), options);
  TORCH_CHECK(options.shares.empty() || options.shares.size() == parts.size(),
              "open_data_source: there are ", options.shares.size(), " shares for ", parts.size(),
              " parts of the data, '", spec, "'; give one for each part");
  std::vector<SourceMixture::Member> members;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const double share = options.shares.empty() ? 0.0 : options.shares[i];
    TORCH_CHECK(options.shares.empty() || share > 0.0, "open_data_source: the share of '", parts[i],
                "' (", share, ") must be positive; leave the part out instead");
    members.push_back({detail::open_captioned_part(parts[i], kinds[i], options), parts[i], share});
  }
  return std::make_shared<const SourceMixture>(std::move(members));
}

}  // namespace contrapunto
