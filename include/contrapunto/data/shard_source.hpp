// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/core/hash.hpp"
#include "contrapunto/data/data_shard.hpp"
#include "contrapunto/data/detail/random_access_file.hpp"
#include "contrapunto/data/encoded_sample.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/data/shard_list.hpp"
#include "contrapunto/data/tar_reader.hpp"

namespace contrapunto {

struct ShardSourceOptions {
  /// JSON fields that hold a caption or a list of captions. If empty, captions come from the txt
  /// member or, without one, from the field `captions` or `caption`.
  std::vector<std::string> caption_fields = {};
};

/// WebDataset shards. Consecutive members of a tar file with the same path up to the first dot of
/// the file name form a sample. Its image is the member jpg, jpeg, png, webp or ppm. The captions
/// come from txt or json and the label from cls. The headers of all shards are read once, which
/// keeps about 100 bytes of index per sample. Samples can then be read in any order.
///
/// A damaged shard provides the samples before the damage. A sample without an image, or with
/// neither text nor label, is left out. Both are listed in report(). Class names come from
/// `classes.txt` next to the first shard, one name per line. A shard must not change during a run,
/// because the index would then point to other bytes. Reading from a shard whose size, time or
/// inode has changed raises.
class ShardSource : public SampleSource {
 public:
  /// `spec` is as for list_shards. Raises if it matches no file or if a shard has no usable sample.
  explicit ShardSource(const std::string& spec, ShardSourceOptions options = {})
      : ShardSource(list_shards(spec), std::move(options)) {}

  /// Reads the tar files `shards`. Raises if the list is empty, if a file is missing, or if a shard
  /// has no usable sample.
  explicit ShardSource(const std::vector<std::string>& shards, ShardSourceOptions options = {})
      : options_(std::move(options)) {
    TORCH_CHECK(!shards.empty(), "ShardSource: the list of shards is empty");
    for (const std::string& path : shards) {
      TORCH_CHECK(std::filesystem::is_regular_file(path), "ShardSource: shard '", path,
                  "' does not exist");
      index_shard(path);
    }
    read_class_names(shards.front());
  }

  [[nodiscard]] std::int64_t size() const override {
    return shards_.back().begin + samples_in(shards_.back());
  }

  [[nodiscard]] EncodedSample read(std::int64_t index) const override {
    const auto [shard, located] = locate(index);
    const auto& entry = located;  // A lambda cannot capture a structured binding.
    EncodedSample sample;
    sample.key = key_of(shard, *entry);
    sample.source = shards_[shard].path;
    read_members(shard, *entry, [&](const detail::RandomAccessFile& file) {
      sample.image.resize(entry->image.size);
      file.read(entry->image.offset, sample.image.data(), sample.image.size());
      sample.captions = read_captions(file, *entry);
      sample.label = read_label(file, *entry);
    });
    return sample;
  }

  /// Reads only the cls member.
  [[nodiscard]] std::optional<std::int64_t> label(std::int64_t index) const override {
    const auto [shard, located] = locate(index);
    const auto& entry = located;
    std::optional<std::int64_t> label;
    read_members(shard, *entry,
                 [&](const detail::RandomAccessFile& file) { label = read_label(file, *entry); });
    return label;
  }

  [[nodiscard]] std::vector<std::string> class_names() const override { return class_names_; }

  /// One for each tar file. The checksum is that of the keys and of the sizes of the members.
  [[nodiscard]] std::vector<DataShard> shards() const override {
    std::vector<DataShard> shards;
    for (const Shard& shard : shards_) {
      std::vector<std::uint32_t> sizes;
      for (const Entry& entry : shard.entries)
        for (const Extent* extent : {&entry.image, &entry.text, &entry.json, &entry.label})
          sizes.push_back(extent->size);
      const std::string_view bytes(reinterpret_cast<const char*>(sizes.data()),
                                   sizes.size() * sizeof(sizes.front()));
      shards.push_back({std::filesystem::path(shard.path).filename().string(), samples_in(shard),
                        checksum_of(bytes, checksum_of(shard.keys))});
    }
    return shards;
  }

  [[nodiscard]] std::vector<std::int64_t> shard_sizes() const override {
    std::vector<std::int64_t> sizes;
    for (const Shard& shard : shards_) sizes.push_back(samples_in(shard));
    return sizes;
  }

 private:
  static constexpr std::uint64_t kLargestMember = 1 << 30;  // Bytes of one member.
  static constexpr std::size_t kMostOpenFiles = 256;  // Below the usual limit of 1,024 per process.

  struct Extent {
    std::uint64_t offset = 0;
    std::uint32_t size = 0;  // 0: missing.
  };
  struct Entry {
    Extent image, text, json, label;
    std::uint32_t key = 0;  // Offset of the key in Shard::keys.
  };
  struct Shard {
    std::string path;
    detail::FileStamp stamp;  // When the index was read.
    std::int64_t begin = 0;   // Index of its first sample.
    std::vector<Entry> entries;
    std::string keys;  // All keys, each terminated by a zero byte.
  };

  static std::int64_t samples_in(const Shard& shard) {
    return static_cast<std::int64_t>(shard.entries.size());
  }

  [[nodiscard]] std::pair<std::size_t, const Entry*> locate(std::int64_t index) const {
    TORCH_CHECK_INDEX(0 <= index && index < size(), "ShardSource: sample ", index, " of ", size());
    const auto after = std::upper_bound(
        shards_.begin(), shards_.end(), index,
        [](std::int64_t wanted, const Shard& shard) { return wanted < shard.begin; });
    const auto shard = static_cast<std::size_t>(after - shards_.begin()) - 1;
    return {shard, &shards_[shard].entries[static_cast<std::size_t>(index - shards_[shard].begin)]};
  }

  [[nodiscard]] std::string key_of(std::size_t shard, const Entry& entry) const {
    return shards_[shard].keys.c_str() + entry.key;
  }

  /// Calls `read` with the file of the shard. Adds the names of the shard and the sample to a
  /// DataError. The stamp is compared after each read, which costs one fstat and leaves no time for
  /// an unnoticed change.
  template <class Read>
  void read_members(std::size_t shard, const Entry& entry, Read read) const {
    const std::string& path = shards_[shard].path;
    const auto require_unchanged = [&](const detail::RandomAccessFile& file) {
      TORCH_CHECK(file.stamp() == shards_[shard].stamp, "ShardSource: shard '", path,
                  "' has been written to or replaced since its index was read, so the index "
                  "is no longer valid. Do not change shards during a run; restart from the last "
                  "checkpoint, which reads the index again");
    };
    try {
      const auto file = open(shard);
      try {
        read(*file);
      } catch (const DataError&) {
        require_unchanged(*file);
        throw;
      }
      require_unchanged(*file);
    } catch (const DataError& error) {
      throw DataError(path + ": " + key_of(shard, entry) + ": " + error.what());
    }
  }

  void index_shard(const std::string& path) {
    Shard shard;
    shard.path = path;
    shard.begin = shards_.empty() ? 0 : size();
    DataReport problems;
    Entry entry;
    std::string key;
    const auto finish = [&] {
      const bool described = entry.text.size || entry.json.size || entry.label.size;
      if (entry.image.size && described) {
        entry.key = static_cast<std::uint32_t>(shard.keys.size());
        shard.keys.append(key).push_back('\0');
        shard.entries.push_back(entry);
      } else if (!key.empty()) {
        problems.add(path + ": " + key + ": " +
                     (entry.image.size ? "no txt, json or cls member" : "no image member"));
      }
      entry = {};
    };
    const detail::RandomAccessFile file(path);
    shard.stamp = file.stamp();
    const TarListing listing = list_tar(file);
    for (const TarMember& member : listing.members) {
      const std::size_t slash = member.name.rfind('/');
      const std::size_t dot = member.name.find('.', slash == std::string::npos ? 0 : slash);
      if (dot == std::string::npos) continue;  // No extension: WebDataset skips it too.
      if (member.name.compare(0, dot, key) != 0 || key.size() != dot) {
        finish();
        key = member.name.substr(0, dot);
      }
      if (member.size > kLargestMember) {
        problems.add(path + ": " + member.name + ": larger than 1 GiB");
        continue;
      }
      if (Extent* const extent = extent_of(entry, member.name.substr(dot + 1)))
        *extent = {member.offset, static_cast<std::uint32_t>(member.size)};
    }
    // A sample that was cut off by damage looks like one without its last members.
    if (listing.problem) {
      problems.add(path + ": " + *listing.problem);
      const bool complete = entry.image.size && (entry.text.size || entry.json.size);
      if (!complete) key.clear();
    }
    finish();
    TORCH_CHECK(
        !shard.entries.empty(), "ShardSource: '", path, "' has no usable sample (",
        problems.first.empty() ? std::string("the archive is empty") : problems.first.front(), ")",
        archive_hint(file),
        "; a sample needs KEY.jpg (or jpeg, png, webp) next to KEY.txt, KEY.json or KEY.cls."
        " Recreate the shard or remove it from the list");
    for (const auto& line : problems.first) report_.add(line);
    report_.skipped += problems.skipped - static_cast<std::int64_t>(problems.first.size());
    shards_.push_back(std::move(shard));
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

  static Extent* extent_of(Entry& entry, std::string extension) {
    for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    for (const char* image : {"jpg", "jpeg", "png", "webp", "ppm"})
      if (extension == image) return &entry.image;
    if (extension == "txt") return &entry.text;
    if (extension == "json") return &entry.json;
    if (extension == "cls") return &entry.label;
    return nullptr;
  }

  static std::string read_text(const detail::RandomAccessFile& file, Extent extent) {
    std::string text(extent.size, '\0');
    file.read(extent.offset, text.data(), text.size());
    return text;
  }

  [[nodiscard]] std::vector<std::string> read_captions(const detail::RandomAccessFile& file,
                                                       const Entry& entry) const {
    const bool from_json = !options_.caption_fields.empty();
    if (!from_json && entry.text.size > 0) return {read_text(file, entry.text)};
    if (entry.json.size == 0) return {};
    const auto record = nlohmann::json::parse(read_text(file, entry.json), nullptr, false);
    if (!record.is_object()) throw DataError("the json member is not a JSON object");
    std::vector<std::string> captions;
    const std::vector<std::string> usual = {"captions", "caption"};
    for (const std::string& field : from_json ? options_.caption_fields : usual) {
      const auto found = record.find(field);
      if (found == record.end()) continue;
      if (found->is_string()) captions.push_back(found->get<std::string>());
      if (found->is_array())
        for (const auto& caption : *found)
          if (caption.is_string()) captions.push_back(caption.get<std::string>());
      if (!from_json && !captions.empty()) break;
    }
    return captions;
  }

  static std::optional<std::int64_t> read_label(const detail::RandomAccessFile& file,
                                                const Entry& entry) {
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

  /// Returns the file of the shard. If too many files are open, the one opened first is closed.
  [[nodiscard]] std::shared_ptr<const detail::RandomAccessFile> open(std::size_t shard) const {
    const std::lock_guard lock(mutex_);
    for (const auto& [number, file] : open_files_)
      if (number == shard) return file;
    if (open_files_.size() == kMostOpenFiles) open_files_.pop_front();
    open_files_.emplace_back(shard,
                             std::make_shared<const detail::RandomAccessFile>(shards_[shard].path));
    return open_files_.back().second;
  }

  void read_class_names(const std::filesystem::path& first_shard) {
    std::ifstream file(first_shard.parent_path() / "classes.txt");
    for (std::string name; std::getline(file, name);)
      if (!name.empty()) class_names_.push_back(name);
  }

  ShardSourceOptions options_;
  std::vector<Shard> shards_;
  std::vector<std::string> class_names_;
  mutable std::mutex mutex_;
  mutable std::deque<std::pair<std::size_t, std::shared_ptr<const detail::RandomAccessFile>>>
      open_files_;
};

}  // namespace contrapunto
