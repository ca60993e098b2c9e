// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/core/run_facts.hpp"
#include "contrapunto/data/data_shard.hpp"
#include "contrapunto/data/detail/shard_places.hpp"
#include "contrapunto/data/detail/teacher_shard.hpp"
#include "contrapunto/data/teacher_store_info.hpp"
#include "contrapunto/image/image_transform.hpp"

namespace contrapunto {

/// The stored embeddings of a teacher for the samples of a source: a folder with one file per shard
/// of the data, as build_teacher_store() makes it. The files are mapped, so a store may be larger
/// than memory, and any number of threads may read. The data may be a part of what the store was
/// built for, and may have been moved.
class TeacherStore {
 public:
  /// Opens the files of `shards`, which are those of the source (SampleSource::shards). Raises if
  /// `folder` has no store, names the shards that are missing or that have changed, and raises if a
  /// file is damaged or belongs to another store.
  TeacherStore(std::filesystem::path folder, const std::vector<DataShard>& shards)
      : folder_(std::move(folder)), info_(TeacherStoreInfo::read(folder_)), places_(shards) {
    std::string missing;
    std::size_t count = 0;
    for (const auto& shard : shards) {
      if (std::filesystem::exists(folder_ / detail::teacher_shard_file(shard))) continue;
      if (++count <= 10) missing += (count == 1 ? "" : ", ") + describe_missing(shard);
    }
    TORCH_CHECK(count == 0, "teacher store '", folder_.string(), "' lacks ", count, " of the ",
                shards.size(), " shards of the data: ", missing, count > 10 ? " and others" : "",
                "; run store_teacher with this data, which builds only what is missing");
    for (const auto& shard : shards)
      files_.push_back(std::make_unique<const detail::TeacherShard>(folder_, info_, shard));
  }

  [[nodiscard]] const TeacherStoreInfo& info() const { return info_; }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

  /// Raises if `options` show other views of an image than those that are stored. The size of the
  /// output may differ.
  void require_views_of(const ImageTransformOptions& options) const {
    if (info_.images())
      detail::require_same_values("teacher store '" + folder_.string() + "' ",
                                  detail::view_options(info_.transform),
                                  detail::view_options(options));
  }

  /// Raises DataError if sample `index` could not be used when the store was built.
  void require_usable(std::int64_t index) const {
    const auto [shard, place] = places_(index);
    if (!files_[shard]->usable(place))
      throw DataError("'" + files_[shard]->path() + "': sample " + std::to_string(place) +
                      " of the shard has no embedding, because it could not be used when the "
                      "teacher store was built");
  }

  /// Returns the bytes of the embedding of view `view` of sample `index`: `width` numbers of the
  /// store's dtype. `encoded_checksum` is checksum_of() the encoded image; raises if that of the
  /// sample was another one, and if the bytes are damaged.
  [[nodiscard]] std::string_view image(std::int64_t index, std::int64_t view,
                                       std::uint64_t encoded_checksum) const {
    const auto [shard, place] = places_(index);
    return files_[shard]->image(place, view, encoded_checksum);
  }

  /// Returns the bytes of the embedding of caption `caption` of sample `index`, counted without
  /// blank captions. Raises if the caption is not `text`, and if the bytes are damaged.
  [[nodiscard]] std::string_view text(std::int64_t index, std::int64_t caption,
                                      std::string_view text) const {
    const auto [shard, place] = places_(index);
    return files_[shard]->text(place, caption, text);
  }

  /// What a plan of the run shows. `weight` is the fraction of the loss that the teacher has.
  [[nodiscard]] TeacherFacts facts(double weight) const {
    return {.name = info_.teacher,
            .weight = weight,
            .stored_views = info_.replay.views,
            .stored_texts = info_.texts};
  }

 private:
  /// Says whether the store has the shard of this name with other contents.
  [[nodiscard]] std::string describe_missing(const DataShard& shard) const {
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      const auto name = entry.path().filename().string();
      const auto like = detail::teacher_shard_file(shard);
      if (name.size() == like.size() && name.starts_with(shard.name + "-"))
        return shard.name + " (the store has '" + name + "', of a shard with other samples)";
    }
    return shard.name;
  }

  std::filesystem::path folder_;
  TeacherStoreInfo info_;
  detail::ShardPlaces places_;
  std::vector<std::unique_ptr<const detail::TeacherShard>> files_;  // In the order of the shards.
};

}  // namespace contrapunto
