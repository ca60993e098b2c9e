// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "contrapunto/core/hash.hpp"
#include "contrapunto/data/csv_source.hpp"
#include "contrapunto/data/data_shard.hpp"
#include "contrapunto/data/detail/equal_shards.hpp"
#include "contrapunto/data/detail/is_image_name.hpp"
#include "contrapunto/data/detail/random_access_file.hpp"
#include "contrapunto/data/encoded_sample.hpp"
#include "contrapunto/data/sample_source.hpp"

namespace contrapunto {

/// The image files of a folder, at any depth, without captions and labels. The keys are their names
/// relative to the folder. Links to folders are not followed; links that lead nowhere are left out
/// and listed in report().
class ImageFileSource : public SampleSource {
 public:
  /// All images in `folder`, in the order of their names. Raises if the folder is missing or
  /// contains no image.
  explicit ImageFileSource(const std::string& folder) : root_(folder) {
    namespace fs = std::filesystem;
    TORCH_CHECK(fs::is_directory(root_), "ImageFileSource: '", folder, "' is not a directory");
    for (const auto& entry :
         fs::recursive_directory_iterator(root_, fs::directory_options::skip_permission_denied)) {
      if (!detail::is_image_name(entry.path())) continue;
      std::error_code error;
      const bool is_file = entry.is_regular_file(error);
      if (error) report_.add(entry.path().string() + ": " + error.message());
      if (is_file) names_.push_back(entry.path().lexically_relative(root_).string());
    }
    TORCH_CHECK(!names_.empty(), "ImageFileSource: '", folder,
                "' contains no image; expected files that end in jpg, jpeg, png, webp or ppm");
    std::sort(names_.begin(), names_.end());
  }

  /// The files `names` in `folder`, in this order. The loader skips those that are missing.
  ImageFileSource(const std::string& folder, std::vector<std::string> names)
      : root_(folder), names_(std::move(names)) {}

  /// Names relative to the folder, indexed as the samples.
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

  [[nodiscard]] std::int64_t size() const override {
    return static_cast<std::int64_t>(names_.size());
  }

  [[nodiscard]] EncodedSample read(std::int64_t index) const override {
    EncodedSample sample{.key = name(index), .source = root_.string()};
    sample.image = detail::read_image_file((root_ / sample.key).string());
    return sample;
  }

  /// Does not open the image.
  [[nodiscard]] EncodedSample read_without_image(std::int64_t index) const override {
    EncodedSample sample{.key = name(index), .source = root_.string()};
    sample.image_bytes = detail::stamp_of((root_ / sample.key).string()).size;
    return sample;
  }

  [[nodiscard]] std::optional<std::int64_t> label(std::int64_t /*index*/) const override {
    return std::nullopt;
  }

  /// The checksum is that of the names.
  [[nodiscard]] std::vector<DataShard> shards() const override {
    const auto checksum = [&](std::int64_t begin, std::int64_t end) {
      std::uint64_t sum = 0;
      for (std::int64_t i = begin; i < end; ++i) sum = checksum_of(name(i), sum);
      return sum;
    };
    return detail::equal_shards(std::filesystem::canonical(root_).filename().string(), size(),
                                checksum);
  }

 private:
  [[nodiscard]] const std::string& name(std::int64_t index) const {
    TORCH_CHECK_INDEX(0 <= index && index < size(), "ImageFileSource: image ", index, " of ",
                      size());
    return names_[static_cast<std::size_t>(index)];
  }

  std::filesystem::path root_;
  std::vector<std::string> names_;
};

}  // namespace contrapunto
