// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace contrapunto {

/// A sample as it is stored, with its image still encoded.
struct EncodedSample {
  std::string key = {};                      ///< Name of the sample within its source.
  std::string source = {};                   ///< File that holds the sample, for messages.
  std::vector<std::uint8_t> image = {};      ///< JPEG, PNG, WebP or PPM bytes; see decode_image.
  std::vector<std::string> captions = {};    ///< Texts that describe the image, each of which is a
                                             ///< valid caption.
  std::vector<double> caption_weights = {};  ///< In proportion to the probability of each caption;
                                             ///< empty: all are equally likely.
  std::optional<std::int64_t> label = {};    ///< Class index, if the source has classes.
  std::uint64_t image_bytes = 0;             ///< Size of the image in bytes; only set by
                                             ///< SampleSource::read_without_image().
};

}  // namespace contrapunto
