// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "contrapunto/data/csv_source.hpp"
#include "contrapunto/data/folder_source.hpp"
#include "contrapunto/data/shard_source.hpp"
#include "contrapunto/data/synthetic_shapes.hpp"

namespace contrapunto {

/// Options that `open_data_source` passes on to the kind of source that it opens.
struct SourceOptions {
  /// JSON fields of shards, or columns of a list, that hold captions. If set, they replace
  /// `shards.caption_fields` and `list.caption_columns`.
  std::vector<std::string> caption_fields = {};
  std::vector<double> caption_weights = {};  ///< Their probabilities, if `caption_fields` is set.
  /// Templates from which the captions of labeled samples are made, with {} for the class name;
  /// empty: FolderSource uses its own, and other sources have captions. See LabelCaptions.
  std::vector<std::string> caption_templates = {};
  /// Shares of the parts of the data, which are joined by `::`, in an epoch of training; empty: an
  /// epoch visits all samples equally. See SourceMixture.
  std::vector<double> shares = {};
  ShardSourceOptions shards = {};
  CsvSourceOptions list = {};
  FolderSourceOptions folder = {};
  SyntheticShapesOptions synthetic = {};
};

}  // namespace contrapunto
