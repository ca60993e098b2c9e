// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/core/hash.hpp"
#include "contrapunto/data/data_report.hpp"
#include "contrapunto/data/detail/open_files.hpp"
#include "contrapunto/data/detail/random_access_file.hpp"
#include "contrapunto/data/list_idx.hpp"
#include "contrapunto/data/tar_reader.hpp"
#include "contrapunto/io/atomic_file.hpp"

namespace contrapunto {

/// Where one sample is in its shard.
struct ShardEntry {
  struct Extent {
    std::uint64_t offset = 0;  ///< From the start of the shard, in bytes.
    std::uint32_t size = 0;    ///< 0 if the sample has no such member.
  };
  Extent image, text, json, label;
  std::string key;  ///< Path of the members up to the first dot of the file name.
};

/// The index of one WebDataset shard: where the members of its samples are, and what is unusable.
/// A sample takes 44 bytes and its key. The index is made by reading the headers of the shard, and
/// can be written to a file that later runs open. Then only the head of the file is read, and the
/// place of a sample when it is needed.
///
/// A file belongs to a shard of one size and modification time. Its head and each of its entries
/// have a checksum.
class ShardIndex {
 public:
  /// Reads the headers of the shard `path`, or takes them from DALI's index of it; see list_idx().
  /// Damage ends the index; see problems(). Raises DataError if the shard cannot be read.
  [[nodiscard]] static ShardIndex scan(const std::string& path) {
    const detail::RandomAccessFile file(path);
    ShardIndex index;
    index.stamp_ = file.stamp();
    index.head_.shard_bytes = index.stamp_.size;
    index.head_.modified_ns = index.stamp_.modified_ns;
    DataReport problems;
    Scanned scanned;
    auto listing = list_idx(file);
    collect(path, listing ? *listing : list_tar(file), scanned, problems);
    index.head_.samples = static_cast<std::uint64_t>(scanned.samples);
    index.head_.key_bytes = scanned.keys.size();
    index.head_.skipped = problems.skipped;
    index.head_.identity = checksum_of(scanned.sizes, checksum_of(scanned.keys));
    std::string lines;
    for (const auto& line : problems.first) lines += line + "\n";
    index.head_.problem_bytes = lines.size();
    index.head_.checksum = index.head_.computed_checksum();
    for (std::int64_t i = 0; i < scanned.samples; ++i)
      index.seal(&scanned.records[static_cast<std::size_t>(i) * sizeof(Record)], scanned.keys);
    index.table_ = scanned.records + scanned.keys;
    index.in_memory_ = true;
    index.problems_ = std::move(problems);
    return index;
  }

  /// Reads the head of the index file `index_path` of the shard `path`. Returns nothing if there is
  /// no such file, or if it is damaged, of another version, or of an earlier state of the shard:
  /// the shard must then be scanned. Raises DataError if the shard cannot be found.
  [[nodiscard]] static std::optional<ShardIndex> open(const std::string& path,
                                                      const std::string& index_path) {
    return open(detail::stamp_of(path), index_path);
  }

  /// The same for a shard with this stamp, or, without a stamp, for one that is elsewhere. The
  /// stamp of the result then has its size only.
  [[nodiscard]] static std::optional<ShardIndex> open(const std::optional<detail::FileStamp>& stamp,
                                                      const std::string& index_path) {
    if (!std::filesystem::is_regular_file(index_path)) return std::nullopt;
    try {
      const detail::RandomAccessFile file(index_path);
      ShardIndex index;
      file.read(0, &index.head_, sizeof(Head));
      if (!index.head_.is_valid(stamp, file.size())) return std::nullopt;
      index.stamp_ = stamp.value_or(detail::FileStamp{.size = index.head_.shard_bytes});
      if (index.head_.problem_bytes > 0) {
        std::string lines(index.head_.problem_bytes, '\0');
        file.read(sizeof(Head) + index.table_bytes(), lines.data(), lines.size());
        std::istringstream stream(lines);
        for (std::string line; std::getline(stream, line);) index.problems_.add(line);
      }
      index.problems_.skipped = index.head_.skipped;
      return index;
    } catch (const DataError&) {
      return std::nullopt;
    }
  }

  /// Writes the index to a file, after which it can be removed from memory. Raises if it cannot be
  /// written, and leaves no file then.
  void write(const std::string& index_path) const {
    TORCH_CHECK(in_memory_, "ShardIndex: only an index in memory can be written");
    AtomicFile file(index_path);
    file.write({reinterpret_cast<const char*>(&head_), sizeof(Head)});
    file.write(table_);
    for (const auto& line : problems_.first) file.write(line + "\n");
    file.commit();
  }

  /// Reads the entries of all samples from the file, so that read() needs no file. Raises DataError
  /// if the file is damaged.
  void load(const std::string& index_path) {
    if (in_memory_) return;
    const detail::RandomAccessFile file(index_path);
    table_.resize(table_bytes());
    file.read(sizeof(Head), table_.data(), table_.size());
    in_memory_ = true;
  }

  /// Removes the entries from memory; read() then needs the file.
  void unload() {
    table_ = {};
    in_memory_ = false;
  }

  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(head_.samples); }

  /// The checksum of the keys and of the sizes of the members; see DataShard.
  [[nodiscard]] std::uint64_t identity() const { return head_.identity; }

  /// The samples and members that cannot be used.
  [[nodiscard]] const DataReport& problems() const { return problems_; }

  /// The state of the shard that the index belongs to.
  [[nodiscard]] const detail::FileStamp& stamp() const { return stamp_; }

  /// Bytes of the entries, in memory or in the file.
  [[nodiscard]] std::size_t table_bytes() const {
    return static_cast<std::size_t>(head_.samples * sizeof(Record) + head_.key_bytes);
  }

  /// Returns the entry of sample `i`, 0 <= i < size(), from memory, or else from the file
  /// `index_path`. Raises if the file was changed or is damaged.
  [[nodiscard]] ShardEntry read(std::int64_t i, const std::string& index_path,
                                detail::OpenFiles& files) const {
    return std::move(read(i, i + 1, index_path, files).front());
  }

  /// Returns the entries of the samples from `begin` to `end`, 0 <= begin < end <= size(), with at
  /// most two reads.
  [[nodiscard]] std::vector<ShardEntry> read(std::int64_t begin, std::int64_t end,
                                             const std::string& index_path,
                                             detail::OpenFiles& files) const {
    std::vector<Record> records(static_cast<std::size_t>(end - begin));
    copy(static_cast<std::size_t>(begin) * sizeof(Record), records.data(),
         records.size() * sizeof(Record), index_path, files);
    // The keys stand in the order of the samples.
    const std::size_t first_key = records.front().key_begin;
    std::uint64_t keys_end = first_key;
    for (std::size_t i = 0; i < records.size(); ++i) {
      if (!fits(records[i]) || records[i].key_begin < first_key)
        refuse_entry(begin + static_cast<std::int64_t>(i), index_path);
      keys_end = std::max(keys_end, std::uint64_t{records[i].key_begin} + records[i].key_size);
    }
    std::string keys(static_cast<std::size_t>(keys_end) - first_key, '\0');
    copy(static_cast<std::size_t>(head_.samples) * sizeof(Record) + first_key, keys.data(),
         keys.size(), index_path, files);
    std::vector<ShardEntry> entries;
    for (const Record& record : records) {
      std::string key = keys.substr(record.key_begin - first_key, record.key_size);
      if (record.computed_checksum(key, head_.checksum) != record.checksum)
        refuse_entry(begin + std::ssize(entries), index_path);
      entries.push_back(
          {record.extent(0), record.extent(1), record.extent(2), record.extent(3), std::move(key)});
    }
    return entries;
  }

 private:
  static_assert(std::endian::native == std::endian::little, "files are little-endian");
  static constexpr std::uint64_t kLargestMember = 1 << 30;  // Bytes of one member.
  static constexpr std::uint64_t kLargestTable = std::uint64_t{1} << 40;

  struct Head {
    std::array<char, 8> magic = {'C', 'P', 'S', 'H', 'A', 'R', 'D', '1'};  // With the version.
    std::uint64_t shard_bytes = 0;
    std::int64_t modified_ns = 0;
    std::uint64_t samples = 0, key_bytes = 0, problem_bytes = 0;
    std::int64_t skipped = 0;
    std::uint64_t identity = 0;
    std::uint64_t checksum = 0;  // Of the fields before it.

    [[nodiscard]] std::uint64_t computed_checksum() const {
      return checksum_of({reinterpret_cast<const char*>(this), sizeof(Head) - sizeof(checksum)});
    }

    [[nodiscard]] bool is_valid(const std::optional<detail::FileStamp>& shard,
                                std::uint64_t file_bytes) const {
      return magic == Head().magic && checksum == computed_checksum() &&
             (!shard || (shard_bytes == shard->size && modified_ns == shard->modified_ns)) &&
             std::max({samples, key_bytes, problem_bytes}) < kLargestTable &&
             file_bytes == sizeof(Head) + samples * sizeof(Record) + key_bytes + problem_bytes;
    }
  };
  struct Record {
    std::array<std::uint32_t, 4> block = {};  // Image, text, json and label; offsets in tar blocks.
    std::array<std::uint32_t, 4> bytes = {};
    std::uint32_t key_begin = 0, key_size = 0;
    std::uint32_t checksum = 0;  // Of the fields before it, the key and the head.

    [[nodiscard]] std::uint32_t computed_checksum(std::string_view key, std::uint64_t seed) const {
      const auto sum = checksum_of(
          key, checksum_of({reinterpret_cast<const char*>(this), sizeof(Record) - sizeof(checksum)},
                           seed));
      return static_cast<std::uint32_t>(sum ^ (sum >> 32));
    }
    [[nodiscard]] ShardEntry::Extent extent(std::size_t member) const {
      return {block[member] * detail::kTarBlock, bytes[member]};
    }
  };
  static_assert(sizeof(Head) == 72 && sizeof(Record) == 44);

  struct Scanned {
    std::int64_t samples = 0;
    std::string records, keys, sizes;
  };

  ShardIndex() = default;

  [[noreturn]] static void refuse(const std::string& index_path, const std::string& reason) {
    TORCH_CHECK(false, "the shard index '", index_path, "' cannot be used: ", reason,
                ". Remove the file; the next start makes it again");
  }

  [[noreturn]] static void refuse_entry(std::int64_t sample, const std::string& index_path) {
    refuse(index_path, "the entry of sample " + std::to_string(sample) + " is damaged");
  }

  /// Copies a part of the table from memory, or else from the file.
  void copy(std::size_t at, void* target, std::size_t bytes, const std::string& index_path,
            detail::OpenFiles& files) const {
    if (in_memory_) {
      std::memcpy(target, table_.data() + at, bytes);
      return;
    }
    try {
      files(index_path)->read(sizeof(Head) + at, target, bytes);
    } catch (const DataError& error) {
      refuse(index_path, error.what());
    }
  }

  [[nodiscard]] bool fits(const Record& record) const {
    return std::uint64_t{record.key_begin} + record.key_size <= head_.key_bytes;
  }

  /// Stores the checksum of the record at `bytes`.
  void seal(char* bytes, std::string_view keys) const {
    Record record;
    std::memcpy(&record, bytes, sizeof(Record));
    record.checksum =
        record.computed_checksum(keys.substr(record.key_begin, record.key_size), head_.checksum);
    std::memcpy(bytes, &record, sizeof(Record));
  }

  /// Divides the members into samples.
  static void collect(const std::string& path, const TarListing& listing, Scanned& scanned,
                      DataReport& problems) {
    Record record;
    std::string key;
    const auto finish = [&] {
      const auto [image, text, json, label] = record.bytes;
      if (image && (text || json || label)) {
        record.key_begin = static_cast<std::uint32_t>(scanned.keys.size());
        record.key_size = static_cast<std::uint32_t>(key.size());
        (scanned.keys += key) += '\0';  // So that the identity shows where a key ends.
        scanned.records.append(reinterpret_cast<const char*>(&record), sizeof(Record));
        scanned.sizes.append(reinterpret_cast<const char*>(&record.bytes), sizeof(record.bytes));
        ++scanned.samples;
      } else if (!key.empty()) {
        problems.add(path + ": " + key + ": " +
                     (image ? "no txt, json or cls member" : "no image member"));
      }
      record = {};
    };
    for (const TarMember& member : listing.members) {
      const std::size_t slash = member.name.rfind('/');
      const std::size_t dot = member.name.find('.', slash == std::string::npos ? 0 : slash);
      if (dot == std::string::npos) continue;  // No extension: WebDataset skips it too.
      if (member.name.compare(0, dot, key) != 0 || key.size() != dot) {
        finish();
        key = member.name.substr(0, dot);
        if (scanned.keys.size() + key.size() > std::numeric_limits<std::uint32_t>::max())
          throw DataError(path + ": the names of its samples have more than 4 GiB");
      }
      const std::uint64_t block = member.offset / detail::kTarBlock;
      if (member.size > kLargestMember) {
        problems.add(path + ": " + member.name + ": larger than 1 GiB");
      } else if (block > std::numeric_limits<std::uint32_t>::max()) {
        problems.add(path + ": " + member.name + ": more than 2 TiB from the start of the shard");
      } else if (const auto kind = kind_of(member.name.substr(dot + 1))) {
        record.block[*kind] = static_cast<std::uint32_t>(block);
        record.bytes[*kind] = static_cast<std::uint32_t>(member.size);
      }
    }
    // A sample that was cut off by damage looks like one without its last members.
    if (listing.problem) {
      problems.add(path + ": " + *listing.problem);
      if (!record.bytes[0] || !(record.bytes[1] || record.bytes[2])) key.clear(), record = {};
    }
    finish();
  }

  /// Returns the place of a member in Record::bytes.
  static std::optional<std::size_t> kind_of(std::string extension) {
    for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    for (const char* image : {"jpg", "jpeg", "png", "webp", "ppm"})
      if (extension == image) return 0;
    if (extension == "txt") return 1;
    if (extension == "json") return 2;
    if (extension == "cls") return 3;
    return std::nullopt;
  }

  Head head_;
  detail::FileStamp stamp_;
  DataReport problems_;
  bool in_memory_ = false;
  std::string table_;  // The records of all samples and then all keys, if in_memory_.
};

}  // namespace contrapunto
