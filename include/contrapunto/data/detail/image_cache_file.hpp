// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/core/hash.hpp"
#include "contrapunto/data/data_shard.hpp"
#include "contrapunto/data/detail/as_hex.hpp"
#include "contrapunto/data/detail/random_access_file.hpp"
#include "contrapunto/data/image_cache_recipe.hpp"
#include "contrapunto/io/atomic_file.hpp"

namespace contrapunto::detail {

/// What is known of a sample in a cache.
struct CachedImage {
  enum class Kind : std::uint32_t {
    kImage,       ///< `bytes` is an encoded image.
    kUnusable,    ///< The image cannot be decoded; `bytes` says why.
    kUnreadable,  ///< The source could not read the sample; ask it again.
    kPending      ///< Not made yet; never in a file.
  };
  Kind kind = Kind::kPending;
  std::vector<std::uint8_t> bytes = {};
};

/// Identifies what a file of a cache was made from: the shard and the recipe.
[[nodiscard]] inline std::uint64_t image_cache_binding(const DataShard& shard,
                                                       const ImageCacheRecipe& recipe) {
  const std::array<std::uint64_t, 3> values = {
      shard.checksum, static_cast<std::uint64_t>(shard.samples), recipe.checksum()};
  return checksum_of({reinterpret_cast<const char*>(values.data()), sizeof(values)});
}

/// Name of the file of `shard` in a cache of `recipe`.
[[nodiscard]] inline std::string image_cache_file(const DataShard& shard,
                                                  const ImageCacheRecipe& recipe) {
  return shard.name + "-" + as_hex(image_cache_binding(shard, recipe)) + ".images";
}

/// A checksum of four interleaved parts, which a processor adds up at the same time: three to four
/// times as fast as checksum_of() for images.
[[nodiscard]] inline std::uint64_t image_checksum(const std::vector<std::uint8_t>& bytes,
                                                  std::uint64_t seed) {
  constexpr std::size_t kStep = 4 * sizeof(std::uint64_t);
  std::array<std::uint64_t, 4> sums = {seed, ~seed, seed + 1, seed - 1};
  const std::size_t whole = bytes.size() / kStep * kStep;
  for (std::size_t i = 0; i < whole; i += kStep) {
    std::array<std::uint64_t, 4> words;
    std::memcpy(words.data(), bytes.data() + i, kStep);
    for (std::size_t lane = 0; lane < 4; ++lane) {
      sums[lane] = (sums[lane] ^ words[lane]) * 0x9E3779B97F4A7C15U;
      sums[lane] ^= sums[lane] >> 32;
    }
  }
  const auto* const rest = reinterpret_cast<const char*>(bytes.data()) + whole;
  return checksum_of({rest, bytes.size() - whole},
                     checksum_of({reinterpret_cast<const char*>(sums.data()), sizeof(sums)}));
}

/// The layout of a file of an image cache: the images in the order in which they were made, a
/// record of 32 bytes for each sample, and a tail. Thus a file is written in one pass, and complete
/// when it has a tail. The records need no memory: one is read with its image.
struct ImageCacheLayout {
  static_assert(std::endian::native == std::endian::little, "files are little-endian");

  struct Record {
    std::uint64_t offset = 0;
    std::uint64_t source_bytes = 0;  // Of the encoded image in the source.
    std::uint32_t size = 0;
    CachedImage::Kind kind = CachedImage::Kind::kPending;
    std::uint64_t checksum = 0;  // Of the fields before it, the bytes, the place and the binding.

    [[nodiscard]] std::uint64_t computed_checksum(const std::vector<std::uint8_t>& bytes,
                                                  std::int64_t place, std::uint64_t binding) const {
      return image_checksum(
          bytes, checksum_of({reinterpret_cast<const char*>(this), offsetof(Record, checksum)},
                             binding + static_cast<std::uint64_t>(place)));
    }
  };
  struct Tail {
    std::array<char, 8> magic = {'C', 'P', 'I', 'M', 'A', 'G', 'E', '1'};  // With the version.
    std::uint64_t binding = 0;
    std::uint64_t samples = 0;
    std::uint64_t records_at = 0;  // Offset of the first record.
    std::uint64_t probe = 0;       // Place of a sample whose image the source could read.
    std::uint64_t probe_checksum = 0;
    std::uint64_t checksum = 0;  // Of the fields before it.

    [[nodiscard]] std::uint64_t computed_checksum() const {
      return checksum_of({reinterpret_cast<const char*>(this), offsetof(Tail, checksum)});
    }
  };
  static_assert(sizeof(Record) == 32 && sizeof(Tail) == 56);
};

/// Reads the tail of the file of `binding`. Returns nothing if the file is not a whole one of this
/// version and binding.
[[nodiscard]] inline std::optional<ImageCacheLayout::Tail> read_image_cache_tail(
    const RandomAccessFile& file, std::uint64_t binding, std::int64_t samples) {
  ImageCacheLayout::Tail tail;
  if (file.size() < sizeof(tail)) return std::nullopt;
  file.read(file.size() - sizeof(tail), &tail, sizeof(tail));
  const bool valid = tail.magic == ImageCacheLayout::Tail().magic &&
                     tail.checksum == tail.computed_checksum() && tail.binding == binding &&
                     tail.samples == static_cast<std::uint64_t>(samples) &&
                     tail.probe <= tail.samples && tail.records_at <= file.size() &&
                     file.size() - tail.records_at ==
                         tail.samples * sizeof(ImageCacheLayout::Record) + sizeof(tail);
  return valid ? std::optional(tail) : std::nullopt;
}

/// Reads what the file keeps of the sample at `place`, whose encoded image has `source_bytes` bytes
/// in the source now. Raises DataError if it is damaged or was made from another image.
[[nodiscard]] inline CachedImage read_cached_image(const RandomAccessFile& file,
                                                   const ImageCacheLayout::Tail& tail,
                                                   std::int64_t place, std::uint64_t source_bytes) {
  ImageCacheLayout::Record record;
  file.read(tail.records_at + static_cast<std::uint64_t>(place) * sizeof(record), &record,
            sizeof(record));
  const auto damaged = [&](const std::string& what) {
    return DataError(file.path() + ": sample " + std::to_string(place) + ": " + what);
  };
  if (record.size > tail.records_at || record.offset > tail.records_at - record.size)
    throw damaged("the record is damaged");
  CachedImage cached{record.kind, {}};
  cached.bytes.resize(record.size);
  file.read(record.offset, cached.bytes.data(), cached.bytes.size());
  if (record.checksum != record.computed_checksum(cached.bytes, place, tail.binding))
    throw damaged("the bytes are not those that were written");
  if (record.kind != CachedImage::Kind::kUnreadable && record.source_bytes != source_bytes)
    throw damaged("its image had " + std::to_string(record.source_bytes) +
                  " bytes when the cache was made, and has " + std::to_string(source_bytes) +
                  " now");
  return cached;
}

/// Writes the file of one shard under a temporary name, which commit() replaces by its own. Any
/// number of threads may add samples, in any order.
class ImageCacheWriter {
 public:
  /// Raises if the file cannot be created.
  ImageCacheWriter(const std::filesystem::path& path, std::uint64_t binding, std::int64_t samples)
      : file_(path), records_(static_cast<std::size_t>(samples)) {
    tail_.binding = binding;
    tail_.samples = tail_.probe = records_.size();
    left_ = samples;
  }

  /// Whether the sample at `place` was added.
  [[nodiscard]] bool has(std::int64_t place) const {
    const std::lock_guard lock(mutex_);
    return records_[static_cast<std::size_t>(place)].kind != CachedImage::Kind::kPending;
  }

  /// Adds what is known of the sample at `place`, whose encoded image is `source_image`; does
  /// nothing if it was added before. Returns true for the last sample: the caller then commits.
  /// Raises if the file cannot be written.
  [[nodiscard]] bool add(std::int64_t place, const CachedImage& cached,
                         const std::vector<std::uint8_t>& source_image) {
    const std::lock_guard lock(mutex_);
    auto& record = records_[static_cast<std::size_t>(place)];
    if (record.kind != CachedImage::Kind::kPending) return false;
    file_.write({reinterpret_cast<const char*>(cached.bytes.data()), cached.bytes.size()});
    record = {tail_.records_at, source_image.size(),
              static_cast<std::uint32_t>(cached.bytes.size()), cached.kind, 0};
    record.checksum = record.computed_checksum(cached.bytes, place, tail_.binding);
    tail_.records_at += cached.bytes.size();
    unreadable_ += cached.kind == CachedImage::Kind::kUnreadable;
    if (tail_.probe == tail_.samples && cached.kind != CachedImage::Kind::kUnreadable) {
      tail_.probe = static_cast<std::uint64_t>(place);
      tail_.probe_checksum = image_checksum(source_image, 0);
    }
    return --left_ == 0;
  }

  /// Whether most samples could not be read, as while a disk is away. Such a file is of no use.
  [[nodiscard]] bool is_mostly_unreadable() const { return 2 * unreadable_ > std::ssize(records_); }

  /// Puts the file, which has all samples, in place. Call it once. Raises if it cannot be written.
  void commit() {
    tail_.checksum = tail_.computed_checksum();
    file_.write({reinterpret_cast<const char*>(records_.data()),
                 records_.size() * sizeof(ImageCacheLayout::Record)});
    file_.write({reinterpret_cast<const char*>(&tail_), sizeof(tail_)});
    file_.commit();
  }

 private:
  AtomicFile file_;
  mutable std::mutex mutex_;
  std::vector<ImageCacheLayout::Record> records_;
  ImageCacheLayout::Tail tail_;
  std::int64_t left_ = 0;
  std::int64_t unreadable_ = 0;
};

}  // namespace contrapunto::detail
