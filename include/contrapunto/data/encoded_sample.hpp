// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace contrapunto {

/// One sample as it lies in storage.
struct EncodedSample {
  std::string key = {};                    ///< Name of the sample inside its source.
  std::string source = {};                 ///< File it came from; for messages.
  std::vector<std::uint8_t> image = {};    ///< JPEG, PNG, WebP or PPM bytes; see decode_image.
  std::vector<std::string> captions = {};  ///< Texts that describe the image; any of them will do.
  std::optional<std::int64_t> label = {};  ///< Class index, where the source has classes.
};

}  // namespace contrapunto
