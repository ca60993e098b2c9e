// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Context.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/data/detail/batch_builder.hpp"
#include "contrapunto/data/image_reading.hpp"
#include "contrapunto/data/loader_options.hpp"
#include "contrapunto/data/text_reading.hpp"
#include "contrapunto/data/view_name.hpp"

namespace contrapunto::detail {

/// Returns the tensors of a batch of a DataLoader, in the order in which it makes them. Raises if
/// two of them have the same name.
[[nodiscard]] inline BatchBuilder::Options batch_tensors(
    const LoaderOptions& o, std::int64_t image_size, bool tokenizes,
    std::vector<BatchBuilder::Features> features) {
  BatchBuilder::Options tensors{.pinned = o.pin_memory && at::hasCUDA(),
                                .channels_last = o.channels_last};
  std::set<std::string> names = {"label"};
  const auto unused = [&](const std::string& name) {
    TORCH_CHECK(!name.empty(), "DataLoader: a further reading of the samples has no name");
    TORCH_CHECK(names.insert(name).second, "DataLoader: a batch would have two tensors named '",
                name, "'; give the further readings of the samples other names");
    return name;
  };
  for (std::int64_t view = 0; view < o.views; ++view) {
    tensors.images.push_back({unused(view_name(view)), image_size});
    for (const ImageReading& reading : o.image_readings)
      tensors.images.push_back({unused(view_name(view, reading.name)), reading.image_size});
  }
  if (tokenizes) tensors.texts.push_back({unused("text"), o.pad_text_to});
  for (const TextReading& reading : o.text_readings) {
    TORCH_CHECK(tokenizes && reading.tokenize, "DataLoader: the texts '", reading.name,
                "' need a tokenize function of their own and one of the loader");
    tensors.texts.push_back({unused(reading.name), reading.pad_to});
  }
  tensors.features = std::move(features);
  for (const auto& feature : tensors.features) unused(feature.name);
  return tensors;
}

}  // namespace contrapunto::detail
