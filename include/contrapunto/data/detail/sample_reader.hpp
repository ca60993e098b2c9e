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
#include "contrapunto/data/encoded_sample.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/image/image_decoder.hpp"
#include "contrapunto/image/image_region.hpp"
#include "contrapunto/image/pixel_box.hpp"
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
  RgbImage pixels;
  ImageRegion region;     // What the pixels show. Until they are decoded only its size is set.
  bool is_whole = false;  // The pixels are those of the whole image.
};

/// What a SampleReader does with an encoded image.
struct ImageWork {
  bool decode = true;
  bool checksum = false;
};

/// What one thread needs to read samples.
struct ReadingWorkspace {
  std::shared_ptr<DecodedSample> sample;
  EncodedSample encoded;
  ImageDecoder decoder;
  DataTimes times;
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

  /// Returns sample `index`, which is stored in `work` until the next call unless it is cached, and
  /// adds the time to the times of `work`. The size of the image is known, and decode() supplies
  /// pixels. Raises DataError with the source and the key if the sample cannot be used.
  [[nodiscard]] std::shared_ptr<const DecodedSample> read(std::int64_t index,
                                                          ReadingWorkspace& work) {
    if (auto kept = find(index)) return kept;
    LapTimer timer;
    EncodedSample& encoded = work.encoded;
    encoded = source_->read(index);
    timer.add_to(work.times.read);
    if (!work.sample) work.sample = std::make_shared<DecodedSample>();
    DecodedSample& sample = *work.sample;
    sample.key = std::move(encoded.key);
    sample.source = std::move(encoded.source);
    sample.label = encoded.label;
    sample.is_whole = false;
    if (work_.decode) {
      name_errors(sample, [&] { work.decoder.open(encoded.image, max_pixels_); });
      sample.region = {.width = work.decoder.width(), .height = work.decoder.height()};
    }
    if (work_.decode && !kept_.empty()) {
      decode(sample, sample.region.full_box(), 1, work);
      sample.is_whole = true;
    }
    timer.add_to(work.times.decode);
    const bool weighted = !encoded.caption_weights.empty();
    sample.captions.clear();
    sample.caption_weights.clear();
    for (std::size_t i = 0; i < encoded.captions.size(); ++i) {
      if (encoded.captions[i].find_first_not_of(" \t\n\v\f\r") == std::string::npos) continue;
      sample.captions.push_back(std::move(encoded.captions[i]));
      if (weighted) sample.caption_weights.push_back(encoded.caption_weights.at(i));
    }
    if (work_.checksum) sample.encoded_checksum = checksum_of(as_text(encoded.image));
    return keep(index, work.sample) ? std::exchange(work.sample, nullptr) : work.sample;
  }

  /// Decodes at least `box` of `sample`, which is the result of the latest read() with `work`. A
  /// reduction of 2 or 4 applies to a JPEG; see ImageDecoder. Does nothing if the whole
  /// image was decoded for the cache. Raises DataError as read() does.
  void decode(const std::shared_ptr<const DecodedSample>& sample, const PixelBox& box,
              std::int64_t reduction, ReadingWorkspace& work) const {
    if (!sample->is_whole) decode(*work.sample, box, reduction, work);
  }

 private:
  [[nodiscard]] static std::string_view as_text(const std::vector<std::uint8_t>& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  /// Calls `read`, and adds the name of the sample to a DataError.
  template <class Read>
  static void name_errors(const DecodedSample& sample, Read read) {
    try {
      read();
    } catch (const DataError& error) {
      throw DataError(sample.source + ": " + sample.key + ": " + error.what());
    }
  }

  static void decode(DecodedSample& sample, const PixelBox& box, std::int64_t reduction,
                     ReadingWorkspace& work) {
    name_errors(sample,
                [&] { sample.region = work.decoder.decode(box, sample.pixels, reduction); });
  }

  [[nodiscard]] std::shared_ptr<const DecodedSample> find(std::int64_t index) const {
    if (kept_.empty()) return nullptr;
    const std::lock_guard lock(mutex_);
    return kept_[static_cast<std::size_t>(index)];
  }

  [[nodiscard]] bool keep(std::int64_t index, const std::shared_ptr<DecodedSample>& sample) {
    if (kept_.empty()) return false;
    const auto bytes = static_cast<std::int64_t>(sample->pixels.bytes());
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
