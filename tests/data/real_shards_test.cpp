// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include <cstdlib>

#include "contrapunto/data/data_loader.hpp"
#include "contrapunto/data/open_data_source.hpp"
#include "data/tar_writer.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("CIFAR-10 shards give pairs whose captions name the class", "[data][cpu]") {
  const char* const data = std::getenv("CONTRAPUNTO_DATA");
  if (!data || !*data) {
    WARN("CONTRAPUNTO_DATA is not set; skipped");
    return;
  }
  const test::TemporaryFolder folder;
  const auto source = open_data_source(std::string(data) + "/cifar10/test-{000..003}.tar",
                                       {.shards = {.index = {.folder = folder / "indexes"}}});
  REQUIRE(source->size() == 10'000);
  CHECK(source->report().skipped == 0);
  const auto names = source->class_names();
  REQUIRE(names.size() == 10);
  const auto bytes = [](std::string_view text) {
    return std::vector<std::int64_t>(text.begin(), text.end());
  };
  DataLoader loader(source, ImageTransform({.image_size = 32}), bytes,
                    {.batch_size = 500, .train = false});
  loader.start_epoch(0);
  std::int64_t samples = 0;
  while (const auto batch = loader.next()) {
    const at::Tensor& text = batch->at("text");
    for (std::int64_t row = 0; row < batch->size(); ++row) {
      std::string caption;
      for (std::int64_t i = 0; i < text.size(1) && text[row][i].item<std::int64_t>() != 0; ++i)
        caption += static_cast<char>(text[row][i].item<std::int64_t>());
      const auto label = static_cast<std::size_t>(batch->at("label")[row].item<std::int64_t>());
      REQUIRE(caption.find(names.at(label)) != std::string::npos);
      if (row == 20) break;  // reading tensors element by element is slow
    }
    samples += batch->size();
  }
  CHECK(samples == 10'000);
  CHECK(loader.statistics().skipped == 0);
}
