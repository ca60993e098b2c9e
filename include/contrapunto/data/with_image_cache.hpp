// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <utility>

#include "contrapunto/data/cached_source.hpp"
#include "contrapunto/data/data_settings.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/log/format.hpp"

namespace contrapunto {

/// Puts an image cache around `source` if `data` names a folder for it, and writes to `out`, which
/// must outlive the result, how far it is and what happens to it later. For training data: an
/// evaluation should see the images as they are.
[[nodiscard]] inline std::shared_ptr<const SampleSource> with_image_cache(
    std::shared_ptr<const SampleSource> source, const DataSettings& data, std::ostream& out) {
  if (data.cache_folder.empty()) return source;
  CachedSourceOptions options{.folder = data.cache_folder,
                              .recipe = {.side = data.cache_side, .quality = data.cache_quality}};
  // Threads of a loader call it; a stream without a buffer must not be touched by two of them.
  if (out.rdbuf() != nullptr)
    options.on_note = [&out](const std::string& note) { out << note + "\n" << std::flush; };
  auto cached = std::make_shared<const CachedSource>(std::move(source), options);
  const ImageCacheProgress now = cached->progress();
  out << "image cache " << data.cache_folder << ": " << options.recipe.text() << ", "
      << with_commas(now.finished_shards) << " of " << with_commas(now.shards) << " shards\n";
  return cached;
}

}  // namespace contrapunto
