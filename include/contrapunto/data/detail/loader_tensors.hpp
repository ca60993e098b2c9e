// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Context.h>
#include <c10/util/Exception.h>

#include <cstddef>
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
#include "contrapunto/image/image_transform.hpp"

namespace contrapunto::detail {

/// The tensors of a batch of a DataLoader, in the order in which ViewMaker makes them: all of its
/// `transforms` for each view. Raises if two of them have the same name.
[[nodiscard]] inline BatchBuilder::Options loader_tensors(
    const std::vector<ImageTransform>& transforms, const LoaderOptions& options, bool has_text,
    std::vector<BatchBuilder::Features> features) {
  BatchBuilder::Options tensors{.pinned = options.pin_memory && at::hasCUDA(),
                                .channels_last = options.channels_last};
  std::set<std::string> names = {"label"};
  const auto unused = [&](const std::string& name) {
    TORCH_CHECK(!name.empty(), "DataLoader: a further reading of the samples has no name");
    TORCH_CHECK(names.insert(name).second, "DataLoader: a batch would have two tensors named '",
                name, "'; give the further readings of the samples other names");
    return name;
  };
  for (std::int64_t view = 0; view < options.views; ++view) {
    tensors.images.push_back({unused(view_name(view)), transforms.front().options().image_size});
    for (const ImageReading& reading : options.image_readings)
      tensors.images.push_back({unused(view_name(view, reading.name)), reading.image_size});
  }
  if (options.augment_device) tensors.packed = transforms;
  if (has_text) tensors.texts.push_back({unused("text"), options.pad_text_to});
  for (const TextReading& reading : options.text_readings) {
    TORCH_CHECK(has_text && reading.tokenize, "DataLoader: the texts '", reading.name,
                "' need a tokenize function of their own and one of the loader");
    tensors.texts.push_back({unused(reading.name), reading.pad_to});
  }
  tensors.features = std::move(features);
  for (const auto& of_teacher : tensors.features) unused(of_teacher.name);
  return tensors;
}

}  // namespace contrapunto::detail
