// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/data/data_shard.hpp"
#include "contrapunto/data/detail/choose_caption.hpp"
#include "contrapunto/data/detail/open_files.hpp"
#include "contrapunto/data/detail/random_access_file.hpp"
#include "contrapunto/data/encoded_sample.hpp"
#include "contrapunto/data/index_shards.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/data/shard_index.hpp"
#include "contrapunto/data/shard_list.hpp"

namespace contrapunto {

struct ShardSourceOptions {
  /// JSON fields that hold a caption or a list of captions. If empty, captions come from the txt
  /// member or, without one, from the field `captions` or `caption`.
  std::vector<std::string> caption_fields = {};
  /// Probability of each of `caption_fields`, up to a common factor. The captions of a field share
  /// its probability, and fields that a sample lacks leave theirs to the others. If empty, each
  /// caption of a sample is equally likely.
  std::vector<double> caption_weights = {};
  ShardIndexOptions index = {};
};

/// WebDataset shards. Consecutive members of a tar file with the same path up to the first dot of
/// the file name form a sample. Its image is the member jpg, jpeg, png, webp or ppm. The captions
/// come from txt or json and the label from cls. Samples can be read in any order.
///
/// The headers of a shard are read when it is used for the first time, and its index is stored
/// beside it; see index_shards(). Later starts read the counts only. The memory of a process is
/// bounded by the number of shards and `index.memory_bytes`, not by the number of samples.
///
/// A damaged shard provides the samples before the damage. A sample without an image, or with
/// neither text nor label, is left out. Both are listed in report(). Class names come from
/// `classes.txt` next to the first shard, one name per line. A shard that changed since its index
/// was made is indexed again. It must not change during a run: reading from a shard whose size,
/// time or inode has changed raises.
class ShardSource : public SampleSource {
 public:
  /// `spec` is as for list_shards. Raises if it matches no file or if a shard has no usable sample.
  explicit ShardSource(const std::string& spec, ShardSourceOptions options = {})
      : ShardSource(list_shards(spec), std::move(options)) {}

  /// Reads the tar files `shards`. Raises if the list is empty, if a file is missing, or if a shard
  /// has no usable sample.
  explicit ShardSource(const std::vector<std::string>& shards, ShardSourceOptions options = {})
      : caption_fields_(std::move(options.caption_fields)),
        caption_weights_(std::move(options.caption_weights)),
        paths_(shards) {
    detail::check_caption_weights("ShardSource", caption_fields_, caption_weights_);
    TORCH_CHECK(!shards.empty(), "ShardSource: the list of shards is empty");
    for (const std::string& path : shards)
      TORCH_CHECK(std::filesystem::is_regular_file(path), "ShardSource: shard '", path,
                  "' does not exist");
    auto indexed = index_shards(shards, options.index);
    indexes_ = std::move(indexed.indexes);
    index_paths_ = std::move(indexed.index_paths);
    std::int64_t end = 0;
    for (std::size_t i = 0; i < paths_.size(); ++i) {
      const auto& problems = indexes_[i].problems();
      if (indexes_[i].size() == 0) refuse_empty(paths_[i], problems);
      for (const auto& line : problems.first) report_.add(line);
      report_.skipped += problems.skipped - static_cast<std::int64_t>(problems.first.size());
      ends_.push_back(end += indexes_[i].size());
    }
    if (indexed.unwritten > 0)
      notes_.push_back("the index of " + std::to_string(indexed.unwritten) +
                       " shards stays in memory and is made again at every start: " +
                       indexed.problem + "; name a folder for index files");
    read_class_names(shards.front());
  }

  [[nodiscard]] std::int64_t size() const override { return ends_.back(); }

  [[nodiscard]] EncodedSample read(std::int64_t index) const override {
    return read_sample(index, true);
  }

  /// Reads only the members of the captions and the label.
  [[nodiscard]] EncodedSample read_without_image(std::int64_t index) const override {
    return read_sample(index, false);
  }

  /// Reads only the cls member.
  [[nodiscard]] std::optional<std::int64_t> label(std::int64_t index) const override {
    const Place place = locate(index);
    std::optional<std::int64_t> label;
    read_members(place, [&](const detail::RandomAccessFile& file) {
      label = read_label(file, place.entry);
    });
    return label;
  }

  [[nodiscard]] std::vector<std::string> class_names() const override { return class_names_; }

  /// One for each tar file. The checksum is that of the keys and of the sizes of the members.
  [[nodiscard]] std::vector<DataShard> shards() const override {
    std::vector<DataShard> shards;
    for (std::size_t i = 0; i < paths_.size(); ++i)
      shards.push_back({std::filesystem::path(paths_[i]).filename().string(), indexes_[i].size(),
                        indexes_[i].identity()});
    return shards;
  }

  [[nodiscard]] std::vector<std::int64_t> shard_sizes() const override {
    std::vector<std::int64_t> sizes;
    for (const ShardIndex& index : indexes_) sizes.push_back(index.size());
    return sizes;
  }

 private:
  struct Place {
    std::size_t shard = 0;
    ShardEntry entry;
  };

  [[nodiscard]] EncodedSample read_sample(std::int64_t index, bool with_image) const {
    const Place place = locate(index);
    EncodedSample sample;
    sample.source = paths_[place.shard];
    sample.key = place.entry.key;
    read_members(place, [&](const detail::RandomAccessFile& file) {
      if (with_image) {
        sample.image.resize(place.entry.image.size);
        file.read(place.entry.image.offset, sample.image.data(), sample.image.size());
      } else {
        sample.image_bytes = place.entry.image.size;
      }
      read_captions(file, place.entry, sample);
      sample.label = read_label(file, place.entry);
    });
    return sample;
  }

  [[nodiscard]] Place locate(std::int64_t index) const {
    TORCH_CHECK_INDEX(0 <= index && index < size(), "ShardSource: sample ", index, " of ", size());
    const auto shard = static_cast<std::size_t>(
        std::upper_bound(ends_.begin(), ends_.end(), index) - ends_.begin());
    const std::int64_t begin = shard == 0 ? 0 : ends_[shard - 1];
    return {shard, indexes_[shard].read(index - begin, index_paths_[shard], index_files_)};
  }

  /// Calls `read` with the file of the shard. Adds the names of the shard and the sample to a
  /// DataError. The stamp is compared after each read, which costs one fstat and leaves no time for
  /// an unnoticed change.
  template <class Read>
  void read_members(const Place& place, Read read) const {
    const std::string& path = paths_[place.shard];
    const auto require_unchanged = [&](const detail::RandomAccessFile& file) {
      TORCH_CHECK(file.stamp() == indexes_[place.shard].stamp(), "ShardSource: shard '", path,
                  "' has been written to or replaced since its index was read, so the index "
                  "is no longer valid. Do not change shards during a run; restart from the last "
                  "checkpoint, which reads the index again");
    };
    try {
      const auto file = shard_files_(path);
      try {
        read(*file);
      } catch (const DataError&) {
        require_unchanged(*file);
        throw;
      }
      require_unchanged(*file);
    } catch (const DataError& error) {
      throw DataError(path + ": " + place.entry.key + ": " + error.what());
    }
  }

  [[noreturn]] static void refuse_empty(const std::string& path, const DataReport& problems) {
    const detail::RandomAccessFile file(path);
    TORCH_CHECK(
        false, "ShardSource: '", path, "' has no usable sample (",
        problems.first.empty() ? std::string("the archive is empty") : problems.first.front(), ")",
        archive_hint(file),
        "; a sample needs KEY.jpg (or jpeg, png, webp) next to KEY.txt, KEY.json or KEY.cls."
        " Recreate the shard or remove it from the list");
  }

  /// Returns a hint if the file is an archive of another kind.
  static std::string archive_hint(const detail::RandomAccessFile& file) {
    std::string magic(std::min<std::uint64_t>(file.size(), 6), '\0');
    file.read(0, magic.data(), magic.size());
    const char* kind = nullptr;
    if (magic.starts_with("\x1F\x8B")) kind = "gzip";
    if (magic.starts_with("PK\x03\x04")) kind = "zip";
    if (magic.starts_with("BZh")) kind = "bzip2";
    if (magic.starts_with("\x28\xB5\x2F\xFD")) kind = "zstd";
    if (magic.starts_with("\xFD\x37zXZ")) kind = "xz";
    if (kind == nullptr) return "";
    return std::string("; it is a ") + kind +
           " file, but shards must be plain tar archives; decompress it";
  }

  static std::string read_text(const detail::RandomAccessFile& file,
                               const ShardEntry::Extent& extent) {
    std::string text(extent.size, '\0');
    file.read(extent.offset, text.data(), text.size());
    return text;
  }

  void read_captions(const detail::RandomAccessFile& file, const ShardEntry& entry,
                     EncodedSample& sample) const {
    const bool from_json = !caption_fields_.empty();
    if (!from_json && entry.text.size > 0) {
      sample.captions = {read_text(file, entry.text)};
      return;
    }
    if (entry.json.size == 0) return;
    const auto record = nlohmann::json::parse(read_text(file, entry.json), nullptr, false);
    if (!record.is_object()) throw DataError("the json member is not a JSON object");
    const std::vector<std::string> usual = {"captions", "caption"};
    const auto& fields = from_json ? caption_fields_ : usual;
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const auto found = record.find(fields[i]);
      if (found == record.end()) continue;
      const std::size_t before = sample.captions.size();
      if (found->is_string()) sample.captions.push_back(found->get<std::string>());
      if (found->is_array())
        for (const auto& caption : *found)
          if (caption.is_string()) sample.captions.push_back(caption.get<std::string>());
      const std::size_t added = sample.captions.size() - before;
      if (!caption_weights_.empty())
        sample.caption_weights.insert(sample.caption_weights.end(), added,
                                      caption_weights_[i] / static_cast<double>(added));
      if (!from_json && added > 0) break;
    }
  }

  static std::optional<std::int64_t> read_label(const detail::RandomAccessFile& file,
                                                const ShardEntry& entry) {
    if (entry.label.size == 0) return std::nullopt;
    const std::string text = read_text(file, entry.label);
    std::int64_t label = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, label);
    if (error != std::errc{} ||
        std::any_of(rest, end, [](unsigned char c) { return !std::isspace(c); }))
      throw DataError("the cls member is not a whole number");
    return label;
  }

  void read_class_names(const std::filesystem::path& first_shard) {
    std::ifstream file(first_shard.parent_path() / "classes.txt");
    for (std::string name; std::getline(file, name);)
      if (!name.empty()) class_names_.push_back(name);
  }

  std::vector<std::string> caption_fields_;
  std::vector<double> caption_weights_;
  std::vector<std::string> paths_;
  std::vector<ShardIndex> indexes_;
  std::vector<std::string> index_paths_;
  std::vector<std::int64_t> ends_;  // Index after the last sample of each shard.
  std::vector<std::string> class_names_;
  mutable detail::OpenFiles shard_files_, index_files_;
};

}  // namespace contrapunto
