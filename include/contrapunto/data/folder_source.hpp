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
#include "contrapunto/text/fill_prompt.hpp"

namespace contrapunto {

struct FolderSourceOptions {
  /// Templates of the captions of an image; {} is replaced by the class name.
  std::vector<std::string> caption_templates = {"a photo of a {}."};
};

/// A folder with one subfolder per class, which contains images at any depth. Classes are numbered
/// in alphabetical order. The captions are made from their names, with spaces instead of
/// underscores. A class may be a link to a folder elsewhere. Links that cannot be followed or that
/// lead back into the folder are left out and listed in report().
class FolderSource : public SampleSource {
 public:
  /// Raises if the folder is missing or contains no class with an image, and for invalid caption
  /// templates.
  explicit FolderSource(const std::string& folder, const FolderSourceOptions& options = {})
      : root_(folder), templates_(options.caption_templates) {
    namespace fs = std::filesystem;
    TORCH_CHECK(fs::is_directory(root_), "FolderSource: '", folder, "' is not a directory");
    TORCH_CHECK(!templates_.empty(), "FolderSource: caption_templates is empty");
    std::vector<fs::path> classes;
    const fs::path real_root = fs::canonical(root_);
    for (const auto& entry : fs::directory_iterator(root_)) {
      std::error_code error;
      const bool is_folder = entry.is_directory(error);
      if (error)
        report_.add(entry.path().string() + ": " + error.message());
      else if (is_folder && leads_back(entry.path(), real_root))
        report_.add(entry.path().string() + ": a link that leads back into the folder");
      else if (is_folder)
        classes.push_back(entry.path());
    }
    std::sort(classes.begin(), classes.end());
    for (const auto& path : classes) {
      std::string name = path.filename().string();
      std::replace(name.begin(), name.end(), '_', ' ');
      const std::size_t before = files_.size();
      for (const auto& entry : fs::recursive_directory_iterator(path)) {
        if (!detail::is_image_name(entry.path())) continue;
        std::error_code error;
        const bool is_file = entry.is_regular_file(error);
        if (error) report_.add(entry.path().string() + ": " + error.message());
        if (is_file)
          files_.emplace_back(entry.path().lexically_relative(root_).string(), names_.size());
      }
      std::sort(files_.begin() + static_cast<std::ptrdiff_t>(before), files_.end());
      if (files_.size() == before) report_.add(path.string() + ": no image");
      names_.push_back(std::move(name));
    }
    TORCH_CHECK(!files_.empty(), "FolderSource: '", folder,
                "' contains no image; expected CLASS/NAME.jpg (or jpeg, png, webp)");
    for (const auto& pattern : templates_)
      static_cast<void>(fill_prompt(pattern, ""));  // Raises for an invalid template.
  }

  [[nodiscard]] std::int64_t size() const override {
    return static_cast<std::int64_t>(files_.size());
  }

  [[nodiscard]] EncodedSample read(std::int64_t index) const override {
    EncodedSample sample = describe(index);
    sample.image = detail::read_image_file((root_ / sample.key).string());
    return sample;
  }

  /// Does not open the image.
  [[nodiscard]] EncodedSample read_without_image(std::int64_t index) const override {
    EncodedSample sample = describe(index);
    sample.image_bytes = detail::stamp_of((root_ / sample.key).string()).size;
    return sample;
  }

  [[nodiscard]] std::optional<std::int64_t> label(std::int64_t index) const override {
    TORCH_CHECK_INDEX(0 <= index && index < size(), "FolderSource: image ", index, " of ", size());
    return static_cast<std::int64_t>(files_[static_cast<std::size_t>(index)].second);
  }

  [[nodiscard]] std::vector<std::string> class_names() const override { return names_; }

  /// The checksum is that of the paths relative to the folder.
  [[nodiscard]] std::vector<DataShard> shards() const override {
    const auto checksum = [&](std::int64_t begin, std::int64_t end) {
      std::uint64_t sum = 0;
      for (std::int64_t i = begin; i < end; ++i)
        sum = checksum_of(files_[static_cast<std::size_t>(i)].first, sum);
      return sum;
    };
    const auto name = std::filesystem::canonical(root_).filename().string();
    return detail::equal_shards(name, size(), checksum);
  }

 private:
  [[nodiscard]] EncodedSample describe(std::int64_t index) const {
    TORCH_CHECK_INDEX(0 <= index && index < size(), "FolderSource: image ", index, " of ", size());
    const auto& [file, label] = files_[static_cast<std::size_t>(index)];
    EncodedSample sample;
    sample.key = file;
    sample.source = root_.string();
    for (const auto& pattern : templates_)
      sample.captions.push_back(fill_prompt(pattern, names_[label]));
    sample.label = static_cast<std::int64_t>(label);
    return sample;
  }

  /// Returns whether `path` is a link to `root` itself, to a folder inside it, or to a folder that
  /// contains it.
  static bool leads_back(const std::filesystem::path& path, const std::filesystem::path& root) {
    if (!std::filesystem::is_symlink(std::filesystem::symlink_status(path))) return false;
    const auto target = std::filesystem::canonical(path);
    const auto [in_root, in_target] =
        std::mismatch(root.begin(), root.end(), target.begin(), target.end());
    return in_root == root.end() || in_target == target.end();
  }

  std::filesystem::path root_;
  std::vector<std::string> templates_;
  std::vector<std::pair<std::string, std::size_t>> files_;  // Path relative to the root, and class.
  std::vector<std::string> names_;
};

}  // namespace contrapunto
