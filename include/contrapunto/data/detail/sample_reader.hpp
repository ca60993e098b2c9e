// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/core/hash.hpp"
#include "contrapunto/data/detail/lap_timer.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/image/decode_image.hpp"
#include "contrapunto/image/rgb_image.hpp"
#include "contrapunto/log/data_times.hpp"

namespace contrapunto::detail {

/// A sample with its decoded pixels.
struct DecodedSample {
  std::string key;
  std::string source;
  std::vector<std::string> captions;    // Without empty and blank captions.
  std::vector<double> caption_weights;  // As in EncodedSample.
  std::optional<std::int64_t> label;
  std::uint64_t encoded_checksum = 0;  // Of the encoded image; see ImageWork.
  RgbImage image;
};

/// What a SampleReader does with an encoded image.
struct ImageWork {
  bool decode = true;
  bool checksum = false;
};

/// Reads and decodes samples, and optionally caches them up to a limit. Any number of threads may
/// read at once.
class SampleReader {
 public:
  /// Caches up to `cache_bytes` of pixels; 0 caches nothing. Rejects images with more than
  /// `max_pixels` pixels.
  SampleReader(std::shared_ptr<const SampleSource> source, std::int64_t max_pixels,
               std::int64_t cache_bytes, ImageWork work = {})
      : source_(std::move(source)), max_pixels_(max_pixels), work_(work), bytes_left_(cache_bytes) {
    if (cache_bytes > 0) kept_.resize(static_cast<std::size_t>(source_->size()));
  }

  /// Returns sample `index`, which is stored in `scratch` unless it is cached, and adds the time to
  /// `times`. `fetch()` returns the encoded sample if it is needed. Raises DataError with the
  /// source and the key if it cannot be used.
  template <class Fetch>
  [[nodiscard]] std::shared_ptr<const DecodedSample> read(std::int64_t index, const Fetch& fetch,
                                                          std::shared_ptr<DecodedSample>& scratch,
                                                          DataTimes& times) {
    if (auto kept = find(index)) return kept;
    LapTimer timer;
    EncodedSample encoded = fetch();
    timer.add_to(times.read);
    if (!scratch) scratch = std::make_shared<DecodedSample>();
    try {
      if (work_.decode) decode_image(encoded.image, scratch->image, max_pixels_);
      timer.add_to(times.decode);
    } catch (const DataError& error) {
      throw DataError(encoded.source + ": " + encoded.key + ": " + error.what());
    }
    const bool weighted = !encoded.caption_weights.empty();
    scratch->captions.clear();
    scratch->caption_weights.clear();
    for (std::size_t i = 0; i < encoded.captions.size(); ++i) {
      if (encoded.captions[i].find_first_not_of(" \t\n\v\f\r") == std::string::npos) continue;
      scratch->captions.push_back(std::move(encoded.captions[i]));
      if (weighted) scratch->caption_weights.push_back(encoded.caption_weights.at(i));
    }
    scratch->key = std::move(encoded.key);
    scratch->source = std::move(encoded.source);
    scratch->label = encoded.label;
    if (work_.checksum) scratch->encoded_checksum = checksum_of(as_text(encoded.image));
    return keep(index, scratch) ? std::exchange(scratch, nullptr) : scratch;
  }

  /// The same, but the source is read.
  [[nodiscard]] std::shared_ptr<const DecodedSample> read(std::int64_t index,
                                                          std::shared_ptr<DecodedSample>& scratch,
                                                          DataTimes& times) {
    return read(
        index, [&] { return source_->read(index); }, scratch, times);
  }

 private:
  [[nodiscard]] static std::string_view as_text(const std::vector<std::uint8_t>& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  [[nodiscard]] std::shared_ptr<const DecodedSample> find(std::int64_t index) const {
    if (kept_.empty()) return nullptr;
    const std::lock_guard lock(mutex_);
    return kept_[static_cast<std::size_t>(index)];
  }

  [[nodiscard]] bool keep(std::int64_t index, const std::shared_ptr<DecodedSample>& sample) {
    if (kept_.empty()) return false;
    const auto bytes = static_cast<std::int64_t>(sample->image.bytes());
    const std::lock_guard lock(mutex_);
    if (bytes > bytes_left_) return false;
    bytes_left_ -= bytes;
    kept_[static_cast<std::size_t>(index)] = sample;
    return true;
  }

  std::shared_ptr<const SampleSource> source_;
  std::int64_t max_pixels_;
  ImageWork work_;
  mutable std::mutex mutex_;
  std::int64_t bytes_left_;
  std::vector<std::shared_ptr<const DecodedSample>> kept_;
};

}  // namespace contrapunto::detail
