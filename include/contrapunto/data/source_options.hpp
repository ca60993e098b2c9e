// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "contrapunto/data/synthetic_shapes.hpp"

namespace contrapunto {

/// What the sources read; each uses the part that concerns it.
struct SourceOptions {
  // Tar shards.
  /// JSON fields that hold a caption or a list of them. None given: the .txt member, and without
  /// that the field `captions` or `caption`.
  std::vector<std::string> caption_fields = {};

  // CSV and TSV lists.
  std::string image_column = "filepath";
  std::vector<std::string> caption_columns = {"title"};
  std::string label_column = {};  ///< Class index; empty: no labels.
  char separator = '\0';          ///< '\0': a tab in *.tsv, a comma otherwise.

  // Folders of classes.
  /// Captions of an image; {} becomes the class name.
  std::vector<std::string> caption_templates = {"a photo of a {}."};

  SyntheticShapesOptions synthetic = {};
};

}  // namespace contrapunto
