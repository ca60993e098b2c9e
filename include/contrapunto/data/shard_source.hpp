// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/data/data_shard.hpp"
#include "contrapunto/data/detail/choose_caption.hpp"
#include "contrapunto/data/detail/listed_counts.hpp"
#include "contrapunto/data/detail/open_files.hpp"
#include "contrapunto/data/detail/random_access_file.hpp"
#include "contrapunto/data/encoded_sample.hpp"
#include "contrapunto/data/index_shards.hpp"
#include "contrapunto/data/read_sample.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/data/shard_index.hpp"
#include "contrapunto/data/shard_list.hpp"
#include "contrapunto/data/shard_stage.hpp"

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
  ShardStageOptions stage = {};  ///< Copies of shards on a local disk.
};

/// WebDataset shards. Consecutive members of a tar file with the same path up to the first dot of
/// the file name form a sample. Its image is the member jpg, jpeg, png, webp or ppm. The captions
/// come from txt or json and the label from cls. Samples can be read in any order.
///
/// The headers of a shard are read when it is used for the first time, and its index is stored
/// beside it; see index_shards(). Later starts read the counts only. The memory of a process is
/// bounded by the number of shards and `index.memory_bytes`, not by the number of samples. If
/// open_clip's sizes.json beside a shard gives its number of samples, this number is used, and the
/// shard is indexed when its first sample is read.
///
/// Shards on a slow file system are copied to a local folder ahead of their use if `stage.folder`
/// is set, and shards that are the output of commands, "pipe:COMMAND", need this. The first start
/// runs each command once for its index.
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
        paths_(shards),
        index_folder_(options.index.folder) {
    detail::check_caption_weights("ShardSource", caption_fields_, caption_weights_);
    TORCH_CHECK(!shards.empty(), "ShardSource: the list of shards is empty");
    if (!options.stage.folder.empty()) stage_ = std::make_unique<ShardStage>(shards, options.stage);
    const auto counts = detail::listed_counts(shards);
    std::vector<std::string> uncounted;
    for (std::size_t i = 0; i < shards.size(); ++i) {
      TORCH_CHECK(is_command(shards[i]) || std::filesystem::is_regular_file(shards[i]),
                  "ShardSource: shard '", shards[i], "' does not exist");
      if (counts[i] == 0) uncounted.push_back(shards[i]);
    }
    // The stage counts all shards, so its numbers fit only if all are indexed now.
    TORCH_CHECK(
        !stage_ || uncounted.size() == shards.size() ||
            std::none_of(shards.begin(), shards.end(), is_command),
        "ShardSource: commands cannot be listed together with shards that sizes.json counts");
    auto indexed = index_shards(uncounted, options.index, stage_.get());
    indexes_.resize(shards.size());
    index_paths_.resize(shards.size());
    is_indexed_ = std::make_unique<std::once_flag[]>(shards.size());
    std::int64_t end = 0;
    for (std::size_t i = 0, next = 0; i < paths_.size(); ++i) {
      if (counts[i] > 0) {
        index_paths_[i] = detail::index_path_of(paths_[i], index_folder_);
        ends_.push_back(end += counts[i]);
        continue;
      }
      const ShardIndex& index = indexes_[i].emplace(std::move(indexed.indexes[next]));
      index_paths_[i] = std::move(indexed.index_paths[next++]);
      const auto& problems = index.problems();
      if (index.size() == 0) refuse_empty(paths_[i], problems);
      report_.add(problems);
      ends_.push_back(end += index.size());
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

  /// Reads each part of a shard in one piece, if at least half of it belongs to its samples.
  [[nodiscard]] std::vector<ReadSample> read_range(std::int64_t begin,
                                                   std::int64_t end) const override {
    std::vector<ReadSample> samples;
    while (begin < end) {
      const auto [shard, first] = shard_of(begin);
      const std::int64_t last = std::min(end - begin + first, size_of(shard));
      auto part = read_piece(shard, first, last);
      if (part.empty()) part = SampleSource::read_range(begin, begin + last - first);
      std::move(part.begin(), part.end(), std::back_inserter(samples));
      begin += last - first;
    }
    return samples;
  }

  [[nodiscard]] std::string location(std::int64_t index) const override {
    return paths_[shard_of(index).shard];
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
      shards.push_back({shard_name(paths_[i]), size_of(i), index_of(i).identity()});
    return shards;
  }

  [[nodiscard]] std::vector<std::int64_t> shard_sizes() const override {
    std::vector<std::int64_t> sizes;
    for (std::size_t i = 0; i < paths_.size(); ++i) sizes.push_back(size_of(i));
    return sizes;
  }

  /// Begins to copy the shards to the stage, if there is one.
  void will_visit(const std::vector<std::int64_t>& shards, std::int64_t window) const override {
    if (stage_) stage_->will_open(shards, window);
  }

 private:
  struct Place {
    std::size_t shard = 0;
    ShardEntry entry;
  };
  struct ShardPlace {
    std::size_t shard = 0;
    std::int64_t sample = 0;  // Its number in the shard.
  };
  /// A part of a shard in memory.
  struct FilePart {
    std::uint64_t begin = 0;
    std::string bytes;
    void read(std::uint64_t offset, void* target, std::size_t count) const {
      std::memcpy(target, bytes.data() + (offset - begin), count);
    }
  };
  static constexpr std::uint64_t kLargestPiece = 256 << 20;  // Bytes that are read at once.

  [[nodiscard]] EncodedSample read_sample(std::int64_t index, bool with_image) const {
    const Place place = locate(index);
    EncodedSample sample;
    read_members(place, [&](const detail::RandomAccessFile& file) {
      sample = sample_of(file, place.shard, place.entry, with_image);
    });
    return sample;
  }

  [[nodiscard]] ShardPlace shard_of(std::int64_t index) const {
    TORCH_CHECK_INDEX(0 <= index && index < size(), "ShardSource: sample ", index, " of ", size());
    const auto shard = static_cast<std::size_t>(
        std::upper_bound(ends_.begin(), ends_.end(), index) - ends_.begin());
    return {shard, index - (shard == 0 ? 0 : ends_[shard - 1])};
  }

  [[nodiscard]] Place locate(std::int64_t index) const {
    const auto [shard, sample] = shard_of(index);
    const ShardIndex& entries = index_of(shard);
    if (sample >= entries.size())
      throw DataError(paths_[shard] + ": sizes.json counts " + std::to_string(size_of(shard)) +
                      " samples, and " + std::to_string(entries.size()) + " of them can be used");
    return {shard, entries.read(sample, index_paths_[shard], index_files_)};
  }

  [[nodiscard]] std::int64_t size_of(std::size_t shard) const {
    return ends_[shard] - (shard == 0 ? 0 : ends_[shard - 1]);
  }

  /// Returns the index of a shard, which is made now if sizes.json has counted its samples.
  [[nodiscard]] const ShardIndex& index_of(std::size_t shard) const {
    std::call_once(is_indexed_[shard], [&] {
      if (indexes_[shard]) return;
      // Nothing is left in memory, because any number of shards may come.
      auto indexed =
          index_shards({paths_[shard]}, {.folder = index_folder_, .threads = 1, .memory_bytes = 0});
      if (indexed.indexes.front().size() > size_of(shard))
        TORCH_WARN("ShardSource: ", paths_[shard], " has ", indexed.indexes.front().size(),
                   " samples, of which only ", size_of(shard),
                   " are used because sizes.json counts so many; remove or correct sizes.json");
      indexes_[shard] = std::move(indexed.indexes.front());
    });
    return *indexes_[shard];
  }

  /// Opens a shard, or its copy.
  [[nodiscard]] std::shared_ptr<const detail::RandomAccessFile> open_file(std::size_t shard) const {
    if (!stage_) return shard_files_(paths_[shard]);
    auto file = stage_->open(shard);
    if (file->size() != index_of(shard).stamp().size)
      throw DataError("the copy has " + std::to_string(file->size()) +
                      " bytes, and its index is of " +
                      std::to_string(index_of(shard).stamp().size) +
                      "; remove the index if the shard has changed");
    return file;
  }

  /// Returns the samples of a shard from `first` to `last`, or nothing if they cannot be read in
  /// one piece; each is then read alone, which names what is wrong with it.
  [[nodiscard]] std::vector<ReadSample> read_piece(std::size_t shard, std::int64_t first,
                                                   std::int64_t last) const {
    if (last > index_of(shard).size()) return {};
    const auto entries = index_of(shard).read(first, last, index_paths_[shard], index_files_);
    FilePart part{.begin = std::numeric_limits<std::uint64_t>::max(), .bytes = {}};
    std::uint64_t end = 0, used = 0;
    for (const ShardEntry& entry : entries) {
      for (const auto& member : {entry.image, entry.text, entry.json, entry.label}) {
        if (member.size == 0) continue;
        part.begin = std::min(part.begin, member.offset);
        end = std::max(end, member.offset + member.size);
        used += member.size + 2 * detail::kTarBlock;  // With its header and its padding.
      }
    }
    if (end - part.begin > std::min(2 * used, kLargestPiece)) return {};
    std::vector<ReadSample> samples;
    try {
      read_members({shard, entries.front()}, [&](const detail::RandomAccessFile& file) {
        part.bytes.resize(static_cast<std::size_t>(end - part.begin));
        file.read(part.begin, part.bytes.data(), part.bytes.size());
      });
    } catch (const DataError&) {
      return {};
    }
    for (const ShardEntry& entry : entries) {
      ReadSample& read = samples.emplace_back();
      try {
        read.sample = sample_of(part, shard, entry);
      } catch (const DataError& error) {
        read.problem = paths_[shard] + ": " + entry.key + ": " + error.what();
      }
    }
    return samples;
  }

  template <class File>
  [[nodiscard]] EncodedSample sample_of(const File& file, std::size_t shard,
                                        const ShardEntry& entry, bool with_image = true) const {
    EncodedSample sample;
    sample.source = paths_[shard];
    sample.key = entry.key;
    if (with_image) {
      sample.image.resize(entry.image.size);
      file.read(entry.image.offset, sample.image.data(), sample.image.size());
    } else {
      sample.image_bytes = entry.image.size;
    }
    read_captions(file, entry, sample);
    sample.label = read_label(file, entry);
    return sample;
  }

  /// Calls `read` with the file of the shard. Adds the names of the shard and the sample to a
  /// DataError. The stamp is compared after each read, which costs one fstat and leaves no time for
  /// an unnoticed change.
  template <class Read>
  void read_members(const Place& place, Read read) const {
    const std::string& path = paths_[place.shard];
    const auto require_unchanged = [&](const detail::RandomAccessFile& file) {
      TORCH_CHECK(stage_ || file.stamp() == index_of(place.shard).stamp(), "ShardSource: shard '",
                  path,
                  "' has been written to or replaced since its index was read, so the index "
                  "is no longer valid. Do not change shards during a run; restart from the last "
                  "checkpoint, which reads the index again");
    };
    try {
      const auto file = open_file(place.shard);
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

  template <class File>
  static std::string read_text(const File& file, const ShardEntry::Extent& extent) {
    std::string text(extent.size, '\0');
    file.read(extent.offset, text.data(), text.size());
    return text;
  }

  template <class File>
  void read_captions(const File& file, const ShardEntry& entry, EncodedSample& sample) const {
    if (caption_fields_.empty() && entry.text.size > 0)
      sample.captions = {read_text(file, entry.text)};
    else if (entry.json.size > 0)
      add_captions(read_text(file, entry.json), sample);
  }

  void add_captions(const std::string& json, EncodedSample& sample) const {
    const bool from_json = !caption_fields_.empty();
    const auto record = nlohmann::json::parse(json, nullptr, false);
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

  template <class File>
  static std::optional<std::int64_t> read_label(const File& file, const ShardEntry& entry) {
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
  std::string index_folder_;
  std::unique_ptr<ShardStage> stage_;
  mutable std::vector<std::optional<ShardIndex>> indexes_;
  mutable std::unique_ptr<std::once_flag[]> is_indexed_;
  std::vector<std::string> index_paths_;
  std::vector<std::int64_t> ends_;  // Index after the last sample of each shard.
  std::vector<std::string> class_names_;
  mutable detail::OpenFiles shard_files_, index_files_;
};

}  // namespace contrapunto
